"""`python -m Training.model_figures --data FOLDER`: the pictures of docs/models.md. Of each translator the best, median
and worst case among the subjects on its card, each translated by weights that had not seen the subject."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import SimpleITK as sitk
import typer
from PIL import Image

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.figure import CT_RANGE, WARNING, axial, bounds, fitted, main_scores, mark_sides
from MRITranslateLib.package import Package
from MRITranslateLib.scoring.regions import scored_where
from MRITranslateLib.translate import translate

from .data.scans import Pair
from .measures import measure
from .recompute import FOLDS, Scans, leaks, weights_of
from .score_cards import PICTURES, Data, Folds, Names, run, translators

DOCS = Path(__file__).resolve().parents[1] / "docs"
_SHOWN = 0.5
"""The slice in the middle of those with at least this share of the fullest one's tissue is shown."""
_DOTS, _COLOURS = 80, 256
"""Per inch, and in a picture's palette: enough to see, and small enough for a repository."""


@dataclass(frozen=True)
class Case:
    """One subject's translation in one axial slice.

    Attributes:
        subject: Who.
        psnr: Of the whole volume, dB; of MRI after one affine fit.
        source, made, truth: (rows, columns) from front to back and from right to left, cut to the head; grey values
            0..1 in what is shown of the contrast.
        aspect: Height of a pixel relative to its width.
    """

    subject: str
    psnr: float
    source: np.ndarray
    made: np.ndarray
    truth: np.ndarray
    aspect: float


def left_out_cases(package: Package, scans: Scans, folds: Path = FOLDS) -> list[Case]:
    """All subjects on a translator's card, the best first.

    Raises:
        InputError: Weights or images are not at hand, or the weights have seen a subject.
    """
    card = package.translation_card()
    found = []
    for stated in card.scores:
        weights = weights_of(package, stated, folds)
        seen = leaks(weights, stated)
        if seen:
            raise InputError(f"{card.name}: {seen[0]}.")
        for subject in stated.subjects:
            found.append(_case(card, weights, scans.pair(card, subject)))
    return sorted(found, key=lambda case: -case.psnr)


def _case(card: TranslationCard, weights: Package, pair: Pair) -> Case:
    image = translate(pair.source, weights, device="cpu").image
    psnr = main_scores(card.target, measure(pair, image, card).values)["psnr"]
    source, made, truth = (axial(one) for one in (pair.source, image, pair.target))
    if card.target != "CT":
        made = fitted(made, truth)
    inside = scored_where(truth, "CT" if card.target == "CT" else "MR", "plain")[0]
    area = inside.sum(axis=(1, 2))
    full = np.flatnonzero(area >= _SHOWN * area.max())
    index = int(full[len(full) // 2])
    head = bounds(inside[index], margin=4)
    source = _grey(source, card.source, source)[index][head]
    made, truth = (_grey(array, card.target, truth)[index][head] for array in (made, truth))
    across, down, _ = sitk.DICOMOrient(pair.source, "LPS").GetSpacing()
    return Case(pair.subject, psnr, source, made, truth, down / across)


def _grey(array: np.ndarray, modality: str, whole: np.ndarray) -> np.ndarray:
    """0..1 in what is shown of a contrast; MRI relative to a bright value of the whole volume."""
    low, high = CT_RANGE if modality == "CT" else (0.0, float(np.percentile(whole, 99.5)))
    return (array - low) / ((high - low) or 1.0)


def chosen(cases: Sequence[Case]) -> list[tuple[str, Case]]:
    """Best, median and worst of cases in that order, or as many as there are."""
    if len(cases) < 3:
        return list(zip(("best", "worst"), cases, strict=False))
    return [("best", cases[0]), ("median", cases[len(cases) // 2]), ("worst", cases[-1])]


def draw(card: TranslationCard, cases: Sequence[Case], file: Path) -> None:
    """One line of pictures for each chosen case: input, synthetic image, truth, difference.

    Args:
        card: Of the model.
        cases: From `left_out_cases`, at least one.
        file: The PNG to write, below 200 KB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = chosen(cases)
    canvas = Figure(figsize=(8.0, 2.75 * len(rows) + 0.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle(f"{card.title}: by weights that had not seen the subject\n{WARNING}", fontsize=11, weight="bold")
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
    signed: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -0.5, "vmax": 0.5}
    strips = np.atleast_1d(np.asarray(canvas.subfigures(len(rows), 1)))
    for strip, (rank, case) in zip(strips, rows, strict=True):
        strip.suptitle(f"{rank}: {case.subject}, PSNR {case.psnr:.2f} dB", fontsize=11, x=0.01, ha="left")
        difference = case.made.clip(0, 1) - case.truth.clip(0, 1)
        pictures = (
            (f"Input {card.source}", case.source, grey),
            (f"SYNTHETIC {card.target}", case.made, grey),
            (f"True {card.target}", case.truth, grey),
            ("Synthetic minus true", difference, signed),
        )
        for axis, (title, picture, colours) in zip(strip.subplots(1, len(pictures)), pictures, strict=True):
            axis.imshow(picture, aspect=case.aspect, **colours)
            mark_sides(axis, title)
    stream = io.BytesIO()
    canvas.savefig(stream, dpi=_DOTS)
    with Image.open(stream) as drawn:
        drawn.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            file, optimize=True
        )


def main(
    data: Data = None,
    package: Names = None,
    folds: Folds = FOLDS,
    output: Annotated[Path, typer.Option(help="Folder for the pictures, one for each package.")] = DOCS / PICTURES,
) -> None:
    """Draw the best, the median and the worst left-out case of translators."""
    scans, failed = Scans(data), False
    output.mkdir(parents=True, exist_ok=True)
    for one in translators(package):
        card = one.translation_card()
        try:
            cases = left_out_cases(one, scans, folds)
            if not cases:
                raise InputError(f"{card.name}: its card states no scores.")
        except InputError as error:
            typer.echo(f"No picture: {error}", err=True)
            failed = True
            continue
        draw(card, cases, output / f"{card.name}.png")
        typer.echo(f"{output / card.name}.png: {len(cases)} cases")
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    run(main)
