"""Heads made from label maps: one map, any number of people (after SynthSR, Iglesias et al., NeuroImage 237:118206,
2021, and Science Advances 9:eadd3607, 2023).

A seed turns and stretches the map, bends it by a smooth displacement of several mm, and changes the thickness of skull
and scalp. The tissues are then imaged as those of a phantom: random relaxation times, CT numbers, protocols, bias and
noise. Labels are mixed in the voxel by their signals, as partial volume is.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch.nn import functional

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import CONTRASTS, TISSUES, Phantom
from MRITranslateLib.phantom.canvas import index_window
from MRITranslateLib.phantom.grid import Grid
from MRITranslateLib.phantom.head import (
    TissueValues,
    Truth,
    add_texture,
    blocks,
    empty_truth,
    image_truth,
    randomised,
    tissue_values,
)
from MRITranslateLib.phantom.sampling import block_samples
from MRITranslateLib.phantom.subject import Subject, rotation_matrix
from MRITranslateLib.phantom.tissue import AIR, CORTICAL, FAT, MARROW, MUSCLE, SKIN
from MRITranslateLib.volume import read_volume

_TILT, _STRETCH, _SHEAR, _SHIFT_MM = (12.0, 8.0, 8.0), 0.06, 0.03, 4.0
"""Standard deviations of angles (degrees), of the logarithm of size, of shear, and of the shift."""
_DEFORMATION_MM = (1.0, 4.5)
"""Range of the standard deviation of each component of the displacement, whose waves are 85 mm and longer."""
_THICKER_MM = (-2.0, 2.5)
"""Range of what skull and scalp gain in thickness, each; it varies over the head by some tenths of this as well."""
_TABLE_MM, _SKIN_MM = (1.0, 2.2), (1.5, 3.5)
_OLD_TABLE_MM = 1.75
"""Bone of the map this near the scalp is its outer table."""
_OPENING_MM = 5.0
"""Air in channels narrower than twice this lies inside the head."""
_REACH_MM = 8.0
"""Distances from bone and skin matter up to here."""


@dataclass(frozen=True)
class LabelMap:
    """A label map with what is needed to change the thickness of its skull and scalp.

    Attributes:
        labels: uint8 (slices, rows, columns), numbers of `MRITranslateLib.phantom.TISSUES`.
        matrix, origin: Index (column, row, slice) to LPS mm.
        bone: float16, in mm: of soft tissue the distance to bone, of bone minus the distance to scalp.
        skin: float16, in mm: of outer air the distance to the head, of the head minus the distance to outer air.
    """

    labels: np.ndarray
    matrix: np.ndarray
    origin: np.ndarray
    bone: np.ndarray
    skin: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """LPS mm of the middle of the map."""
        return np.asarray(self.origin + self.matrix @ ((np.array(self.labels.shape[::-1]) - 1) / 2))


def read_label_map(file: Path) -> LabelMap:
    """Read a label map; the last ones that were read are remembered.

    Raises:
        InputError: The file is missing, damaged or no map of at least two tissues of `MRITranslateLib.phantom.TISSUES`
            with air around them.
    """
    return _read(file, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int) -> LabelMap:
    image = read_volume(file, labels=True)
    values = sitk.GetArrayViewFromImage(image)
    whole = np.asarray(values) if values.dtype.kind in "iu" else np.rint(values)
    if not np.array_equal(whole, values) or whole.min() < 0 or whole.max() >= len(TISSUES):
        raise InputError(
            f'"{file.name}" is no label map: its values must be tissue numbers from 0 to {len(TISSUES) - 1}.'
        )
    labels = whole.astype(np.uint8)
    if AIR not in labels or len(np.unique(labels)) < 3:
        raise InputError(f'"{file.name}" is no label map of a head; it needs air (0) and two tissues or more.')
    spacing = np.array(image.GetSpacing())
    matrix = np.array(image.GetDirection()).reshape(3, 3) * spacing
    along = tuple(spacing[::-1])
    solid = np.isin(labels, (CORTICAL, MARROW))
    bone = np.where(solid, -_distance(np.isin(labels, (SKIN, FAT, MUSCLE)), along), _distance(solid, along))
    deep_air = _distance(labels != AIR, along) > _OPENING_MM
    outside = (labels == AIR) & (_distance(deep_air, along) <= _OPENING_MM)
    skin = np.where(outside, _distance(~outside, along), -_distance(outside, along))
    halves = (np.clip(array, -99, 99).astype(np.float16) for array in (bone, skin))
    return LabelMap(labels, matrix, np.array(image.GetOrigin()), *halves)


def _distance(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance to the surface of a mask in mm, 0 inside; large where there is none."""
    if not mask.any():
        return np.full(mask.shape, 99, np.float32)
    # To the middle of the nearest voxel, whose surface is half a voxel nearer.
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing).astype(np.float32)
    return np.maximum(distance - np.float32(np.mean(spacing) / 2), 0)


def label_head(labels: LabelMap, name: str, grid: Grid) -> Phantom:
    """Images of one person made from a label map.

    Args:
        labels: The map.
        name: Of the person, from which all that is random is drawn: one name, one head, on every grid.
        grid: Of the images; the middle of the map comes to lie near (0, 0, 0), give or take some mm. What lies beyond
            the map is air.

    Returns:
        T1, T2, FLAIR, PD and CT with the tissue of every voxel's middle, as of a phantom without lesions.
    """
    subject = Subject(zlib.crc32(name.encode()))
    draw = subject.generator("labels")
    stretch = np.exp(draw.normal(0.0, _STRETCH, size=3)) * np.exp(draw.normal(0.0, _STRETCH))
    shear = np.eye(3) + np.triu(draw.normal(0.0, _SHEAR, size=(3, 3)), 1)
    subject.to_head = np.diag(1 / stretch) @ shear @ rotation_matrix(np.radians(draw.normal(0.0, _TILT)))
    subject.shift = draw.normal(0.0, _SHIFT_MM, size=3)
    deformation = float(draw.uniform(*_DEFORMATION_MM))
    tissues, protocol = randomised(subject)
    changed = change_thickness(labels, subject, draw)
    truth = empty_truth(grid)
    _sample(labels, changed, subject, deformation, tissue_values(tissues, protocol), grid, truth)
    return image_truth(truth, grid, subject, protocol, tissues)


def change_thickness(labels: LabelMap, subject: Subject, draw: np.random.Generator) -> np.ndarray:
    """The map with a skull and scalp of another thickness; the brain and its cavity stay.

    Args:
        labels: The map.
        subject: Gives the variation over the head.
        draw: Gives the mean changes.

    Returns:
        Labels as in the map.
    """
    skull, scalp = draw.uniform(*_THICKER_MM, size=2).astype(np.float32)
    table, skin = draw.uniform(*_TABLE_MM), draw.uniform(*_SKIN_MM)
    changed = labels.labels.copy()
    # Only a shell changes, a small part of the map.
    where = np.nonzero((np.abs(labels.bone) < _REACH_MM) | (np.abs(labels.skin) < _REACH_MM))
    now, bone, outer = (
        labels.labels[where],
        labels.bone[where].astype(np.float32),
        labels.skin[where].astype(np.float32),
    )
    relief = subject.waves["thickness"].on_grid(labels.matrix, labels.origin - labels.centre, changed.shape)
    bone -= skull + np.float32(0.7) * relief[0][where]
    outer -= scalp + np.float32(0.7) * relief[1][where]
    soft, solid = np.isin(now, (SKIN, FAT, MUSCLE)), np.isin(now, (CORTICAL, MARROW))
    new = now.copy()
    # Scalp first, so that a thick skull below a thin scalp is covered by what is left of it.
    new[(now == AIR) & (labels.skin[where] > 0) & (outer <= 0)] = FAT
    new[(now == SKIN) & (outer < -skin)] = FAT
    new[soft & (outer > 0)] = AIR
    covered = np.isin(new, (SKIN, FAT, MUSCLE))
    new[covered & (outer >= -skin)] = SKIN
    new[solid & (bone > 0)] = FAT
    new[solid & (bone <= 0) & (bone > -table)] = CORTICAL
    # Where the skull has grown, the table that lay at its surface is diploe now.
    new[solid & (labels.bone[where] > -_OLD_TABLE_MM) & (bone <= -table)] = MARROW
    grown = np.isin(new, (FAT, MUSCLE)) & soft & (bone <= 0)
    new[grown] = np.where(bone[grown] > -table, CORTICAL, MARROW)
    changed[where] = new
    return changed


def _sample(
    labels: LabelMap,
    changed: np.ndarray,
    subject: Subject,
    deformation: float,
    values: TissueValues,
    grid: Grid,
    truth: Truth,
) -> None:
    """Mix what the tissues give in every voxel of the grid, block by block; the truth is changed in place."""
    air = float(truth.hounsfield.flat[0])
    # Beyond the map interpolation finds 0, so that air has to be 0 in every channel.
    table = np.stack([*values.signals.values(), values.hounsfield - np.float32(air), values.texture, values.grain])
    channels = torch.from_numpy(np.take(table, changed, axis=1))[None]
    inverse = np.linalg.inv(labels.matrix)
    size = np.array(changed.shape[::-1])
    matrix, offset = subject.to_head @ grid.matrix, subject.to_head @ np.array(grid.origin) + subject.shift
    corners = np.array([np.where([n & 1, n & 2, n & 4], size - 0.5, -0.5) for n in range(8)])
    box = corners @ labels.matrix.T + labels.origin - labels.centre
    margin = 4 * deformation
    window = index_window(matrix, offset, grid.shape, box.min(axis=0) - margin, box.max(axis=0) + margin)
    for where in blocks(window, grid):
        at = block_samples(subject, grid, where, deformation)
        flat = at.position.reshape(3, -1)
        index = inverse.astype(np.float32) @ flat
        index += (inverse @ (labels.centre - labels.origin)).astype(np.float32)[:, None]
        # grid_sample counts from -1 to 1 between the middles of the outermost voxels.
        places = (2 * index / np.maximum(size - 1, 1)[:, None] - 1).astype(np.float32).T
        shape = at.position.shape[1:]
        mixed = functional.grid_sample(
            channels, torch.from_numpy(places.reshape(1, *shape, 3)), padding_mode="zeros", align_corners=True
        )
        means = at.average(mixed[0].numpy())
        block = TissueValues(
            dict(zip(CONTRASTS, means[:4], strict=True)), means[4] + np.float32(air), means[5], means[6]
        )
        start = np.array([part.start for part in where])
        add_texture(block, truth, where, subject, matrix, matrix @ start[::-1] + offset)
        truth.labels[where] = _nearest(changed, index.reshape(3, *shape), at.factors)


def _nearest(labels: np.ndarray, index: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The label at the middle sample of each voxel; air beyond the map."""
    column, row, slice_ = (int(factor) for factor in factors)
    middle = index[:, slice_ // 2 :: slice_, row // 2 :: row, column // 2 :: column]
    whole = np.rint(middle).astype(np.int32)
    size = np.array(labels.shape[::-1])[:, None, None, None]
    inside = ((whole >= 0) & (whole < size)).all(axis=0)
    x, y, z = np.clip(whole, 0, size - 1)
    return np.where(inside, labels[z, y, x], AIR).astype(np.uint8)
