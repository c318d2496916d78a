"""The image grid of a phantom: its geometry, checked, and images on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..errors import InputError
from .shapes import point

FIELD_OF_VIEW_MM = (256.0, 256.0, 192.0)
"""Default extent along columns, rows and slices: a head from the crown to below the skull base, with some air."""


@dataclass(frozen=True)
class Grid:
    """An image grid: index (column, row, slice) -> LPS mm is `matrix @ index + origin`."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """3x3, index steps (column, row, slice) to LPS mm."""
        return np.asarray(np.array(self.direction).reshape(3, 3) * np.array(self.spacing), np.float64)


def make_grid(
    shape: Sequence[int],
    spacing: Sequence[float] | None = None,
    origin: Sequence[float] | None = None,
    direction: Sequence[float] | None = None,
) -> Grid:
    """Check and complete an image grid; see `phantom` for the meaning and the defaults.

    Raises:
        InputError: the shape, spacing, origin or direction cannot be used.
    """
    if len(shape) != 3 or not all(is_whole(size) for size in shape):
        raise InputError(
            f"The phantom's shape must be three whole numbers (slices, rows, columns), not {tuple(shape)}."
        )
    slices, rows, columns = (int(size) for size in shape)
    if min(slices, rows, columns) < 1 or max(slices, rows, columns) > 1024 or slices * rows * columns > 2**27:
        raise InputError(
            f"The phantom's shape {slices} x {rows} x {columns} is out of range: "
            "give 1 to 1024 slices, rows and columns, and at most 512 x 512 x 512 voxels."
        )
    if spacing is None:
        in_plane = max(FIELD_OF_VIEW_MM[0] / columns, FIELD_OF_VIEW_MM[1] / rows)
        # A few slices do not become slabs of many centimetres: they show the middle of the head.
        spacing = (in_plane, in_plane, min(FIELD_OF_VIEW_MM[2] / slices, 5.0))
    if len(spacing) != 3 or not all(math.isfinite(value) and 0.05 <= value <= 300.0 for value in spacing):
        raise InputError(
            f"The phantom's spacing must be three numbers of mm (x, y, z) between 0.05 and 300, not {tuple(spacing)}."
        )
    steps = np.array(spacing, np.float64)
    size = np.array((columns, rows, slices))
    cosines = np.eye(3).ravel() if direction is None else np.array(direction, np.float64)
    if cosines.shape != (9,) or not np.allclose(cosines.reshape(3, 3) @ cosines.reshape(3, 3).T, np.eye(3), atol=1e-4):
        raise InputError("The phantom's direction must be nine numbers, a rotation or reflection matrix row by row.")
    if origin is not None and (len(origin) != 3 or not all(math.isfinite(value) for value in origin)):
        raise InputError(f"The phantom's origin must be three numbers of mm (x, y, z), not {tuple(origin)}.")
    start = -(cosines.reshape(3, 3) @ ((size - 1) / 2.0 * steps)) if origin is None else np.array(origin, np.float64)
    return Grid((slices, rows, columns), point(steps), point(start), tuple(cosines.tolist()))


def is_whole(value: object) -> bool:
    """True for an int of Python or NumPy, not for a truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def make_image(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    """An image with the grid's geometry from an array (slice, row, column)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image
