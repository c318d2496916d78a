"""Structural similarity in 3-D: SSIM (Wang 2004, doi 10.1109/TIP.2003.819861) and multi-scale SSIM (Wang 2003).

K1 = 0.01, K2 = 0.03. Uniform windows with the sample covariance, as scikit-image has them by default, or Gaussian ones
with the population covariance, as Wang has them. The maps are computed slab by slab: a large volume needs little memory
beside itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from ..errors import Cancelled, InputError

_K1, _K2 = 0.01, 0.03
_SLAB_VOXELS = 1 << 19


@dataclass(frozen=True)
class Window:
    """The weights of a voxel's neighbours.

    Attributes:
        extent: Voxels along each axis, odd.
        sigma: Of a Gaussian, in voxels; 0 for equal weights.
    """

    extent: int
    sigma: float = 0.0

    def over(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Extent along each axis: 1 along an axis with fewer voxels than the window (SSIM is then 2-D)."""
        return tuple(self.extent if length >= self.extent else 1 for length in shape)

    def words(self, shape: tuple[int, ...]) -> str:
        """The window over a volume of a shape, for people."""
        weights = f"Gaussian of {self.sigma:g} voxels" if self.sigma else "uniform"
        return f"{'x'.join(map(str, self.over(shape)))} {weights} (slices x rows x columns)"

    def mean(self, array: np.ndarray, over: tuple[int, ...]) -> np.ndarray:
        """Weighted mean around each voxel; the volume goes on as its mirror image beyond its edges."""
        if not self.sigma:
            return uniform_filter(array, over)
        # Mirrored at the centre of the last voxel, as torch and with it torchmetrics have it.
        sigmas = [self.sigma if extent > 1 else 0.0 for extent in over]
        return gaussian_filter(array, sigmas, radius=self.extent // 2, mode="mirror")

    def correction(self, over: tuple[int, ...]) -> float:
        """What turns the weighted variance into the one that SSIM takes."""
        count = float(np.prod(over))
        return 1.0 if self.sigma else count / (count - 1.0)


UNIFORM = Window(7)
GAUSSIAN = Window(11, 1.5)
WINDOW = UNIFORM.extent

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


Cancel = Callable[[], bool]
"""Asked before each slab whether to stop: then Cancelled is raised."""


def terms(
    first: np.ndarray,
    second: np.ndarray,
    data_range: float,
    cancel: Cancel | None = None,
    window: Window = UNIFORM,
) -> Iterator[Terms]:
    """SSIM's factors for two volumes (slices, rows, columns) of one shape, reflected at their edges."""
    over = window.over(first.shape)
    sample = window.correction(over)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    halo = over[0] // 2
    step = max(1, _SLAB_VOXELS // max(1, first[0].size))
    for start in range(0, first.shape[0], step):
        if cancel is not None and cancel():
            raise Cancelled
        stop = min(start + step, first.shape[0])
        below = max(0, start - halo)
        keep = slice(start - below, stop - below)
        a = first[below : stop + halo].astype(np.float64)
        b = second[below : stop + halo].astype(np.float64)
        mean_a, mean_b, covariance = window.mean(a, over), window.mean(b, over), window.mean(a * b, over)
        a *= a
        b *= b
        variance_a, variance_b = window.mean(a, over), window.mean(b, over)
        del a, b
        mean_a, mean_b, covariance = mean_a[keep], mean_b[keep], covariance[keep]
        variance_a, variance_b = variance_a[keep], variance_b[keep]
        covariance -= mean_a * mean_b
        covariance *= sample
        for variance, mean in ((variance_a, mean_a), (variance_b, mean_b)):
            variance -= mean * mean
            variance *= sample
            # Rounding can leave a variance of a flat region slightly below zero.
            np.maximum(variance, 0.0, out=variance)
        luminance = 2.0 * mean_a * mean_b + c1
        mean_a *= mean_a
        mean_b *= mean_b
        mean_a += mean_b
        mean_a += c1
        luminance /= mean_a
        deviations = np.sqrt(variance_a * variance_b)
        covariance += c2 / 2.0
        covariance /= deviations + c2 / 2.0
        variance_a += variance_b
        variance_a += c2
        deviations *= 2.0
        deviations += c2
        deviations /= variance_a
        yield Terms(start, stop, luminance, contrast=deviations, structure=covariance)


def ssim(
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray,
    data_range: float,
    cancel: Cancel | None = None,
    window: Window = UNIFORM,
) -> float:
    """Mean of the SSIM map over a mask.

    Args:
        first, second: Volumes (slices, rows, columns).
        mask: Boolean, of the same shape, not empty.
        data_range: Difference of the largest and the smallest possible value.
        cancel: See `Cancel`.
        window: Of the neighbours.
    """
    total = 0.0
    for part in terms(first, second, data_range, cancel, window):
        here = mask[part.start : part.stop]
        total += float((part.luminance[here] * part.contrast[here] * part.structure[here]).sum())
    return total / float(np.count_nonzero(mask))


def inner(mask: np.ndarray) -> np.ndarray:
    """The mask without a border of half a uniform window: where that lies wholly inside the volume."""
    cropped = np.zeros_like(mask)
    inside = (slice(WINDOW // 2, -(WINDOW // 2)),) * 3
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
            here = chosen[part.start : part.stop]
            factors = (part.luminance[here], part.contrast[here], part.structure[here])
            value = np.prod([np.maximum(factor, 0.0) ** weight for factor in factors], axis=0)
            total += float(value.sum())
        product *= total / float(np.count_nonzero(chosen))
    return product


def _halved(array: np.ndarray) -> np.ndarray:
    """Every second voxel of the 2 x 2 x 2 mean over each voxel and its lower neighbours, zero beyond the edge."""
    for axis in range(3):
        array = np.moveaxis(array, axis, 0)
        half = array[::2].astype(np.float64)
        half[1:] += array[1:-1:2]
        half *= 0.5
        array = np.moveaxis(half, 0, axis)
    return array
