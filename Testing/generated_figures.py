"""The pictures of docs/generating.md: what the built-in generators make, good and bad, and what explains it."""

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import MRITranslateLib as mt
from MRITranslateLib.contactsheet import contact_sheet
from MRITranslateLib.figure import WARNING
from MRITranslateLib.selfexplainfigure import selfexplain_figure
from MRITranslateLib.xrayfigure import xray_figure

REPORTS = (
    "Bilateral patchy opacities in the lower zones. AP projection, in intensive care.",
    "Frontal chest radiograph, PA projection, of a female patient, on the day of admission, not in intensive care.",
    "Severe ARDS. Diffuse bilateral consolidation. Endotracheal tube, nasogastric tube, central venous line. Supine.",
    "Normal chest radiograph. The lungs are clear.",
)  # written for this figure; no patient's
_ENDS = 6
"""Pictures that are shown of the best and of the worst."""


def draw(folder: Path) -> None:
    """Write the pictures to a folder."""
    brains = mt.load_package("brain_mri")
    made = mt.generate(brains, 64, seed=1)
    captions = [f"{number}: {logit:+.1f}" for number, logit in enumerate(made.realism, 1)]
    sheet = contact_sheet(made.pictures, captions, f"{brains.card.title}: seed 1 (below each: realism logit)")
    _jpeg(sheet, folder / "generated_brains.jpg")
    order = np.argsort(made.realism)
    chosen = [*order[::-1][:_ENDS], *order[:_ENDS]]
    _grid(
        [made.pictures[number] for number in chosen],
        [f"{number + 1}: {made.realism[number]:+.1f}" for number in chosen],
        ["the most real to the discriminator", "the least real"],
        folder / "generated_brains_ends.jpg",
    )
    way = mt.generate(brains, 2 * _ENDS, seed=1, towards=2)
    captions = [f"{number} of {2 * _ENDS}" for number in range(1, 2 * _ENDS + 1)]
    _grid(list(way.pictures), captions, ["from seed 1 ...", "... to seed 2"], folder / "generated_way.jpg")
    selfexplain_figure(mt.explain_generator(brains, count=64, seed=1), folder / "explain_generator.png")

    xrays = mt.load_package("chest_xray")
    shown = [mt.radiograph(text, xrays, seed=1, count=4) for text in REPORTS]
    _grid(
        [picture for one in shown for picture in one.pictures],
        [f"match {logit:+.1f}" for one in shown for logit in one.match],
        list(REPORTS),
        folder / "generated_xrays.jpg",
    )
    findings = mt.load_package("chest_findings")
    words = mt.explain_words(REPORTS[0], xrays, classifier=findings, class_name="AP")
    xray_figure(REPORTS[0], shown[0], xrays, words, folder / "explain_xray.png", findings, "AP")


def _grid(pictures: list[np.ndarray], captions: list[str], rows: list[str], path: Path) -> None:
    """Pictures in as many rows as there are titles of rows."""
    columns = len(pictures) // len(rows)
    canvas = Figure(figsize=(1.75 * columns + 2.6, 2.05 * len(rows) + 0.7), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle(WARNING, fontsize=11, weight="bold")
    axes: Any = np.asarray(canvas.subplots(len(rows), columns + 1, width_ratios=[1.45, *[1] * columns]))
    for line, title in zip(axes, rows, strict=True):
        line[0].text(0, 0.5, fill(title, 26), fontsize=9, va="center")
    for axis, picture, caption in zip(axes[:, 1:].flat, pictures, captions, strict=True):
        axis.imshow(picture, cmap="gray", vmin=-1, vmax=1)
        axis.set_title(caption, fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    canvas.savefig(path, dpi=100, pil_kwargs={"quality": 88})


def _jpeg(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path, quality=88)
