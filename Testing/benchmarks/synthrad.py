"""The figures of the SynthRAD 2025 challenge written plainly, with whole-volume float64 arrays and scipy: what
`mt.evaluate` is measured beside.
"""

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

LOW_HU, HIGH_HU = -1024.0, 3071.0
RANGE = HIGH_HU - LOW_HU
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales of MS-SSIM."""
WINDOW = 7
BORDER = WINDOW // 2
LEAST_EXTENT = 97
K1, K2 = 0.01, 0.03


def synthrad2025(truth: np.ndarray, made: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """MAE (HU), PSNR (dB) and MS-SSIM of a synthetic CT.

    Args:
        truth, made: HU, (slices, rows, columns).
        mask: Where to score, same shape.
    """
    inside = mask > 0
    truth = np.where(inside, truth, LOW_HU).astype(np.float64)
    made = np.where(inside, made, LOW_HU).astype(np.float64)
    mae = np.abs(truth - made)[inside].mean()
    truth, made = (np.clip(array, LOW_HU, HIGH_HU) - LOW_HU for array in (truth, made))
    squared = ((truth - made)[inside] ** 2).mean()
    psnr = 10 * np.log10(RANGE**2 / squared)
    return {"mae": float(mae), "psnr": float(psnr), "ms_ssim": _multiscale(truth, made, inside)}


def _multiscale(truth: np.ndarray, made: np.ndarray, inside: np.ndarray) -> float:
    extra = [max(0, LEAST_EXTENT - extent) for extent in truth.shape]
    pad = [(n // 2, n - n // 2) for n in extra]
    truth, made, inside = (np.pad(array, pad, mode="edge") for array in (truth, made, inside))
    product = 1.0
    for weight in WEIGHTS:
        product *= _similarity(truth, made, weight)[_inner(inside)].mean()
        truth, made, inside = _halved(truth), _halved(made), inside[::2, ::2, ::2]
    return float(product)


def _similarity(x: np.ndarray, y: np.ndarray, weight: float) -> np.ndarray:
    """The map of luminance, contrast and structure, each raised to the weight, without its border."""
    sample = WINDOW**3 / (WINDOW**3 - 1)
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    mean_x, mean_y = uniform_filter(x, WINDOW), uniform_filter(y, WINDOW)
    variance_x = np.clip(sample * (uniform_filter(x * x, WINDOW) - mean_x * mean_x), 0, None)
    variance_y = np.clip(sample * (uniform_filter(y * y, WINDOW) - mean_y * mean_y), 0, None)
    covariance = sample * (uniform_filter(x * y, WINDOW) - mean_x * mean_y)
    deviations = np.sqrt(variance_x * variance_y)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * deviations + c2) / (variance_x + variance_y + c2)
    structure = (covariance + c2 / 2) / (deviations + c2 / 2)
    parts = (np.clip(part, 0, None) ** weight for part in (luminance, contrast, structure))
    return _inner(np.prod(list(parts), axis=0))


def _inner(array: np.ndarray) -> np.ndarray:
    return array[BORDER:-BORDER, BORDER:-BORDER, BORDER:-BORDER]


def _halved(array: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 x 2 voxels with zeros beyond the border, every second one."""
    return fftconvolve(array, np.full((2, 2, 2), 1 / 8), mode="same")[::2, ::2, ::2]
