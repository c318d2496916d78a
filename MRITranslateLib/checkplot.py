"""The checks of an explanation as a picture: deletion and insertion curves with the verdict above them."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faithfulness import Curves, Faithfulness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 110
_LABEL = "target (0: all blurred, ±1: whole image)"


def plot(faithfulness: Faithfulness, path: str | Path) -> Path:
    """Draw the curves of the map, of random maps (mean and one standard deviation) and of the centre prior.

    Args:
        faithfulness: From `check_map`.
        path: The PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(9, 4.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle("\n".join(textwrap.wrap(faithfulness.sentence, _WIDTH)), fontsize=9.5)
    deletion, insertion = canvas.subplots(1, 2, sharey=True)
    _draw_one(deletion, faithfulness.deletion, "deletion", faithfulness, "tab:red")
    deletion.set(title="Deletion: lower is better", xlabel="body blurred, warmest first (%)", ylabel=_LABEL)
    _draw_one(insertion, faithfulness.insertion, "insertion", faithfulness, "tab:green")
    insertion.set(title="Insertion: higher is better", xlabel="body restored, warmest first (%)")
    for axis in (deletion, insertion):
        axis.legend(fontsize=9, frameon=False)
    canvas.savefig(path, dpi=100)
    return Path(path)


def draw(axis: "Axes", faithfulness: Faithfulness) -> None:
    """Draw both sets of curves into one pair of axes of a larger figure."""
    _draw_one(axis, faithfulness.deletion, "deletion", faithfulness, "tab:red")
    _draw_one(axis, faithfulness.insertion, "insertion", faithfulness, "tab:green")
    axis.set(title="Deletion and insertion", xlabel="body blurred or restored, warmest first (%)", ylabel=_LABEL)
    axis.legend(fontsize=7, frameon=False, loc="center", ncols=2)


def _draw_one(axis: "Axes", curves: Curves, kind: str, faithfulness: Faithfulness, colour: str) -> None:
    percent, areas = 100 * curves.fractions, faithfulness.areas
    low, high = curves.random - curves.spread, curves.random + curves.spread
    axis.fill_between(percent, low, high, color="0.5", alpha=0.25, linewidth=0)
    lines: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("", curves.explained, {"color": colour, "linewidth": 2, "marker": ".", "zorder": 3}),
        (" random", curves.random, {"color": "0.5"}),
        (" centre", curves.centre, {"color": colour, "linestyle": ":"}),
    )
    for suffix, values, style in lines:
        axis.plot(percent, values, label=f"{kind}{suffix}: area {areas[kind + suffix]:.2f}", **style)
    axis.spines[["top", "right"]].set_visible(False)
