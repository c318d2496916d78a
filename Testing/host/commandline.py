"""Slicer's command line: what it takes, the order of things, and the exit code."""

import argparse
import collections.abc
import dataclasses
import pathlib
import runpy
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import application

EXIT_SUCCESS, EXIT_FAILURE = 0, 1


@dataclasses.dataclass
class Options:
    """The parsed command line."""

    module_paths: list[str]
    script: str | None
    script_arguments: list[str]
    code: str | None
    main_window: bool
    testing: bool
    screenshot: str | None
    volume: str | None
    model: str | None
    run: bool


def parse(arguments: list[str]) -> Options:
    """Slicer's options, and the host's own for the picture; the rest is the script's, or refused if there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m Testing.host",
        description="Runs scripted modules of 3D Slicer without Slicer, for tests.",
        allow_abbrev=False,
    )
    slicer_options = parser.add_argument_group("Slicer's options")
    slicer_options.add_argument(
        "--additional-module-paths", "--additional-module-path", nargs="+", default=[], metavar="FOLDER"
    )
    slicer_options.add_argument("--python-script", metavar="FILE", help="run FILE; what follows it are its arguments")
    slicer_options.add_argument("--python-code", metavar="CODE")
    slicer_options.add_argument("--no-main-window", action="store_true")
    slicer_options.add_argument("--no-splash", action="store_true", help="accepted: there is none")
    slicer_options.add_argument("--testing", action="store_true", help="no message boxes; exit when the script is done")
    own = parser.add_argument_group("the host's own: a picture of the panel beside the slice views")
    own.add_argument("--screenshot", metavar="FILE")
    own.add_argument("--volume", metavar="FILE")
    own.add_argument("--model", metavar="NAME")
    own.add_argument("--run", action="store_true", help="click Run and wait for the result")
    ours, after = _split_at_dashes(arguments)
    for option in ("--additional-module-paths", "--python-script", "--python-code"):
        if ours.count(option) > 1:
            parser.error(f"{option} is given twice; Slicer takes the first and skips the other")
    known, rest = parser.parse_known_args(ours)
    rest += after
    if rest and known.python_script is None:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if known.screenshot is None and (known.volume or known.model or known.run):
        parser.error("--volume, --model and --run belong to --screenshot")
    if known.run and not known.volume:
        parser.error("--run needs a --volume to work on")
    return Options(
        module_paths=known.additional_module_paths,
        script=known.python_script,
        script_arguments=rest,
        code=known.python_code,
        main_window=not known.no_main_window,
        testing=known.testing,
        screenshot=known.screenshot,
        volume=known.volume,
        model=known.model,
        run=known.run,
    )


def _split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Everything after `--` is the script's, whatever it looks like."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def main(arguments: list[str]) -> int:
    """Run the host; the process's exit code."""
    options = parse(arguments)
    if options.screenshot is not None:
        from . import driver

        return driver.take(options)
    from PySide6 import QtCore

    from . import application

    host = application.start(options.module_paths, main_window=options.main_window, testing=options.testing)
    # As in Slicer, scripts run within the event loop, which goes on until the application is told to exit.
    QtCore.QTimer.singleShot(0, lambda: _run_scripts(host, options))
    host.native.exec()
    host.close()
    return int(host.native._exit_code)


def _run_scripts(host: "application.Host", options: Options) -> None:
    """Run what the command line names; in testing mode the application exits after it."""
    from . import signals

    succeeded = True
    if options.script is not None:
        path = pathlib.Path(options.script)
        if path.is_file():
            sys.argv = [options.script, *options.script_arguments]
            succeeded = _run(host, lambda: runpy.run_path(str(path), run_name="__main__"))
        else:  # Slicer says so and goes on
            print(f"Specified python script doesn't exist: {options.script}", file=sys.stderr)
    if options.code is not None:
        text = options.code
        code_succeeded = _run(host, lambda: exec(compile(text, "<python-code>", "exec"), vars(sys.modules["__main__"])))
        succeeded = succeeded and code_succeeded
    if options.testing and host.native._exit_code is None:
        host.native.exit(EXIT_SUCCESS if succeeded and not signals.slot_errors else EXIT_FAILURE)


def _run(host: "application.Host", action: collections.abc.Callable[[], object]) -> bool:
    """Run a script; False if it raised. SystemExit ends the application with its code, as in Slicer."""
    try:
        action()
    except SystemExit as stop:
        host.native.exit(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
    except BaseException:
        traceback.print_exc()
        return False
    return True
