"""Solids as signed distances in mm: negative inside, positive outside.

Coordinates are those of the head frame (see `subject.py`). Distances to ellipsoids are first-order (function value
over length of the gradient), exact on the surface and good within some mm of it, which is all that partial volume
needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]
Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]


def point(values: NDArray[np.float64]) -> Point:
    """Three numbers as a tuple."""
    x, y, z = (float(value) for value in values)
    return x, y, z


class Solid(Protocol):
    """A shape that knows its signed distance and where it is."""

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm at the points, negative inside."""
        ...

    def bounds(self, margin: float = 0.0) -> Bounds:
        """Lowest and highest corner of a box around the solid, widened by `margin` mm."""
        ...

    def varied(self, shift: NDArray[np.float64], factor: float) -> Self:
        """The same solid moved by `shift` mm with its thickness multiplied by `factor`."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """Axis-aligned ellipsoid: centre and semi-axes in mm."""

    centre: Point
    radii: Point

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        (cx, cy, cz), (rx, ry, rz) = self.centre, self.radii
        u, v, w = (x - cx) * np.float32(1 / rx), (y - cy) * np.float32(1 / ry), (z - cz) * np.float32(1 / rz)
        scaled = np.sqrt(u * u + v * v + w * w)
        u *= np.float32(1 / rx)
        v *= np.float32(1 / ry)
        w *= np.float32(1 / rz)
        slope = np.sqrt(u * u + v * v + w * w)
        # At the centre value and slope vanish together; the smallest semi-axis is the true distance there.
        slope = np.maximum(slope, np.float32(1e-4))
        return np.asarray(np.maximum(scaled * (scaled - 1.0) / slope, np.float32(-min(self.radii))), np.float32)

    def bounds(self, margin: float = 0.0) -> Bounds:
        centre, radii = np.array(self.centre), np.array(self.radii) + margin
        return centre - radii, centre + radii

    def varied(self, shift: NDArray[np.float64], factor: float) -> Self:
        centre = np.array(self.centre) + shift
        radii = np.array(self.radii) * factor
        return replace(self, centre=point(centre), radii=point(radii))


@dataclass(frozen=True)
class Tube:
    """A bent tube: a chain of points with a radius at each, in mm. `flatten` > 1 makes it thinner along x."""

    points: Sequence[Point]
    radii: Sequence[float]
    flatten: float = 1.0

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        squeeze = np.float32(self.flatten)
        result: Array | None = None
        for start, end, first, last in zip(self.points, self.points[1:], self.radii, self.radii[1:], strict=False):
            px, py, pz = (x - start[0]) * squeeze, y - start[1], z - start[2]
            dx, dy, dz = (end[0] - start[0]) * self.flatten, end[1] - start[1], end[2] - start[2]
            length = max(dx * dx + dy * dy + dz * dz, 1e-6)
            along = px * np.float32(dx / length)
            along += py * np.float32(dy / length)
            along += pz * np.float32(dz / length)
            np.clip(along, 0.0, 1.0, out=along)
            px, py, pz = px - along * np.float32(dx), py - along * np.float32(dy), pz - along * np.float32(dz)
            distance = np.sqrt(px * px + py * py + pz * pz)
            distance -= np.float32(first)
            distance -= along * np.float32(last - first)
            result = distance if result is None else np.minimum(result, distance, out=result)
        if result is None:
            raise ValueError("a tube needs two points")
        return result

    def bounds(self, margin: float = 0.0) -> Bounds:
        points, widest = np.array(self.points), max(self.radii) + margin
        return points.min(axis=0) - widest, points.max(axis=0) + widest

    def varied(self, shift: NDArray[np.float64], factor: float) -> Self:
        points = [point(np.array(corner) + shift) for corner in self.points]
        return replace(self, points=points, radii=[radius * factor for radius in self.radii])


def smooth_union(a: Array, b: Array, radius: float) -> Array:
    """Union of two distances whose crease is rounded over `radius` mm (polynomial smooth minimum)."""
    blend = np.maximum(np.float32(radius) - np.abs(a - b), np.float32(0))
    blend *= blend
    blend *= np.float32(0.25 / radius)
    return np.asarray(np.minimum(a, b) - blend, np.float32)


def smooth_step(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, cubic in between."""
    t = np.clip((value - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
