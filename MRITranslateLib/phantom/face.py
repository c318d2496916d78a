"""Face and neck: outer surface, orbits, sinuses and airway, jaws and teeth, vertebrae, muscles, fat and skin."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .shapes import Array, Ellipsoid, Tube, smooth_step, smooth_union
from .skull import bone, foam
from .subject import Subject
from .tissue import AIR, CORTICAL, CSF, DURA, FAT, LENS, MARROW, MUCOSA, MUSCLE, SKIN, TOOTH, VITREOUS, WHITE


def outer_distance(canvas: Canvas, subject: Subject, cranium: Array) -> Array:
    """Signed distance to the skin; `cranium` is the distance to the scalp over the vault."""
    x, y, z = canvas.x, canvas.y, canvas.z
    side = np.abs(x)
    draw = subject.generator("face")
    width, front, chin = (float(value) for value in np.exp(draw.normal(0.0, (0.04, 0.03, 0.04))))
    face = Ellipsoid((0.0, 30.0, -58.0), (63.0 * width, 56.0 * front, 60.0)).distance(x, y, z)
    jaw = Ellipsoid((0.0, 36.0, -104.0), (50.0 * width, 47.0 * front, 32.0 * chin)).distance(x, y, z)
    face = smooth_union(face, jaw, 16.0)
    brow = Tube(((46.0, 64.0, -22.0), (16.0, 74.0, -22.0), (0.0, 76.0, -24.0)), (9.0, 10.0, 10.0)).distance(side, y, z)
    cheek = Tube(((60.0, 30.0, -54.0), (44.0, 58.0, -60.0)), (13.0, 15.0)).distance(side, y, z)
    face = smooth_union(face, smooth_union(brow, cheek, 10.0), 12.0)
    parotid = Ellipsoid((52.0, -8.0, -66.0), (22.0 * width, 30.0, 36.0)).distance(side, y, z)
    face = smooth_union(face, parotid, 12.0)
    nose = Tube(
        ((0.0, 84.0, -38.0), (0.0, 101.0 * front, -62.0), (0.0, 98.0 * front, -70.0)), (5.0, 7.5, 9.0)
    ).distance(x, y, z)
    wing = Ellipsoid((9.0, 91.0 * front, -71.0), (7.0, 9.0, 6.5)).distance(side, y, z)
    face = smooth_union(face, smooth_union(nose, wing, 5.0), 7.0)
    lips = Ellipsoid((0.0, 80.0 * front, -93.0), (24.0, 10.0, 9.0)).distance(x, y, z)
    face = smooth_union(face, lips, 8.0)
    ear = Ellipsoid((79.0, -30.0, -46.0), (5.5, 16.0, 29.0)).distance(side + 0.45 * (y + 22.0), y, z)
    # The neck: an elliptic column that leans forward as it rises.
    centre = -30.0 + 0.08 * (z + 80.0)
    radius = np.sqrt((x * np.float32(1 / 57.0)) ** 2 + ((y - centre) * np.float32(1 / 62.0)) ** 2)
    column = np.maximum((radius - 1.0) * np.float32(58.0), z + np.float32(48.0))
    result = smooth_union(cranium, face, 14.0)
    result = smooth_union(result, np.asarray(column, np.float32), 22.0)
    return smooth_union(result, ear, 5.0)


def paint_orbits(canvas: Canvas, subject: Subject, skin: Array, cavity: Array) -> None:
    """Eyes with their muscles and nerve in a cone of fat with thin bony walls."""
    behind_skin = canvas.inside(np.maximum(skin + np.float32(1.5), np.float32(1.6) - cavity))
    for side in (1, -1):
        draw = subject.generator(f"eye/{side}")
        cx, cy, cz = np.array((31.5, 56.5, -37.0)) + draw.normal(0.0, 0.8, size=3)
        radius = float(12.6 * np.exp(subject.generator("eye").normal(0.0, 0.03)))
        lens = Ellipsoid((cx, cy + 0.66 * radius, cz), (4.8, 2.2, 4.8))
        canvas.solid(LENS, lens, side)
        globe = Ellipsoid((cx, cy, cz), (radius, radius, radius))
        canvas.solid(VITREOUS, globe, side, walls=((DURA, 1.0),))
        apex = (11.0, 20.0, -28.0)
        canvas.solid(
            WHITE,
            Tube(((cx - 1.0, cy - radius, cz), (20.0, 34.0, -33.0), apex), (1.6, 1.7, 2.0)),
            side,
            walls=((CSF, 0.8), (DURA, 1.4)),
        )
        for dx, dz in ((9.5, 0.0), (-9.5, 0.0), (0.0, 9.0), (0.0, -9.0)):
            start, middle = (
                (cx + dx, cy - 2.0, cz + dz),
                (0.55 * cx + 0.45 * apex[0] + 0.95 * dx, 42.0, cz + 3.0 + 0.9 * dz),
            )
            canvas.solid(MUSCLE, Tube((start, middle, apex), (1.2, 2.6, 1.2)), side, limit=behind_skin)
        cone = Tube(((cx, cy + 4.0, cz), (cx - 4.0, 46.0, -36.0), apex), (17.0, 16.0, 4.5))
        canvas.solid(FAT, subject.vary("orbit", cone, side, shift=0.5, size=0.03), side, limit=behind_skin)


ORBIT_WALL = Tube(((32.0, 58.0, -37.0), (28.0, 46.0, -36.0), (11.0, 20.0, -28.0)), (19.0, 18.2, 6.5))


def paint_airway(canvas: Canvas, subject: Subject) -> None:
    """Nasal cavity with septum and turbinates, paranasal sinuses, pharynx."""
    size = subject.sinuses
    septum = subject.generator("septum").normal(0.0, 0.8)
    canvas.solid(MUCOSA, Ellipsoid((float(septum), 56.0, -58.0), (1.4, 34.0, 22.0)))
    for side in (1, -1):
        draw = subject.generator(f"sinus/{side}")
        for height, radius in ((-49.0, 2.6), (-58.0, 3.9), (-69.0, 5.0)):
            swelling = float(np.exp(draw.normal(0.0, 0.15)))
            canvas.solid(
                MUCOSA,
                Tube(
                    ((7.2, 76.0, height), (8.0, 40.0, height)),
                    (0.7 * radius * swelling, radius * swelling),
                    flatten=1.3,
                ),
                side,
            )
        paint_passage(canvas, subject, side)
        canvas.solid(AIR, Tube(((6.0, 98.0, -79.0), (6.0, 84.0, -70.0)), (3.4, 4.2)), side)
        maxillary = Ellipsoid((27.0, 51.0, -66.0), (12.5 * size, 15.5 * size, 16.0 * size))
        lining = float(np.clip(draw.exponential(0.7), 0.4, 4.0))
        maxillary = subject.vary("maxillary sinus", maxillary, side)
        canvas.solid(AIR, maxillary, side, walls=((MUCOSA, lining), (CORTICAL, lining + 1.5)))
        sphenoid = Ellipsoid((7.0, 10.0, -38.0), (7.0 * size, 11.0 * size, 9.0 * size))
        canvas.solid(
            AIR, subject.vary("sphenoid sinus", sphenoid, side, size=0.15), side, walls=((MUCOSA, 0.5), (CORTICAL, 1.6))
        )
        foam(canvas, subject, Ellipsoid((8.5, 45.0, -41.0), (6.5, 19.0, 9.0)), side, 0.0)
    pharynx = Tube(
        ((0.0, 24.0, -62.0), (0.0, 6.0, -70.0), (0.0, 0.0, -92.0), (0.0, 2.0, -125.0), (0.0, 4.0, -200.0)),
        (9.0, 9.5, 7.0, 7.5, 9.0),
    )
    canvas.solid(AIR, subject.vary("pharynx", pharynx, size=0.12), 1, walls=((MUCOSA, 2.2),))


def paint_passage(canvas: Canvas, subject: Subject, side: int) -> None:
    """One side of the nasal cavity: a narrow slot on the flat floor of the palate, under the ethmoid."""
    slot = subject.vary("nasal passage", Ellipsoid((5.4, 50.0, -60.0), (7.0, 34.0, 26.0)), side, shift=0.4)
    low, high = slot.bounds(3.0)
    if side < 0:
        low[0], high[0] = -high[0], -low[0]
    where = canvas.window(low, high)
    if where is None:
        return
    x, y, z = canvas.coordinates(where, side)
    floor, roof = np.float32(-77.5) - z, z + 45.0 + 0.006 * (y - 48.0) ** 2
    distance = np.maximum(np.maximum(slot.distance(x, y, z), floor), roof).astype(np.float32)
    shells = ((AIR, 0.0), (MUCOSA, 1.0), (CORTICAL, 1.9))
    canvas.nested([(tissue, canvas.inside(distance - np.float32(surface))) for tissue, surface in shells], where)


def arch_distance(
    canvas: Canvas, where: tuple[slice, slice, slice], back: float, width: float, length: float
) -> tuple[Array, Array]:
    """Distance in the axial plane to a dental arch (half ellipse) and the position along it in mm."""
    x, y, _ = canvas.coordinates(where)
    u, v = x / np.float32(width), np.maximum(y - np.float32(back), -4.0) / np.float32(length)
    radius = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / np.float32(width)) ** 2 + (v / np.float32(length)) ** 2) / np.maximum(radius, 0.05)
    behind = np.maximum(np.float32(back) - y, 0.0)
    distance = np.hypot((radius - 1.0) / np.maximum(slope, 0.008), behind)
    return np.asarray(distance, np.float32), np.asarray(
        np.arctan2(u, v) * np.float32(0.5 * (width + length)), np.float32
    )


def paint_jaws(canvas: Canvas, subject: Subject, skin: Array, grain: Array) -> None:
    """Teeth, alveolar processes, palate and mandible, cheek bones and their arches."""
    draw = subject.generator("jaws")
    missing = draw.uniform(size=16) < 0.03 + 0.25 * subject.age**2
    for name, level, back, width, length in (("upper", -86.0, 38.0, 27.0, 45.0), ("lower", -99.0, 36.0, 26.0, 44.0)):
        where = canvas.window(np.array((-46.0, 20.0, level - 22.0)), np.array((46.0, 94.0, level + 22.0)))
        if where is None:
            continue
        outward = 1.0 if name == "upper" else -1.0
        across, along = arch_distance(canvas, where, back, width, length)
        z = canvas.z[where]
        height = (z - np.float32(level)) * np.float32(outward)
        # Crowns and roots, 7 mm apart; the roots are thinner.
        half = np.clip(3.6 - 0.14 * np.maximum(height, 0.0), 1.2, 3.6)
        index = np.floor(along / 7.0).astype(int) + 8
        gap = np.abs((along / 7.0) % 1.0 - 0.5) * np.float32(7.0)
        tooth = np.maximum(np.maximum(across - half, gap - np.minimum(half, 3.2)), np.abs(height - 4.0) - 10.0)
        present = ~missing[np.clip(index, 0, 15)]
        canvas.paint(TOOTH, canvas.inside(tooth.astype(np.float32)) * present, where)
        process = np.maximum(across - np.float32(5.6), np.abs(height - 10.0) - np.float32(7.5)).astype(np.float32)
        inner = canvas.inside(process + np.float32(1.5)) * np.clip(0.8 + 0.15 * grain[where], 0.3, 1.0)
        canvas.nested(((MARROW, inner.astype(np.float32)), (CORTICAL, canvas.inside(process))), where)
    where = canvas.window(np.array((-60.0, -5.0, -128.0)), np.array((60.0, 92.0, -100.0)))
    if where is not None:
        across, _ = arch_distance(canvas, where, 4.0, 44.0, 77.0)
        body = np.hypot(across * np.float32(1.15), np.maximum(np.abs(canvas.z[where] + 116.0) - 6.0, 0.0)) - np.float32(
            5.8
        )
        inner = canvas.inside((body + 1.9).astype(np.float32)) * np.clip(0.8 + 0.15 * grain[where], 0.3, 1.0)
        canvas.nested(((MARROW, inner.astype(np.float32)), (CORTICAL, canvas.inside(body.astype(np.float32)))), where)
    deep = canvas.inside(skin + np.float32(14.0))
    bone(canvas, Ellipsoid((0.0, 50.0, -80.0), (25.0, 27.0, 2.6)), 1, grain, 1.2)
    for side in (1, -1):
        ramus = Tube(((46.0, 8.0, -112.0), (50.0, 2.0, -80.0), (52.0, -9.0, -54.0)), (6.5, 7.5, 6.0), flatten=1.7)
        bone(canvas, subject.vary("ramus", ramus, side), side, grain, 1.8)
        bone(canvas, Tube(((50.0, 10.0, -92.0), (47.0, 16.0, -62.0)), (6.0, 3.5), flatten=1.8), side, grain, 1.5)
        cheek = Tube(((32.0, 64.0, -54.0), (47.0, 54.0, -52.0), (54.0, 38.0, -50.0)), (5.0, 8.0, 4.5))
        bone(canvas, subject.vary("zygoma", cheek, side), side, grain, 1.9)
        arch = Tube(
            ((54.0, 40.0, -50.0), (66.0, 18.0, -50.0), (66.0, -8.0, -48.0), (60.0, -18.0, -46.0)), (4.5, 3.0, 3.0, 5.0)
        )
        bone(canvas, subject.vary("zygomatic arch", arch, side), side, grain, 1.8)
        rim = Tube(
            ((49.0, 52.0, -40.0), (47.0, 60.0, -24.0), (30.0, 70.0, -18.0), (12.0, 73.0, -22.0)), (4.0, 4.5, 4.5, 5.0)
        )
        bone(canvas, subject.vary("orbital rim", rim, side), side, grain, 2.0)
        bone(
            canvas,
            Tube(((12.0, 71.0, -34.0), (16.0, 70.0, -56.0), (22.0, 68.0, -76.0)), (3.0, 3.0, 5.0)),
            side,
            grain,
            1.5,
        )
        canvas.solid(CORTICAL, ORBIT_WALL, side, limit=deep)
    bone(canvas, Tube(((0.0, 74.0, -24.0), (0.0, 80.0, -36.0), (0.0, 88.0, -48.0)), (5.0, 4.0, 2.4)), 1, grain, 1.6)


def paint_neck(canvas: Canvas, subject: Subject, grain: Array) -> None:
    """Spinal canal, vertebrae and discs."""
    canal = Tube(((0.0, -44.0, -66.0), (0.0, -43.0, -120.0), (0.0, -46.0, -200.0)), (11.0, 9.0, 9.0))
    canvas.solid(CSF, canal, walls=((DURA, 1.0),))
    where = canvas.window(np.array((-40.0, -90.0, -200.0)), np.array((40.0, 0.0, -66.0)))
    if where is None:
        return
    x, y, z = canvas.coordinates(where)
    # Levels 18 mm apart; a disc fills the last third of each.
    level = ((-z - np.float32(74.0)) / np.float32(18.0)) % np.float32(1.0)
    disc = (np.abs(level - 0.85) - np.float32(0.14)) * np.float32(18.0)
    body = Ellipsoid((0.0, -22.0, -130.0), (15.0, 11.0, 900.0)).distance(x, y, z)
    arch = np.abs(canal.distance(x, y, z) - np.float32(4.0)) - np.float32(2.6)
    spine = Ellipsoid((0.0, -64.0, -130.0), (3.0, 14.0, 900.0)).distance(x, y, z)
    facet = Ellipsoid((22.0, -38.0, -130.0), (8.0, 8.0, 900.0)).distance(np.abs(x), y, z)
    shape = np.minimum(np.minimum(body, arch), np.minimum(spine, facet))
    vertebra = np.maximum(np.maximum(shape, -disc), z + np.float32(72.0)).astype(np.float32)
    inner = canvas.inside(vertebra + np.float32(1.3)) * np.clip(0.8 + 0.15 * grain[where], 0.3, 1.0)
    canvas.nested(((MARROW, inner.astype(np.float32)), (CORTICAL, canvas.inside(vertebra))), where)
    canvas.paint(
        MUCOSA, canvas.inside(np.maximum(np.maximum(body, disc), z + np.float32(72.0)).astype(np.float32)), where
    )


MUSCLES: tuple[tuple[str, Ellipsoid | Tube], ...] = (
    ("masseter", Tube(((60.0, 22.0, -58.0), (56.0, 14.0, -90.0), (53.0, 8.0, -108.0)), (6.5, 8.5, 6.0))),
    ("temporalis tendon", Tube(((58.0, 24.0, -20.0), (56.0, 20.0, -44.0), (50.0, 16.0, -64.0)), (8.0, 9.0, 5.0))),
    ("lateral pterygoid", Tube(((20.0, 12.0, -56.0), (34.0, 4.0, -58.0), (48.0, -6.0, -56.0)), (7.0, 8.0, 5.0))),
    ("medial pterygoid", Tube(((18.0, 8.0, -62.0), (30.0, 8.0, -84.0), (43.0, 6.0, -106.0)), (6.0, 7.5, 6.0))),
    ("sternomastoid", Tube(((62.0, -42.0, -66.0), (56.0, -34.0, -100.0), (40.0, -8.0, -170.0)), (8.0, 9.5, 9.0))),
    ("splenius", Tube(((34.0, -84.0, -62.0), (28.0, -74.0, -100.0), (26.0, -74.0, -190.0)), (11.0, 13.0, 15.0))),
    ("semispinalis", Tube(((14.0, -76.0, -62.0), (13.0, -66.0, -90.0), (13.0, -66.0, -190.0)), (9.5, 11.0, 12.0))),
    ("scalene", Tube(((28.0, -30.0, -80.0), (30.0, -26.0, -190.0)), (9.0, 14.0))),
    ("longus", Tube(((9.0, -10.0, -76.0), (11.0, -8.0, -190.0)), (6.0, 7.0))),
    ("digastric", Tube(((52.0, -36.0, -64.0), (40.0, -6.0, -104.0)), (5.0, 5.0))),
)


def paint_soft_tissue(canvas: Canvas, subject: Subject, skin: Array, fascia: Array) -> None:
    """Muscles of face and neck, tongue, and the fat and skin around all of it."""
    under_skin = canvas.inside(skin + np.float32(3.5))
    canvas.solid(MUSCLE, Ellipsoid((0.0, 42.0, -98.0), (22.0, 33.0, 16.0)), limit=under_skin)
    canvas.solid(MUSCLE, Tube(((0.0, 20.0, -116.0), (0.0, 66.0, -118.0)), (12.0, 7.0)), limit=under_skin)
    canvas.solid(AIR, Ellipsoid((0.0, 46.0, -82.5), (20.0, 22.0, 1.6)))
    for side in (1, -1):
        for name, shape in MUSCLES:
            canvas.solid(MUSCLE, subject.vary(name, shape, side, shift=1.5, size=0.12), side, limit=under_skin)
    # What is left between the named parts: gland and small muscles near the airway, fat elsewhere.
    near = np.exp(-((canvas.x / 34.0) ** 2) - ((canvas.y - 14.0) / 46.0) ** 2)
    planes = np.abs(fascia) + 0.8 * near - np.float32(0.34)
    filling = np.clip(0.5 + planes * np.float32(3.0 / max(canvas.width, 0.7)), 0.0, 1.0)
    canvas.paint(
        MUSCLE,
        (filling * smooth_step(-canvas.z, 22.0, 40.0) * canvas.inside(skin + np.float32(8.0) + 2.5 * fascia)).astype(
            np.float32
        ),
    )
    # Ears and nose are cartilage and skin; elsewhere fat lies under two mm of skin.
    canvas.nested(((FAT, canvas.inside(skin + np.float32(1.9))), (SKIN, canvas.inside(skin))))
