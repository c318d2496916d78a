"""The commands that work on volumes, and the program they belong to."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..errors import InputError
from . import checking, explaining, generating, models, translating
from .shared import (
    INTERRUPTED,
    SETTINGS,
    Json,
    Reporting,
    make_folder,
    progress_bar,
    read,
    read_mask,
    report,
    say,
    write,
)

app = typer.Typer(cls=Reporting, **SETTINGS)
app.add_typer(models.app, name="models")


class Kind(StrEnum):
    """What a volume shows, for `evaluate`."""

    MR = "MR"
    CT = "CT"


class Protocol(StrEnum):
    """How `evaluate` measures."""

    PLAIN = "plain"
    SYNTHRAD2023 = "synthrad2023"
    SYNTHRAD2025 = "synthrad2025"


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


@app.command()
def evaluate(
    reference: Annotated[Path, typer.Argument(help="The true volume.")],
    prediction: Annotated[Path, typer.Argument(help="The synthetic volume on the same grid.")],
    modality: Annotated[Kind, typer.Option(help="MR (arbitrary units) or CT (HU).", case_sensitive=False)] = Kind.MR,
    mask: Annotated[Path | None, typer.Option(help="Label image on the same grid; nonzero voxels count.")] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="plain, or for CT a SynthRAD challenge's metrics, figure for figure.")
    ] = Protocol.PLAIN,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="What the prediction was made from (MR): adds the best intensity map of it."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--report", help="File for the scores, with images and the error of each slice: .html or .csv."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a synthetic volume with the true one: MAE (HU, or fraction of full scale), PSNR (dB), SSIM.

    For MR each volume is divided by the 99.8th percentile of its values in the foreground, and the figures called
    ..._affine follow one global least-squares fit of the prediction to the reference.
    """
    from ..compare import compare
    from ..comparereport import check_report_path, write_report
    from ..evaluate import evaluate as run

    if page is not None:
        check_report_path(page)
    truth, made, region = read(reference), read(prediction), read_mask(mask)
    how = {"modality": modality.value, "mask": region, "protocol": protocol.value}
    scores = run(truth, made, **how, source=None if source is None else read(source))
    if page is not None:
        write_report(compare(truth, made, **how), page, reference.name, prediction.name)
    if as_json:
        report(scores.as_json(), as_json, "")
        return
    for name, value in scores.values.items():
        typer.echo(f"{name:13} {value:10.4f}")
    for name, fact in scores.facts.items():
        typer.echo(f"{name:13} {fact}")


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
