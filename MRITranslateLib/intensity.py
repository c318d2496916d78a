"""Normalisation per volume, with its exact inverse.

An MRI has no absolute unit, so its scale is taken from the patient: voxels brighter than the volume's mean are
foreground (this holds for whole heads and for skull-stripped brains alike, and needs no tuning), and a robust statistic
of them becomes the unit. CT has a unit, so it is only windowed. All normalisers are affine; values beyond the window
are clipped only where the card says so, and only going in.
"""

from dataclasses import dataclass

import numpy as np

from .card import NormaliserCard
from .errors import InputError, PackageError

NO_SIGNAL = -1.0
"""Network value of no signal, in and out: every normaliser sends background there."""


def foreground(array: np.ndarray) -> np.ndarray:
    """Boolean mask of the patient: voxels brighter than the volume's mean.

    Raises:
        InputError: No voxel is (the volume is constant).
    """
    mask = array > array.mean(dtype=np.float64)
    if not mask.any():
        raise InputError("The volume has the same value everywhere; choose a volume with an anatomy in it.")
    return mask


@dataclass(frozen=True)
class Normaliser:
    """network value = clip((x - offset) / scale, low, high); the inverse is exact between the clips.

    Attributes:
        offset, scale: In the image's unit.
        low, high: Clip of the network's input, in network units.
        bounds: Range that restored values are held to, in the image's unit.
    """

    offset: float
    scale: float
    low: float
    high: float
    bounds: tuple[float, float]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Image values to network values (float32, same shape)."""
        scaled = np.multiply(array, np.float32(1 / self.scale), dtype=np.float32)
        scaled -= np.float32(self.offset / self.scale)
        return np.clip(scaled, self.low, self.high, out=scaled)

    def invert(self, array: np.ndarray) -> np.ndarray:
        """Network values to image values (float32, same shape)."""
        restored = np.multiply(array, np.float32(self.scale), dtype=np.float32)
        restored += np.float32(self.offset)
        return np.clip(restored, *self.bounds, out=restored)


def fit(card: NormaliserCard, array: np.ndarray) -> Normaliser:
    """Fit the normaliser that a card names to one volume.

    Names and parameters (defaults):
        foreground_median: `factor` (2): 0 goes to -1 and `factor` times the foreground's median to +1; `clip_high` (3).
        foreground_percentile: `percentile` (99.5): 0 goes to -1 and that percentile of the foreground to +1;
            `clip_high` (1.5).
        window: `low`, `high`: these go to -1 and +1, and values beyond are clipped.

    Raises:
        InputError: The volume is constant or its foreground is not positive.
        PackageError: The card gives a parameter that the normaliser lacks, or none that it needs.
    """
    given = dict(card.parameters)
    if card.name == "window":
        low, high = _take(given, card.name, low=None, high=None)
        return unfitted(card, low, high)
    if card.name == "foreground_median":
        factor, clip = _take(given, card.name, factor=2.0, clip_high=3.0)
        unit = factor * float(np.median(array[foreground(array)]))
    else:
        percentile, clip = _take(given, card.name, percentile=99.5, clip_high=1.5)
        unit = float(np.percentile(array[foreground(array)], percentile))
    if unit <= 0:
        raise InputError("The volume's tissue is not brighter than 0; choose a magnitude MRI.")
    return Normaliser(offset=unit / 2, scale=unit / 2, low=-1.0, high=clip, bounds=(0.0, float("inf")))


def unfitted(card: NormaliserCard, low: float | None = None, high: float | None = None) -> Normaliser:
    """The inverse for a synthetic image, which has no volume to fit to: a window, or for MRI the unit 1000.

    A synthetic MRI is returned with the statistic that its normaliser names at 1000 (arbitrary units).
    """
    if card.name == "window":
        if low is None or high is None:
            low, high = _take(dict(card.parameters), card.name, low=None, high=None)
        if not high > low:
            raise PackageError("The card's window is empty; get the package again.")
        return Normaliser((low + high) / 2, (high - low) / 2, -1.0, 1.0, (low, high))
    return Normaliser(offset=500.0, scale=500.0, low=-1.0, high=float("inf"), bounds=(0.0, float("inf")))


def _take(given: dict[str, float], name: str, **defaults: float | None) -> list[float]:
    taken = []
    for key, default in defaults.items():
        value = given.pop(key, default)
        if value is None:
            raise PackageError(f'The card gives no "{key}" for the normaliser {name}; get the package again.')
        taken.append(float(value))
    if given:
        raise PackageError(f'The normaliser {name} has no parameter "{next(iter(given))}"; get the package again.')
    return taken
