"""The commands that work on volumes, and the program they belong to."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..errors import InputError
from . import checking, evaluating, explaining, generating, models, translating
from .shared import (
    INTERRUPTED,
    SETTINGS,
    Json,
    Reporting,
    make_folder,
    progress_bar,
    report,
    say,
    write,
)

app = typer.Typer(cls=Reporting, **SETTINGS)
app.add_typer(models.app, name="models")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `mritranslate`; ends the process with the exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="mritranslate")
    except KeyboardInterrupt:  # before or after the command itself
        say(INTERRUPTED)
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mritranslate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Synthetic MRI contrasts and CT from MRI, with explanations. A research tool: not for diagnosis."""


app.command()(translating.translate)
app.command()(checking.check)
app.command()(explaining.explain)
app.command()(generating.generate)
app.command()(generating.xray)


app.command()(evaluating.evaluate)


@app.command()
def phantom(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the volumes; made if it does not exist.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another person.")] = 1,
    shape: Annotated[tuple[int, int, int], typer.Option(metavar="S R C", help="Slices, rows and columns.")] = (
        96,
        128,
        128,
    ),
    lesions: Annotated[int, typer.Option(min=0, max=100, help="Number of lesions.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a digital head: T1, T2, FLAIR, PD, CT (HU), tissue labels and lesions on one grid."""
    from ..phantom import phantom as run

    if output.exists() and not output.is_dir():
        raise InputError(f'"{output}" is a file; give a folder.')
    head = run(seed=seed, shape=shape, lesions=lesions)
    make_folder(output)
    files = {}
    for name in ("t1", "t2", "flair", "pd", "ct", "labels", "lesions"):
        files[name] = str(output / f"{name}.nii.gz")
        write(getattr(head, name), Path(files[name]))
    facts = {
        "folder": str(output),
        "files": files,
        "seed": seed,
        "shape": list(shape),
        "lesions": lesions,
        "warnings": [],
    }
    report(facts, as_json, f"Phantom head {seed}: {output}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the volumes and the figure.")],
    as_json: Json = False,
) -> None:
    """Make a phantom patient, translate and explain it, score the results and draw them."""
    from ..demo import run

    with progress_bar(not as_json) as progress:
        summary = run(output, progress=lambda fraction, title: progress(fraction, title, 0, 0))
    facts = {
        "folder": str(summary.folder),
        "files": [str(file) for file in summary.files],
        "scores": summary.scores,
        "warnings": summary.warnings,
        "seconds": round(summary.seconds, 3),
    }
    report(facts, as_json, f"Demonstration: {output}")
