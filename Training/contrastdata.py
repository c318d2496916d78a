"""Scans of known contrast for `Training.contrast`: real ones by their names, phantoms, and what scanners do to them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.contrast import NAMES
from MRITranslateLib.phantom import TISSUES, phantom
from MRITranslateLib.picture import EXTENSIONS
from MRITranslateLib.volume import like, read_volume

_FINE_MM = 1.6
"""Volumes are averaged to voxels of at most this before they are changed, which saves nine tenths of the work."""
_EVERY_PICTURE = 4
"""Of the pictures, which are many of few people, one in so many is taken."""
_BRAIN = [
    index
    for index, tissue in enumerate(TISSUES)
    if tissue.name
    in ("cerebrospinal fluid", "grey matter", "white matter", "deep grey matter", "white-matter lesion", "venous blood")
]


@dataclass(frozen=True)
class Scan:
    """One image whose contrast is known.

    Attributes:
        image: At most about 1.6 mm coarse.
        contrast: One of `contrast.NAMES`, or `NONE`.
        person: Who it is of; all images of one person are left out together.
        kind: "volume", "picture" or "phantom"; "other" where it is no head.
        name: For tables.
    """

    image: sitk.Image
    contrast: str
    person: str
    kind: str
    name: str


def real_scans(folder: Path) -> Iterator[Scan]:
    """The scans under a folder that say their contrast.

    A volume says it by the first part of its file's name (t1.nii.gz, flair_smooth8mm.nii.gz), a DICOM series by a part
    of its folder's name, and a picture by its folder's name, or by that of its collection (see `_COLLECTIONS`).
    """
    seen = set()
    for path in sorted(folder.rglob("*.nii.gz")):
        contrast = _contrast(path.name.split(".")[0].split("_")[:1])
        if contrast is None or _REGISTRATION in path.name:
            continue
        image = _finer(read_volume(path))
        content = hash(sitk.GetArrayViewFromImage(image).tobytes())
        if content not in seen:  # templates lie in several folders
            seen.add(content)
            yield Scan(image, contrast, _person(path), "volume", _name(path, folder))
    for path in sorted(path for path in folder.rglob("*") if path.is_dir() and any(path.glob("*.dcm"))):
        contrast = _contrast(path.name.split("_"))
        if contrast is not None:
            yield Scan(_finer(read_volume(path)), contrast, path.name, "volume", _name(path, folder))
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    for number, path in enumerate(pictures[::_EVERY_PICTURE]):
        contrast = _contrast([path.parent.name]) or _collection(path)
        if contrast == NONE:
            yield Scan(read_volume(path), NONE, f"others {number % 5}", "other", _name(path, folder))
        elif contrast is not None:
            yield Scan(read_volume(path), contrast, _person(path), "picture", _name(path, folder))


NONE = "none"
"""The contrast of what is no MRI and no CT of a head."""
_COLLECTIONS = {"brain_tumour_jpg": "T1", "xray_reports": NONE}
"""Collections of pictures of one contrast, whose people are unknown."""


_REGISTRATION = "cormack"
"""CT numbers sent through a transfer curve for registration are not what a scanner gives."""


def _contrast(parts: Sequence[str]) -> str | None:
    return next((part.upper() for part in parts if part.upper() in NAMES), None)


def _collection(path: Path) -> str | None:
    return next((_COLLECTIONS[part] for part in path.parts if part in _COLLECTIONS), None)


def _person(path: Path) -> str:
    """Pictures and volumes of one subject share it; templates of one space count as one person, and so does a
    collection whose people are unknown."""
    slice_of = re.fullmatch(r"(.+)_z\d+", path.stem)
    if slice_of:
        return slice_of[1]
    if path.suffix.lower() in EXTENSIONS:
        return next(part for part in reversed(path.parts[:-2]) if "_" in part)
    return "templates" if "tmpl" in path.parent.name or "template" in path.name else path.parent.name


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix().removesuffix(".nii.gz")


def _finer(image: sitk.Image) -> sitk.Image:
    factors = [max(1, int(_FINE_MM / step)) for step in image.GetSpacing()]
    return sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)


def other_scans(count: int, seed: int) -> Iterator[Scan]:
    """Images on which no head is: noise, ramps, bottles and boxes, and heads whose pieces were shuffled."""
    kinds = (_noise, _clouds, _ramp, _bottle, _box, _shuffled)
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        shape = tuple(int(extent) for extent in generator.integers(24, 80, 3))
        if generator.random() < 0.25:
            shape = (1, *shape[1:])
        image = sitk.GetImageFromArray(kinds[number % len(kinds)](shape, generator).astype(np.float32))
        image.SetSpacing([float(generator.uniform(1, 4))] * 3)
        yield Scan(image, NONE, f"others {number // len(kinds) % 5}", "other", f"other {number}")


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.gamma(np.exp(generator.uniform(0, 5)), 1, shape)


def _clouds(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    image = sitk.DiscreteGaussian(
        sitk.GetImageFromArray(generator.random(shape)), [float(generator.uniform(2, 30))] * 3
    )
    array = sitk.GetArrayFromImage(image)
    return np.clip(array - np.quantile(array, generator.uniform(0, 0.6)), 0, None)


def _ramp(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return 1 + _field(shape, generator) + 0.05 * generator.normal(size=shape)


def _bottle(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """An ellipsoid of water, at times with a wall, as for the adjustment of a scanner."""
    distance = sum(
        ((np.arange(n) - (n - 1) / 2) / max(1.0, n * generator.uniform(0.3, 0.5))).reshape(
            [-1 if axis == own else 1 for own in range(3)]
        )
        ** 2
        for axis, n in enumerate(shape)
    )
    assert isinstance(distance, np.ndarray)
    walled = 1.0 * (distance < 1) + generator.uniform(-0.5, 1.5) * ((distance < 1) & (distance > 0.85))
    return np.clip(walled + generator.uniform(0, 0.1) * np.abs(generator.normal(size=shape)), 0, None)


def _box(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    array = np.zeros(shape)
    for _ in range(generator.integers(1, 8)):
        corner = [slice(low := int(generator.integers(0, n)), int(generator.integers(low, n)) + 1) for n in shape]
        array[tuple(corner)] += generator.random()
    array += 0.3 * (array.max() == 0)
    return array + 0.02 * np.abs(generator.normal(size=shape))


def _shuffled(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """The blocks of a small digital head in another order."""
    head = phantom(int(generator.integers(1, 10_000)), shape=(16, 64, 64))
    array = sitk.GetArrayFromImage(getattr(head, str(generator.choice(("t1", "t2", "flair", "pd")))))
    blocks = array.reshape(2, 8, 8, 8, 8, 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8, 8, 8)
    blocks = blocks[generator.permutation(len(blocks))].reshape(2, 8, 8, 8, 8, 8)
    return blocks.transpose(0, 3, 1, 4, 2, 5).reshape(array.shape)


def phantom_scans(seed: int) -> list[Scan]:
    """One digital head in all contrasts, whole or without its skull, as a hospital drawn at random would see it."""
    generator = np.random.default_rng([seed, 7])
    head = phantom(
        seed,
        shape=(64, 80, 80),
        spacing=(2.8, 2.8, 3.0),
        lesions=int(generator.integers(0, 9)),
        randomise=True,
    )
    stripped = generator.random() < 0.5
    brain = _brain(head.labels, generator) if stripped else None
    scans = []
    for contrast in NAMES:
        image = sitk.Cast(getattr(head, contrast.lower()), sitk.sitkFloat32)
        if brain is not None:
            image = sitk.Mask(image, brain, -1000.0 if contrast == "CT" and generator.random() < 0.5 else 0.0)
        name = f"phantom {seed}{' without skull' if stripped else ''}"
        scans.append(Scan(image, contrast, f"phantom {seed}", "phantom", name))
    return scans


def _brain(labels: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    """What a skull stripping would leave: at times with less of the fluid around the brain, at times with a rim."""
    array = np.isin(sitk.GetArrayViewFromImage(labels), _BRAIN).astype(np.uint8)
    mask = like(array, labels)
    mask = sitk.BinaryMorphologicalOpening(mask, [1, 1, 1])
    mask = sitk.RelabelComponent(sitk.ConnectedComponent(mask)) == 1
    mask = sitk.BinaryMorphologicalClosing(mask, [2, 2, 2])
    change = generator.integers(-1, 2)
    if change < 0:
        mask = sitk.BinaryErode(mask, [1, 1, 1])
    return sitk.BinaryDilate(mask, [1, 1, 1]) if change > 0 else mask


def varied(scan: Scan, generator: np.random.Generator) -> sitk.Image:
    """The scan as another scanner or another hand might give it: part of the field of view, thick slices, a picture of
    one slice, another size, bias, noise, another transfer curve, for CT another window."""
    image = sitk.Cast(scan.image, sitk.sitkFloat32)
    flat = 1 in image.GetSize()
    if not flat:
        if generator.random() < 0.4:
            image = _part(image, generator)
        draw = generator.random()
        if draw < 0.3:
            image, flat = _slice(image, generator), True
        elif draw < 0.6:
            image = _thick(image, generator)
    if not flat and min(image.GetSize()) > 4 and generator.random() < 0.15:
        image = sitk.SmoothingRecursiveGaussian(image, float(generator.uniform(1.0, 3.5)))  # an average of many heads
    array = sitk.GetArrayFromImage(image)
    array = _ct(array, generator) if scan.contrast == "CT" else _mr(array, generator)
    if flat and generator.random() < 0.7:
        array = np.rint(255 * np.clip(array / max(np.percentile(array, generator.uniform(99, 100)), 1e-6), 0, 1))
    made = like(array.astype(np.float32), image)
    zoom = generator.uniform(0.88, 1.12)
    made.SetSpacing([zoom * step for step in made.GetSpacing()])
    return made


def _part(image: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    start, size = [0, 0, 0], list(image.GetSize())
    axis = int(generator.integers(0, 3))
    # Away from the tips, where there is next to nothing: a field of view is set on what one wants to see.
    low = int(size[axis] * generator.uniform(0.0, 0.4))
    start[axis], size[axis] = low, max(1, min(size[axis] - low, int(size[axis] * generator.uniform(0.35, 0.8))))
    return sitk.RegionOfInterest(image, size, start)


def _slice(image: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    axis = int(generator.choice(3, p=(0.15, 0.15, 0.7)))
    array = sitk.GetArrayViewFromImage(image)
    filled = (array > array.mean()).mean(axis=tuple({0, 1, 2} - {2 - axis}))
    places = np.flatnonzero(filled > 0.4 * filled.max())
    start, size = [0, 0, 0], list(image.GetSize())
    start[axis], size[axis] = int(generator.choice(places)), 1
    return sitk.RegionOfInterest(image, size, start)


def _thick(image: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    axis = int(generator.choice(3, p=(0.2, 0.2, 0.6)))
    factors = [1, 1, 1]
    wanted = round(generator.uniform(3, 6.5) / image.GetSpacing()[axis])
    factors[axis] = max(1, min(wanted, image.GetSize()[axis] // 4))
    return sitk.BinShrink(image, factors)


def _mr(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    array = np.clip(array, 0, None)
    top = max(float(np.percentile(array, 99.5)), 1e-6)
    array = top * np.power(array / top, np.exp(generator.normal(0, 0.12)))
    array = array * np.exp(generator.uniform(0, 0.35) * _field(array.shape, generator))
    level = generator.uniform(0, 0.05) * top
    noise = generator.normal(0, level, (2, *array.shape))
    # Air that was set to 0, as by a skull stripping, stays 0.
    return np.where(array > 0, np.hypot(array + noise[0], noise[1]), 0)


def _ct(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """In HU, from 0 upwards, or cut to a window as a picture or an export is."""
    array = array + generator.normal(0, generator.uniform(0, 15), array.shape)
    form = generator.integers(0, 3)
    if form == 1:
        return array - array.min()
    if form == 2:
        low, high = np.percentile(array, 1), np.percentile(array, 99.9)
        low = max(low, generator.uniform(-300, -1)) if low < -300 else low
        high = min(high, generator.uniform(100, 1500)) if high > 100 else high
        return np.clip(array, low, max(high, low + 1)) - low
    return array


def _field(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Smooth over the whole image, within -1 and 1."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    field = sum(generator.normal() * axis + 0.7 * generator.normal() * axis**2 for axis in axes)
    assert isinstance(field, np.ndarray)
    return field / max(float(np.abs(field).max()), 1e-6)
