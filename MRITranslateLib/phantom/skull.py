"""The skull around the brain and what lies on it: tables and diploe, air cells, skull base, scalp and its muscles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .shapes import Array, Ellipsoid, Tube, smooth_step
from .subject import Subject
from .tissue import AIR, CORTICAL, MARROW, MUCOSA, MUSCLE, SKIN


@dataclass
class Wrapping:
    """Thicknesses (mm) of what wraps the cavity, over the whole block: skull, the muscle on it, the scalp."""

    skull: Array
    muscle: Array
    scalp: Array
    relief: Array


def wrapping(canvas: Canvas, subject: Subject, relief: Array) -> Wrapping:
    """Thickness of skull, muscle and scalp at each sample; `relief`: four unit-variance fields, shape (4, ...)."""
    x, y, z = canvas.x, canvas.y, canvas.z
    side = np.abs(x)
    # Thin squama of the temporal bone, thick occiput and forehead.
    temple = np.exp(-(((y + 5.0) / 36.0) ** 2) - ((z + 12.0) / 26.0) ** 2) * smooth_step(side, 30.0, 58.0)
    occiput = np.exp(-(((y + 108.0) / 22.0) ** 2) - ((z + 28.0) / 28.0) ** 2)
    skull = np.float32(subject.skull) * (1.0 + 0.12 * relief[0] - 0.52 * temple + 0.30 * occiput)
    base = smooth_step(-z, 22.0, 50.0) * (1.0 - occiput)
    skull *= 1.0 - 0.35 * base
    glabella = np.exp(-((x / 26.0) ** 2) - ((z + 15.0) / 15.0) ** 2) * smooth_step(y, 35.0, 60.0)
    skull += np.float32(7.0 * subject.sinuses) * glabella
    temporalis = np.exp(-(((y - 2.0) / 36.0) ** 2) - ((z + 14.0) / 32.0) ** 2) * smooth_step(side, 30.0, 60.0)
    nape = np.exp(-(((y + 92.0) / 26.0) ** 2) - ((z + 62.0) / 24.0) ** 2)
    muscle = 8.0 * temporalis * (1.0 + 0.15 * relief[2]) + 13.0 * nape
    scalp = np.float32(subject.scalp) * (1.0 + 0.12 * relief[1]) * (1.0 - 0.25 * temporalis)
    crown = np.exp(-((x / 60.0) ** 2) - ((y + 25.0) / 60.0) ** 2) * smooth_step(z, 45.0, 85.0)
    scalp *= 1.0 - 0.15 * crown
    return Wrapping(
        np.maximum(skull, np.float32(2.2)).astype(np.float32),
        muscle.astype(np.float32),
        np.maximum(scalp, np.float32(2.8)).astype(np.float32),
        relief,
    )


def paint_air_cells(canvas: Canvas, subject: Subject, cavity: Array, wrap: Wrapping, skin: Array) -> None:
    """Ear canals, middle ears, the mastoid (a foam of air cells with bony walls) and the frontal sinuses."""
    under_skin = canvas.inside(skin)
    for side in (1, -1):
        draw = subject.generator(f"mastoid/{side}")
        # The outer half of the canal is cartilage, the inner half bone.
        outer = Tube(((96.0, -25.0, -47.0), (76.0, -23.0, -46.0), (64.0, -22.0, -45.0)), (4.4, 3.4, 3.0))
        inner = Tube(((66.0, -22.0, -45.0), (53.0, -22.0, -44.0)), (3.0, 2.8))
        canvas.solid(AIR, outer, side, limit=under_skin, walls=((SKIN, 1.5),))
        canvas.solid(AIR, inner, side, limit=under_skin, walls=((SKIN, 0.6), (CORTICAL, 2.8)))
        drum = Ellipsoid((50.0, -22.0, -42.0), (2.8, 4.0, 5.0))
        canvas.solid(AIR, subject.vary("middle ear", drum, side), side, walls=((CORTICAL, 3.0),))
        size = float(np.clip(draw.normal(1.0, 0.15), 0.6, 1.25)) * subject.sinuses
        foam(canvas, subject, Ellipsoid((58.0, -39.0, -46.0), (10.0 * size, 12.0 * size, 17.0 * size)), side, 0.15)
        if draw.uniform() < 0.9:
            extent = float(np.clip(draw.normal(1.0, 0.25), 0.4, 1.5)) * subject.sinuses
            frontal_sinus(
                canvas, Ellipsoid((11.0, 66.0, -13.0), (11.0 * extent, 22.0, 13.0 * extent)), side, cavity, wrap
            )


def frontal_sinus(canvas: Canvas, shape: Ellipsoid, side: int, cavity: Array, wrap: Wrapping) -> None:
    """Air between the tables of the frontal bone, where a solid meets it."""
    where = canvas.around(shape, side)
    if where is not None:
        depth = cavity[where]
        between = np.maximum(np.float32(2.0) - depth, depth - wrap.skull[where] + np.float32(2.2))
        distance = np.maximum(shape.distance(*canvas.coordinates(where, side)), between)
        canvas.nested(((AIR, canvas.inside(distance)), (MUCOSA, canvas.inside(distance - np.float32(0.6)))), where)


def foam(canvas: Canvas, subject: Subject, shape: Ellipsoid, side: int, threshold: float) -> None:
    """Air cells in bone inside a solid; a higher threshold leaves more bone."""
    low, high = shape.bounds(2.0)
    if side < 0:
        low[0], high[0] = -high[0], -low[0]
    where = canvas.window(low, high)
    if where is None:
        return
    x, y, z = canvas.coordinates(where)
    cells = subject.waves["cells"].at(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1))[0].reshape(x.shape)
    distance = shape.distance(*canvas.coordinates(where, side))
    region = canvas.inside(distance)
    # Half a mm of the field's own steepness stands for a mm of wall.
    air = np.clip(
        0.5 + (np.abs(cells) - np.float32(threshold + 0.25)) * np.float32(1.4 / max(canvas.width, 0.6)), 0.0, 1.0
    )
    canvas.paint(AIR, region * air.astype(np.float32), where)
    canvas.paint(MUCOSA, region * np.float32(0.25), where)
    canvas.paint(CORTICAL, region, where)


def paint_skull(canvas: Canvas, cavity: Array, wrap: Wrapping, grain: Array) -> None:
    """Inner table, diploe and outer table around the cavity; thin bone has no diploe."""
    inner = np.float32(1.5) + 0.2 * wrap.relief[3]
    outer = wrap.skull - (np.float32(1.7) + 0.2 * wrap.relief[2])
    whole = canvas.inside(cavity - wrap.skull)
    # Trabeculae: the share of compact bone in the diploe varies.
    spongy = np.clip(np.float32(0.80) + np.float32(0.16) * grain, 0.35, 1.0)
    # Both tables and the diploe between them, as shares of the voxel.
    diploe = np.clip(canvas.inside(cavity - outer) - canvas.inside(cavity - inner), 0.0, 1.0) * spongy
    canvas.nested(((MARROW, diploe.astype(np.float32)), (CORTICAL, np.maximum(whole, diploe).astype(np.float32))))


def bone(
    canvas: Canvas, shape: Ellipsoid | Tube, side: int, grain: Array, shell: float = 1.8, limit: Array | None = None
) -> None:
    """Paint a bone: compact shell, trabecular inside."""
    where = canvas.around(shape, side)
    if where is None:
        return
    distance = shape.distance(*canvas.coordinates(where, side))
    if limit is not None:
        distance = np.maximum(distance, limit[where])
    spongy = np.clip(np.float32(0.75) + np.float32(0.18) * grain[where], 0.3, 1.0)
    inside = canvas.inside(distance + np.float32(shell)) * spongy
    canvas.nested(((MARROW, inside.astype(np.float32)), (CORTICAL, canvas.inside(distance))), where)


BASE: tuple[tuple[str, float, Ellipsoid | Tube], ...] = (
    # The petrous ridge is the densest bone of the body: a thick shell.
    ("petrous", 4.0, Tube(((60.0, -30.0, -44.0), (38.0, -27.0, -42.0), (14.0, -14.0, -42.0)), (11.0, 10.0, 6.0))),
    ("mastoid", 2.2, Ellipsoid((58.0, -39.0, -48.0), (14.0, 16.0, 21.0))),
    (
        "lesser wing",
        2.0,
        Tube(((8.0, 16.0, -20.0), (28.0, 23.0, -17.0), (46.0, 27.0, -13.0), (64.0, 24.0, -8.0)), (3.2, 2.8, 2.6, 2.6)),
    ),
    ("greater wing", 1.8, Tube(((14.0, 8.0, -40.0), (32.0, 16.0, -46.0), (50.0, 26.0, -34.0)), (6.0, 5.0, 4.0))),
    ("pterygoid", 1.4, Tube(((13.0, 10.0, -48.0), (14.0, 10.0, -80.0)), (4.0, 2.4))),
    ("condyle", 1.6, Tube(((17.0, -50.0, -66.0), (17.0, -40.0, -70.0)), (6.0, 5.0))),
)
MIDLINE_BASE: tuple[tuple[str, float, Ellipsoid | Tube], ...] = (
    ("sphenoid body", 1.8, Ellipsoid((0.0, 9.0, -38.0), (17.0, 16.0, 13.0))),
    ("clivus", 1.8, Tube(((0.0, -10.0, -40.0), (0.0, -24.0, -58.0), (0.0, -29.0, -70.0)), (7.5, 6.0, 4.0))),
)


def paint_base(canvas: Canvas, subject: Subject, grain: Array) -> None:
    """The bones of the skull base."""
    for name, shell, shape in MIDLINE_BASE:
        bone(canvas, subject.vary(name, shape), 1, grain, shell)
    for side in (1, -1):
        for name, shell, shape in BASE:
            bone(canvas, subject.vary(name, shape, side), side, grain, shell)


def paint_scalp_muscle(canvas: Canvas, cavity: Array, wrap: Wrapping) -> None:
    """Temporalis and the upper neck muscles, which lie on the skull."""
    thick = smooth_step(wrap.muscle, 0.4, 1.6)
    canvas.paint(MUSCLE, canvas.inside(cavity - wrap.skull - wrap.muscle) * thick)
