"""A volume on the grid of another one."""

import math

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .volume import like


def on_grid(
    image: sitk.Image, grid: sitk.Image, background: float, shift: sitk.Image | None = None
) -> tuple[sitk.Image, np.ndarray]:
    """An image on the grid of another, by linear interpolation.

    Args:
        image: 3-D scalar.
        grid: Only its geometry is used.
        background: Value where the image does not reach.
        shift: Where the image's space is not the grid's: a vector image of displacements (mm, LPS) from a point of the
            grid's space to the same point in the image's space, linear in between. It must reach over the whole grid.

    Returns:
        float32 image, and a boolean array (slices, rows, columns): where the image reaches.

    Raises:
        InputError: It reaches nowhere.
    """
    transform = sitk.Transform(3, sitk.sitkIdentity)
    if shift is not None:
        transform = sitk.Transform(sitk.DisplacementFieldTransform(sitk.Cast(shift, sitk.sitkVectorFloat64)))
    source = sitk.Cast(image, sitk.sitkFloat32)
    moved = sitk.Resample(source, grid, transform, sitk.sitkLinear, math.nan, sitk.sitkFloat32)
    array = sitk.GetArrayFromImage(moved)
    covered = np.isfinite(array)
    if not covered.any():
        raise InputError(
            "The prediction lies wholly outside the reference; check that both show the same patient, and their "
            "transforms."
        )
    array[~covered] = background
    return like(array, grid), covered


def uncovered(covered: np.ndarray) -> str:
    """The share that a resampled image does not reach, for people: "12 %"."""
    share = 100.0 * (1.0 - np.count_nonzero(covered) / covered.size)
    return f"{share:.0f} %" if share >= 1.0 else "less than 1 %"
