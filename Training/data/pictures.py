"""Pictures for classifiers and generators: read, labelled and split once, then drawn at random with augmentation."""

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import Dataset

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from MRITranslateLib.picture import prepare_picture, read_picture, telling_slices
from MRITranslateLib.volume import WRITABLE, check_volume, read_volume

from ..config.pictures import PictureAugmentConfig, PictureConfig
from .picture_files import PARTS, Entry, list_entries
from .tables import read_places

_MOST_NAMES = 1000
_LESION_PIXELS = 3
"""A slice of a digital head with fewer pixels of lesion counts as one without."""


@dataclass(frozen=True)
class PictureData:
    """Every picture of a configuration, prepared.

    Attributes:
        names: Of the pictures; unique.
        groups: What must stay together, for each picture.
        classes: Names of the classes, sorted; empty where nothing is labelled.
        labels: float32 (n, classes): 1 where the picture has the class, 0 where not, NaN where nobody knows.
        pictures: float16 (n, size, size) in [-1, 1].
        parts: "train", "validation", "test" -> indices of their pictures.
    """

    names: list[str]
    groups: list[str]
    classes: list[str]
    labels: np.ndarray
    pictures: np.ndarray
    parts: dict[str, np.ndarray]

    def split(self) -> dict[str, list[str]]:
        """Names of the pictures of every part, for the run's folder."""
        return {part: [self.names[index] for index in indices] for part, indices in self.parts.items()}

    def listed(self, part: str) -> list[str]:
        """Names of the pictures of a part for a model card, which has no room for a hundred thousand: then a count."""
        names = self.split()[part]
        return names if len(names) <= _MOST_NAMES else [f"{len(names)} pictures"]


def load_pictures(config: PictureConfig, done: Callable[[int, int], None] = lambda done, total: None) -> PictureData:
    """Read, prepare, label and split all pictures.

    Args:
        config: What to read.
        done: Called with (files read, files in all).

    Raises:
        InputError: There are no pictures, one cannot be used, or the table lacks a column; the sentence names it.
    """
    entries = list_entries(config)
    names, sources, lesions, pictures = _prepared(config, entries, done)
    rows = [entries[source] for source in sources]
    findings = [
        row.findings if row.file is not None else {"lesions": bool(seen), "no lesions": not seen}
        for row, seen in zip(rows, lesions, strict=True)
    ]
    classes, labels = _label_table(config, findings)
    groups = [row.group for row in rows]
    place = _given_places(rows)
    if config.split_file is not None:
        place = read_places(config.split_file, set(groups) - set(place)) | place
    free = [index for index, group in enumerate(groups) if group not in place]
    place |= split_groups([groups[i] for i in free], labels[free], config.validation, config.test, config.split_seed)
    parts = {part: np.flatnonzero([place[group] == part for group in groups]) for part in PARTS}
    return PictureData(names, groups, classes, labels, pictures, parts)


def prepare_file(file: Path, size: int) -> list[tuple[str, np.ndarray]]:
    """The prepared picture of a file, or those of a volume's axial slices that show enough of the patient.

    Returns:
        Pairs of "" or "#" and the number of the slice, and a float32 array (size, size) in [-1, 1].

    Raises:
        InputError: The file cannot be used.
    """
    if not file.name.lower().endswith(WRITABLE):
        return [("", prepare_picture(read_picture(file), size))]
    image = read_volume(file)
    check_volume(image, f'"{file.name}"')
    image = sitk.DICOMOrient(sitk.Cast(image, sitk.sitkFloat32), "LPS")
    array = sitk.GetArrayViewFromImage(image)
    across, down = (step / min(image.GetSpacing()[:2]) for step in image.GetSpacing()[:2])
    slices = []
    for number in telling_slices(array):
        square = functional.interpolate(
            torch.from_numpy(array[number].copy())[None, None], scale_factor=(down, across), mode="bilinear"
        )
        slices.append((f"#{number}", prepare_picture(square[0, 0].numpy(), size)))
    return slices


def split_groups(
    groups: Sequence[str], labels: np.ndarray, validation: float, test: float, seed: int
) -> dict[str, str]:
    """Give every group to one part so that the parts have their shares of the pictures, of each label if possible.

    Args:
        groups: Group of each of n pictures.
        labels: (n, classes), as in `PictureData`.
        validation, test: Shares of these parts.
        seed: Decides together with the names of the groups, and nothing else.

    Returns:
        Group -> part.
    """
    if validation + test >= 1:
        raise InputError("pictures.validation and pictures.test together leave nothing to train on; lower them.")
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    kinds: dict[bytes, list[str]] = {}
    for group in sorted(members):
        kinds.setdefault(np.fmax.reduce(labels[members[group]], axis=0).tobytes(), []).append(group)
    rng = np.random.default_rng(seed)
    shares = np.array([1 - validation - test, validation, test])
    missing = np.zeros(len(PARTS))  # pictures that each part should have got by now
    place = {}
    for kind in kinds.values():
        missing += shares * sum(len(members[group]) for group in kind)
        for number in rng.permutation(len(kind)):
            part = int(missing.argmax())
            missing[part] -= len(members[kind[number]])
            place[kind[number]] = PARTS[part]
    return place


def _given_places(rows: Sequence[Entry]) -> dict[str, str]:
    """Group -> part, where the table says so."""
    place: dict[str, str] = {}
    for row in rows:
        if row.part is not None and place.setdefault(row.group, row.part) != row.part:
            raise InputError(f'The table puts "{row.group}" into {place[row.group]} and {row.part}; choose one.')
    return place


class RandomPictures(Dataset[tuple[torch.Tensor, int]]):
    """Augmented pictures in random order. Each item is a function of (seed, index) alone.

    Args:
        pictures: (n, size, size) in [-1, 1].
        chosen: Indices of the pictures to draw from.
        augment: Augmentation.
        seed: Of the sequence.
        length: Number of samples.
        weights: How often each of the chosen is drawn, relatively; None draws all of them before any comes again.

    Items:
        A picture, float32 (1, size, size) in [-1, 1], and its index in `pictures`.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        chosen: np.ndarray,
        augment: PictureAugmentConfig,
        seed: int,
        length: int,
        weights: np.ndarray | None = None,
    ) -> None:
        if len(chosen) == 0:
            raise InputError("No picture is left to train on; check pictures.root, pictures.split and the labels.")
        self._pictures, self._chosen, self._augment = pictures, np.asarray(chosen), augment
        self._seed, self._length = seed, length
        self._probability = None if weights is None else weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, 0, index))
        if self._probability is None:
            turn, position = divmod(index, len(self._chosen))
            order = np.random.default_rng((self._seed, 1, turn)).permutation(len(self._chosen))
            number = int(self._chosen[order[position]])
        else:
            number = int(rng.choice(self._chosen, p=self._probability))
        picture = augment_picture(self._pictures[number].astype(np.float32), self._augment, rng)
        return torch.from_numpy(picture)[None], number


def augment_picture(picture: np.ndarray, config: PictureAugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Flip, turn, scale and shift a picture in one interpolation; change its contrast, its brightness, add noise.

    Args:
        picture: float32 (size, size) in [-1, 1].
        config: The sizes of the changes.
        rng: Decides.

    Returns:
        The same kind of array. Pillow's interpolation costs a third of torch's here.
    """
    angle, scale, right, down, gamma, gain, noise = rng.uniform(-1, 1, 7)
    mirror = -1.0 if rng.random() < config.flip else 1.0
    angle, zoom = math.radians(config.rotate_degrees * angle), 1 / (1 + config.scale * scale)
    cosine, sine = zoom * math.cos(angle), zoom * math.sin(angle)
    size, middle = len(picture), len(picture) / 2
    # From a pixel of the result to the place that its value comes from, about the middle.
    across, down_ = (mirror * cosine, -mirror * sine), (sine, cosine)
    start = (
        middle - middle * sum(across) + config.shift * right * size,
        middle - middle * sum(down_) + config.shift * down * size,
    )
    x = (picture + 1) / 2
    matrix = (*across, start[0], *down_, start[1])
    if matrix != (1, 0, 0, 0, 1, 0):
        x = np.asarray(
            Image.fromarray(x).transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        )
    x = x ** np.float32((1 + config.gamma) ** gamma) * np.float32(1 + config.brightness * gain)
    if config.noise:
        x += np.float32(config.noise * abs(noise)) * rng.standard_normal(x.shape, dtype=np.float32)
    return np.clip(2 * x - 1, -1, 1)


def _label_table(config: PictureConfig, findings: Sequence[dict[str, bool] | None]) -> tuple[list[str], np.ndarray]:
    """Names of the classes that occur often enough, and the labels (n, classes)."""
    counts = Counter(name for finding in findings for name, has in (finding or {}).items() if has)
    classes = sorted(name for name, count in counts.items() if count >= config.least_count)
    labels = np.full((len(findings), len(classes)), np.nan, dtype=np.float32)
    for row, finding in zip(labels, findings, strict=True):
        if finding is None or not (config.multi_label or set(finding) & set(classes)):
            continue  # of a class that was left out: neither this nor that
        if not config.multi_label or config.index is None:
            row[:] = 0
        for name, has in finding.items():
            if name in classes:
                row[classes.index(name)] = float(has)
    return classes, labels


def _prepared(
    config: PictureConfig, entries: Sequence[Entry], done: Callable[[int, int], None]
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, entry, presence of lesions, and pictures of all entries; from the cache if nothing changed."""
    stamps = [(str(e.file), *_stamp(e.file)) if e.file is not None else e.name for e in entries]
    key = json.dumps([1, config.size, config.phantom_contrast, config.phantom_slices, stamps])
    file = config.cache and config.cache / f"pictures-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            done(len(entries), len(entries))
            return stored["names"].tolist(), stored["sources"], stored["lesions"], stored["pictures"]
    names, sources, lesions, pictures = [], [], [], []
    for number, entry in enumerate(entries):
        if entry.file is None:
            made = _digital_head(config, int(entry.name.removeprefix("phantom-")))
        else:
            made = [(slice_, picture, False) for slice_, picture in prepare_file(entry.file, config.size)]
        for slice_, picture, seen in made:
            names.append(entry.name + slice_)
            sources.append(number)
            lesions.append(seen)
            pictures.append(picture.astype(np.float16))
        done(number + 1, len(entries))
    result = (names, np.array(sources), np.array(lesions), np.stack(pictures))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as temporary:
            np.savez(temporary, names=names, sources=result[1], lesions=result[2], pictures=result[3])
        os.replace(temporary.name, file)
    return result


def _stamp(file: Path) -> tuple[int, int]:
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:
        raise InputError(f'"{file}" does not exist; correct the table or pictures.root.') from None


def _digital_head(config: PictureConfig, number: int) -> list[tuple[str, np.ndarray, bool]]:
    """Slices of one digital head with (odd numbers) or without lesions."""
    spacing = 256 / config.size
    head = phantom(
        seed=number,
        shape=(config.phantom_slices, config.size, config.size),
        lesions=6 * (number % 2),
        spacing=(spacing, spacing, 8.0),
        randomise=True,
    )
    images = sitk.GetArrayViewFromImage(getattr(head, config.phantom_contrast))
    lesions = sitk.GetArrayViewFromImage(head.lesions)
    return [
        (f"#{slice_}", prepare_picture(image, config.size), int((lesion > 0).sum()) >= _LESION_PIXELS)
        for slice_, (image, lesion) in enumerate(zip(images, lesions, strict=True))
    ]
