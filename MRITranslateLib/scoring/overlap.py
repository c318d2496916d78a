"""Structures that a threshold finds in both of two volumes: Dice coefficient, 95th percentile of the surface distance.

The 95 % Hausdorff distance is the larger of the two directed 95th percentiles, over the voxels of either surface, of
the distance to the other surface in mm. A surface is the voxels of a structure with a face towards its outside or the
volume's edge.
"""

import math
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_erosion

BONE_HU = 250.0
"""A CT shows bone above this, soft tissue from `SOFT_TISSUE_HU` to this, air below."""
SOFT_TISSUE_HU = -200.0
_PERCENTILE = 95.0


def ct_tissues(array: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean arrays of air, soft tissue and bone of a CT in HU."""
    air, bone = array < SOFT_TISSUE_HU, array > BONE_HU
    return {"air": air, "soft_tissue": ~(air | bone), "bone": bone}


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap of two boolean arrays: twice what both share over the sum of both; NaN where neither holds anything."""
    both = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2.0 * int(np.count_nonzero(first & second)) / both if both else math.nan


def hausdorff95(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> float:
    """95 % Hausdorff distance of two structures.

    Args:
        first, second: Boolean (slices, rows, columns).
        spacing: Of the voxels in mm, (columns, rows, slices) as `Image.GetSpacing()` gives it.

    Returns:
        mm; infinite where only one of the two holds anything, NaN where neither does.
    """
    held = first.any(), second.any()
    if not all(held):
        return math.inf if any(held) else math.nan
    surfaces = [_surface(structure) for structure in (first, second)]
    box = _box(surfaces[0] | surfaces[1])
    one, other = (surface[box] for surface in surfaces)
    there = np.percentile(_distance(other, spacing)[one], _PERCENTILE)
    back = np.percentile(_distance(one, spacing)[other], _PERCENTILE)
    # Distances are float32: beyond a tenth of a micrometre there is noise, which a paired test would take for a sign.
    return round(float(max(there, back)), 4)


def _surface(structure: np.ndarray) -> np.ndarray:
    return structure & ~binary_erosion(structure)


def _box(filled: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds a mask."""
    ranges = [np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in ranges)


def _distance(surface: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """float32, of each voxel's centre to the nearest of the surface, in mm (Maurer 2003)."""
    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing([float(extent) for extent in spacing])
    # Negative inside of a clump of surface voxels: those are of the surface themselves.
    signed = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayViewFromImage(signed), 0.0)
