"""The parts of a head in a picture, against digital heads whose tissues are known, and by what must hold anywhere."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MRITranslateLib.headparts import BACKGROUND, BRAIN, NAMES, SKULL, label
from MRITranslateLib.phantom import phantom
from MRITranslateLib.picture import prepare_picture

_BRAIN = {"grey matter", "white matter", "deep grey matter", "white-matter lesion", "calcification"}
_LEAST = 200
"""Pixels from which on a slice counts as one through the brain."""


def heads(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The slices through the brain's upper two thirds without the vertex: pictures, and where the brain is."""
    head = phantom(seed=seed, shape=(24, 128, 128), lesions=2)
    t1, tissue = (sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS")) for image in (head.t1, head.labels))
    brain = np.isin(tissue, [number for number, name in head.label_names.items() if name in _BRAIN])
    inside = np.stack([_closed(one) for one in brain])
    through = np.flatnonzero(inside.sum(axis=(1, 2)) > _LEAST)
    chosen = through[len(through) // 3 : int(0.9 * len(through))]
    return np.stack([prepare_picture(t1[number], 128) for number in chosen]), inside[chosen]


def _closed(brain: np.ndarray) -> np.ndarray:
    """The brain with its sulci and ventricles, which the digital head calls liquor."""
    closed: np.ndarray = ndimage.binary_fill_holes(brain | ndimage.binary_closing(brain, iterations=3))
    return closed


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_brain_of_digital_heads_is_found(seed: int) -> None:
    pictures, brains = heads(seed)
    found = [label(picture) for picture in pictures]
    scores = [dice(parts == BRAIN, brain) for parts, brain in zip(found, brains, strict=True)]
    assert len(scores) >= 8
    assert np.mean(scores) > 0.95
    assert min(scores) > 0.9
    for parts in found:
        assert parts.dtype == np.uint8
        assert set(np.unique(parts)) == {BACKGROUND, SKULL, BRAIN} == set(range(len(NAMES)))
        assert 0.4 < (parts == BRAIN).sum() / (parts != BACKGROUND).sum() < 0.85
        grown = ndimage.binary_dilation(parts == BRAIN)
        assert not (grown & (parts == BACKGROUND)).any()  # skull lies between brain and air
        assert ndimage.label(parts == BRAIN)[1] == 1


def test_mirrored_and_resized_pictures_have_the_same_parts() -> None:
    picture = heads(3)[0][4]
    brain = label(picture) == BRAIN
    assert dice(label(picture[:, ::-1])[:, ::-1] == BRAIN, brain) > 0.97
    assert dice(label(np.kron(picture, np.ones((2, 2))))[::2, ::2] == BRAIN, brain) > 0.95
    assert dice(label(picture[::2, ::2]) == BRAIN, brain[::2, ::2]) > 0.9


def test_a_head_without_dark_ring_is_shrunk() -> None:
    rows, columns = np.indices((128, 128)) - 63.5
    disc = np.hypot(rows, columns) < 45
    parts = label(np.where(disc, 0.2, -1.0))
    assert dice(parts != BACKGROUND, disc) > 0.95
    assert (parts == BRAIN).sum() / disc.sum() == pytest.approx(0.82**2, abs=0.05)
    assert (parts[np.hypot(rows, columns) < 30] == BRAIN).all()


@pytest.mark.parametrize("size", [8, 16, 64])
def test_pictures_that_show_no_head(size: int) -> None:
    for value in (-1.0, 0.0, 1.0):
        assert (label(np.full((size, size), value, np.float32)) == BACKGROUND).all()
    speck = np.full((size, size), -1.0)
    speck[1, 1] = 1
    noise = np.random.default_rng(1).uniform(-1, 1, (size, size))
    for picture in (speck, noise, np.eye(size) * 2 - 1):
        parts = label(picture)
        assert parts.shape == (size, size)
        assert parts.max() <= BRAIN
