"""Figures of two volumes voxel against voxel: mean errors, PSNR, correlation, the best affine and intensity maps.

The foreground's voxels are taken as float64 a few slices at a time: a large volume needs little memory beside itself.
"""

import math
from collections.abc import Iterator

import numpy as np

LEVELS = 256
"""Of the source in `intensity_map_psnr`."""
_CHUNK_VOXELS = 1 << 20


def errors(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> tuple[float, float, float]:
    """Mean absolute, mean squared and mean (signed, made minus truth) difference in a foreground.

    Args:
        truth, made: Arrays of one shape and unit.
        foreground: Boolean, of the same shape; the result is NaN where it is empty.
    """
    absolute = squared = signed = 0.0
    for a, b in _chunks(foreground, truth, made):
        b -= a
        squared += float(np.dot(b, b))
        signed += float(b.sum())
        absolute += float(np.abs(b, out=b).sum())
    count = int(np.count_nonzero(foreground))
    return (absolute / count, squared / count, signed / count) if count else (math.nan, math.nan, math.nan)


def psnr(mse: float, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error; infinite for 0, NaN for NaN."""
    return math.inf if mse == 0.0 else 10.0 * math.log10(data_range * data_range / mse)


def affine_fit(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """(a, b) that minimise the sum of (a * made + b - truth) squared in the foreground."""
    mean_truth, mean_made, covariance, _, variance = _moments(truth, made, foreground)
    slope = covariance / variance if variance > 0.0 else 0.0
    return slope, float(mean_truth - slope * mean_made)


def correlation(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> float:
    """Normalised cross-correlation (NCC) in the foreground, with the means removed: Pearson's coefficient, -1 to 1.

    NaN where one of the two is constant.
    """
    _, _, covariance, first, second = _moments(truth, made, foreground)
    power = math.sqrt(first) * math.sqrt(second)
    return covariance / power if power > 0.0 else math.nan


def intensity_map_psnr(truth: np.ndarray, source: np.ndarray, foreground: np.ndarray) -> float:
    """PSNR, for a data range of 1, of the mean truth per level of the source: the least-squares best intensity map,
    to which an affine fit would add nothing."""
    extremes = [(float(a.min()), float(a.max())) for (a,) in _chunks(foreground, source) if a.size]
    low, high = min(pair[0] for pair in extremes), max(pair[1] for pair in extremes)
    width = (high - low) / LEVELS or 1.0
    count, total, squares = np.zeros(LEVELS), np.zeros(LEVELS), 0.0
    for a, s in _chunks(foreground, truth, source):
        level = np.minimum(((s - low) / width).astype(np.int64), LEVELS - 1)
        count += np.bincount(level, minlength=LEVELS)
        total += np.bincount(level, weights=a, minlength=LEVELS)
        squares += float(np.dot(a, a))
    explained = float((total[count > 0] ** 2 / count[count > 0]).sum())
    return psnr(max(squares - explained, 0.0) / float(count.sum()), 1.0)


def _chunks(foreground: np.ndarray, *arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The foreground's values of several volumes as float64, a few slices at a time."""
    step = max(1, _CHUNK_VOXELS // max(1, foreground[0].size))
    for start in range(0, foreground.shape[0], step):
        part = slice(start, start + step)
        chosen = foreground[part]
        yield [array[part][chosen].astype(np.float64) for array in arrays]


def _moments(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> tuple[float, float, float, float, float]:
    """Both means, and the sums of the centred products truth * made, truth * truth and made * made."""
    count = np.count_nonzero(foreground)
    sums = np.zeros(2)
    for a, b in _chunks(foreground, truth, made):
        sums += a.sum(), b.sum()
    mean_truth, mean_made = sums / count
    covariance = first = second = 0.0
    for a, b in _chunks(foreground, truth, made):
        a -= mean_truth
        b -= mean_made
        covariance += float(np.dot(a, b))
        first += float(np.dot(a, a))
        second += float(np.dot(b, b))
    return float(mean_truth), float(mean_made), covariance, first, second
