"""One picture of an explanation: the image, the heat over it, its levels, the heat of every slice, and the checks."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .figure import WARNING, axial, bounds, draw_heat, finish
from .levels import colours, share_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .explain import Explanation


_COLUMNS = ["level", "ml", "mean heat", "intensity"]


def explain_figure(image: sitk.Image, explanation: "Explanation", path: str | PathLike[str]) -> Path:
    """Draw an explanation: above, the axial slice with most heat, seen from the feet as usual; below, figures.

    Args:
        image: What was explained.
        explanation: Of `explain`, with or without checks and an image beside.
        path: The PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    beside, checked = explanation.beside, explanation.faithfulness
    canvas = Figure(figsize=(13.5 if beside is None else 17, 8.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    facts = explanation.provenance
    title = f"{facts['model']}: {facts['explained']}, {facts['method']} at {facts['layer']}"
    canvas.suptitle(f"{title}\n{WARNING}", fontsize=14, weight="bold")
    above, below = np.asarray(canvas.subfigures(2, 1, height_ratios=(1.5, 1)))
    axes = list(above.subplots(1, 3 if beside is None else 4))
    heat = axial(explanation.heatmap)
    index = int(np.argmax(heat.sum(axis=(1, 2))))
    _draw_slices(above, axes, image, explanation, index)
    if beside is not None:
        _draw_beside(above, axes[3], explanation)
    figures = list(below.subplots(1, 2 if checked is None else 3))
    _draw_profile(figures[0], heat, index)
    _draw_table(figures[1], explanation)
    if checked is not None:
        from .checkplot import draw

        draw(figures[2], checked)
    canvas.savefig(path, dpi=100)
    return Path(path)


def _draw_slices(strip: Any, axes: "list[Axes]", image: sitk.Image, explanation: "Explanation", index: int) -> None:
    grey, shape, head, picture = _grey(image, index)
    finish(strip, axes[0], axes[0].imshow(picture, **grey, **shape), f"Input, slice {index}", "as in the file")
    score = explanation.provenance.get("score")
    title = "Heat" if score is None else f"Heat\nmean answer {float(score):.2f}"
    _draw_heat(strip, axes[1], image, explanation.heatmap, index, title)
    from matplotlib.colors import ListedColormap

    names = explanation.level_names
    labels = axial(explanation.levels)[index][head]
    axes[2].imshow(picture, **grey, **shape)
    table = ListedColormap([(0.0, 0.0, 0.0), *colours(len(names) - 1)])
    shown = axes[2].imshow(
        labels,
        cmap=table,
        vmin=-0.5,
        vmax=len(names) - 0.5,
        alpha=0.75 * (labels > 0),
        interpolation="nearest",
        **shape,
    )
    finish(strip, axes[2], shown, "Levels", "level, 0 = little or none")


def _draw_beside(strip: Any, axis: "Axes", explanation: "Explanation") -> None:
    beside = explanation.beside
    assert beside is not None
    index = int(np.argmax(axial(beside.heatmap).sum(axis=(1, 2))))
    _draw_heat(strip, axis, beside.image, beside.heatmap, index, f"{beside.title}\nmean answer {beside.score:.2f}")


def _draw_heat(strip: Any, axis: "Axes", image: sitk.Image, heatmap: sitk.Image, index: int, title: str) -> None:
    grey, shape, head, picture = _grey(image, index)
    heat = axial(heatmap)[index][head]
    axis.imshow(picture, **grey, **shape)
    shown = draw_heat(axis, heat, **shape)
    finish(strip, axis, shown, title, "1 = strongest in the volume")


def _grey(image: sitk.Image, index: int) -> tuple[dict[str, Any], dict[str, Any], tuple[slice, slice], np.ndarray]:
    """How to show a slice of an image: grey window, aspect, where the body is, and the pixels there."""
    across, down, _ = sitk.DICOMOrient(image, "LPS").GetSpacing()
    whole = axial(image)
    low, high = np.percentile(whole, (0.5, 99.7))
    chosen = whole[index]
    body = chosen > low + 0.1 * (high - low)
    head = bounds(body, margin=4) if body.any() else (slice(None), slice(None))
    return {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6)}, {"aspect": down / across}, head, chosen[head]


def _draw_profile(axis: "Axes", heat: np.ndarray, index: int) -> None:
    """How the heat divides over the slices."""
    mass = heat.sum(axis=(1, 2))
    axis.fill_between(np.arange(len(mass)), 100 * mass / max(float(mass.sum()), 1e-12), color="0.75", step="mid")
    axis.axvline(index, color="tab:red", linewidth=1)
    axis.set_title("Heat of each axial slice", fontsize=11)
    axis.set_xlabel("slice, from foot to head; red: shown above")
    axis.set_ylabel("% of all heat")
    axis.set_ylim(bottom=0)


def _draw_table(axis: "Axes", explanation: "Explanation") -> None:
    axis.set_axis_off()
    cells = [
        [row.name, f"{row.ml:.1f}", f"{row.mean_heat:.2f}", f"{row.mean_intensity:.4g}"] for row in explanation.table
    ]
    drawn = axis.table(cells, colLabels=_COLUMNS, colWidths=[0.34, 0.2, 0.2, 0.26], loc="upper center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.3)
    lines = []
    if explanation.shares:
        lines.append(f"{share_sentence(explanation.shares)}.")
    if explanation.faithfulness is None:
        lines.append("Not tested: whether the map can be trusted.")
    else:
        lines.append(explanation.faithfulness.sentence)
    axis.text(0.0, 0.02, "\n".join(_wrapped(line) for line in lines), transform=axis.transAxes, fontsize=9, va="bottom")


def _wrapped(text: str) -> str:
    from textwrap import fill

    return fill(text, 64)
