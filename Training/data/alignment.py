"""Are the two images of a pair in register? Pix2pix learns a shift as readily as a contrast, so this is asked first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.errors import InputError

from .scans import Pair

if TYPE_CHECKING:
    from .pairs import PreparedPair

_BINS = 48
_SHIFT_MM = 4.0
_MOST_VOXELS = 1 << 20
_TILE, _PANEL = 24, 192
"""Pixels of a square of the checkerboard, and of a panel of the figure."""


def normalised_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """(H(a) + H(b)) / H(a, b) of two equal-shaped arrays (Studholme et al. 1999); 1 means independent."""
    return _information(_levels(first), _levels(second))


def measure_alignment(pair: Pair) -> dict[str, float]:
    """Compare the pair as it is with the pair shifted by 4 mm to each side, in plane.

    Returns:
        "aligned", "up", "down", "left", "right": normalised mutual information.
    """
    source, target = (sitk.GetArrayViewFromImage(image) for image in (pair.source, pair.target))
    step = max(1, source.shape[0] // 24, round(source.size / _MOST_VOXELS))
    source, target = _levels(source[step // 2 :: step]), _levels(target[step // 2 :: step])
    shifts = [max(1, round(_SHIFT_MM / spacing)) for spacing in pair.source.GetSpacing()[1::-1]]  # rows, columns
    margin = [s if n > 4 * s else 0 for s, n in zip(shifts, source.shape[1:], strict=True)]

    def inner(array: np.ndarray) -> np.ndarray:
        rows, columns = array.shape[1:]
        return array[:, margin[0] : rows - margin[0], margin[1] : columns - margin[1]]

    fixed = inner(source)
    found = {"aligned": _information(fixed, inner(target))}
    for name, axis, sign in (("up", 1, -1), ("down", 1, 1), ("left", 2, -1), ("right", 2, 1)):
        found[name] = _information(fixed, inner(np.roll(target, sign * shifts[axis - 1], axis)))
    return found


def misalignment(measured: Sequence[Mapping[str, float]]) -> float:
    """How much more information the best shift gives than none, on average over a subject's pairs; above 0 is wrong."""
    mean = {key: float(np.mean([one[key] for one in measured])) for key in measured[0]}
    return max(value for key, value in mean.items() if key != "aligned") - mean["aligned"]


def is_misaligned(measured: Sequence[Mapping[str, float]]) -> bool:
    """Whether a subject's pairs, measured by `measure_alignment`, fit better when shifted."""
    return misalignment(measured) > 0


def check_alignment(pair: Pair) -> dict[str, float]:
    """Measure one pair.

    Raises:
        InputError: It fits better when shifted.
    """
    measured = measure_alignment(pair)
    if is_misaligned([measured]):
        raise InputError(
            f"{pair.subject}: the two images fit better when shifted by {_SHIFT_MM:g} mm; register them first, "
            "or say --data.check_alignment false."
        )
    return measured


def draw_alignment(pair: "PreparedPair", file: Path) -> None:
    """Draw a pair: input, truth, both as a checkerboard, and the truth's edges on the input, a row for each plane.

    A volume is shown in its three planes through the middle of the patient, a picture as it is.

    Args:
        pair: Prepared.
        file: PNG; its folder is made.
    """
    from matplotlib import image

    source, target = _to_grey(pair.source), _to_grey(pair.target)
    patient = target > 0.05
    rows = []
    for axis in (0, 1, 2) if len(source) > 1 else (0,):
        inside = np.flatnonzero(patient.any(axis=tuple({0, 1, 2} - {axis})))
        middle = int(inside[len(inside) // 2]) if inside.size else source.shape[axis] // 2
        spacing = [mm for number, mm in enumerate(pair.voxel_mm) if number != axis]
        a, b = (_panel(np.take(array, middle, axis), spacing, upside_down=axis > 0) for array in (source, target))
        rows.append(np.concatenate([_rgb(a), _rgb(b), _rgb(_checkerboard(a, b)), _with_edges(a, b)], axis=1))
    file.parent.mkdir(parents=True, exist_ok=True)
    image.imsave(file, np.concatenate(rows))


def _to_grey(array: np.ndarray) -> np.ndarray:
    """Network units to 0..1, the brightest tissue at 1."""
    values = (np.asarray(array, dtype=np.float32) + 1) / 2
    return np.clip(values / max(1e-3, float(np.percentile(values, 99.5))), 0, 1)


def _panel(plane: np.ndarray, spacing: Sequence[float], upside_down: bool) -> np.ndarray:
    """A plane in its true proportions, centred in a square."""
    from skimage.transform import resize

    extent = np.multiply(plane.shape, spacing)
    size = np.maximum(1, np.round(_PANEL * extent / extent.max())).astype(int)
    shrinks = bool((size < plane.shape).any())
    resized = resize(plane[::-1] if upside_down else plane, size, order=1, anti_aliasing=shrinks)
    square = np.zeros((_PANEL, _PANEL), np.float32)
    top, left = (_PANEL - size) // 2
    square[top : top + size[0], left : left + size[1]] = resized
    return square


def _checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    row, column = np.indices(first.shape) // _TILE
    return np.where((row + column) % 2 == 0, first, second)


def _with_edges(ground: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The strongest edges of the other image in red on the ground."""
    strength = np.hypot(*np.gradient(other))
    edges = strength > max(0.05, float(np.percentile(strength, 92)))
    picture = _rgb(0.8 * ground)
    picture[edges] = (1.0, 0.2, 0.1)
    return picture


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def _levels(array: np.ndarray) -> np.ndarray:
    """Which of about 48 equally filled bins every value falls into; a constant background is one bin."""
    sample = array.ravel()[:: max(1, array.size // 100_000)]
    edges = np.unique(np.percentile(sample, np.linspace(0, 100, _BINS + 1)))
    return np.searchsorted(edges[1:-1], array, side="right").astype(np.uint8)


def _information(first: np.ndarray, second: np.ndarray) -> float:
    """Normalised mutual information of two images of levels."""
    if min(int(first.max()), int(second.max())) < 1:
        return 1.0
    counts = np.bincount(first.ravel().astype(np.int32) * _BINS + second.ravel(), minlength=_BINS * _BINS)
    joint = counts.reshape(_BINS, _BINS) / first.size

    def entropy(p: np.ndarray) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    return (entropy(joint.sum(0)) + entropy(joint.sum(1))) / entropy(joint)
