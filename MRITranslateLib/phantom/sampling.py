"""The order in which a head is painted, and its tissue fractions in the voxels of a grid or at points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .brain import cavity_distance, paint_brain
from .canvas import Canvas, Window
from .face import outer_distance, paint_airway, paint_jaws, paint_neck, paint_orbits, paint_soft_tissue
from .grid import Grid
from .shapes import Array, Ellipsoid
from .skull import paint_air_cells, paint_base, paint_scalp_muscle, paint_skull, wrapping
from .subject import DEFORMATION_MM, Subject
from .tissue import TISSUES

SAMPLE_MM = 2.0
"""Voxels longer than about this are sampled several times along that axis."""
MOST_SAMPLES = 32
"""Bounds the work for voxels of many centimetres."""
TEXTURES = ("thickness", "grain", "fascia")
"""The fields that paint_head takes."""


def paint_head(
    canvas: Canvas, subject: Subject, relief: Array, grain: Array, fascia: Array, lesions: tuple[Ellipsoid, ...]
) -> Array:
    """Paint a whole head, from inside to outside, and return the tissue fractions (tissues, slices, rows, columns).

    Args:
        canvas: the sample points.
        subject: whose head.
        relief: four unit-variance fields at the samples, for the thickness of skull, scalp and muscle.
        grain, fascia: unit-variance fields at the samples, for the texture of bone and of the face's soft tissue.
        lesions: ellipsoids in deformed head coordinates.
    """
    cavity = cavity_distance(canvas.x, canvas.y, canvas.z)
    wrap = wrapping(canvas, subject, relief)
    cranium = cavity - wrap.skull - wrap.muscle - wrap.scalp
    skin = outer_distance(canvas, subject, cranium)
    paint_orbits(canvas, subject, skin, cavity)
    paint_airway(canvas, subject)
    paint_air_cells(canvas, subject, cavity, wrap, skin)
    paint_brain(canvas, subject, cavity, lesions)
    paint_skull(canvas, cavity, wrap, grain)
    paint_base(canvas, subject, grain)
    paint_jaws(canvas, subject, skin, grain)
    paint_neck(canvas, subject, grain)
    paint_scalp_muscle(canvas, cavity, wrap)
    paint_soft_tissue(canvas, subject, skin, fascia)
    return canvas.finish()


def samples_per_voxel(grid: Grid) -> NDArray[np.int64]:
    """How often a voxel is sampled along (columns, rows, slices)."""
    return np.clip(np.rint(np.array(grid.spacing) / SAMPLE_MM), 1, MOST_SAMPLES).astype(np.int64)


@dataclass(frozen=True)
class Samples:
    """The sample points of a block of a grid's voxels.

    Attributes:
        position: (3, slices, rows, columns), deformed head coordinates in mm.
        matrix, offset: index (column, row, slice) of a sample to undeformed head coordinates.
        factors: samples per voxel along (columns, rows, slices).
        reach: largest displacement along an axis, mm.
    """

    position: Array
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    factors: NDArray[np.int64]
    reach: float

    def average(self, values: Array) -> Array:
        """Means over the samples of each voxel, of (n, slices, rows, columns) of samples."""
        if self.factors.max() == 1:
            return values
        column, row, slice_ = (int(factor) for factor in self.factors)
        count, slices, rows, columns = values.shape
        split = values.reshape(count, slices // slice_, slice_, rows // row, row, columns // column, column)
        return np.asarray(split.mean(axis=(2, 4, 6)))


def block_samples(subject: Subject, grid: Grid, where: Window, deformation: float = DEFORMATION_MM) -> Samples:
    """Sample points of a block of a grid's voxels, given by its slices, displaced by some `deformation` mm."""
    factors = samples_per_voxel(grid)
    start = np.array([part.start for part in where])
    size = np.array([part.stop for part in where]) - start
    # Samples divide the voxel evenly: the first lies half a sample inside the voxel's edge.
    first = grid.matrix @ (start[::-1] - 0.5 + 0.5 / factors) + np.array(grid.origin)
    matrix, offset = subject.to_head @ (grid.matrix / factors), subject.to_head @ first + subject.shift
    slices, rows, columns = (int(count) for count in size * factors[::-1])
    position = subject.waves["deformation"].on_grid(matrix, offset, (slices, rows, columns))
    position *= np.float32(deformation)
    reach = float(np.abs(position).max())
    steps = matrix.astype(np.float32)
    for axis in range(3):
        position[axis] += np.float32(offset[axis]) + steps[axis, 0] * np.arange(columns, dtype=np.float32)
        position[axis] += (steps[axis, 1] * np.arange(rows, dtype=np.float32))[:, None]
        position[axis] += (steps[axis, 2] * np.arange(slices, dtype=np.float32))[:, None, None]
    return Samples(position, matrix, offset, factors, reach)


def block_fractions(subject: Subject, grid: Grid, where: Window, lesions: tuple[Ellipsoid, ...] = ()) -> Array:
    """Tissue fractions (tissues, slices, rows, columns) of a block of a grid's voxels, given by its slices."""
    at = block_samples(subject, grid, where)
    width = float(np.mean(np.array(grid.spacing) / at.factors)) / subject.scale
    canvas = Canvas(at.position[0], at.position[1], at.position[2], width, at.matrix, at.offset, at.reach)
    shape = canvas.x.shape
    relief, grain, fascia = (subject.waves[name].on_grid(at.matrix, at.offset, shape) for name in TEXTURES)
    return at.average(paint_head(canvas, subject, relief, grain[0], fascia[0], lesions))


def points_fractions(subject: Subject, points: NDArray[np.float64]) -> Array:
    """Tissue fractions (tissues, n) in samples of 1 mm at points (n, 3) in undeformed head coordinates."""
    deformed = (points.T + subject.displacement(points)).astype(np.float32)
    x, y, z = (row.reshape(1, 1, -1) for row in deformed)
    canvas = Canvas(x, y, z, 1.0)
    relief, grain, fascia = (subject.waves[name].at(points)[:, None, None, :] for name in TEXTURES)
    return paint_head(canvas, subject, relief, grain[0], fascia[0], ()).reshape(len(TISSUES), -1)
