"""A comparison for people: its pictures, one page of HTML that holds everything and fetches nothing, a CSV file."""

import base64
import csv
import html
import io
import math
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .compare import Comparison
from .errors import InputError
from .figure import CT_RANGE
from .scores import title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTICE = "Synthetic images from a research tool: not for diagnosis."
_PLANES = (("axial", 0), ("coronal", 1), ("sagittal", 2))
_ENDINGS = (".html", ".csv")
_SMALL = 8
_STYLE = """
body { font: 15px/1.45 sans-serif; color: #1b1b1b; background: #fff }
body { max-width: 60em; margin: 1.5em auto; padding: 0 1em }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 1.6em }
.notice { border: 2px solid #b3261e; padding: .4em .8em; font-weight: bold }
.warning { border-left: 4px solid #9a6700; padding-left: .6em }
table { border-collapse: collapse } td, th { text-align: left; padding: .15em 1.2em .15em 0; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } tr { border-bottom: 1px solid #ddd }
img { max-width: 100%; height: auto } .pair img { width: 49% }
"""


def histogram_picture(comparison: Comparison, inches: float = 4.2) -> bytes:
    """The joint histogram as PNG: the more often values meet, the darker; all on the diagonal is a perfect match.

    Args:
        comparison: Of `compare`.
        inches: Width, of 100 pixels each.
    """
    from matplotlib.colors import LogNorm

    canvas = _canvas(inches, 0.86 * inches)
    axis = canvas.subplots()
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
    bar = canvas.colorbar(shown, ax=axis, shrink=0.85)
    bar.set_label("voxels", fontsize=_SMALL)
    for part in (axis, bar.ax):
        part.tick_params(labelsize=_SMALL)
    return _png(canvas)


def error_picture(comparison: Comparison, inches: float = 4.2) -> bytes:
    """The mean absolute error of each slice as PNG; arguments as of `histogram_picture`."""
    canvas = _canvas(inches, 0.62 * inches)
    axis = canvas.subplots()
    numbers = np.arange(len(comparison.errors))
    axis.plot(numbers, comparison.errors, marker="." if len(numbers) < 64 else "", color="tab:blue")
    axis.axhline(comparison.scores.values["mae"], color="0.5", linestyle="--", linewidth=1, label="whole volume")
    axis.set_xlabel("slice of the reference", fontsize=_SMALL)
    axis.set_ylabel(f"MAE ({_label(comparison)})", fontsize=_SMALL)
    axis.tick_params(labelsize=_SMALL)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=_SMALL, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return _png(canvas)


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
    canvas = _canvas(8.4, 8.0)
    axes = canvas.subplots(3, 3)
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
        canvas.colorbar(shown[column], ax=axes[:, column], location="bottom", shrink=0.9, label=_label(comparison))
    return _png(canvas)


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Refuse, before any work, a path that `write_report` could not write.

    Raises:
        InputError: Another ending than .html or .csv, or a folder that does not exist or cannot be written in.
    """
    file = Path(path)
    if file.suffix.lower() not in _ENDINGS:
        raise InputError(f'"{file.name}" must end with .html (a report) or .csv (the scores); rename it.')
    if not file.parent.is_dir():
        raise InputError(f'The folder "{file.parent}" does not exist; create it or choose another file.')
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise InputError(f'"{file}" cannot be written; choose another file.')
    return file


def write_report(comparison: Comparison, path: str | os.PathLike[str], reference: str, prediction: str) -> Path:
    """Write a comparison to a file. No half-written file is ever seen.

    Args:
        comparison: Of `compare`.
        path: The file to write: `report_page` if it ends with .html, `scores_table` with .csv.
        reference, prediction: What people call the two volumes. Nothing else in the page names anybody.

    Raises:
        InputError: The file cannot be written.
    """
    file = check_report_path(path)
    is_table = file.suffix.lower() == ".csv"
    text = scores_table(comparison) if is_table else report_page(comparison, reference, prediction)
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=file.parent) as folder:
            temporary = Path(folder) / "report"
            temporary.write_bytes(text.encode())
            os.replace(temporary, file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f'"{file}" could not be written ({reason}); choose another file.') from None
    return file


def scores_table(comparison: Comparison) -> str:
    """The scores as CSV: measure, value (empty where it is not finite), unit, protocol."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("measure", "value", "unit", "protocol"))
    for name, value in comparison.scores.values.items():
        stated = repr(value) if math.isfinite(value) else ""
        writer.writerow((name, stated, comparison.scores.measured[name].unit, comparison.scores.facts["protocol"]))
    return stream.getvalue()


def report_page(comparison: Comparison, reference: str, prediction: str) -> str:
    """The page of `write_report` as text."""
    facts = comparison.scores.facts
    told = "".join(f'<p class="warning">Warning: {html.escape(text)}</p>\n' for text in comparison.warnings)
    scores = "".join(
        f'<tr><td>{html.escape(title_of(name))}</td><td class="number">{_number(value)}</td>'
        f"<td>{html.escape(comparison.scores.measured[name].unit)}</td></tr>\n"
        for name, value in comparison.scores.values.items()
    )
    stated = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{html.escape(text)}</td></tr>\n"
        for name, text in facts.items()
    )
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Comparison with the reference</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Comparison with the reference</h1>
<p class="notice">{NOTICE}</p>
<table>
<tr><td>Reference</td><td>{html.escape(reference)}</td></tr>
<tr><td>Prediction</td><td>{html.escape(prediction)}</td></tr>
<tr><td>Date</td><td>{date}</td></tr>
</table>
{told}<h2>Scores: {html.escape(facts["modality"])}, protocol {html.escape(facts["protocol"])}</h2>
<table>
{scores}</table>
<h2>Middle slices</h2>
{_image(slices_picture(comparison), "Middle slices of reference, prediction and difference in three planes")}
<h2>Error of each slice, and which values meet</h2>
<div class="pair">
{_image(error_picture(comparison), "Mean absolute error of each slice")}
{_image(histogram_picture(comparison), "Joint histogram of reference and prediction")}
</div>
<h2>How it was measured</h2>
<table>
{stated}</table>
</body>
</html>
"""


def _label(comparison: Comparison) -> str:
    return "HU" if comparison.unit == "HU" else "1 = full scale"


def _number(value: float) -> str:
    if math.isinf(value):
        return "infinite"
    return "not defined" if math.isnan(value) else f"{value:.4f}"


def _image(png: bytes, text: str) -> str:
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _canvas(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    return canvas


def _png(canvas: "Figure") -> bytes:
    stream = io.BytesIO()
    canvas.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()
