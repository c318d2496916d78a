"""`mritranslate explain`: heat maps, their levels and figures, and whether they can be trusted."""

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .shared import (
    Device,
    Input,
    Json,
    Model,
    check_file,
    check_outputs,
    progress_bar,
    read,
    read_mask,
    report,
    say,
    write,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..explain import Explanation
    from ..targets import Target

_ASK = (
    "Say what to explain by exactly one of --region, --voxel, --realism and --error "
    "(--class for a classification model, --match for an X-ray model)."
)


def explain(
    image: Input,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the heat map (float, 0 to 1).")],
    region: Annotated[
        Path | None,
        typer.Option(help="The mean over a region: label image on the input's grid, nonzero inside."),
    ] = None,
    voxel: Annotated[
        tuple[int, int, int] | None,
        typer.Option(metavar="I J K", help="One voxel: its index (column, row, slice), counted from 0."),
    ] = None,
    error: Annotated[
        Path | None,
        typer.Option(help="The error against this true volume on the input's grid."),
    ] = None,
    realism: Annotated[
        bool,
        typer.Option("--realism", help="What looks real to the model's discriminator."),
    ] = False,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="The score of a class, of a classification model."),
    ] = None,
    match: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="How well an X-ray shows what this report says (.txt, .xml)."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="With --realism: a real volume of the target contrast, explained beside."),
    ] = None,
    with_report: Annotated[
        Path | None,
        typer.Option("--report", help="With --realism, of an X-ray model: the report of the image."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of pictures that are made beside.")] = 1,
    method: Annotated[
        str,
        typer.Option(
            help="gradcam, gradcam++, hirescam, layercam, xgradcam, gradcamelementwise, eigencam or eigengradcam."
        ),
    ] = "gradcam",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Dotted name of a layer; several times: their average. [default: the network's own]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Test the map: deletion, insertion, and a network of random weights."),
    ] = False,
    quantile: Annotated[
        list[float] | None,
        typer.Option(
            help="A level begins at this quantile of the warm voxels; several times. [default: 0.5 0.75 0.9 0.97]",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(help="A level begins at this heat, instead of quantiles; several times."),
    ] = None,
    min_ml: Annotated[float, typer.Option(help="Lower specks of a level that are smaller, in millilitres.")] = 0.0,
    segments: Annotated[
        Path | None,
        typer.Option(help="Label image or .seg.nrrd on the input's grid: say how the heat divides over it."),
    ] = None,
    device: Device = "auto",
    levels: Annotated[
        Path | None,
        typer.Option(help="The levels as a label image, or .seg.nrrd for 3D Slicer."),
    ] = None,
    raw: Annotated[Path | None, typer.Option(help="The map before scaling, signed.")] = None,
    beside: Annotated[Path | None, typer.Option(help="The heat map of the image beside.")] = None,
    table: Annotated[Path | None, typer.Option(help="The levels' volumes and means, a .csv file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="All of it in one picture, a .png file.")] = None,
    as_json: Json = False,
) -> None:
    """Show which places of the input a model's answer rests on, as a heat map on the input's grid.

    Of a translation model give exactly one of --region, --voxel, --realism and --error; of a classification model
    --class; of a model that makes pictures --realism, or of one that makes X-rays of reports --match too.
    """
    wanted = [
        region is not None,
        voxel is not None,
        realism,
        error is not None,
        class_name is not None,
        match is not None,
    ]
    if sum(wanted) != 1:
        raise InputError(_ASK)
    check_file(table, ".csv")
    check_file(figure, ".png")
    if beside is not None and not realism and match is None:
        raise InputError("There is an image beside with --realism and --match only; leave --beside out.")
    check_outputs([image, region, error, reference, segments], [output, levels, raw, beside])
    from ..explain import explain as run
    from ..levels import Levels, read_segments, share_sentence, write_levels
    from ..package import load_package

    cuts: dict[str, Any] = {"quantiles": tuple(quantile)} if quantile else {}
    options = Levels(**cuts, thresholds=tuple(threshold) if threshold else None, min_ml=min_ml)
    started = time.perf_counter()
    volume = read(image)
    target = _target(region, voxel, error, class_name, match, _Realism(reference, with_report, seed))
    anatomy = None if segments is None else read_segments(segments)
    package = load_package(model)
    with progress_bar(not as_json) as progress:
        made = run(
            volume,
            package,
            target,
            method=method,
            layer=layer or None,
            device=device,
            levels=options,
            segments=anatomy,
            check=check,
            progress=progress,
        )
    if beside is not None and made.beside is None:
        raise InputError("There is no image beside; give --reference, a real volume of the target contrast.")
    write(made.heatmap, output)
    if levels is not None:
        write_levels(made.levels, made.level_names, levels)
    if raw is not None:
        write(made.raw, raw)
    if beside is not None and made.beside is not None:
        write(made.beside.heatmap, beside)
    if table is not None:
        _write_table(made, table)
    if figure is not None:
        from ..explainfigure import explain_figure

        explain_figure(volume, made, figure)
    facts = {
        "output": str(output),
        "levels": None if levels is None else str(levels),
        "level_names": made.level_names,
        "table": [row.as_json() for row in made.table],
        "shares": made.shares,
        "faithfulness": None if made.faithfulness is None else made.faithfulness.as_json(),
        "model": package.card.name,
        "warnings": made.warnings,
        "provenance": made.provenance,
        "seconds": round(time.perf_counter() - started, 3),
    }
    report(facts, as_json, f"Heat map of {image.name}: {output}")
    if as_json:
        return
    for row in made.table[1:]:
        typer.echo(f"{row.name:16} {row.ml:9.2f} ml   heat {row.mean_heat:.2f}   intensity {row.mean_intensity:.4g}")
    if made.shares:
        typer.echo(f"{share_sentence(made.shares)}.")
    if made.faithfulness is not None:
        typer.echo(made.faithfulness.sentence)
    else:
        say("Whether the map can be trusted was not tested; --check does so.")


class _Realism:
    """What goes with --realism and --match, read when it is needed."""

    def __init__(self, reference: Path | None, report: Path | None, seed: int) -> None:
        self.reference, self.report, self.seed = reference, report, seed

    def image(self) -> "sitk.Image | None":
        return None if self.reference is None else read(self.reference)

    def text(self) -> str | None:
        return None if self.report is None else _text(self.report)


def _text(path: Path) -> str:
    from ..reports import read_report

    return read_report(path).text


def _target(
    region: Path | None,
    voxel: tuple[int, int, int] | None,
    error: Path | None,
    class_name: str | None,
    match: Path | None,
    realism: _Realism,
) -> "Target":
    from ..targets import ClassScore, Error, Match, Realism, Region, Voxel

    if region is not None:
        return Region(read_mask(region))
    if voxel is not None:
        return Voxel(*voxel)
    if error is not None:
        return Error(read(error))
    if class_name is not None:
        return ClassScore(class_name)
    if match is not None:
        return Match(_text(match), realism.seed)
    return Realism(realism.image(), realism.seed, realism.text())


def _write_table(made: "Explanation", path: Path) -> None:
    columns = ("label", "name", "ml", "mean_heat", "mean_intensity")
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(row.as_json() for row in made.table)
    except OSError as error:
        raise InputError(f'"{path}" could not be written ({error.strerror}); choose another output.') from None
