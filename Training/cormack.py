"""Cormack units, in which the Clinical Toolbox averages and smooths CT: 0 in air, and soft tissue (-100 to 100 HU)
stretched eleven times, so that fat, brain and fluid weigh beside bone (Rorden et al., NeuroImage 61:957, 2012;
`clinical_h2c` and `clinical_c2h`)."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

_FROM, _RANGE, _STRETCH = 900.0, 200.0, 10.0
"""Air to the first soft tissue, soft tissue, both in HU, and what is added for every HU of the latter."""


def cormack(hounsfield_units: np.ndarray) -> np.ndarray:
    """Hounsfield units to Cormack units, float32; below -1000 HU is air."""
    from_air = np.maximum(np.asarray(hounsfield_units, np.float32) + np.float32(1000), 0)
    return from_air + np.float32(_STRETCH) * np.clip(from_air - np.float32(_FROM), 0, np.float32(_RANGE))


def hounsfield(units: np.ndarray) -> np.ndarray:
    """Cormack units to Hounsfield units, float32: the inverse of `cormack`."""
    units = np.asarray(units, np.float32)
    stretched = np.clip(units - np.float32(_FROM), 0, np.float32(_RANGE * (1 + _STRETCH)))
    return units - stretched * np.float32(_STRETCH / (1 + _STRETCH)) - np.float32(1000)


def smooth(array: np.ndarray, width_mm: float, spacing_mm: Sequence[float]) -> np.ndarray:
    """An array smoothed by a Gaussian of this full width at half maximum; beyond its edge it goes on as it ends.

    Args:
        array: (slices, rows, columns).
        width_mm: Full width at half maximum; 0 changes nothing.
        spacing_mm: Along x, y, z.
    """
    sigma = [width_mm / 2.3548 / mm for mm in spacing_mm[::-1]]
    smoothed: np.ndarray = ndimage.gaussian_filter(array, sigma, mode="nearest", output=np.float32)
    return smoothed
