"""The contents of the skull: ventricles, nuclei, brain stem, cerebellum, folded cortex, falx and cerebrospinal fluid.

Positions are MNI coordinates (x right, y front, z up, mm). The cortex follows one idea: grey matter is what lies
within the cortical thickness of the cerebrospinal fluid, and the fluid reaches down into sulci, which are the zero
surfaces of a band-limited random field that is constant along the direction from the outer hull to the inside.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .shapes import Array, Ellipsoid, Tube, smooth_step, smooth_union
from .subject import Subject
from .tissue import BLOOD, CALCIFICATION, CSF, DEEP_GREY, DURA, GREY, LESION, WHITE

CORE = Ellipsoid((0.0, -6.0, 3.0), (38.0, 39.0, 25.0))
"""Where the hemispheres are joined: the corpus callosum is its upper rim, above the ventricles."""

PAIRED: tuple[tuple[str, int, Ellipsoid | Tube], ...] = (
    ("caudate head", DEEP_GREY, Ellipsoid((13.5, 15.0, 6.0), (5.0, 10.0, 8.5))),
    (
        "caudate body",
        DEEP_GREY,
        Tube(((14.0, 12.0, 12.0), (17.5, -6.0, 20.0), (20.0, -24.0, 18.0), (26.0, -36.0, 6.0)), (5.0, 3.4, 2.4, 1.6)),
    ),
    ("accumbens", DEEP_GREY, Ellipsoid((10.0, 12.0, -6.0), (5.0, 6.0, 4.0))),
    ("putamen", DEEP_GREY, Ellipsoid((26.5, 3.0, 1.0), (5.0, 16.0, 10.5))),
    ("thalamus", DEEP_GREY, Ellipsoid((10.5, -18.5, 7.5), (8.5, 14.5, 9.0))),
    ("amygdala", GREY, Ellipsoid((23.0, -4.0, -19.0), (7.5, 7.5, 7.0))),
    ("hippocampus", GREY, Tube(((25.0, -12.0, -20.0), (29.0, -22.0, -15.0), (28.0, -34.0, -6.0)), (5.2, 4.6, 3.2))),
)


def cavity_distance(x: Array, y: Array, z: Array) -> Array:
    """Signed distance to the inner surface of the skull: vault, middle and posterior fossa, and the foramen magnum."""
    side = np.abs(x)
    # The vault rises higher above its axis than the anterior fossa goes below it, and is broadest behind the middle.
    up = z - 13.0
    height = np.where(up > 0, np.float32(1 / 67.0), np.float32(1 / 41.5))
    breadth = np.float32(1 / 70.0) * (1.0 + 1.3e-5 * (y + 28.0) ** 2)
    u, v, w = side * breadth, (y + 17.0) * np.float32(1 / 90.5), up * height
    # Exponent 2.3 instead of 2: the vault is fuller than an ellipsoid; its floor is nearly flat.
    flat = np.where(up > 0, np.float32(2.3), np.float32(4.5))
    total = u ** np.float32(2.3) + np.abs(v) ** np.float32(2.3) + np.abs(w) ** flat
    scaled = np.maximum(total, np.float32(1e-6)) ** np.float32(1 / 2.3)
    slope = np.sqrt((u * breadth) ** 2 + (v * np.float32(1 / 90.5)) ** 2 + (w * height) ** 2) / np.maximum(scaled, 0.05)
    vault = np.maximum((scaled - 1.0) / np.maximum(slope, np.float32(0.006)), np.float32(-60.0))
    middle = Ellipsoid((40.0, -10.0, -26.0), (26.0, 35.0, 25.0)).distance(side, y, z)
    posterior = Ellipsoid((0.0, -60.0, -36.0), (60.0, 45.0, 31.0)).distance(x, y, z)
    stem = Tube(((0.0, -18.0, -20.0), (0.0, -34.0, -48.0), (0.0, -45.0, -72.0)), (15.0, 16.0, 11.0)).distance(x, y, z)
    result = smooth_union(np.asarray(vault, np.float32), middle, 9.0)
    result = smooth_union(result, posterior, 20.0)
    result = smooth_union(result, stem, 8.0)
    # The petrous ridges, the lesser wings and the body of the sphenoid with the clivus stand into the cavity.
    ridge = Tube(((64.0, -32.0, -43.0), (38.0, -27.0, -41.0), (14.0, -14.0, -42.0)), (8.0, 7.5, 4.0)).distance(
        side, y, z
    )
    wing = Tube(
        ((8.0, 16.0, -21.0), (28.0, 23.0, -18.0), (46.0, 27.0, -14.0), (64.0, 24.0, -9.0)), (2.0, 2.0, 2.0, 2.4)
    ).distance(side, y, z)
    body = Tube(
        ((0.0, 16.0, -40.0), (0.0, 2.0, -41.0), (0.0, -14.0, -48.0), (0.0, -24.0, -66.0)), (14.0, 9.0, 5.5, 3.0)
    ).distance(x, y, z)
    return -smooth_union(-result, np.minimum(np.minimum(ridge, wing), body), 4.0)


def tentorium_height(x: Array, y: Array) -> Array:
    """Height z of the surface between cerebrum (above) and posterior fossa (below)."""
    side = np.abs(x)
    roof = -4.0 - 0.33 * side + 0.13 * (y + 48.0)
    # In front of the petrous ridge the temporal lobe reaches down to the floor of the middle fossa.
    ridge = -30.0 - 0.28 * side + 0.0 * y
    drop = np.maximum(y - ridge, 0.0)
    return np.asarray(roof - 2.2 * drop, np.float32)


def ventricles(subject: Subject, side: int) -> tuple[Tube, ...]:
    """The lateral ventricle of one side, thicker with age."""
    v = subject.ventricles
    body = Tube(
        (
            (10.0, 34.0, 2.0),
            (8.5, 22.0, 9.0),
            (8.0, 4.0, 17.5),
            (10.5, -16.0, 20.0),
            (17.0, -33.0, 17.0),
            (26.0, -44.0, 9.0),
        ),
        (2.6 * v, 5.2 * v, 4.6 * v, 4.4 * v, 5.6 * v, 7.2 * v),
        flatten=1.15,
    )
    temporal = Tube(((27.0, -43.0, 8.0), (34.0, -32.0, -6.0), (34.0, -14.0, -18.0)), (6.2 * v, 2.4 * v, 1.9 * v))
    occipital = Tube(((26.0, -46.0, 8.0), (26.0, -62.0, 5.0), (23.0, -74.0, 4.0)), (6.4 * v, 4.0 * v, 1.5 * v))
    return tuple(
        subject.vary(name, tube, side, shift=0.7, size=0.1)
        for name, tube in (("body", body), ("temporal horn", temporal), ("occipital horn", occipital))
    )


def paint_brain(canvas: Canvas, subject: Subject, cavity: Array, lesions: tuple[Ellipsoid, ...] = ()) -> None:
    """Paint all that lies inside the skull; `cavity` is the signed distance to its inner surface (whole block)."""
    limit = canvas.inside(cavity + np.float32(1.0))
    for lesion in lesions:
        canvas.solid(LESION, lesion)
    paint_calcifications(canvas, subject)
    paint_midline(canvas, subject)
    for side in (1, -1):
        for tube in ventricles(subject, side):
            canvas.solid(CSF, tube, side)
    for side in (1, -1):
        for name, tissue, shape in PAIRED:
            canvas.solid(tissue, subject.vary(name, shape, side), side)
        # The globus pallidus and its laminae hold more myelin than the other nuclei.
        pallidum = subject.vary("pallidum", Ellipsoid((19.5, -3.5, -1.0), (4.8, 8.5, 6.5)), side)
        blend(canvas, pallidum, side, ((DEEP_GREY, 0.6), (WHITE, 0.4)))
    paint_stem(canvas, subject)
    paint_cerebellum(canvas, subject, cavity, limit)
    paint_cerebrum(canvas, subject, cavity)
    paint_membranes(canvas, subject, cavity)
    low, high = np.array((-80.0, -120.0, -80.0)), np.array((80.0, 85.0, 95.0))
    where = canvas.window(low, high)
    if where is not None:
        canvas.paint(CSF, limit[where], where)
        canvas.paint(DURA, canvas.inside(cavity[where]), where)


def blend(canvas: Canvas, shape: Ellipsoid | Tube, side: int, tissues: tuple[tuple[int, float], ...]) -> None:
    """Paint a solid of mixed tissue: (tissue, share), shares summing to one."""
    where = canvas.around(shape, side)
    if where is None:
        return
    membership = canvas.inside(shape.distance(*canvas.coordinates(where, side)))
    left = 1.0
    for tissue, share in tissues:
        # What is painted first leaves less for the next: the share is of what is left.
        canvas.paint(tissue, membership * np.float32(share / left) if left > share else membership, where)
        left -= share


def paint_calcifications(canvas: Canvas, subject: Subject) -> None:
    """The pineal gland and the choroid plexus of the atria calcify with age."""
    draw = subject.generator("calcification")
    if draw.uniform() < 0.35 + 0.5 * subject.age:
        size = float(draw.uniform(1.6, 3.2))
        canvas.solid(CALCIFICATION, Ellipsoid((0.0, -31.0, 3.0), (size, size, 0.8 * size)))
    for side in (1, -1):
        if draw.uniform() < 0.15 + 0.6 * subject.age:
            size = float(draw.uniform(1.5, 3.2))
            canvas.solid(CALCIFICATION, Ellipsoid((24.0, -44.0, 9.0), (size, 1.3 * size, size)), side)


def paint_midline(canvas: Canvas, subject: Subject) -> None:
    """Third and fourth ventricle, aqueduct, and what stands between the lateral ventricles."""
    v = subject.ventricles
    # The septum and the columns of the fornix are painted first, so that the ventricles of the two sides do not merge.
    canvas.solid(WHITE, Ellipsoid((0.0, 8.0, 10.0), (1.0, 22.0, 12.0)))
    canvas.solid(WHITE, Tube(((0.0, 6.0, 8.0), (0.0, -8.0, 14.0), (0.0, -26.0, 14.0)), (2.4, 2.4, 2.8)))
    canvas.solid(DEEP_GREY, Ellipsoid((0.0, -16.0, 5.0), (3.0, 3.0, 3.0)))
    third = Ellipsoid((0.0, -13.0, 0.0), (2.0 * v + 0.5, 15.0, 12.0))
    canvas.solid(CSF, subject.vary("third ventricle", third, shift=0.5))
    canvas.solid(CSF, Tube(((0.0, -27.0, -5.0), (0.0, -34.0, -16.0), (0.0, -40.0, -24.0)), (1.1, 1.1, 1.8)))
    fourth = Ellipsoid((0.0, -45.0, -31.0), (6.5, 5.0 + v, 10.0))
    canvas.solid(CSF, subject.vary("fourth ventricle", fourth, shift=0.6))
    canvas.solid(DEEP_GREY, Ellipsoid((0.0, -1.0, -37.0), (6.0, 4.5, 3.5)))


def paint_stem(canvas: Canvas, subject: Subject) -> None:
    """Midbrain, pons, medulla and cord: white matter mixed with nuclei."""
    mixed = ((WHITE, 0.75), (DEEP_GREY, 0.25))
    for side in (1, -1):
        canvas.solid(DEEP_GREY, Ellipsoid((5.0, -21.0, -9.0), (2.6, 2.8, 3.0)), side)
        canvas.solid(DEEP_GREY, Ellipsoid((10.0, -17.5, -12.0), (1.6, 4.5, 4.0)), side)
        blend(
            canvas, Tube(((17.0, -14.0, -4.0), (11.0, -19.0, -14.0), (5.0, -24.0, -26.0)), (6.0, 5.5, 6.0)), side, mixed
        )
        blend(canvas, Tube(((9.0, -29.0, -30.0), (22.0, -42.0, -34.0)), (8.0, 7.0)), side, mixed)
    blend(canvas, subject.vary("midbrain", Ellipsoid((0.0, -28.5, -10.0), (13.0, 8.5, 11.0))), 1, mixed)
    blend(canvas, subject.vary("pons", Ellipsoid((0.0, -26.0, -29.0), (17.0, 12.5, 14.0))), 1, mixed)
    blend(canvas, Tube(((0.0, -34.0, -36.0), (0.0, -39.0, -52.0), (0.0, -45.0, -72.0)), (10.0, 8.5, 6.5)), 1, mixed)
    blend(canvas, Tube(((0.0, -45.0, -72.0), (0.0, -43.0, -120.0), (0.0, -46.0, -200.0)), (6.5, 5.5, 5.5)), 1, mixed)
    # The floor of the third ventricle and the walls of the hypothalamus.
    canvas.solid(DEEP_GREY, Ellipsoid((0.0, -5.0, -11.0), (9.0, 9.0, 6.0)))
    canvas.solid(WHITE, Tube(((14.0, 14.0, -22.0), (0.0, 2.0, -18.0), (-14.0, 14.0, -22.0)), (2.0, 2.6, 2.0)))


def paint_cerebellum(canvas: Canvas, subject: Subject, cavity: Array, limit: Array) -> None:
    """Cerebellum: its fissures are sheets of constant angle about the fourth ventricle."""
    where = canvas.window(np.array((-58.0, -106.0, -70.0)), np.array((58.0, -34.0, 2.0)))
    if where is None:
        return
    x, y, z = canvas.coordinates(where)
    side = np.abs(x)
    hull = Ellipsoid((25.0, -64.0, -38.0), (33.0, 36.0, 28.0)).distance(side, y, z)
    hull = smooth_union(hull, Ellipsoid((0.0, -66.0, -35.0), (15.0, 27.0, 25.0)).distance(x, y, z), 7.0)
    hull = np.maximum(hull, z - tentorium_height(x, y) + np.float32(0.8 + 0.4 * subject.gap))
    hull = np.maximum(hull, cavity[where] + np.float32(1.0 + 0.6 * subject.gap))
    chosen = hull < canvas.width
    if not chosen.any():
        return
    x, y, z, side, depth = x[chosen], y[chosen], z[chosen], side[chosen], -hull[chosen]
    radius = np.hypot(y + 44.0, z + 32.0)
    points = np.stack([x, y, z])
    wobble, _ = subject.waves["depth"].with_gradient(points)
    angle = np.arctan2(z + 32.0, -(y + 44.0)) + 0.10 * wobble + 0.006 * side
    phase = angle * np.float32(2 * np.pi / 0.21)
    to_sheet = np.abs((phase / (2 * np.pi) + 0.5) % 1.0 - 0.5) * np.float32(0.21) * np.maximum(radius, 8.0)
    # Every third fissure is deep and parts the lobules; the others part folia.
    order = np.round(phase / (2 * np.pi)) % 3
    reach = np.where(order == 0, np.float32(15.0), np.float32(6.5))
    fold = np.hypot(to_sheet, np.maximum(depth - reach, 0.0))
    fluid = np.minimum(depth, fold - np.float32(0.15 + 0.25 * subject.sulcus))
    # Folia are finer than a voxel: their cortex blends with the fluid between them.
    region = limit[where]
    white, brain = np.zeros(hull.shape, np.float32), np.zeros(hull.shape, np.float32)
    white[chosen] = 1.0 - canvas.inside(fluid - np.float32(1.6))
    brain[chosen] = 1.0 - canvas.inside(fluid)
    canvas.nested(((WHITE, white * region), (GREY, brain * region)), where)


def fissure_distance(x: Array, y: Array, z: Array, side: Array) -> Array:
    """Distance to the lateral (Sylvian) fissure: a sheet from the surface to the insula, and the sulcus around that."""
    level = -3.0 - 0.40 * (y - 2.0)
    vertical = (z - level) * np.float32(0.93)
    # The sheet runs from the temporal pole to behind the insula.
    along = np.maximum(np.maximum(y - 24.0, -38.0 - y), 0.0)
    sheet = np.sqrt(vertical**2 + np.maximum(38.0 - side, 0.0) ** 2 + along**2)
    spread = np.maximum(np.abs(z - (level + 4.0)) - 11.0, 0.0)
    beyond = np.maximum(np.maximum(y - 20.0, -22.0 - y), 0.0)
    wall = side - 39.0 + 0.006 * (y + 1.0) ** 2 + 0.008 * (z - 3.0) ** 2
    insula = np.sqrt(wall**2 + spread**2 + beyond**2)
    return np.asarray(np.minimum(sheet, insula), np.float32)


def paint_cerebrum(canvas: Canvas, subject: Subject, cavity: Array) -> None:
    """The folded cortex and the white matter under it."""
    where = canvas.window(np.array((-78.0, -112.0, -56.0)), np.array((78.0, 80.0, 86.0)))
    if where is None:
        return
    x, y, z = canvas.coordinates(where)
    hull = cavity[where] + np.float32(1.0 + subject.gap)
    hull = np.maximum(hull, tentorium_height(x, y) + np.float32(0.6) - z)
    # Basal cisterns: nothing of the cerebrum around the chiasm and the brain stem.
    hull = np.maximum(hull, -Ellipsoid((0.0, -8.0, -24.0), (15.0, 21.0, 15.0)).distance(x, y, z))
    chosen = hull < canvas.width
    if not chosen.any():
        return
    x, y, z, depth = x[chosen], y[chosen], z[chosen], -hull[chosen]
    water, cortex = cortical_layers(subject, x, y, z, depth)
    white, brain = np.zeros(hull.shape, np.float32), np.zeros(hull.shape, np.float32)
    white[chosen] = 1.0 - canvas.inside(cortex)
    brain[chosen] = 1.0 - canvas.inside(water)
    canvas.nested(((WHITE, white), (GREY, brain)), where)


def cortical_layers(subject: Subject, x: Array, y: Array, z: Array, depth: Array) -> tuple[Array, Array]:
    """Distances (mm) into the tissue from the fluid and from the inner surface of the cortex, both negative on the
    fluid's side.

    Args:
        subject: whose folds.
        x, y, z: head coordinates, shape (n,).
        depth: mm below the outer hull of the cerebrum, shape (n,).
    """
    side = np.abs(x)
    core = CORE.distance(x, y, z)
    # The longitudinal fissure ends at the corpus callosum, where the core begins.
    middle = np.hypot(x, np.maximum(-core, 0.0))
    fissure = middle - np.float32(0.7 + 0.5 * subject.sulcus)
    outside = np.minimum(depth, fissure)
    # Rays leave a segment inside each hemisphere; a sulcus is a sheet of such rays.
    sign = np.where(x >= 0, np.float32(1), np.float32(-1))
    rx, ry, rz = side - 27.0, y - np.clip(y, -62.0, 36.0), z - np.clip(6.0 + 0.15 * (y + 10.0), 0.0, 16.0)
    length = np.maximum(np.sqrt(rx * rx + ry * ry + rz * rz), np.float32(4.0))
    below = np.maximum(outside, 0.0)
    stretch = below / length
    points = np.stack([sign * (side + rx * stretch), y + ry * stretch, z + rz * stretch]).astype(np.float32)
    relief = subject.waves["depth"].at(points.T)
    # Sulci lean and bend on their way down.
    points[1] += 0.28 * below * relief[0]
    points[2] += 0.28 * below * relief[1]
    value, gradient = subject.waves["folds"].with_gradient(points)
    radial = (sign * gradient[0] * rx + gradient[1] * ry + gradient[2] * rz) / length
    steepness = np.sqrt(np.maximum((gradient**2).sum(axis=0) - radial**2, 0.0) + np.float32(0.003))
    to_sulcus = np.abs(value) / steepness / (1.0 + stretch)
    reach = np.clip(16.0 + 5.5 * relief[1], 5.0, 24.0)
    fold = np.hypot(to_sulcus, np.maximum(np.maximum(outside - reach, 1.0 - core), 0.0))
    sylvian = fissure_distance(x, y, z, side)
    open_to = np.float32(subject.sulcus) * (0.75 + 0.25 * relief[1]) + 0.07 * np.maximum(6.0 - below, 0.0)
    water = np.minimum(np.minimum(depth, fissure), fold - open_to)
    water = np.minimum(water, sylvian - (0.5 + 1.1 * np.float32(subject.sulcus)))
    thickness = np.float32(2.55) + 0.25 * relief[1]
    # No cortex on the corpus callosum.
    free = smooth_step(core, -1.0, 4.0)
    mantle = np.minimum(np.minimum(depth, fold - open_to), sylvian - (0.5 + 1.1 * np.float32(subject.sulcus)))
    cortex = np.minimum(mantle - thickness, fissure - thickness * free)
    return np.asarray(water, np.float32), np.asarray(cortex, np.float32)


def paint_membranes(canvas: Canvas, subject: Subject, cavity: Array) -> None:
    """Falx and tentorium, and the venous sinuses in their edges."""
    where = canvas.window(np.array((-6.0, -112.0, -25.0)), np.array((6.0, 82.0, 90.0)))
    if where is not None:
        x, y, z = canvas.coordinates(where)
        depth = -cavity[where]
        # Sagittal sinus: a triangle under the vault, from the crown to the back.
        sinus = np.maximum(np.abs(x) * 1.6 + depth - np.float32(5.5), -depth)
        behind = smooth_step(-y - 0.5 * z, -60.0, 10.0)
        canvas.paint(BLOOD, canvas.inside(sinus) * behind, where)
        core = CORE.distance(x, y, z)
        falx = np.maximum(np.abs(x) - np.float32(0.55), np.float32(5.0) - core)
        falx = np.maximum(falx, tentorium_height(x, y) - z)
        canvas.paint(DURA, canvas.inside(np.maximum(falx, -depth)), where)
    where = canvas.window(np.array((-60.0, -112.0, -45.0)), np.array((60.0, -40.0, 0.0)))
    if where is not None:
        x, y, z = canvas.coordinates(where)
        sheet = np.abs(z - tentorium_height(x, y)) * np.float32(0.92) - np.float32(0.5)
        canvas.paint(DURA, canvas.inside(np.maximum(sheet, cavity[where])), where)
    for side, width in ((1, 3.6), (-1, 2.8)):
        run = Tube(
            ((4.0, -103.0, -18.0), (30.0, -92.0, -22.0), (52.0, -62.0, -28.0), (50.0, -44.0, -42.0)), (width,) * 4
        )
        canvas.solid(BLOOD, subject.vary("transverse sinus", run, side), side, limit=canvas.inside(cavity))
