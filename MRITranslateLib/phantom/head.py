"""The phantom: samples the anatomy on an image grid and turns tissue fractions into MR contrasts and CT."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..errors import InputError
from .brain import cavity_distance, lesion_candidates, paint_brain
from .canvas import Canvas, index_window
from .face import outer_distance, paint_airway, paint_jaws, paint_neck, paint_orbits, paint_soft_tissue
from .fields import WaveField
from .shapes import Ellipsoid
from .signal import CONTRASTS, DEFAULTS, Acquisition, randomised_acquisition, randomised_tissues, tissue_signal
from .skull import paint_air_cells, paint_base, paint_scalp_muscle, paint_skull, wrapping
from .subject import DEFORMATION_MM, Subject
from .tissue import AIR, LESION, TISSUES, WHITE, Tissue

FIELD_OF_VIEW_MM = (240.0, 240.0, 180.0)
"""Default extent along columns, rows and slices: a head from the crown to below the skull base, with some air around it."""
SAMPLE_MM = 2.0
"""Voxels longer than about this are sampled several times along that axis."""
BLOCK_SAMPLES = 160_000
"""Samples worked on at a time: what fits the processor's cache and keeps memory small."""
HEAD_LOW, HEAD_HIGH = np.array((-98.0, -128.0, -220.0)), np.array((98.0, 116.0, 100.0))
MAX_LESIONS = 40

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Phantom:
    """A digital head: all images on one grid.

    Attributes:
        t1, t2, flair, pd: MR magnitude images, float32, arbitrary units, 0 in air without noise.
        ct: int16, HU, -1000 in air.
        labels: uint8, the tissue with the largest share of each voxel; `label_names` says which is which. 0 is air.
        lesions: uint8, 0 outside, 1..n the number of the lesion.
        label_names: label -> tissue name.
        acquisitions: contrast -> the acquisition that made it.
        lesion_centres: physical LPS position (mm) of each lesion.
    """

    t1: sitk.Image
    t2: sitk.Image
    flair: sitk.Image
    pd: sitk.Image
    ct: sitk.Image
    labels: sitk.Image
    lesions: sitk.Image
    label_names: Mapping[int, str]
    acquisitions: Mapping[str, Acquisition]
    lesion_centres: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Grid:
    """An image grid: index (column, row, slice) -> LPS mm is `matrix @ index + origin`."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def matrix(self) -> NDArray[np.float64]:
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
    if len(shape) != 3 or any(int(size) != size for size in shape):
        raise InputError(
            f"The phantom's shape must be three whole numbers (slices, rows, columns), not {tuple(shape)}."
        )
    slices, rows, columns = (int(size) for size in shape)
    if min(slices, rows, columns) < 1 or max(slices, rows, columns) > 1024 or slices * rows * columns > 2**27:
        raise InputError(
            f"The phantom's shape {slices} x {rows} x {columns} is out of range: give 1 to 1024 slices, rows and columns, "
            "and at most 512 x 512 x 512 voxels."
        )
    if spacing is None:
        in_plane = max(FIELD_OF_VIEW_MM[0] / columns, FIELD_OF_VIEW_MM[1] / rows)
        # A few slices do not become slabs of many centimetres: they show the middle of the head.
        spacing = (in_plane, in_plane, min(FIELD_OF_VIEW_MM[2] / slices, 5.0))
    spacing = tuple(float(value) for value in spacing)
    if len(spacing) != 3 or not all(math.isfinite(value) and 0.05 <= value <= 300.0 for value in spacing):
        raise InputError(
            f"The phantom's spacing must be three numbers of mm (x, y, z) between 0.05 and 300, not {spacing}."
        )
    extent = [size * step for size, step in zip((columns, rows, slices), spacing, strict=True)]
    if max(extent) > 1500.0:
        raise InputError(
            f"The phantom's field of view is {max(extent):.0f} mm; give a smaller spacing or shape (at most 1500 mm)."
        )
    direction = tuple(float(value) for value in (direction if direction is not None else np.eye(3).ravel()))
    axes = np.array(direction)
    if len(direction) != 9 or not np.allclose(axes.reshape(3, 3) @ axes.reshape(3, 3).T, np.eye(3), atol=1e-4):
        raise InputError(
            "The phantom's direction must be the nine numbers of a rotation or reflection matrix, row by row."
        )
    if origin is None:
        half = (np.array((columns, rows, slices)) - 1) / 2.0 * np.array(spacing)
        origin = tuple(float(value) for value in -(axes.reshape(3, 3) @ half))
    origin = tuple(float(value) for value in origin)
    if len(origin) != 3 or not all(math.isfinite(value) for value in origin):
        raise InputError(f"The phantom's origin must be three numbers of mm (x, y, z), not {origin}.")
    return Grid((slices, rows, columns), spacing, origin, direction)


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


def block_fractions(
    subject: Subject,
    grid: Grid,
    start: tuple[int, int, int],
    stop: tuple[int, int, int],
    lesions: tuple[Ellipsoid, ...],
) -> Array:
    """Tissue fractions (tissues, slices, rows, columns) of the voxels start..stop (slice, row, column) of a grid."""
    voxel = grid.matrix
    factors = np.array([max(1, round(step / SAMPLE_MM)) for step in grid.spacing])
    # Samples divide the voxel evenly: the first lies half a sample inside the voxel's edge.
    first = np.array(start[::-1]) - 0.5 + 0.5 / factors
    to_physical = voxel / factors
    physical = voxel @ first + np.array(grid.origin)
    matrix, offset = subject.to_head @ to_physical, subject.to_head @ physical + subject.shift
    size = (np.array(stop) - np.array(start)) * factors[::-1]
    shape = (int(size[0]), int(size[1]), int(size[2]))
    index = [np.arange(count, dtype=np.float32) for count in shape]
    position = subject.waves["deformation"].on_grid(matrix, offset, shape)
    position *= np.float32(DEFORMATION_MM)
    reach = float(np.abs(position).max())
    for axis in range(3):
        position[axis] += np.float32(offset[axis])
        for count, (values, column) in enumerate(zip(index, (2, 1, 0), strict=True)):
            position[axis] += (values * np.float32(matrix[axis, column])).reshape(
                [-1 if n == count else 1 for n in range(3)]
            )
    width = float(np.mean(np.array(grid.spacing) / factors)) / subject.scale
    canvas = Canvas(position[0], position[1], position[2], width, matrix, offset, reach)
    relief = subject.waves["thickness"].on_grid(matrix, offset, shape)
    grain = subject.waves["grain"].on_grid(matrix, offset, shape)[0]
    fascia = subject.waves["fascia"].on_grid(matrix, offset, shape)[0]
    fractions = paint_head(canvas, subject, relief, grain, fascia, lesions)
    if factors.max() > 1:
        split = fractions.reshape(
            len(TISSUES),
            shape[0] // factors[2],
            factors[2],
            shape[1] // factors[1],
            factors[1],
            shape[2] // factors[0],
            factors[0],
        )
        fractions = split.mean(axis=(2, 4, 6))
    return fractions


def points_fractions(subject: Subject, points: NDArray[np.float64]) -> Array:
    """Tissue fractions (tissues, n) in samples of 1 mm at points (n, 3) in undeformed head coordinates."""
    deformed = (points.T + subject.displacement(points)).astype(np.float32)
    x, y, z = (row.reshape(1, 1, -1) for row in deformed)
    canvas = Canvas(x, y, z, 1.0)
    relief = subject.waves["thickness"].at(points).reshape(4, 1, 1, -1)
    grain = subject.waves["grain"].at(points).reshape(1, 1, -1)
    fascia = subject.waves["fascia"].at(points).reshape(1, 1, -1)
    return paint_head(canvas, subject, relief, grain, fascia, ()).reshape(len(TISSUES), -1)


def place_lesions(subject: Subject, count: int) -> tuple[tuple[Ellipsoid, ...], NDArray[np.float64]]:
    """Ellipsoids (deformed head coordinates) and their centres (n, 3; undeformed) in the deep white matter, apart from each other.

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
                        Ellipsoid(tuple(map(float, middle)), tuple(map(float, size * stretch)))
                        for middle, (_, size), stretch in zip(deformed, placed, axes, strict=True)
                    ), centres
    raise InputError(
        f"There is no room for {count} lesions in this head's white matter; ask for at most {len(placed)} or take another seed."
    )


def phantom(
    seed: int = 1,
    shape: Sequence[int] = (96, 128, 128),
    lesions: int = 0,
    *,
    spacing: Sequence[float] | None = None,
    origin: Sequence[float] | None = None,
    direction: Sequence[float] | None = None,
    acquisitions: Mapping[str, Acquisition] | None = None,
    randomise: bool = False,
) -> Phantom:
    """A digital head in T1, T2, FLAIR, PD and CT, with its tissue labels, on one grid.

    The anatomy depends on the seed alone: another shape, spacing or orientation samples the same head, placed in LPS space.

    Args:
        seed: which head; not negative.
        shape: (slices, rows, columns).
        lesions: number of white-matter lesions, 0 to 40. One that lies outside the field of view cannot show.
        spacing: mm along (x, y, z) of the index; by default the head fits: 240 mm in plane, 180 mm (at most 5 mm a slice) across.
        origin: LPS mm of the first voxel; by default the grid is centred on (0, 0, 0), where the head is, give or take some mm.
        direction: nine direction cosines, row by row; by default axial (identity).
        acquisitions: contrast ("t1", "t2", "flair", "pd") -> acquisition, for those that shall differ from the default.
        randomise: draw protocols, tissue values, bias and noise from the seed, as between hospitals (for training). The anatomy stays.

    Raises:
        InputError: a value out of range.
    """
    grid = make_grid(shape, spacing, origin, direction)
    if int(seed) != seed or seed < 0:
        raise InputError(f"The phantom's seed must be a whole number that is not negative, not {seed}.")
    if int(lesions) != lesions or not 0 <= lesions <= MAX_LESIONS:
        raise InputError(f"The number of lesions must be a whole number from 0 to {MAX_LESIONS}, not {lesions}.")
    unknown = set(acquisitions or {}) - set(CONTRASTS)
    if unknown:
        raise InputError(f"Unknown contrast {sorted(unknown)[0]!r}; the phantom has {', '.join(CONTRASTS)}.")
    subject = Subject(int(seed))
    tissues: tuple[Tissue, ...] = TISSUES
    protocol = dict(DEFAULTS)
    if randomise:
        tissues = randomised_tissues(subject.generator("tissues"))
        protocol = {name: randomised_acquisition(name, subject.generator(f"acquisition/{name}")) for name in CONTRASTS}
    protocol.update(acquisitions or {})
    solids, centres = place_lesions(subject, int(lesions))

    images = {name: np.zeros(grid.shape, np.float32) for name in CONTRASTS}
    ct = np.full(grid.shape, tissues[AIR].hounsfield, np.float32)
    labels = np.zeros(grid.shape, np.uint8)
    signals = np.array(
        [[tissue_signal(tissue, protocol[name]) for tissue in tissues] for name in CONTRASTS], np.float32
    )
    hounsfield = np.array([tissue.hounsfield for tissue in tissues], np.float32)
    texture = np.array([tissue.texture for tissue in tissues], np.float32)
    grain = np.array([tissue.grain for tissue in tissues], np.float32)
    matrix, offset = subject.to_head @ grid.matrix, subject.to_head @ np.array(grid.origin) + subject.shift
    window = index_window(matrix, offset, grid.shape, HEAD_LOW, HEAD_HIGH)
    lesion_share = np.zeros(grid.shape, np.float32)
    if window is not None:
        rows, columns = window[1], window[2]
        samples = np.prod([max(1, round(step / SAMPLE_MM)) for step in grid.spacing])
        per_slice = (rows.stop - rows.start) * (columns.stop - columns.start) * samples
        depth = max(1, int(BLOCK_SAMPLES / per_slice))
        for low in range(window[0].start, window[0].stop, depth):
            high = min(low + depth, window[0].stop)
            start, stop = (low, rows.start, columns.start), (high, rows.stop, columns.stop)
            where = slice(low, high), rows, columns
            fractions = block_fractions(subject, grid, start, stop, solids)
            flat = fractions.reshape(len(tissues), -1)
            block = fractions.shape[1:]
            corner = matrix @ np.array(start[::-1]) + offset
            variation = subject.waves["texture"].on_grid(matrix, corner, block)
            fine = subject.waves["grain"].on_grid(matrix, corner, block)[0]
            amount = (texture @ flat).reshape(block)
            for number, (name, values) in enumerate(zip(CONTRASTS, signals, strict=True)):
                # T2-like and T1-like contrasts vary in different patterns, as T1, T2 and density do.
                images[name][where] = (values @ flat).reshape(block) * (1.0 + amount * variation[number % 2])
            ct[where] = (hounsfield @ flat).reshape(block) + (grain @ flat).reshape(block) * fine
            labels[where] = fractions.argmax(axis=0)
            lesion_share[where] = fractions[LESION]
    physical = (centres - subject.shift) @ np.linalg.inv(subject.to_head).T
    return Phantom(
        **{name: finish_magnitude(images[name], grid, subject, name, protocol[name], tissues) for name in CONTRASTS},
        ct=make_image(finish_ct(ct, subject), grid),
        labels=make_image(labels, grid),
        lesions=make_image(label_lesions(lesion_share, grid, physical), grid),
        label_names={index: tissue.name for index, tissue in enumerate(tissues)},
        acquisitions=protocol,
        lesion_centres=tuple((float(x), float(y), float(z)) for x, y, z in physical),
    )


def label_lesions(share: Array, grid: Grid, centres: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Number the lesions: a voxel at least half lesion belongs to the nearest centre, and so does the voxel that holds the centre."""
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


def finish_magnitude(
    signal: Array, grid: Grid, subject: Subject, name: str, acquisition: Acquisition, tissues: tuple[Tissue, ...]
) -> sitk.Image:
    """Point spread, receive sensitivity and Rician noise (Gudbjartsson and Patz, MRM 34:910, 1995) on a noise-free image."""
    if acquisition.blur > 0:
        image = make_image(signal, grid)
        smooth = sitk.SmoothingRecursiveGaussian(image, acquisition.blur / 2.3548) if min(grid.shape) >= 4 else image
        signal = np.maximum(sitk.GetArrayFromImage(smooth), np.float32(0))
    if acquisition.bias > 0:
        field = WaveField(subject.generator(f"bias/{name}"), 12, (200.0, 420.0)).on_grid(
            grid.matrix, np.array(grid.origin), grid.shape
        )[0]
        signal *= np.exp(np.float32(acquisition.bias) * np.clip(field, -2.5, 2.5) * np.float32(0.6))
    if acquisition.noise > 0:
        level = np.float32(acquisition.noise * tissue_signal(tissues[WHITE], acquisition))
        draw = subject.generator(f"noise/{name}")
        signal += level * draw.standard_normal(grid.shape, np.float32)
        signal *= signal
        signal += (level * draw.standard_normal(grid.shape, np.float32)) ** 2
        np.sqrt(signal, out=signal)
    return make_image(signal, grid)


def finish_ct(hounsfield: Array, subject: Subject) -> NDArray[np.int16]:
    """Quantum noise, rounding and the usual 12-bit range."""
    hounsfield += np.float32(4.0) * subject.generator("noise/ct").standard_normal(hounsfield.shape, np.float32)
    return np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int16)


def make_image(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    """An image with the grid's geometry from an array (slice, row, column)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image
