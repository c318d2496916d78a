"""One picture that tells a translation at a glance: input, synthetic image, truth, difference, heat maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .modality import modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WARNING = "SYNTHETIC images from a research tool - not for diagnosis"
CT_RANGE = (-150.0, 350.0)
"""HU that show brain and skull at once; the brain window proper shows every bone as plain white."""
_FAINT = 0.05
"""Share of a bright value below which an MRI shows air."""


@dataclass(frozen=True)
class Row:
    """One translation, as the figure shows it.

    Attributes:
        model: Name of the model package.
        modality: Name of the target modality ("T2", "CT").
        source, prediction, truth: 3-D images on one grid; `prediction` and `truth` in the modality's unit.
        heatmaps: For each title a heat map, 0..1, on that grid.
        region: The mask (nonzero = inside) that the first heat map was asked about; outlined in the figure.
        scores: psnr, ssim and mae of `prediction` against `truth`, from `main_scores`.
    """

    model: str
    modality: str
    source: sitk.Image
    prediction: sitk.Image
    truth: sitk.Image
    heatmaps: Mapping[str, sitk.Image]
    region: sitk.Image
    scores: Mapping[str, float]


def main_scores(target: str, values: Mapping[str, float]) -> dict[str, float]:
    """The three scores that people are shown, out of all that `evaluate` found.

    Args:
        target: Target modality ("T2", "CT").
        values: Scores by name.

    Returns:
        psnr (dB), ssim, and mae in HU for CT. MRI has no unit: there each score is taken after one global affine fit
        of the intensities, and mae is a fraction of full scale.
    """
    suffix = "" if modality(target).kind == "CT" else "_affine"
    return {name: values[name + suffix] for name in ("psnr", "ssim", "mae")}


def score_line(row: Row) -> str:
    """PSNR, SSIM and MAE against the truth, in one line for people."""
    psnr, ssim, mae = (row.scores[name] for name in ("psnr", "ssim", "mae"))
    error = f"{mae:.1f} HU" if modality(row.modality).kind == "CT" else f"{100 * mae:.2f} % of full scale"
    return f"PSNR {psnr:.2f} dB   SSIM {ssim:.3f}   MAE {error}"


def figure(rows: Sequence[Row], path: str | Path, title: str) -> Path:
    """Draw one line of pictures per translation.

    All pictures show the axial slice that holds most of the region, cut to the head and seen from the feet as
    radiologists do (the patient's right is on the left). A synthetic MRI, which has no unit, is drawn after one affine
    fit to the truth.

    Args:
        rows: The translations, at least one.
        path: The PNG file to write.
        title: Stands above the warning.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 4 + max(len(row.heatmaps) for row in rows)
    canvas = Figure(figsize=(2.9 * columns, 4.5 * len(rows) + 0.8), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    canvas.suptitle(f"{title}\n{WARNING}", fontsize=15, weight="bold")
    strips = np.atleast_1d(np.asarray(canvas.subfigures(len(rows), 1)))
    for strip, row in zip(strips, rows, strict=True):
        strip.suptitle(f"{row.model}:   {score_line(row)}", fontsize=13, x=0.01, y=0.98, ha="left")
        _draw(strip, list(strip.subplots(1, columns)), row)
    canvas.savefig(path, dpi=100)
    return Path(path)


def _draw(strip: Any, axes: "list[Axes]", row: Row) -> None:
    region = axial(row.region) > 0
    index = int(np.argmax(region.sum(axis=(1, 2))))
    across, down, _ = sitk.DICOMOrient(row.source, "LPS").GetSpacing()
    whole = axial(row.truth)
    prediction = axial(row.prediction)
    source, truth = axial(row.source)[index], whole[index]
    if modality(row.modality).kind == "CT":
        unit, (low, high) = "Hounsfield units", CT_RANGE
    else:
        unit, (low, high) = "signal, arbitrary units", (0.0, float(np.percentile(whole, 99.5)))
        prediction = fitted(prediction, whole)
    difference = prediction[index] - truth
    reach = float(max(np.percentile(np.abs(difference), 99.0), 1e-6))
    t1: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": float(np.percentile(source, 99.7))}
    gray: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": high}
    signed: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    pictures: list[tuple[str, np.ndarray, dict[str, Any], str]] = [
        ("Input T1", source, t1, "signal, arbitrary units"),
        (f"SYNTHETIC {row.modality}", prediction[index], gray, unit),
        (f"True {row.modality}", truth, gray, unit),
        ("Synthetic minus true", difference, signed, unit),
    ]
    shape: dict[str, Any] = {"aspect": down / across}
    head = bounds(source > 0.1 * np.percentile(source, 99.0), margin=4)
    for axis, (name, picture, colours, label) in zip(axes, pictures, strict=False):
        finish(strip, axis, axis.imshow(picture[head], **colours, **shape), name, label)
    for axis, (name, heatmap) in zip(axes[4:], row.heatmaps.items(), strict=False):
        heat = axial(heatmap)[index][head]
        axis.imshow(source[head], **t1, **shape)
        shown = draw_heat(axis, heat, **shape)
        if axis is axes[4]:
            axis.contour(region[index][head], levels=[0.5], colors="cyan", linewidths=1.0)
        finish(strip, axis, shown, name, "Grad-CAM, 1 = strongest in the volume")
    for unused in axes[4 + len(row.heatmaps) :]:
        unused.set_axis_off()


def fitted(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`prediction` after the affine map that brings it nearest to `truth` in the foreground (least squares); the map's
    offset fades towards air, which stays dark."""
    foreground = truth > _FAINT * np.percentile(truth, 99.5)
    slope, offset = np.polyfit(prediction[foreground].astype(np.float64), truth[foreground], 1)
    faint = _FAINT * max(float(np.percentile(prediction, 99.5)), 1e-6)
    return prediction * np.float32(slope) + np.float32(offset) * np.clip(prediction / np.float32(faint), 0.0, 1.0)


def bounds(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold the mask, and some more."""
    low, high = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0)
    rows, columns = (slice(max(0, int(a) - margin), int(b) + margin + 1) for a, b in zip(low, high, strict=True))
    return rows, columns


def draw_heat(axis: "Axes", heat: np.ndarray, **shape: Any) -> Any:
    """A heat map (0..1) over what is drawn already: Inferno, the more transparent the colder."""
    return axis.imshow(heat, cmap="inferno", vmin=0.0, vmax=1.0, alpha=np.clip(1.5 * heat, 0.0, 0.75), **shape)


def finish(strip: Any, axis: "Axes", shown: Any, title: str, label: str) -> None:
    """Title, the patient's sides, and a colour bar of what `shown` says."""
    mark_sides(axis, title)
    bar = strip.colorbar(shown, ax=axis, location="bottom", shrink=0.9, pad=0.02, label=label)
    if shown.get_alpha() is not None:
        bar.set_alpha(1.0)  # the picture's own transparency is a map, which a colour bar cannot have
        bar._draw_all()


def mark_sides(axis: "Axes", title: str) -> None:
    """Title and the patient's sides beside a picture of `axial`."""
    axis.set_title(title, fontsize=12)
    axis.set_xticks([])
    axis.set_yticks([])
    marks: dict[str, Any] = {"transform": axis.transAxes, "color": "0.6", "fontsize": 10, "va": "center"}
    axis.text(0.02, 0.5, "R", ha="left", **marks)
    axis.text(0.98, 0.5, "L", ha="right", **marks)


def axial(image: sitk.Image) -> np.ndarray:
    """float32 (slice from foot to head, row from front to back, column from right to left)."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS")).astype(np.float32)
