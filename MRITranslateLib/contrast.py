"""Which contrast does a head scan show? T1, T2, FLAIR, PD or CT, or nothing that resembles them.

The image is averaged to voxels of about 3 mm and described by some ninety numbers that do not depend on its unit, its
orientation or, within reason, its field of view: how bright each depth below the surface is and how much it varies,
how bright and how dark its spots are, the shape of its histogram. A small network in `contrast.json` turns them into
probabilities; the file also says how often it was right. `python -m Training.contrast` makes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .modality import modality
from .volume import check_volume

FILE = Path(__file__).with_name("contrast.json")
NAMES = ("T1", "T2", "FLAIR", "PD", "CT")
SURE = 0.9
"""A probability from which on people are told; see the table of `contrast.json` for how often that is wrong."""
_AIR_HU = -500.0
_STRANGE = 0.8
"""Probability of none of them from which on an image is called unknown."""
_USUAL = 4.0
_FEWEST = 64
"""Coarse voxels that an object must have."""
_COARSE_MM = 3.0
_LARGEST_HEAD_MM = 320.0
_HEAD_MM = 200.0
"""A picture has no spacing: an object larger than any head is taken to be a head of this size."""
_SHELLS = (0.0, 0.05, 0.1, 0.16, 0.24, 0.34, 0.46, 0.6, 0.78, 1.01)
"""Depths below the surface as parts of the greatest one."""
_SPOT_MM = (9.0, 21.0)


@dataclass(frozen=True)
class Contrast:
    """What `recognise` says of an image.

    Attributes:
        name: The most probable of T1, T2, FLAIR, PD and CT.
        probabilities: Of these five; their sum is 1.
        known: False where the image resembles none of those that the classifier was made from: then name and
            probabilities mean nothing.
        hounsfield: Whether the values are Hounsfield units.
    """

    name: str
    probabilities: Mapping[str, float]
    known: bool = True
    hounsfield: bool = False

    @property
    def sure(self) -> bool:
        """Whether the name is more than a guess."""
        return self.known and self.probabilities[self.name] >= SURE

    def __str__(self) -> str:
        return f"{modality(self.name).title} ({100 * self.probabilities[self.name]:.0f} %)"


def looks_like_ct(image: sitk.Image) -> bool:
    """Whether the values are Hounsfield units: a good part of the volume lies near air (-1000), and nothing below
    -4096."""
    values = sitk.GetArrayViewFromImage(image)[::2, ::2, ::2]
    low = values.min()
    return bool(-4096 <= low < -200 and np.mean(values < -200) > 0.02 and np.percentile(values, 2) < _AIR_HU)


def recognise(image: sitk.Image) -> Contrast:
    """Tell which contrast a scan of a head shows; Hounsfield units tell by themselves.

    Args:
        image: 3-D scalar volume, any grid; a picture is a volume of one slice.

    Raises:
        InputError: The image cannot be used at all (see `check_volume`).
    """
    check_volume(image)
    if looks_like_ct(image):
        return Contrast("CT", {name: float(name == "CT") for name in NAMES}, hounsfield=True)
    found = features(image)
    if found is None:
        return Contrast(NAMES[0], dict.fromkeys(NAMES, 1 / len(NAMES)), known=False)
    return classifier()(found)


class Classifier:
    """A mean of small networks with one hidden layer, which tell the contrasts and what is none of them.

    Args:
        stored: The content of `contrast.json`.
    """

    def __init__(self, stored: Mapping[str, Any]) -> None:
        self._mean, self._scale = np.asarray(stored["mean"]), np.asarray(stored["scale"])
        self._networks = [[np.asarray(part) for part in network] for network in stored["networks"]]

    def standardised(self, found: np.ndarray) -> np.ndarray:
        """Features (..., n) in units of their spread, cut where they leave what is usual."""
        return np.clip((found - self._mean) / self._scale, -_USUAL, _USUAL)

    def probabilities(self, found: np.ndarray) -> np.ndarray:
        """Features (..., n) to probabilities (..., 6) of `NAMES` and of none of them."""
        values = self.standardised(found)
        total = np.zeros((*found.shape[:-1], len(NAMES) + 1))
        for first, bias, second, offset in self._networks:
            answers = np.tanh(values @ first + bias) @ second + offset
            answers = np.exp(answers - answers.max(axis=-1, keepdims=True))
            total += answers / answers.sum(axis=-1, keepdims=True)
        return total / len(self._networks)

    def __call__(self, found: np.ndarray) -> Contrast:
        *shares, none = self.probabilities(found).tolist()
        one_of_them = sum(shares)
        named = {name: share / one_of_them for name, share in zip(NAMES, shares, strict=True)}
        return Contrast(max(named, key=named.__getitem__), named, known=none < _STRANGE)


@cache
def classifier() -> Classifier:
    """The one that comes with the engine."""
    return Classifier(json.loads(FILE.read_text(encoding="utf-8")))


def coarse(image: sitk.Image) -> tuple[np.ndarray, list[float]]:
    """Averages over blocks of about 3 mm.

    Returns:
        float32 (k, j, i), without the axes along which there are fewer than two; and its voxel spacing in that order,
        in mm.
    """
    spacing = np.asarray(image.GetSpacing())
    size = np.asarray(image.GetSize())
    spacing = spacing * _rescaled(image)
    factors = np.clip(np.rint(_COARSE_MM / spacing), 1, size).astype(int)
    if image.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        image = sitk.Cast(image, sitk.sitkFloat32)
    array = sitk.GetArrayFromImage(sitk.BinShrink(image, factors.tolist())).astype(np.float32)
    steps = (spacing * factors)[::-1]
    return np.squeeze(array), [float(step) for step, n in zip(steps, array.shape, strict=True) if n > 1]


def _rescaled(image: sitk.Image) -> float:
    """1, or what the spacing must be multiplied by so that the object on the image has the size of a head."""
    array = sitk.GetArrayViewFromImage(image)
    steps = [max(1, n // 64) for n in array.shape]
    array = array[:: steps[0], :: steps[1], :: steps[2]]
    bright = np.argwhere(array > array.mean(dtype=np.float64))
    if not len(bright):
        return 1.0
    extent = (np.ptp(bright, axis=0) + 1) * steps * np.asarray(image.GetSpacing())[::-1]
    return float(_HEAD_MM / extent.max()) if extent.max() > _LARGEST_HEAD_MM else 1.0


def features(image: sitk.Image) -> np.ndarray | None:
    """What the classifier sees of an image: float64 (86,), or None where next to nothing is on it."""
    array, spacing = coarse(image)
    if array.ndim < 2:
        return None
    negative = float(np.mean(array < -0.05 * np.percentile(array, 99.5)))
    array = array - min(0.0, float(np.percentile(array, 1)))
    np.clip(array, 0, np.percentile(array, 99.9), out=array)
    inside = _inside(_smooth(array))
    unit = float(np.median(array[inside])) if inside.any() else 0.0
    if unit <= 0 or np.count_nonzero(inside) < _FEWEST:
        return None
    array = np.minimum(array / np.float32(unit), np.float32(8))
    depth = _depth(inside, spacing)
    depth /= np.percentile(depth[inside], 99.5)
    core, deep = inside & (depth > 0.34), inside & (depth > 0.6)
    rough = _roughness(array)
    found = [negative, float(np.mean(inside))]
    for where in (inside, core, deep):
        found += _histogram(array[where])
    for low, high in pairwise(_SHELLS):
        shell = array[inside & (depth >= low) & (depth < high)]
        found += _logarithms(np.percentile(shell if shell.size else [1.0], (20, 50, 80)))
    for mm in _SPOT_MM:
        bright, dark = _spots(array, spacing, mm)
        for where in (inside, core):
            ups, downs = (
                np.log([values.mean() + 0.01, np.percentile(values, 95) + 0.01])
                for values in (bright[where], dark[where])
            )
            found += [*ups, *downs, ups[0] - downs[0]]
    for where in (inside, core):
        found += _by_roughness(array[where], rough[where])
    values = array[core]
    middle = np.clip(values, *np.percentile(values, (10, 90)))
    for part in (values, middle):
        found += [_correlation(part, rough[core]), _correlation(part, depth[core])]
    return np.asarray(found, dtype=np.float64)


def _logarithms(values: np.ndarray) -> list[float]:
    return np.log(values + 0.05).tolist()


def _histogram(values: np.ndarray) -> list[float]:
    centred = np.clip((values - values.mean()) / (values.std() + 1e-6), -5, 5)
    quantiles = np.percentile(values, (2, 10, 25, 50, 75, 90, 98))
    return [*_logarithms(quantiles), float((centred**3).mean()), float((centred**4).mean())]


def _by_roughness(values: np.ndarray, rough: np.ndarray) -> list[float]:
    """The median where the image is smooth, where it is rough, and in between: white matter is smooth."""
    low, high = np.percentile(rough, (33, 67))
    parts = (rough <= low, (rough > low) & (rough <= high), rough > high)
    return _logarithms(np.asarray([np.median(values[part]) if part.any() else 1.0 for part in parts]))


def _neighbours(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The array moved by one voxel either way along an axis; at the border the edge is repeated."""
    first, last = np.take(array, [0], axis), np.take(array, [-1], axis)
    before = np.concatenate([first, np.delete(array, -1, axis)], axis)
    return before, np.concatenate([np.delete(array, 0, axis), last], axis)


def _smooth(array: np.ndarray) -> np.ndarray:
    """With 1/4, 1/2, 1/4 along each axis."""
    for axis in range(array.ndim):
        before, after = _neighbours(array, axis)
        array = np.float32(0.5) * array + np.float32(0.25) * (before + after)
    return array


def _inside(array: np.ndarray) -> np.ndarray:
    """The patient, with what is dark in it: bright places, and what lies between them along two axes at least."""
    bright = array > array.mean(dtype=np.float64)
    if not bright.any():
        return bright
    bright = array > 0.25 * np.median(array[bright])
    votes = np.zeros(array.shape, dtype=np.uint8)
    for axis in range(array.ndim):
        before = np.maximum.accumulate(bright, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(bright, axis), axis=axis), axis)
        votes += before & after
    return bright | (votes >= 2)


def _depth(inside: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance to the nearest place outside, in mm. The image's border counts as outside only where nothing else is."""
    if inside.all():
        return _depth(np.pad(inside, 1), spacing)[(slice(1, -1),) * inside.ndim]
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.SetSpacing(spacing[::-1])
    distance = sitk.SignedMaurerDistanceMap(mask, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return np.clip(sitk.GetArrayFromImage(distance), 0, None)


def _spots(array: np.ndarray, spacing: Sequence[float], mm: float) -> tuple[np.ndarray, np.ndarray]:
    """What is brighter, and what is darker, than all wider surroundings: the morphological top hats."""
    radii = [max(1, round(0.5 * mm / step)) for step in spacing]

    def sweep(values: np.ndarray, extreme: np.ufunc) -> np.ndarray:
        for axis, radius in enumerate(radii):
            lower = (slice(None),) * axis + (slice(None, -1),)
            upper = (slice(None),) * axis + (slice(1, None),)
            for _ in range(radius):
                swept = values.copy()
                extreme(swept[upper], values[lower], out=swept[upper])
                extreme(swept[lower], values[upper], out=swept[lower])
                values = swept
        return values

    opened = sweep(sweep(array, np.minimum), np.maximum)
    closed = sweep(sweep(array, np.maximum), np.minimum)
    return array - opened, closed - array


def _roughness(array: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum([np.square(np.gradient(array, axis=axis)) for axis in range(array.ndim)], axis=0))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).mean() / (first.std() * second.std() + 1e-6))
