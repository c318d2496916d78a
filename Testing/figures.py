"""`python -m Testing.figures`: the pictures of docs/explaining.md, docs/generating.md and docs/evaluating.md, made by
the program from digital heads and from its own models."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import MRITranslateLib as mt
from MRITranslateLib.cam import METHODS
from MRITranslateLib.demo import patient, ventricles
from MRITranslateLib.explainfigure import explain_figure
from MRITranslateLib.figure import WARNING, axial, bounds, draw_heat
from MRITranslateLib.levels import Segments
from MRITranslateLib.volume import like

from . import evaluation_figures, generated_figures

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "images"


def main() -> None:
    head = patient()
    package = mt.load_package("t1_to_t2")
    region = ventricles(head.labels)
    segments = _anatomy(head, region)
    asked = mt.explain(head.t1, package, mt.Region(region), method="hirescam", segments=segments, check=True)
    explain_figure(head.t1, asked, OUTPUT / "explain_region.png")
    asked = mt.explain(head.t1, package, mt.Realism(reference=head.t2))
    explain_figure(head.t1, asked, OUTPUT / "explain_realism.png")
    _methods(head, package, region, OUTPUT / "explain_methods.png")
    _uncertainty(head, package, OUTPUT / "uncertainty.png")
    generated_figures.draw(OUTPUT)
    evaluation_figures.draw(OUTPUT)


def _anatomy(head: Any, region: sitk.Image) -> Segments:
    """The ventricles and the rest of the brain, as one label image."""
    from MRITranslateLib.phantom.tissue import DEEP_GREY, GREY, WHITE

    labels = sitk.GetArrayFromImage(head.labels)
    anatomy = np.zeros(labels.shape, np.uint8)
    anatomy[labels == WHITE] = 1
    anatomy[np.isin(labels, (GREY, DEEP_GREY))] = 2
    anatomy[sitk.GetArrayViewFromImage(region) != 0] = 3
    return Segments(like(anatomy, head.labels), {1: "white matter", 2: "grey matter", 3: "ventricles"})


def _methods(head: Any, package: Any, region: sitk.Image, path: Path) -> None:
    """One slice by every method."""
    canvas = _canvas(4, 2, "One question, eight methods: what do the ventricles of the synthetic T2 rest on?")
    inside = axial(region)
    index = int(np.argmax(inside.sum(axis=(1, 2))))
    picture = axial(head.t1)[index]
    shown = bounds(picture > 0.1 * np.percentile(picture, 99), 4)
    for axis, method in zip(canvas.axes, METHODS, strict=True):
        made = mt.explain(head.t1, package, mt.Region(region), method=method)
        heat = axial(made.heatmap)[index][shown]
        axis.imshow(picture[shown], cmap="gray")
        draw_heat(axis, heat)
        axis.contour(inside[index][shown], levels=[0.5], colors="cyan", linewidths=0.8)
        axis.set_title(method, fontsize=12)
    canvas.savefig(path, dpi=80)


def _uncertainty(head: Any, package: Any, path: Path) -> None:
    """The spread beside the error that it stands for."""
    made = mt.translate(head.t1, package, uncertainty=True)
    canvas = _canvas(4, 1, "How far to trust it: the spread under small changes of the input, and the true error")
    truth, synthetic, spread = (axial(image) for image in (head.t2, made.image, made.uncertainty))
    body = truth > 0.05 * np.percentile(truth, 99.5)
    slope, offset = np.polyfit(synthetic[body], truth[body], 1)
    error = np.abs(slope * synthetic + offset - truth) * body
    index = int(np.argmax(axial(head.lesions).sum(axis=(1, 2))))
    high = np.percentile(truth, 99.7)
    reach = np.percentile(error[body], 98)
    shown = bounds(body[index], 4)
    for axis, title, array, colours, most in zip(
        canvas.axes,
        ("Synthetic T2", "True T2", "Standard deviation", "True error (after an affine fit)"),
        (slope * synthetic + offset, truth, slope * spread, error),
        ("gray", "gray", "magma", "magma"),
        (high, high, reach / 2, reach),
        strict=True,
    ):
        axis.imshow(array[index][shown], cmap=colours, vmin=0, vmax=most)
        axis.set_title(title, fontsize=12)
    canvas.savefig(path, dpi=80)


def _canvas(columns: int, rows: int, title: str) -> Figure:
    canvas = Figure(figsize=(3.2 * columns, 3.9 * rows + 0.7), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle(f"{title}\n{WARNING}", fontsize=13, weight="bold")
    for axis in canvas.subplots(rows, columns).flat:
        axis.set_axis_off()
    return canvas


if __name__ == "__main__":
    main()
