"""Digital heads as training data: phantoms and heads made from label maps, in the resolution of some hospital."""

import zlib
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from MRITranslateLib.phantom.grid import FIELD_OF_VIEW_MM, Grid, make_grid
from MRITranslateLib.volume import like

from ..cormack import cormack, hounsfield, smooth
from .cache import fingerprint
from .index import Index, label_map_of, phantom_seed
from .labelheads import label_head, read_label_map

_APART_MM = (1.0, 6.0)
"""Range of the distance of slices."""
_BLURRED, _BLUR_MM = 0.4, 8.0
"""How many heads are blurred, and by how much at most (full width at half maximum)."""
_MIDDLE = 0.8
"""A stack that is lower than the head lies within this part of it."""


def make_head(index: Index, subject: str, modalities: Sequence[str]) -> list[sitk.Image]:
    """Images of a digital head on one grid.

    With `data.resolution` a head to train on has another distance of slices, and perhaps all of its images are blurred
    alike: those of MRI linearly, CT in Cormack units as the average CT of `Training.template_labels` is, where bone
    keeps its width.

    Args:
        index: Of the run.
        subject: Name of a digital head.
        modalities: Such as T1 and CT.

    Raises:
        InputError: There is no such label map, or it cannot be used.
    """
    grid, blur = _resolution(index, subject)
    name = label_map_of(subject)
    if name is None:
        head = phantom(
            seed=phantom_seed(subject), shape=grid.shape, spacing=grid.spacing, origin=grid.origin, randomise=True
        )
    elif name in index.label_maps:
        head = label_head(read_label_map(index.label_maps[name]), subject, grid)
    else:
        raise InputError(f'data.label_maps has no label map "{name}"; add it, or correct the name.')
    return [_blurred(getattr(head, modality.lower()), modality, blur) for modality in modalities]


def head_key(index: Index, subject: str) -> object:
    """All that shapes the images of a digital head beside its name."""
    shape, name = index.data.phantom_shape, label_map_of(subject)
    varied = _varies(index, subject)
    if name is None and not varied:
        return shape
    file = None if name is None else index.label_maps.get(name)
    return [shape, varied, None if file is None else fingerprint(file)]


def _varies(index: Index, subject: str) -> bool:
    return index.data.resolution and subject in index.train


def _resolution(index: Index, subject: str) -> tuple[Grid, float]:
    """Grid of a head's images, and what they are blurred by in mm."""
    grid = make_grid(index.data.phantom_shape)
    if not _varies(index, subject):
        return grid, 0.0
    draw = np.random.default_rng(zlib.crc32(f"{subject}/resolution".encode()))
    apart = float(draw.uniform(*_APART_MM))
    room = _MIDDLE * max(0.0, FIELD_OF_VIEW_MM[2] - grid.shape[0] * apart) / 2
    spacing = (*grid.spacing[:2], apart)
    middle = float(draw.uniform(-room, room))
    origin = (*grid.origin[:2], middle - (grid.shape[0] - 1) / 2 * apart)
    blur = float(draw.uniform(0, _BLUR_MM)) if draw.random() < _BLURRED else 0.0
    return make_grid(grid.shape, spacing, origin), blur


def _blurred(image: sitk.Image, modality: str, width_mm: float) -> sitk.Image:
    if width_mm == 0:
        return image
    array, spacing = sitk.GetArrayFromImage(image), image.GetSpacing()
    if modality == "CT":
        smoothed = np.rint(hounsfield(smooth(cormack(array), width_mm, spacing))).astype(array.dtype)
    else:
        smoothed = smooth(array, width_mm, spacing)
    return like(smoothed, image)
