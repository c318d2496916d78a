"""Smooth random fields made of plane waves.

A field is a sum of cosines with random directions, wavelengths (mm) and phases, so it is defined everywhere in space
and not per voxel: the same seed gives the same anatomy on every grid. Sums of many random plane waves tend to a
Gaussian field (spectral representation of a stationary process: Shinozuka and Deodatis, Applied Mechanics Reviews 44,
1991).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class WaveField:
    """`components` independent stationary fields of unit variance.

    Args:
        generator: source of the directions, wavelengths and phases.
        waves: number of plane waves.
        wavelength: shortest and longest wavelength in mm.
        components: number of independent fields that share the wave vectors.
    """

    def __init__(
        self, generator: np.random.Generator, waves: int, wavelength: tuple[float, float], components: int = 1
    ) -> None:
        direction = generator.normal(size=(waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        # Uniform in frequency, so that long and short waves are equally frequent per unit of detail.
        frequency = generator.uniform(1.0 / wavelength[1], 1.0 / wavelength[0], size=(waves, 1))
        self.vectors = 2.0 * np.pi * frequency * direction
        self.phases = generator.uniform(0.0, 2.0 * np.pi, size=(components, waves))
        self.amplitude = float(np.sqrt(2.0 / waves))

    def on_grid(
        self, matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, int, int]
    ) -> NDArray[np.float32]:
        """Values on a regular grid, shape (components, *shape).

        A plane wave on a (possibly oblique) grid is a product of three one-dimensional waves, so the sum is one matrix
        product.

        Args:
            matrix: 3x3, from an index (column, row, slice) to mm.
            offset: mm position of index (0, 0, 0).
            shape: (slices, rows, columns).
        """
        step = self.vectors @ matrix
        slices, rows, columns = shape
        along_columns = np.exp(1j * np.outer(step[:, 0], np.arange(columns)))
        along_rows = np.exp(1j * np.outer(np.arange(rows), step[:, 1]))
        along_slices = np.exp(1j * np.outer(np.arange(slices), step[:, 2]))
        right = np.concatenate([along_columns.real, -along_columns.imag]).astype(np.float32)
        result = np.empty((len(self.phases), slices * rows, columns), np.float32)
        for component, phases in enumerate(self.phases):
            start = self.amplitude * np.exp(1j * (phases + self.vectors @ offset))
            left = (along_slices[:, None, :] * along_rows[None, :, :] * start).reshape(slices * rows, -1)
            np.matmul(np.concatenate([left.real, left.imag], axis=1).astype(np.float32), right, out=result[component])
        return result.reshape(len(self.phases), slices, rows, columns)

    def at(self, points: NDArray[np.floating]) -> Array:
        """Values at points (n, 3) in mm, shape (components, n)."""
        angles = points.astype(np.float32) @ self.vectors.T.astype(np.float32)
        phases = self.phases.astype(np.float32)
        return np.stack([np.float32(self.amplitude) * np.cos(angles + phase).sum(axis=1) for phase in phases])

    def with_gradient(self, points: Array) -> tuple[Array, Array]:
        """The first component and its gradient (per mm) at points (3, n) in mm: shapes (n,) and (3, n)."""
        angles = self.vectors.astype(np.float32) @ points
        angles += self.phases[0].astype(np.float32)[:, None]
        value = np.cos(angles).sum(axis=0) * np.float32(self.amplitude)
        np.sin(angles, out=angles)
        gradient = (-self.amplitude * self.vectors.T).astype(np.float32) @ angles
        return value, gradient
