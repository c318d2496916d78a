"""Structural similarity in 3-D: SSIM (Wang 2004, doi 10.1109/TIP.2003.819861) and multi-scale SSIM (Wang 2003).

Uniform windows, K1 = 0.01, K2 = 0.03, sample covariance, as scikit-image has them. The maps are computed slab by slab:
a large volume needs little memory beside itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from .errors import Cancelled, InputError

WINDOW = 7
_K1, _K2 = 0.01, 0.03
_SLAB_VOXELS = 1 << 20
_MARGIN = WINDOW // 2

#: SynthRAD2025: weight of each of the five scales, and the extent to which every axis is padded.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SCALE_EXTENT = 97


@dataclass(frozen=True)
class Terms:
    """The three factors of SSIM for the slices `start` to `stop` of a volume, each (stop - start, rows, columns)."""

    start: int
    stop: int
    luminance: np.ndarray
    contrast: np.ndarray
    structure: np.ndarray


def window_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The window's extent in voxels along each axis: 7, or 1 along an axis with fewer voxels (SSIM is then 2-D)."""
    return tuple(WINDOW if extent >= WINDOW else 1 for extent in shape)


Cancel = Callable[[], bool]
"""Asked before each slab whether to stop: then Cancelled is raised."""


def terms(first: np.ndarray, second: np.ndarray, data_range: float, cancel: Cancel | None = None) -> Iterator[Terms]:
    """SSIM's factors for two volumes (slices, rows, columns) of one shape, reflected at their edges."""
    window = window_of(first.shape)
    count = float(np.prod(window))
    sample = count / (count - 1.0)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    halo = window[0] // 2
    step = max(1, _SLAB_VOXELS // max(1, first[0].size))
    for start in range(0, first.shape[0], step):
        if cancel is not None and cancel():
            raise Cancelled
        stop = min(start + step, first.shape[0])
        below = max(0, start - halo)
        keep = slice(start - below, stop - below)
        a = first[below : stop + halo].astype(np.float64)
        b = second[below : stop + halo].astype(np.float64)
        mean_a, mean_b = uniform_filter(a, window), uniform_filter(b, window)
        # Rounding can leave a variance of a flat region slightly below zero.
        variance_a = np.maximum(sample * (uniform_filter(a * a, window) - mean_a * mean_a), 0.0)[keep]
        variance_b = np.maximum(sample * (uniform_filter(b * b, window) - mean_b * mean_b), 0.0)[keep]
        covariance = (sample * (uniform_filter(a * b, window) - mean_a * mean_b))[keep]
        mean_a, mean_b = mean_a[keep], mean_b[keep]
        deviations = np.sqrt(variance_a * variance_b)
        yield Terms(
            start,
            stop,
            (2.0 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1),
            (2.0 * deviations + c2) / (variance_a + variance_b + c2),
            (covariance + c2 / 2.0) / (deviations + c2 / 2.0),
        )


def ssim(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray, data_range: float, cancel: Cancel | None = None
) -> float:
    """Mean of the SSIM map over a mask.

    Args:
        first, second: Volumes (slices, rows, columns).
        mask: Boolean, of the same shape, not empty.
        data_range: Difference of the largest and the smallest possible value.
        cancel: See `Cancel`.
    """
    total = 0.0
    for part in terms(first, second, data_range, cancel):
        chosen = mask[part.start : part.stop]
        total += float((part.luminance * part.contrast * part.structure)[chosen].sum())
    return total / float(np.count_nonzero(mask))


def inner(mask: np.ndarray) -> np.ndarray:
    """The mask without a border of half a window: where the SSIM window lies wholly inside the volume."""
    cropped = np.zeros_like(mask)
    inside = (slice(_MARGIN, -_MARGIN),) * 3
    cropped[inside] = mask[inside]
    return cropped


def multiscale_ssim(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray, data_range: float, cancel: Cancel | None = None
) -> float:
    """MS-SSIM over a mask as SynthRAD2025 defines it: five scales, luminance at each of them, factors clipped at 0.

    Arguments as for `ssim`. Every axis is edge-padded to at least 97 voxels, so that the coarsest scale holds a window.

    Raises:
        InputError: The mask is so small that it vanishes at the coarsest scale.
    """
    missing = [max(0, SCALE_EXTENT - extent) for extent in first.shape]
    if any(missing):
        around = [(extent // 2, extent - extent // 2) for extent in missing]
        first, second, mask = (np.pad(array, around, mode="edge") for array in (first, second, mask))
    product = 1.0
    coarsest = 2 ** (len(SCALE_WEIGHTS) - 1)
    if not inner(mask[::coarsest, ::coarsest, ::coarsest]).any():
        raise InputError(
            "The mask is too small for the five scales of MS-SSIM; draw it larger or use the protocol plain."
        )
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale > 0:
            first, second, mask = _halved(first), _halved(second), mask[::2, ::2, ::2]
        chosen = inner(mask)
        total = 0.0
        for part in terms(first, second, data_range, cancel):
            factors = (part.luminance, part.contrast, part.structure)
            value = np.prod([np.maximum(factor, 0.0) ** weight for factor in factors], axis=0)
            total += float(value[chosen[part.start : part.stop]].sum())
        product *= total / float(np.count_nonzero(chosen))
    return product


def _halved(array: np.ndarray) -> np.ndarray:
    """Every second voxel of the 2 x 2 x 2 mean over each voxel and its lower neighbours, zero beyond the edge."""
    for axis in range(3):
        array = np.moveaxis(array, axis, 0)
        half = array[::2].astype(np.float64)
        half[1:] += array[1:-1:2]
        array = np.moveaxis(half * 0.5, 0, axis)
    return array
