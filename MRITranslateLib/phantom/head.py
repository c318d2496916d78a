"""The phantom: samples the anatomy on an image grid and turns tissue fractions into MR contrasts and CT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..errors import InputError
from .canvas import Window, index_window
from .fields import WaveField
from .grid import Grid, is_whole, make_grid, make_image
from .lesions import MAX_LESIONS, label_lesions, place_lesions
from .sampling import block_fractions, samples_per_voxel
from .shapes import Array, Ellipsoid
from .signal import CONTRASTS, DEFAULTS, Acquisition, randomised_acquisition, randomised_tissues, tissue_signal
from .subject import Subject
from .tissue import AIR, LESION, TISSUES, WHITE, Tissue

BLOCK_SAMPLES = 160_000
"""Samples worked on at a time: what fits the processor's cache and keeps memory small."""
HEAD_LOW, HEAD_HIGH = np.array((-98.0, -128.0, -220.0)), np.array((98.0, 116.0, 100.0))
"""A box around every head, in head coordinates (mm); outside is air."""
CT_NOISE_HU = 4.0


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

    The anatomy depends on the seed alone: another shape, spacing or orientation samples the same head, placed in LPS
    space.

    Args:
        seed: which head; not negative.
        shape: (slices, rows, columns).
        lesions: number of white-matter lesions, 0 to 16. One that lies outside the field of view cannot show.
        spacing: mm along (x, y, z) of the index; by default the head fits: 256 mm in plane, 192 mm (at most 5 mm a
            slice) across.
        origin: LPS mm of the first voxel; by default the grid is centred on (0, 0, 0), where the head is, give or take
            some mm.
        direction: nine direction cosines, row by row; by default axial (identity).
        acquisitions: contrast ("t1", "t2", "flair", "pd") -> acquisition, for those that shall differ from the default.
        randomise: draw protocols, tissue values, bias and noise from the seed, as between hospitals (for training).
            The anatomy stays.

    Raises:
        InputError: a value out of range.

    Example:
        >>> head = phantom(seed=1, shape=(4, 32, 32))
        >>> head.ct.GetSize() == head.t1.GetSize() == (32, 32, 4)
        True
    """
    grid = make_grid(shape, spacing, origin, direction)
    if not is_whole(seed) or seed < 0:
        raise InputError(f"The phantom's seed must be a whole number that is not negative, not {seed}.")
    if not is_whole(lesions) or not 0 <= lesions <= MAX_LESIONS:
        raise InputError(f"The number of lesions must be a whole number from 0 to {MAX_LESIONS}, not {lesions}.")
    unknown = sorted(set(acquisitions or {}) - set(CONTRASTS))
    if unknown:
        raise InputError(f'Unknown contrast "{unknown[0]}"; the phantom has {", ".join(CONTRASTS)}.')
    subject = Subject(int(seed))
    tissues, protocol = randomised(subject) if randomise else (TISSUES, dict(DEFAULTS))
    protocol.update(acquisitions or {})
    solids, centres = place_lesions(subject, int(lesions))
    physical = (centres - subject.shift) @ np.linalg.inv(subject.to_head).T
    truth = render(subject, grid, protocol, tissues, solids)
    return image_truth(truth, grid, subject, protocol, tissues, physical)


def randomised(subject: Subject) -> tuple[tuple[Tissue, ...], dict[str, Acquisition]]:
    """A subject's own tissue values and the protocol of each contrast, as between people and hospitals."""
    tissues = randomised_tissues(subject.generator("tissues"))
    return tissues, {name: randomised_acquisition(name, subject.generator(f"acquisition/{name}")) for name in CONTRASTS}


@dataclass(frozen=True)
class Truth:
    """The noise-free head on a grid: arrays (slice, row, column)."""

    signals: Mapping[str, Array]
    hounsfield: Array
    labels: NDArray[np.uint8]
    lesion_share: Array


def empty_truth(grid: Grid) -> Truth:
    """A grid full of air."""
    return Truth(
        {name: np.zeros(grid.shape, np.float32) for name in CONTRASTS},
        np.full(grid.shape, TISSUES[AIR].hounsfield, np.float32),
        np.zeros(grid.shape, np.uint8),
        np.zeros(grid.shape, np.float32),
    )


@dataclass(frozen=True)
class TissueValues:
    """What each tissue gives to a voxel, arrays over the tissues.

    Attributes:
        signals: contrast -> noise-free signal.
        hounsfield: CT number in HU.
        texture, grain: size of the variation of signal (relative) and CT number (HU).
    """

    signals: Mapping[str, Array]
    hounsfield: Array
    texture: Array
    grain: Array


def tissue_values(tissues: tuple[Tissue, ...], protocol: Mapping[str, Acquisition]) -> TissueValues:
    """The values of a table of tissues under a protocol."""
    signals = {
        name: np.array([tissue_signal(tissue, protocol[name]) for tissue in tissues], np.float32) for name in CONTRASTS
    }
    columns = (
        np.array([getattr(tissue, column) for tissue in tissues], np.float32)
        for column in ("hounsfield", "texture", "grain")
    )
    return TissueValues(signals, *columns)


def add_texture(
    mixed: TissueValues,
    truth: Truth,
    where: Window,
    subject: Subject,
    matrix: NDArray[np.float64],
    corner: NDArray[np.float64],
) -> None:
    """Write a block of mixed tissue values to the truth, with the variation within tissues.

    Args:
        mixed: means over the tissues of each voxel: arrays (slices, rows, columns).
        truth: changed in place.
        where: the block.
        subject: gives the texture.
        matrix, corner: index (column, row, slice) of the block to head coordinates.
    """
    shape = mixed.hounsfield.shape
    variation = subject.waves["texture"].on_grid(matrix, corner, shape)
    fine = subject.waves["grain"].on_grid(matrix, corner, shape)[0]
    for number, name in enumerate(CONTRASTS):
        # T1- and T2-like contrasts vary in different patterns, as T1, T2 and density do.
        truth.signals[name][where] = mixed.signals[name] * (1.0 + mixed.texture * variation[number % 2])
    truth.hounsfield[where] = mixed.hounsfield + mixed.grain * fine


def render(
    subject: Subject,
    grid: Grid,
    protocol: Mapping[str, Acquisition],
    tissues: tuple[Tissue, ...],
    lesions: tuple[Ellipsoid, ...],
) -> Truth:
    """Mix the signals and CT numbers of the tissues by their shares of each voxel, block by block."""
    truth, values = empty_truth(grid), tissue_values(tissues, protocol)
    matrix, offset = subject.to_head @ grid.matrix, subject.to_head @ np.array(grid.origin) + subject.shift
    for where in blocks(index_window(matrix, offset, grid.shape, HEAD_LOW, HEAD_HIGH), grid):
        start = tuple(part.start for part in where)
        fractions = block_fractions(subject, grid, where, lesions)
        block, flat = fractions.shape[1:], fractions.reshape(len(tissues), -1)
        mixed = TissueValues(
            {name: (pure @ flat).reshape(block) for name, pure in values.signals.items()},
            *((pure @ flat).reshape(block) for pure in (values.hounsfield, values.texture, values.grain)),
        )
        add_texture(mixed, truth, where, subject, matrix, matrix @ np.array(start[::-1]) + offset)
        truth.labels[where] = fractions.argmax(axis=0)
        truth.lesion_share[where] = fractions[LESION]
    return truth


def blocks(window: Window | None, grid: Grid) -> Iterator[Window]:
    """Cut a window of a grid (or nothing) into runs of slices of bounded size."""
    if window is None:
        return
    across, rows, columns = window
    per_slice = (rows.stop - rows.start) * (columns.stop - columns.start) * int(np.prod(samples_per_voxel(grid)))
    depth = max(1, BLOCK_SAMPLES // per_slice)
    for low in range(across.start, across.stop, depth):
        yield slice(low, min(low + depth, across.stop)), rows, columns


def image_truth(
    truth: Truth,
    grid: Grid,
    subject: Subject,
    protocol: Mapping[str, Acquisition],
    tissues: tuple[Tissue, ...],
    lesion_centres: NDArray[np.float64] | None = None,
) -> Phantom:
    """The scans of a head: what scanners make of the truth.

    Args:
        truth: noise-free; its signals are changed in place.
        grid: its grid.
        subject: gives the random numbers.
        protocol: contrast -> acquisition.
        tissues: what the head is made of.
        lesion_centres: physical LPS positions (n, 3) in mm.
    """
    centres = np.zeros((0, 3)) if lesion_centres is None else lesion_centres
    magnitudes = {
        name: acquire(truth.signals[name], grid, subject, name, protocol[name], tissues[WHITE]) for name in CONTRASTS
    }
    return Phantom(
        **{name: make_image(values, grid) for name, values in magnitudes.items()},
        ct=make_image(acquire_ct(truth.hounsfield, subject), grid),
        labels=make_image(truth.labels, grid),
        lesions=make_image(label_lesions(truth.lesion_share, grid, centres), grid),
        label_names={index: tissue.name for index, tissue in enumerate(tissues)},
        acquisitions=dict(protocol),
        lesion_centres=tuple((float(x), float(y), float(z)) for x, y, z in centres),
    )


def acquire(
    signal: Array, grid: Grid, subject: Subject, name: str, acquisition: Acquisition, reference: Tissue
) -> Array:
    """Add point spread, receive sensitivity and Rician noise (Gudbjartsson and Patz, MRM 34:910, 1995) to a magnitude.

    Args:
        signal: noise-free image, changed in place.
        grid: its grid.
        subject: gives the random numbers, by contrast name.
        name: the contrast.
        acquisition: how it is acquired.
        reference: the tissue whose signal the noise level refers to.
    """
    # The recursive Gaussian needs four samples along each axis; thinner images are left sharp.
    if acquisition.blur > 0 and min(grid.shape) >= 4:
        smooth = sitk.SmoothingRecursiveGaussian(make_image(signal, grid), acquisition.blur / 2.3548)
        signal = np.maximum(sitk.GetArrayFromImage(smooth), np.float32(0))
    if acquisition.bias > 0:
        field = WaveField(subject.generator(f"bias/{name}"), 12, (200.0, 420.0))
        sensitivity = field.on_grid(grid.matrix, np.array(grid.origin), grid.shape)[0]
        # Unit-variance waves stay within about +-1.7, so that 0.6 makes `bias` the relative extreme.
        signal *= np.exp(np.float32(0.6 * acquisition.bias) * np.clip(sensitivity, -2.5, 2.5))
    if acquisition.noise > 0:
        level = np.float32(acquisition.noise * tissue_signal(reference, acquisition))
        draw = subject.generator(f"noise/{name}")
        signal += level * draw.standard_normal(grid.shape, np.float32)
        signal *= signal
        signal += (level * draw.standard_normal(grid.shape, np.float32)) ** 2
        np.sqrt(signal, out=signal)
    return signal


def acquire_ct(hounsfield: Array, subject: Subject) -> NDArray[np.int16]:
    """Quantum noise, rounding and the usual 12-bit range."""
    noise = subject.generator("noise/ct").standard_normal(hounsfield.shape, np.float32)
    return np.clip(np.rint(hounsfield + np.float32(CT_NOISE_HU) * noise), -1024, 3071).astype(np.int16)
