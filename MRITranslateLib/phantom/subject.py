"""What differs from one head to the next: pose, size, age-like traits and smooth deformation, all drawn from one seed.

Head frame: x to the right, y to the front, z up, in mm, origin near the anterior commissure - close to MNI space, in
which the anatomy is written down. A seed draws an affine (scale of MNI space to this head, tilt, shift) and a smooth
random displacement of up to some mm.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .fields import WaveField
from .shapes import Solid

Shape = TypeVar("Shape", bound=Solid)

DEFORMATION_MM = 2.2
"""Standard deviation of each component of the random displacement."""


@dataclass
class Subject:
    """One person, defined by a seed.

    Attributes:
        age: 0 (young: tight sulci, small ventricles) to 1 (old: the opposite).
        to_head, shift: physical LPS mm p -> undeformed head frame, `to_head @ p + shift`.
        scale: mm of this person per mm of the head frame, mean over axes.
    """

    seed: int
    age: float = field(init=False)
    ventricles: float = field(init=False)
    sulcus: float = field(init=False)
    gap: float = field(init=False)
    skull: float = field(init=False)
    scalp: float = field(init=False)
    sinuses: float = field(init=False)
    scale: float = field(init=False)
    to_head: NDArray[np.float64] = field(init=False)
    shift: NDArray[np.float64] = field(init=False)
    waves: dict[str, WaveField] = field(init=False)

    def __post_init__(self) -> None:
        draw = self.generator("traits")
        self.age = float(draw.beta(1.3, 1.7))
        self.ventricles = float((0.72 + 0.55 * self.age) * np.exp(draw.normal(0.0, 0.12)))
        self.sulcus = float((0.35 + 0.65 * self.age) * np.exp(draw.normal(0.0, 0.12)))
        self.gap = float(0.9 + 2.4 * self.age * draw.uniform(0.5, 1.1))
        self.skull = float(np.clip(draw.normal(6.8, 0.9), 4.8, 9.0))
        self.scalp = float(np.clip(draw.normal(6.3, 1.4), 3.8, 10.0))
        self.sinuses = float(np.clip(draw.normal(1.0, 0.13), 0.65, 1.25))
        pose = self.generator("pose")
        scales = np.clip(0.93 + pose.normal(0.0, 0.022) + pose.normal(0.0, 0.018, size=3), 0.85, 0.985)
        self.scale = float(scales.mean())
        tilt = np.radians(pose.normal((0.0, 0.0, 0.0), (5.0, 2.5, 3.5)))
        rotation = rotation_matrix(tilt)
        moved = pose.normal((0.0, 0.0, 0.0), (2.5, 3.5, 3.0))
        lps_to_ras = np.diag((-1.0, -1.0, 1.0))
        # The middle of the head, nose to occiput and crown to palate, is where the default grid has its centre.
        self.to_head = np.diag(1.0 / scales) @ rotation @ lps_to_ras
        self.shift = np.array((0.0, -5.0, 3.0)) - self.to_head @ moved
        self.waves = {
            "deformation": WaveField(self.generator("deformation"), 40, (85.0, 220.0), 3),
            "thickness": WaveField(self.generator("thickness"), 32, (45.0, 140.0), 4),
            "grain": WaveField(self.generator("grain"), 48, (4.5, 14.0), 1),
            "texture": WaveField(self.generator("texture"), 40, (12.0, 60.0), 2),
            "folds": WaveField(self.generator("folds"), 56, (19.0, 28.0), 1),
            "depth": WaveField(self.generator("depth"), 24, (30.0, 70.0), 2),
            "cells": WaveField(self.generator("cells"), 30, (6.0, 9.0), 1),
            "fascia": WaveField(self.generator("fascia"), 40, (24.0, 60.0), 1),
        }

    def generator(self, name: str) -> np.random.Generator:
        """A random generator of its own for each thing, so that adding one does not change the others."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def displacement(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Random displacement (3, n) in mm of undeformed head coordinates (n, 3)."""
        return np.float32(DEFORMATION_MM) * self.waves["deformation"].at(points)

    def vary(self, name: str, shape: Shape, side: int = 0, shift: float = 0.8, size: float = 0.07) -> Shape:
        """This person's version of a structure: moved by some `shift` mm, its thickness by the fraction `size`."""
        draw = self.generator(f"{name}/{side}")
        movement = draw.normal(0.0, shift, size=3)
        if side == 0:
            movement[0] = 0.0
        return shape.varied(movement, float(np.exp(np.clip(draw.normal(0.0, size), -2.5 * size, 2.5 * size))))


def rotation_matrix(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation by angles (rad) about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx)))
    about_y = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    about_z = np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))
    return np.asarray(about_z @ about_y @ about_x, np.float64)
