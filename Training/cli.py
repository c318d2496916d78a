"""`mritranslate-train`: one command per recipe."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from MRITranslateLib.errors import InputError

from .config.load import describe_keys, load_config
from .config.translation import TranslationConfig
from .progress import Bars, first_process
from .recipes import RECIPES, Recipe

_OTHERS_WAIT = 20.0
"""Seconds that a process other than the first waits for its end before it tells its error."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _recipes() -> None:
    """Train the models that MRITranslate runs. A research tool: not for diagnosis."""


def _keys(recipe: Recipe) -> str:
    rows = [f"--{key}  ({default})  {meaning}" for key, default, meaning in describe_keys(recipe.config)]
    return "Every key of the configuration can be given as --key value:\n\n\b\n" + "\n".join(rows)


def _command(recipe: Recipe) -> Callable[..., None]:
    """The command line of one recipe."""

    def train(
        context: typer.Context,
        config: Annotated[
            list[Path],
            typer.Option(
                help=f"YAML file, such as Training/configs/{recipe.example}; a second one changes what the first says."
            ),
        ],
        data: Annotated[Path | None, typer.Option(help=f"Folder of the data ({recipe.data}.root).")] = None,
        output: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from the last checkpoint in the run's folder.")
        ] = False,
        export_only: Annotated[
            bool, typer.Option("--export-only", help="Export the best weights so far, without training.")
        ] = False,
        cross_validate: Annotated[
            bool,
            typer.Option(
                "--cross-validate",
                hidden=not recipe.folds,
                help="Train without each of data.folds in turn, then on all; with --resume finished runs are kept.",
            ),
        ] = False,
    ) -> None:
        overrides = list(context.args)
        if data is not None:
            overrides += [f"--{recipe.data}.root", str(data)]
        if output is not None:
            overrides += ["--output", str(output)]
        if cross_validate and (export_only or not recipe.folds):
            raise InputError(
                "--cross-validate trains, so leave out --export-only."
                if recipe.folds
                else f"--cross-validate is for {' and '.join(name for name in RECIPES if RECIPES[name].folds)} only."
            )
        settings = load_config(recipe.config, config, overrides)
        # Heavy imports only once the configuration is known to be good.
        with Bars() as bars:
            if cross_validate:
                from .crossvalidation import run_all

                assert isinstance(settings, TranslationConfig)
                folds = run_all(settings, resume, lambda run: _run(recipe, run, bars, resume), bars.say)
                bars.say(f"The weights of the folds, to measure the scores again by: {folds}")
            else:
                _run(recipe, settings, bars, resume, export_only)

    return train


def _run(recipe: Recipe, settings: Any, bars: Bars, resume: bool, export_only: bool = False) -> None:
    """One run, from its data to its packages."""
    module = recipe.load()
    from .report import write_report

    run = module.setup(settings, resume=resume or export_only, report=bars.report)
    if not export_only:
        module.fit(run, bars.report)
    if run.session.fabric.is_global_zero:
        for package in module.export(run, bars.report):
            bars.say(f"Exported {package}. Add it to the panel: mritranslate models add {package}")
        write_report(run.session.folder)  # once more, with the scores on the package's card


for _name, _recipe in RECIPES.items():
    app.command(
        _name,
        help=f"{_recipe.summary}; the best weights are exported as a package.",
        epilog=_keys(_recipe),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        short_help=_recipe.summary,
    )(_command(_recipe))


def main() -> None:
    """Entry point: bad input gets one sentence and exit code 2."""
    try:
        app()
    except InputError as error:
        _tell(f"Error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        _tell("Stopped. Go on with --resume.")
        sys.exit(130)


def _tell(text: str) -> None:
    """One line, once for all processes of a run.

    What stops every process is told by the first. Another one waits whether that ends the run, so that only what
    stopped this process alone is told here.
    """
    if not first_process():
        parent, end = os.getppid(), time.monotonic() + _OTHERS_WAIT
        while time.monotonic() < end:
            if os.getppid() != parent:
                return
            time.sleep(0.1)
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
