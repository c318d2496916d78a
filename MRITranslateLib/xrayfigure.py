"""A synthetic X-ray explained at a glance: the picture, what its judges looked at, and the words that mattered."""

from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .explain import Explanation, explain
from .figure import WARNING, draw_heat
from .package import Package
from .radiograph import Radiograph
from .targets import ClassScore, Match
from .words import Words, tint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 108
"""Letters of a line of coloured text."""
_STYLE = (
    "body { font: 17px/1.7 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #111; "
    "background: #fff } span { padding: 2px; border-radius: 3px } p.note { color: #555; font-size: 14px }"
)


def words_page(found: Words, title: str) -> str:
    """The coloured report as a page that carries everything in itself."""
    note = (
        f"Orange raised, blue lowered the logit for {found.asked}: {found.score:+.2f} with these words, "
        f"{found.without:+.2f} with all of them masked. Integrated gradients over the word pieces."
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n<p><b>{escape(WARNING)}</b></p>\n"
        f'<p>{found.html()}</p>\n<p class="note">{escape(note)}</p>\n</body></html>\n'
    )


def xray_figure(
    text: str,
    made: Radiograph,
    package: Package,
    words: Words,
    path: str | PathLike[str],
    classifier: Package | None = None,
    class_name: str | None = None,
    text_encoder: str | PathLike[str] | None = None,
    device: str = "auto",
) -> Path:
    """Draw the first X-ray of a report: plain, with the discriminator's map of the match, with the classifier's map.

    Args:
        text: The report.
        made, package: The X-rays and the model that made them; it has a discriminator.
        words: Of `explain_words`.
        path: The PNG file to write.
        classifier, class_name: For the third picture, where there is one.
        text_encoder, device: As of `radiograph`.

    Raises:
        InputError: A map is flat, or as of `explain`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    image = made.image[:, :, :1]
    encoder = None if text_encoder is None else str(text_encoder)
    match = explain(image, package, Match(text, text_encoder=encoder), device=device)
    maps = [(f"Match with the report\nlogit {made.match[0]:+.2f}", match)]
    if classifier is not None and class_name is not None:
        shown = explain(image, classifier, ClassScore(class_name), device=device)
        maps.append((f"{class_name} ({classifier.card.name})\nlogit {float(shown.provenance['score']):+.2f}", shown))
    lines = _lines(words)
    canvas = Figure(figsize=(4.1 * (1 + len(maps)), 5.6 + 0.3 * len(lines)), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle(f"{package.card.title}, seed {made.provenance['seed']}\n{WARNING}", fontsize=13, weight="bold")
    above, below = np.asarray(canvas.subfigures(2, 1, height_ratios=(5.0, 0.6 + 0.3 * len(lines))))
    axes: list[Axes] = list(above.subplots(1, 1 + len(maps)))
    picture = sitk.GetArrayFromImage(image)[0]
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
    axes[0].imshow(picture, **grey)
    axes[0].set_title(f"SYNTHETIC X-ray\nrealism logit {made.realism[0]:+.2f}", fontsize=11)
    for axis, (title, found) in zip(axes[1:], maps, strict=True):
        axis.imshow(picture, **grey)
        draw_heat(axis, _heat(found))
        axis.set_title(title, fontsize=11)
    for axis in axes:
        axis.set_axis_off()
    _draw_words(below.subplots(), words, lines)
    canvas.savefig(path, dpi=100)
    return Path(path)


def _heat(found: Explanation) -> Any:
    return sitk.GetArrayFromImage(found.heatmap)[0]


def _lines(words: Words) -> list[list[tuple[str, float]]]:
    """The parts of the report in lines of bounded length, each part with its shade."""
    lines: list[list[tuple[str, float]]] = [[]]
    length = 0
    for part, shade in zip(words.parts, words.shades(), strict=True):
        text = " ".join(part.text.split()) or " "
        text = (
            f"{' ' * part.text.startswith(' ')}{text.strip()}{' ' * part.text.endswith(' ')}" if text.strip() else " "
        )
        if length + len(text) > _LETTERS:
            lines.append([])
            length, text = 0, text.lstrip()
        lines[-1].append((text, shade))
        length += len(text)
    return lines


def _draw_words(axis: "Axes", words: Words, lines: list[list[tuple[str, float]]]) -> None:
    """Monospaced, so that the place of a word follows from the letters before it."""
    axis.set_axis_off()
    axis.set_xlim(0, _LETTERS)
    axis.set_ylim(len(lines) + 1.2, -0.5)
    axis.set_title(
        f"Words that mattered for {words.asked}: orange raised, blue lowered it "
        f"({words.score:+.2f} with, {words.without:+.2f} without them)",
        fontsize=11,
        loc="left",
    )
    from matplotlib.patches import Rectangle

    for row, line in enumerate(lines):
        column = 0
        for text, shade in line:
            if abs(shade) >= 0.05:
                colour = tuple(value / 255 for value in tint(shade))
                axis.add_patch(Rectangle((column, row - 0.42), len(text), 0.84, color=colour, linewidth=0))
            for offset, letter in enumerate(text):
                axis.text(column + offset + 0.5, row, letter, family="monospace", fontsize=9, ha="center", va="center")
            column += len(text)
