"""Tissue fractions of a block of voxels, painted from the innermost structure outwards.

Structures are painted front to back: each takes its share of what is still free in a voxel, so the fractions of a
voxel always sum to one, and a structure painted earlier lies inside those painted later. A surface that cuts a voxel
takes the part of it that a plane at that distance would (the box-filtered edge), which is the partial-volume effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .shapes import Solid
from .tissue import AIR, TISSUES

Array = NDArray[np.float32]
Window = tuple[slice, slice, slice]
EVERYWHERE: Window = (slice(None), slice(None), slice(None))


@dataclass
class Canvas:
    """Sample points of a block and the tissue fractions painted so far.

    Attributes:
        x, y, z: head coordinates (mm, deformed) of the sample points, shape (slices, rows, columns).
        width: extent of a sample in mm, the width of a partial-volume edge.
        matrix, offset: index (column, row, slice) to undeformed head coordinates; None where the points are no grid.
        fractions: (tissues, slices, rows, columns).
        free: what no structure has taken yet.
    """

    x: Array
    y: Array
    z: Array
    width: float
    matrix: NDArray[np.float64] | None = None
    offset: NDArray[np.float64] | None = None
    reach: float = 0.0
    fractions: Array = field(init=False)
    free: Array = field(init=False)

    def __post_init__(self) -> None:
        self.fractions = np.zeros((len(TISSUES), *self.x.shape), np.float32)
        self.free = np.ones(self.x.shape, np.float32)

    def window(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Window | None:
        """The part of the block that can contain a box given in head coordinates (mm); None where they do not meet."""
        if self.matrix is None or self.offset is None:
            return EVERYWHERE
        return index_window(self.matrix, self.offset, self.x.shape, low - self.reach, high + self.reach)

    def around(self, shape: Solid, side: int, margin: float = 0.0) -> Window | None:
        """The part of the block that holds a solid and `margin` mm about it; side = -1 means its mirror image."""
        low, high = shape.bounds(margin + self.width)
        if side < 0:
            low[0], high[0] = -high[0], -low[0]
        return self.window(low, high)

    def coordinates(self, where: Window, side: int = 1) -> tuple[Array, Array, Array]:
        """x, y, z of a window; with side = -1 the left-right axis is mirrored."""
        x = self.x[where]
        return (x if side > 0 else -x), self.y[where], self.z[where]

    def inside(self, distance: Array) -> Array:
        """The fraction of a sample inside a surface at this signed distance."""
        share = distance * np.float32(-1.0 / self.width)
        share += np.float32(0.5)
        return np.clip(share, 0.0, 1.0, out=share)

    def paint(self, tissue: int, membership: Array, where: Window = EVERYWHERE) -> None:
        """Give `membership` (0..1) of what is free in the window to a tissue."""
        free = self.free[where]
        share = membership * free
        self.fractions[tissue][where] += share
        free -= share

    def nested(self, layers: Sequence[tuple[int, Array]], where: Window = EVERYWHERE) -> None:
        """Paint shells of one body: (tissue, membership), innermost first, each including those before it."""
        taken: Array | None = None
        for tissue, membership in layers:
            if taken is None:
                self.paint(tissue, membership, where)
                taken = membership
            else:
                share = (membership - taken) / np.maximum(1.0 - taken, np.float32(1e-6))
                self.paint(tissue, np.clip(share, 0.0, 1.0), where)
                taken = np.maximum(taken, membership)

    def solid(
        self,
        tissue: int,
        shape: Solid,
        side: int = 1,
        limit: Array | None = None,
        walls: Sequence[tuple[int, float]] = (),
    ) -> None:
        """Paint a solid and, around it, walls: (tissue, outer surface in mm from the solid's surface), innermost first.

        `limit` (whole block, 0..1) confines all of it; side = -1 paints the mirror image in the left half.
        """
        where = self.around(shape, side, walls[-1][1] if walls else 0.0)
        if where is None:
            return
        distance = shape.distance(*self.coordinates(where, side))
        confined = np.float32(1.0) if limit is None else limit[where]
        shells = [
            (layer, self.inside(distance - np.float32(surface)) * confined)
            for layer, surface in ((tissue, 0.0), *walls)
        ]
        self.nested(shells, where)

    def finish(self) -> Array:
        """Fill what is left with air and return the fractions."""
        self.fractions[AIR] += self.free
        self.free[...] = 0.0
        return self.fractions


def index_window(
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: tuple[int, ...],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> Window | None:
    """Indices (slices, rows, columns) whose points can lie in the box low..high; None where there are none."""
    corners = np.array([[(low, high)[(n >> axis) & 1][axis] for axis in range(3)] for n in range(8)])
    index = (corners - offset) @ np.linalg.inv(matrix).T
    start = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, np.array(shape[::-1]))
    if np.any(start >= stop):
        return None
    return slice(start[2], stop[2]), slice(start[1], stop[1]), slice(start[0], stop[0])
