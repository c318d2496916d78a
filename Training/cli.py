"""`mritranslate-train`: one command per recipe."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from MRITranslateLib.errors import InputError

from .config import describe_keys, load_config

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Train the models that MRITranslate runs. Research tool."
)


@app.callback()
def _recipes() -> None:
    """Train the models that MRITranslate runs. A research tool: not for diagnosis."""


def _keys() -> str:
    rows = [f"--{key}  ({default})  {meaning}" for key, default, meaning in describe_keys()]
    return "Every key of the configuration can be given as --key value:\n\n\b\n" + "\n".join(rows)


@app.command(
    epilog=_keys(),
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    short_help="paired translation",
)
def pix2pix(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="YAML file, such as Training/configs/t1_to_t2.yaml.")],
    data: Annotated[Path | None, typer.Option(help="Folder with one folder per subject (data.root).")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the run's folder.")
    ] = False,
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Export the best weights so far, without training.")
    ] = False,
) -> None:
    """Train pix2pix on paired volumes and export the best weights as a package."""
    overrides = list(context.args)
    if data is not None:
        overrides += ["--data.root", str(data)]
    if output is not None:
        overrides += ["--output", str(output)]
    settings = load_config(config, overrides)

    from .export import export  # heavy imports only once the configuration is known to be good
    from .pix2pix import fit, setup, weights_to_export

    with _Bars() as bars:
        run = setup(settings, resume=resume or export_only, report=bars.report)
        if not export_only:
            fit(run, bars.report)
        if run.fabric.is_global_zero:
            bars.say("Measuring the scores of the card on the test subjects ...")
            package = export(settings, weights_to_export(run), run.step, run.train, run.folder.export)
            bars.say(f"Exported {package}. Add it to the panel: mritranslate models add {package}")


class _Bars:
    """Progress bars with time left for people; plain lines where there is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self._progress.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.__exit__(*details)  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)

    def report(self, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        text = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
        if stage == "Validated" or not self._console.is_terminal:
            self.say(f"{stage} {done}/{total}  {text}")
        if stage != "Validated":
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total, figures="")
            self._progress.update(self._tasks[stage], completed=done, figures=text)


def main() -> None:
    """Entry point: bad input gets one sentence and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. Go on with --resume.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
