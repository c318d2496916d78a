"""`mritranslate evaluate`: a synthetic volume beside the true one, or many beside many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .shared import Json, progress_bar, read, read_mask, report, say

if TYPE_CHECKING:
    from ..cohort.pairing import Pair
    from ..cohort.run import Cohort
    from ..cohort.summary import Difference, Summary
    from ..scoring.scores import Scores


class Kind(StrEnum):
    """What a volume shows."""

    MR = "MR"
    CT = "CT"


class Protocol(StrEnum):
    """How it is measured."""

    PLAIN = "plain"
    BRASYN = "brasyn"
    SYNTHRAD2023 = "synthrad2023"
    SYNTHRAD2025 = "synthrad2025"


def evaluate(
    reference: Annotated[
        Path | None, typer.Argument(help="The true volume, or a folder of them.", show_default=False)
    ] = None,
    prediction: Annotated[
        Path | None,
        typer.Argument(
            help="The synthetic volume on the same grid, or a folder of them, named as the true ones.",
            show_default=False,
        ),
    ] = None,
    modality: Annotated[Kind, typer.Option(help="MR (arbitrary units) or CT (HU).", case_sensitive=False)] = Kind.MR,
    protocol: Annotated[
        Protocol,
        typer.Option(help="plain; for MR brasyn (--mask is the tumour); for CT a SynthRAD challenge's own metrics."),
    ] = Protocol.PLAIN,
    mask: Annotated[
        Path | None,
        typer.Option(help="Label image on the reference's grid whose nonzero voxels count, or a folder of them."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="What the prediction was made from (MR), or a folder: adds the best intensity map of it.",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option(help="Folder of what a second method made of the same: adds its figures and a paired test."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Instead of folders a table with the columns reference and prediction, and optionally name, other, "
            "mask and input; paths are relative to it.",
        ),
    ] = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Resample a prediction on another grid to the reference's, and say so."),
    ] = False,
    pages: Annotated[
        list[Path] | None,
        typer.Option(
            "--report",
            help="File for the scores, as often as wanted: .html with plots, .csv or .json.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare synthetic volumes with the true ones: MAE, PSNR, SSIM, MS-SSIM, NCC, Dice, HD95, errors by tissue.

    For MR each volume is divided by the 99.8th percentile of its values in the foreground, and the figures called
    ..._affine follow one global least-squares fit of the prediction to the reference. Of two folders every pair is
    scored, with mean, SD, median and a 95 % interval; a pair that cannot be is named and left out, and the exit code
    is then 2.
    """
    how = _How(modality.value, protocol.value, resample, pages or [], as_json)
    if pairs is not None:
        if reference or prediction or mask or source or other:
            raise InputError("The table of --pairs names all files; leave the other paths out.")
        from ..cohort.pairing import read_pairs

        _many(read_pairs(pairs), how, (_METHOD, "other"), inputs=[pairs])
        return
    if reference is None or prediction is None:
        raise InputError("Give the true and the synthetic volume, two folders of them, or --pairs with a table.")
    from ..cohort.pairing import holds_volumes, pair_by_name

    if holds_volumes(reference) or holds_volumes(prediction):
        found, warnings = pair_by_name(reference, prediction, other, mask, source)
        _many(found, how, (prediction.name, "" if other is None else other.name), warnings=warnings)
        return
    if other is not None:
        raise InputError("--other compares two methods on many cases; give folders of volumes, or --pairs.")
    _one(reference, prediction, mask, source, how)


_METHOD = "prediction"


@dataclass(frozen=True)
class _How:
    """What is asked for, whatever the volumes."""

    modality: str
    protocol: str
    resample: bool
    pages: list[Path]
    as_json: bool


def _one(reference: Path, prediction: Path, mask: Path | None, source: Path | None, how: _How) -> None:
    from ..compare import compare
    from ..comparereport import write_report
    from ..evaluate import evaluate as run

    _check_pages(how.pages, [reference, prediction, mask, source])
    truth, made, region = read(reference), read(prediction), read_mask(mask)
    input_image = None if source is None else read(source)
    scores = run(truth, made, how.modality, region, how.protocol, input_image, how.resample)
    if how.pages:
        compared = compare(truth, made, how.modality, region, how.protocol, scores=scores)
        for page in how.pages:
            write_report(compared, page, reference.name, prediction.name)
    if how.as_json:
        report(scores.as_json(), True, "")
    else:
        _print_scores(scores)


def _many(
    pairs: "list[Pair]", how: _How, names: tuple[str, str], inputs: Sequence[Path] = (), warnings: Sequence[str] = ()
) -> None:
    from ..cohort.report import as_json, write_report
    from ..cohort.run import evaluate_cohort

    files = [file for pair in pairs for file in (pair.reference, pair.prediction, pair.other, pair.mask, pair.source)]
    _check_pages(how.pages, [*inputs, *files])
    methods = names if pairs and pairs[0].other is not None else names[:1]
    if len(set(methods)) < len(methods):
        methods = (f"{names[0]} (first)", f"{names[1]} (other)")
    with progress_bar(not how.as_json) as progress:
        cohort = evaluate_cohort(pairs, how.modality, how.protocol, how.resample, warnings, progress)
    for warning in cohort.warnings:
        say(f"Warning: {warning}")
    for name, why in cohort.failed:
        say(f"Left out: {name}. {why}")
    for page in how.pages:
        write_report(cohort, page, methods)
    if how.as_json:
        report(as_json(cohort, methods), True, "")
    else:
        _print_cohort(cohort, methods)
    if cohort.failed:
        say(f"{len(cohort.failed)} of {len(pairs)} pairs could not be evaluated.")
        raise typer.Exit(2)


def _check_pages(pages: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Refuse, before any work, reports that cannot be written or that would overwrite an input or each other."""
    from ..reportpage import check_report_path

    taken = {path.resolve() for path in inputs if path is not None}
    for page in pages:
        check_report_path(page)
        if page.resolve() in taken:
            raise InputError(f'"{page}" is an input or a report already; choose another file for the report.')
        taken.add(page.resolve())


def _print_scores(scores: "Scores") -> None:
    for name, value in scores.values.items():
        how = scores.measured[name]
        with_what = "; ".join(
            f"{what} {text}"
            for what, text in (("range", how.data_range), ("window", how.window), ("in", how.mask))
            if text
        )
        typer.echo(f"{name:17} {value:10.4f} {how.unit:14} {with_what}")
    _print_facts(scores.facts)


def _print_cohort(cohort: "Cohort", methods: tuple[str, ...]) -> None:
    measured = cohort.measured
    for method, summaries in zip(methods, (cohort.figures, cohort.others), strict=False):
        typer.echo(f"{method}\n{'':17} {'cases':>5} {'mean':>10} {'SD':>10} {'median':>10}   95 % interval of the mean")
        for name, one in summaries.items():
            typer.echo(f"{name:17} {_line(one)} {measured[name].unit}")
    if cohort.differences:
        typer.echo(
            f"{methods[0]} minus {methods[1]}\n{'':17} {'cases':>5} {'mean':>10}   95 % interval, p, p corrected"
        )
        for name, apart in cohort.differences.items():
            typer.echo(f"{name:17} {_difference(apart)}")
    _print_facts(cohort.facts)
    typer.echo("measured of       each figure: range; window; mask")
    for name, how in measured.items():
        typer.echo(f"{name:17} {how.data_range or '-'}; {how.window or '-'}; {how.mask}")


def _print_facts(facts: Mapping[str, str]) -> None:
    for name, fact in facts.items():
        typer.echo(f"{name:17} {fact}")


def _line(one: "Summary") -> str:
    left_out = f"   ({one.left_out} not finite, left out)" if one.left_out else ""
    spread = f"{one.n:5} {one.mean:10.4f} {one.sd:10.4f} {one.median:10.4f}"
    return f"{spread}   {one.low:.4f} to {one.high:.4f}{left_out}"


def _difference(apart: "Difference") -> str:
    return f"{apart.n:5} {apart.mean:10.4f}   {apart.low:.4f} to {apart.high:.4f}, {apart.p:.4g}, {apart.p_holm:.4g}"
