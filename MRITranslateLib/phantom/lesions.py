"""White-matter lesions: where there is room for them, and their label image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .grid import Grid
from .sampling import points_fractions
from .shapes import Array, Ellipsoid, point
from .subject import Subject
from .tissue import WHITE

MAX_LESIONS = 16
"""As many as fit every head apart from each other."""


def lesion_candidates(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Points in undeformed head coordinates, shape (count, 3), of the periventricular and deep white matter."""
    along = np.array(
        (
            (12.0, 40.0, 2.0),
            (20.0, 24.0, 16.0),
            (24.0, 2.0, 27.0),
            (26.0, -20.0, 28.0),
            (33.0, -44.0, 22.0),
            (32.0, -66.0, 12.0),
        )
    )
    position = generator.uniform(0.0, len(along) - 1.001, size=count)
    start = position.astype(int)
    weight = (position - start)[:, None]
    points = along[start] * (1 - weight) + along[start + 1] * weight
    points += generator.normal(0.0, 6.0, size=points.shape)
    points[:, 0] *= generator.choice((-1.0, 1.0), size=count)
    return points


def place_lesions(subject: Subject, count: int) -> tuple[tuple[Ellipsoid, ...], NDArray[np.float64]]:
    """Ellipsoids (deformed head coordinates) and their centres (n, 3; undeformed) in the deep white matter, apart from
    each other.

    Raises:
        InputError: this head's white matter has no room for so many.
    """
    if count == 0:
        return (), np.empty((0, 3))
    draw = subject.generator("lesions")
    ball = draw.normal(size=(26, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    placed: list[tuple[NDArray[np.float64], float]] = []
    for _ in range(12):
        candidates = lesion_candidates(draw, 160)
        radii = np.exp(draw.uniform(np.log(2.4), np.log(5.5 if count <= 12 else 3.6), size=len(candidates)))
        around = candidates[:, None, :] + ball * (radii[:, None, None] + 1.0)
        probes = np.concatenate([candidates[:, None, :], around], axis=1)
        white = points_fractions(subject, probes.reshape(-1, 3))[WHITE].reshape(len(candidates), -1)
        for centre, radius, share in zip(candidates, radii, white, strict=True):
            # Room for a voxel of healthy tissue between two lesions on any usual grid.
            apart = all(np.linalg.norm(centre - other) > 1.25 * (radius + size) + 6.0 for other, size in placed)
            if share.min() > 0.9 and apart:
                placed.append((centre, float(radius)))
                if len(placed) == count:
                    centres = np.array([centre for centre, _ in placed])
                    deformed = centres + subject.displacement(centres).T
                    axes = np.exp(draw.normal(0.0, 0.12, size=centres.shape))
                    return tuple(
                        Ellipsoid(point(middle), point(size * stretch))
                        for middle, (_, size), stretch in zip(deformed, placed, axes, strict=True)
                    ), centres
    raise InputError(
        f"There is no room for {count} lesions in this head's white matter; "
        f"ask for at most {len(placed)} or take another seed."
    )


def label_lesions(share: Array, grid: Grid, centres: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Number the lesions: voxels at least half lesion go to the nearest centre; the voxel of a centre always counts."""
    labels = np.zeros(grid.shape, np.uint8)
    if len(centres) == 0:
        return labels
    inverse = np.linalg.inv(grid.matrix)
    found = np.argwhere(share >= 0.5)
    if len(found):
        position = found[:, ::-1] @ grid.matrix.T + np.array(grid.origin)
        nearest = ((position[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
        labels[tuple(found.T)] = nearest + 1
    for number, centre in enumerate(centres, start=1):
        column, row, slice_ = np.round(inverse @ (centre - np.array(grid.origin))).astype(int)
        if 0 <= slice_ < grid.shape[0] and 0 <= row < grid.shape[1] and 0 <= column < grid.shape[2]:
            labels[slice_, row, column] = number
    return labels
