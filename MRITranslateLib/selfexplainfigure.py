"""One picture of what a generator's judge looks at: generated pictures on the left, real ones on the right."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import WARNING, draw_heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .selfexplain import JudgedPictures, SelfExplanation

_EXAMPLES = 6
_GREY: dict[str, Any] = {"cmap": "gray", "vmin": -1.0, "vmax": 1.0}
_SCALE = "heat; 1 = strongest of all single maps, or of both averages"
"""One scale for generated and real pictures."""


def selfexplain_figure(found: "SelfExplanation", path: str | PathLike[str]) -> Path:
    """Draw a self-explanation.

    Above, for the generated and for the real pictures: their average, over it what raises and what lowers the logit on
    average, and the shares of both and of the area by part of the head. Below single pictures with what raises their
    logit, from the lowest logit to the highest.

    Args:
        found: Of `explain_generator`, with or without real pictures.
        path: The PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    sets = [one for one in (found.generated, found.real) if one is not None]
    canvas = Figure(figsize=(9.6 * len(sets), 10.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    facts = found.provenance
    title = f"{facts['model']}: where the discriminator finds it real, {facts['method']} at {facts['layer']}"
    canvas.suptitle(f"{title}\n{WARNING}", fontsize=14, weight="bold")
    for half, one in zip(np.atleast_1d(np.asarray(canvas.subfigures(1, len(sets)))), sets, strict=True):
        half.suptitle(
            f"{len(one.pictures)} {one.title}: mean logit {one.scores.mean():.2f}, above 0 in "
            f"{100 * (one.scores > 0).mean():.0f} %",
            fontsize=13,
        )
        above, below = half.subfigures(2, 1, height_ratios=(1, 2.2))
        _draw_averages(list(above.subplots(1, 4, width_ratios=(1, 1, 1, 1.3))), one)
        axes = below.subplots(3, 4)
        _draw_examples(list(axes.ravel()), one)
        shown = ScalarMappable(cmap="inferno")
        shown.set_clim(0, 1)
        below.colorbar(shown, ax=axes, location="bottom", shrink=0.5, aspect=40, label=_SCALE)
    canvas.savefig(path, dpi=100)
    return Path(path)


def _draw_averages(axes: "list[Axes]", one: "JudgedPictures") -> None:
    _show(axes[0], one.average_picture, None, "average picture")
    _show(axes[1], one.average_picture, np.maximum(one.average, 0), "raises the logit\non average")
    _show(axes[2], one.average_picture, np.maximum(-one.average, 0), "lowers it\non average")
    axis, shares = axes[3], list(one.shares.values())
    bars: list[tuple[str, str, list[float], list[float] | None]] = [
        ("of what raises", "#e45a31", [part.heat for part in shares], [part.spread for part in shares]),
        ("of what lowers", "#4c2a85", [part.against for part in shares], [part.against_spread for part in shares]),
        ("of the area", "0.75", [part.area for part in shares], None),
    ]
    for number, (name, colour, lengths, spreads) in enumerate(bars):
        rows = np.arange(len(shares)) + 0.27 * (number - 1)
        error = None if spreads is None else 100 * np.nan_to_num(spreads)
        axis.barh(rows, 100 * np.nan_to_num(lengths), 0.27, color=colour, label=name, xerr=error, ecolor="0.4")
        for row, length in zip(rows, lengths, strict=True):
            text = "none" if np.isnan(length) else f"{100 * length:.0f}"
            axis.text(101, row, text, va="center", fontsize=8, clip_on=False)
    axis.set_yticks(np.arange(len(shares)), [name.replace(" and ", "\nand ") for name in one.shares])
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("% of a picture; line: standard deviation", fontsize=9)
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _draw_examples(axes: "list[Axes]", one: "JudgedPictures") -> None:
    """Pictures at equal steps through their ranks; fewer where there are not so many."""
    ranks = np.argsort(one.scores, kind="stable")
    chosen = ranks[np.unique(np.linspace(0, len(ranks) - 1, _EXAMPLES).round().astype(int))]
    for number, picture, heated in zip(chosen, axes[::2], axes[1::2], strict=False):
        _show(picture, one.pictures[number], None, f"logit {one.scores[number]:.2f}")
        _show(heated, one.pictures[number], one.heat[number], "heat")
    for unused in axes[2 * len(chosen) :]:
        unused.set_axis_off()


def _show(axis: "Axes", picture: np.ndarray, heat: np.ndarray | None, title: str) -> None:
    axis.imshow(picture, **_GREY)
    if heat is not None:
        draw_heat(axis, heat)
    axis.set_title(title, fontsize=11)
    axis.set_xticks([])
    axis.set_yticks([])
