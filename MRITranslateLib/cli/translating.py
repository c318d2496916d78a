"""`mritranslate translate`: one volume, or all those of a table."""

import contextlib
import signal
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .shared import Device, Json, check_outputs, progress_bar, read, read_mask, report, say, write

if TYPE_CHECKING:
    from ..batch.report import BatchReport, Failure


class UncertaintyMethod(StrEnum):
    """By what it is measured how sure a model is."""

    AUGMENTATION = "augmentation"
    DROPOUT = "dropout"


def translate(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File for the synthetic volume: .nii.gz, .nrrd, ... With --batch the folder for all."
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="Input volume: a 3-D NIfTI, NRRD or MetaImage file, a folder with one DICOM series, or a picture.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='Name of a model (see "mritranslate models list") or folder of a package. With --batch for the rows '
            "that name none.",
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Label image on the input's grid: translate inside it, background outside.")
    ] = None,
    uncertainty: Annotated[
        Path | None, typer.Option(help="File for the standard deviation of the answer, voxel by voxel, in its unit.")
    ] = None,
    uncertainty_method: Annotated[
        UncertaintyMethod | None,
        typer.Option(
            help="Spread under harmless changes of the input, or by the network's dropout. [default: augmentation]"
        ),
    ] = None,
    ensemble: Annotated[
        list[str] | None,
        typer.Option(
            help="Another model for the same contrasts, as often as wanted: the spread over all models is written, and "
            "the synthetic volume is their mean."
        ),
    ] = None,
    cycle: Annotated[
        Path | None,
        typer.Option(help="File for the difference between the input and its way there and back (1 is full scale)."),
    ] = None,
    inverse: Annotated[
        str | None, typer.Option(help="Model for the way back. [default: the one that the model's card names]")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="CSV with the column input, and if wanted output, mask, model, id and uncertainty: translate all of "
            "its volumes into the folder --output. What is done already is skipped.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="With --batch, only the I-th of N parts of the table. [default: 1/1]"),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="CLUSTER",
            help="With --batch, deal the table out to a Dask cluster: the address of its scheduler, or a number of "
            "processes to start on this machine.",
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a synthetic volume of another contrast (MR: arbitrary units; CT: HU) on the input's own grid.

    With --batch the exit code is 0 when every row is done, and 2 when some failed.
    """
    method = UncertaintyMethod.AUGMENTATION if uncertainty_method is None else uncertainty_method
    if batch is not None:
        single: dict[str, object] = {
            "INPUT": image,
            "--mask": mask,
            "--uncertainty": uncertainty,
            "--ensemble": ensemble,
        }
        single |= {"--cycle": cycle, "--inverse": inverse}
        for name, value in single.items():
            if value:
                raise InputError(f"{name} is for one volume; with --batch the table says what is translated.")
        _translate_table(batch, output, model, shard, dask, device, method.value, as_json)
        return
    if shard is not None or dask is not None:
        raise InputError("--shard and --dask need --batch, the table of volumes.")
    if image is None:
        raise InputError("Give the input volume, or a table of volumes with --batch.")
    if model is None:
        raise InputError('Give the model with --model (see "mritranslate models list").')
    if uncertainty is None and (uncertainty_method is not None or ensemble):
        raise InputError("--uncertainty-method and --ensemble need --uncertainty, the file to write.")
    if uncertainty_method is not None and ensemble:
        raise InputError("Give --uncertainty-method or --ensemble, not both.")
    if inverse is not None and cycle is None:
        raise InputError("--inverse needs --cycle, the file to write.")
    from ..package import load_package
    from ..translate import translate as run

    check_outputs([image, mask], [output, uncertainty, cycle])
    started = time.perf_counter()
    volume, region = read(image), read_mask(mask)
    package = load_package(model)
    with progress_bar(not as_json) as progress:
        result = run(
            volume,
            package,
            device=device,
            mask=region,
            uncertainty=[load_package(name) for name in ensemble]
            if ensemble
            else uncertainty is not None and method.value,
            cycle=cycle is not None if inverse is None else load_package(inverse),
            progress=progress,
        )
    facts: dict[str, object] = {}
    for name, made, file in (
        ("output", result.image, output),
        ("uncertainty", result.uncertainty, uncertainty),
        ("cycle", result.cycle, cycle),
    ):
        if made is not None and file is not None:
            write(made, file)
            facts[name] = str(file)
    facts |= {
        "model": package.card.name,
        "modality": package.translation_card().target,
        "warnings": result.warnings,
        "provenance": result.provenance,
        "seconds": round(time.perf_counter() - started, 3),
    }
    report(facts, as_json, f"Synthetic {package.translation_card().target} of {image.name}: {output}")


def _translate_table(
    table: Path,
    output: Path,
    model: str | None,
    shard: str | None,
    dask: str | None,
    device: str,
    method: str,
    as_json: bool,
) -> None:
    if shard is not None and dask is not None:
        raise InputError("Give --shard or --dask, not both.")
    from ..batch.run import translate_batch
    from ..batch.table import parse_shard

    part = (1, 1) if shard is None else parse_shard(shard)
    with _ended_gently(), progress_bar(not as_json) as progress:
        how: dict[str, Any] = {
            "model": model,
            "device": device,
            "uncertainty": method,
            "progress": progress,
            "on_failure": _say_failure,
        }
        if dask is None:
            made = translate_batch(table, output, shard=part, **how)
        else:
            from ..batch.cluster import connect, translate_with_dask

            with connect(dask) as client:
                made = translate_with_dask(client, table, output, **how)
    _report_batch(made, "" if shard is None else f"Shard {part[0]}/{part[1]}: ", as_json)


@contextlib.contextmanager
def _ended_gently() -> Iterator[None]:
    """A scheduler that ends a job, or a machine that is shut down, does what Ctrl-C does: nothing is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_failure(failure: "Failure") -> None:
    say(f"Error: line {failure.line} ({failure.name}): {failure.sentence}")


def _report_batch(made: "BatchReport", prefix: str, as_json: bool) -> None:
    """Say what a batch did and how fast it was; ends the command with exit code 2 where rows failed."""
    facts: dict[str, Any] = {
        **{name: getattr(made, name) for name in ("rows", "done", "skipped", "warned", "voxels")},
        "failed": [
            {"line": one.line, "id": one.name, "error": one.sentence, "fault": one.fault} for one in made.failed
        ],
        "seconds": round(made.seconds, 3),
        "stages": {name: round(getattr(made, name), 3) for name in ("reading", "translating", "writing")},
        "volumes_per_minute": round(made.volumes_per_minute, 3),
        "megavoxels_per_second": round(made.megavoxels_per_second, 4),
        "ledgers": [str(file) for file in made.ledgers],
    }
    sentence = f"{prefix}{made.done + made.skipped} of {made.rows} done."
    if made.done:
        sentence += (
            f" This run made {made.done} in {made.seconds:.1f} s: {made.volumes_per_minute:.2f} volumes/min, "
            f"{made.megavoxels_per_second:.3f} Mvoxel/s (reading {made.reading:.1f} s, translating "
            f"{made.translating:.1f} s, writing {made.writing:.1f} s)."
        )
    where = made.ledgers[0] if len(made.ledgers) == 1 else made.ledgers[0].with_name("batch-*.jsonl")
    if made.warned:
        sentence += f" With warnings: {made.warned}, see {where}."
    report(facts, as_json, sentence)
    if made.failed:
        say(f"Error: {len(made.failed)} of {made.rows} failed; {where} says why, and the next run tries them again.")
        raise typer.Exit(2)
