"""Paired volumes, prepared exactly as the engine prepares an input: from a folder per subject, or digital heads."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from MRITranslateLib import intensity
from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.geometry import patient_extent
from MRITranslateLib.phantom import phantom
from MRITranslateLib.preparation import Preparation
from MRITranslateLib.volume import check_volume, read_volume, same_grid

from ..config.data import DataConfig


@dataclass(frozen=True)
class Pair:
    """One subject's images.

    Attributes:
        subject: Name.
        source, target: Images on one grid.
    """

    subject: str
    source: sitk.Image
    target: sitk.Image


@dataclass(frozen=True)
class PreparedPair:
    """One subject on the model's grid, float16 to keep many in memory.

    Attributes:
        subject: Name.
        source, target: (slices, rows, columns) in network units.
        slices: Indices of the slices that hold enough of the patient to learn from.
        extent_mm, spacing_mm: Of the source image along the patient's x, y, z axes.
    """

    subject: str
    source: np.ndarray
    target: np.ndarray
    slices: np.ndarray
    extent_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class PreparedVolume:
    """One side of one subject on the model's grid, for unpaired training; float16 to keep many in memory.

    Attributes:
        subject: Name.
        array: (slices, rows, columns) in network units.
        slices: Indices of the slices that hold enough of the patient to learn from.
        extent_mm, spacing_mm: Of the image along the patient's x, y, z axes.
    """

    subject: str
    array: np.ndarray
    slices: np.ndarray
    extent_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]


Side = Literal["source", "target"]
"""Which of the card's two modalities an unpaired image has."""
_PHANTOM = "phantom-"
_LEAST_TISSUE = 0.02
"""A slice with a smaller share of target foreground is not trained on."""


def is_phantom(subject: str) -> bool:
    """Whether a subject's name stands for a digital head."""
    return subject.startswith(_PHANTOM)


def load_pair(data: DataConfig, source: str, target: str, subject: str) -> Pair:
    """Read one subject, or make the phantom of that seed.

    Raises:
        InputError: A file is missing or unusable, or the two lie on different grids.
    """
    if is_phantom(subject):
        seed = subject.removeprefix(_PHANTOM)
        if not seed.isdigit():
            raise InputError(f'A digital head is named by its seed, such as phantom-7, not "{subject}".')
        head = phantom(seed=int(seed), shape=data.phantom_shape, randomise=True)
        return Pair(subject, getattr(head, source.lower()), getattr(head, target.lower()))
    if data.root is None:
        raise InputError("Say where the subjects' folders are: --data FOLDER.")
    folder = Path(data.root) / subject
    if not folder.is_dir():
        raise InputError(
            f'The subject "{subject}" has no folder in {data.root}; correct data.train, data.validation or data.test.'
        )
    images = []
    for name in (data.source_file, data.target_file):
        image = read_volume(folder / name)
        check_volume(image, f'"{name}" of {subject}')
        images.append(image)
    if not same_grid(images[0], images[1]):
        raise InputError(f"The two images of {subject} lie on different grids; resample one to the other first.")
    return Pair(subject, images[0], images[1])


def prepare_pair(pair: Pair, card: TranslationCard) -> PreparedPair:
    """Bring both images to the model's grid and to network units, the source exactly as `translate` will."""
    preparation = Preparation(pair.source, card)
    truth = sitk.GetArrayViewFromImage(pair.target)
    normaliser = intensity.fit(card.intensity.target, truth)
    background = float(normaliser.invert(np.array([-1.0], np.float32))[0])
    target = normaliser.apply(preparation.grid.forward(pair.target, background=background))
    tissue = (target > -0.9).mean(axis=(1, 2))
    return PreparedPair(
        pair.subject,
        preparation.array.astype(np.float16),
        target.astype(np.float16),
        np.flatnonzero(tissue > _LEAST_TISSUE),
        *patient_extent(pair.source),
    )


def prepare_all(
    data: DataConfig, card: TranslationCard, subjects: Sequence[str], done: Callable[[str], None] = lambda subject: None
) -> list[PreparedPair]:
    """Prepare many subjects, from the cache where the same preparation was made before.

    The cache's key is everything that shapes the result: data settings, grid, intensities and the subject.
    """
    prepared = []
    for subject in subjects:
        file = _cache_file(data, card, subject)
        if file is not None and file.is_file():
            pair = _read_cache(file)
        else:
            pair = prepare_pair(load_pair(data, card.source, card.target, subject), card)
            if file is not None:
                _write_cache(file, pair)
        if pair.slices.size == 0:
            raise InputError(f"No slice of {subject} shows enough of the patient; leave the subject out.")
        prepared.append(pair)
        done(subject)
    return prepared


def prepare_side(
    data: DataConfig,
    card: TranslationCard,
    side: Side,
    subjects: Sequence[str],
    done: Callable[[str], None] = lambda subject: None,
) -> list[PreparedVolume]:
    """Prepare one side of many subjects, each image on a grid of its own: the engine's preparation of a model that
    takes this side as its input.

    Raises:
        InputError: An image is missing or unusable; the sentence names the subject.
    """
    prepared = []
    for subject in subjects:
        pair = load_pair(data, card.source, card.target, subject)
        volume = prepare_volume(subject, getattr(pair, side), card, side)
        if volume.slices.size == 0:
            raise InputError(f"No slice of {subject} shows enough of the patient; leave the subject out.")
        prepared.append(volume)
        done(subject)
    return prepared


def prepare_volume(subject: str, image: sitk.Image, card: TranslationCard, side: Side) -> PreparedVolume:
    """Bring one image to the model's grid and to network units, as a model with this side as its input does."""
    if side == "target":
        swapped = card.intensity.model_copy(update={"source": card.intensity.target})
        card = card.model_copy(update={"source": card.target, "intensity": swapped})
    array = Preparation(image, card).array
    tissue = (array > -0.9).mean(axis=(1, 2))
    return PreparedVolume(
        subject, array.astype(np.float16), np.flatnonzero(tissue > _LEAST_TISSUE), *patient_extent(image)
    )


def _cache_file(data: DataConfig, card: TranslationCard, subject: str) -> Path | None:
    if data.cache is None:
        return None
    parts = (
        str(data.root),
        data.source_file,
        data.target_file,
        data.phantom_shape,
        card.source,
        card.target,
    )
    key = json.dumps([2, parts, card.grid.model_dump(), card.intensity.model_dump(), subject], default=str)
    return Path(data.cache) / f"{subject}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _write_cache(file: Path, pair: PreparedPair) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as temporary:
        np.savez(temporary, **vars(pair))
    os.replace(temporary.name, file)


def _read_cache(file: Path) -> PreparedPair:
    with np.load(file, allow_pickle=False) as stored:
        return PreparedPair(
            str(stored["subject"]),
            stored["source"],
            stored["target"],
            stored["slices"],
            tuple(stored["extent_mm"].tolist()),
            tuple(stored["spacing_mm"].tolist()),
        )
