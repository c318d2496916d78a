"""A comparison for people: its pictures, one page of HTML that holds everything and fetches nothing, a CSV file."""

import csv
import html
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from . import reportpage
from .compare import Comparison
from .figure import CT_RANGE
from .reportpage import canvas, cell, how_measured, image, table, to_png
from .scoring.scores import title_of

_PLANES = (("axial", 0), ("coronal", 1), ("sagittal", 2))
_SMALL = 8


def histogram_picture(comparison: Comparison, inches: float = 4.2) -> bytes:
    """The joint histogram as PNG: the more often values meet, the darker; all on the diagonal is a perfect match.

    Args:
        comparison: Of `compare`.
        inches: Width, of 100 pixels each.
    """
    from matplotlib.colors import LogNorm

    drawn = canvas(inches, 0.86 * inches)
    axis = drawn.subplots()
    histogram = comparison.histogram
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    counts = np.ma.masked_equal(histogram.counts.T, 0)
    norm = LogNorm(vmin=1, vmax=max(2, int(histogram.counts.max())))
    shown = axis.imshow(counts, origin="lower", extent=(low, high, low, high), cmap="viridis_r", norm=norm, aspect=1)
    axis.plot((low, high), (low, high), color="tab:red", linewidth=1, label="equal")
    unit = _label(comparison)
    axis.set_xlabel(f"reference ({unit})", fontsize=_SMALL)
    axis.set_ylabel(f"prediction ({unit})", fontsize=_SMALL)
    axis.legend(loc="upper left", fontsize=_SMALL, frameon=False)
    bar = drawn.colorbar(shown, ax=axis, shrink=0.85)
    bar.set_label("voxels", fontsize=_SMALL)
    for part in (axis, bar.ax):
        part.tick_params(labelsize=_SMALL)
    return to_png(drawn)


def error_picture(comparison: Comparison, inches: float = 4.2) -> bytes:
    """The mean absolute error of each slice as PNG; arguments as of `histogram_picture`."""
    drawn = canvas(inches, 0.62 * inches)
    axis = drawn.subplots()
    numbers = np.arange(len(comparison.errors))
    axis.plot(numbers, comparison.errors, marker="." if len(numbers) < 64 else "", color="tab:blue")
    axis.axhline(comparison.scores.values["mae"], color="0.5", linestyle="--", linewidth=1, label="whole volume")
    axis.set_xlabel("slice of the reference", fontsize=_SMALL)
    axis.set_ylabel(f"MAE ({_label(comparison)})", fontsize=_SMALL)
    axis.tick_params(labelsize=_SMALL)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=_SMALL, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return to_png(drawn)


def slices_picture(comparison: Comparison) -> bytes:
    """Middle slices of reference, prediction and difference in the three planes as PNG, the patient's right on the
    left, front or head above."""
    found = comparison
    images = [sitk.DICOMOrient(image, "LPS") for image in (found.reference, found.prediction, found.difference)]
    arrays = [sitk.GetArrayViewFromImage(image) for image in images]
    spacing = images[0].GetSpacing()[::-1]
    if comparison.unit == "HU":
        low, high = CT_RANGE
    else:
        low, high = 0.0, 1.0
    drawn = canvas(8.4, 8.0)
    axes = drawn.subplots(3, 3)
    shown: list[Any] = []
    for row, (plane, along) in zip(axes, _PLANES, strict=True):
        index = arrays[0].shape[along] // 2
        pictures = [np.take(array, index, axis=along) for array in arrays]
        down, across = (step for axis, step in enumerate(spacing) if axis != along)
        if plane != "axial":  # rows run from foot to head
            pictures = [picture[::-1] for picture in pictures]
        grey = {"cmap": "gray", "vmin": low, "vmax": high, "aspect": down / across}
        signed = {"cmap": "RdBu_r", "vmin": -found.reach, "vmax": found.reach, "aspect": down / across}
        looks: list[dict[str, Any]] = [grey, grey, signed]
        shown = [axis.imshow(picture, **look) for axis, picture, look in zip(row, pictures, looks, strict=True)]
        row[0].set_ylabel(f"{plane}, middle slice")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.text(
                0.02, 0.5, "A" if plane == "sagittal" else "R", color="0.6", transform=axis.transAxes, va="center"
            )
    for axis, title in zip(axes[0], ("Reference", "Prediction", "Prediction minus reference"), strict=True):
        axis.set_title(title, fontsize=11)
    for column in (1, 2):
        drawn.colorbar(shown[column], ax=axes[:, column], location="bottom", shrink=0.9, label=_label(comparison))
    return to_png(drawn)


def write_report(comparison: Comparison, path: str | os.PathLike[str], reference: str, prediction: str) -> Path:
    """Write a comparison to a file. No half-written file is ever seen.

    Args:
        comparison: Of `compare`.
        path: The file to write: `report_page` if it ends with .html, `scores_table` with .csv, figures and facts with
            .json.
        reference, prediction: What people call the two volumes. Nothing else in the page names anybody.

    Raises:
        InputError: The file cannot be written.
    """
    file = reportpage.check_report_path(path)
    ending = file.suffix.lower()
    if ending == ".csv":
        text = scores_table(comparison)
    elif ending == ".json":
        text = json.dumps(comparison.scores.as_json(), indent=2, allow_nan=False) + "\n"
    else:
        text = report_page(comparison, reference, prediction)
    return reportpage.write_text(file, text)


def scores_table(comparison: Comparison) -> str:
    """The scores as CSV: measure, value (empty where it is not finite), unit, protocol."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("measure", "value", "unit", "protocol"))
    for name, value in comparison.scores.values.items():
        writer.writerow((name, cell(value), comparison.scores.measured[name].unit, comparison.scores.facts["protocol"]))
    return stream.getvalue()


def report_page(comparison: Comparison, reference: str, prediction: str) -> str:
    """The page of `write_report` as text."""
    facts = comparison.scores.facts
    values, measured = comparison.scores.values, comparison.scores.measured
    scores = [(title_of(name), value, measured[name].unit) for name, value in values.items()]
    body = f"""<h2>Scores: {html.escape(facts["modality"])}, protocol {html.escape(facts["protocol"])}</h2>
{table(scores)}
<h2>Middle slices</h2>
{image(slices_picture(comparison), "Middle slices of reference, prediction and difference in three planes")}
<h2>Error of each slice, and which values meet</h2>
<div class="pair">
{image(error_picture(comparison), "Mean absolute error of each slice")}
{image(histogram_picture(comparison), "Joint histogram of reference and prediction")}
</div>
{how_measured(facts, measured)}"""
    about = [("Reference", reference), ("Prediction", prediction)]
    return reportpage.page("Comparison with the reference", about, comparison.warnings, body)


def _label(comparison: Comparison) -> str:
    return "HU" if comparison.unit == "HU" else "1 = full scale"
