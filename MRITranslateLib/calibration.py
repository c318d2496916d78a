"""What a map of doubt is worth: how it agrees with the true error on subjects that have both images.

    entry = calibrate(package, [("p07", t1, t2), ...], "augmentation", "People of ..., not seen by the weights.")

The entry goes into the card; from then on `translate` scales its standard deviation and warns where the map is beyond
what was seen here.
"""

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import SimpleITK as sitk

from . import intensity
from .card import CalibrationCard, TranslationCard
from .consistency import FULL_SCALE
from .errors import InputError
from .modality import modality
from .package import Package
from .preparation import Preparation
from .scoring.regions import BODY_HU, mr_foreground
from .translate import translate
from .unusual import in_edges, in_head, largest_region

Pair = tuple[str, sitk.Image, sitk.Image]
"""A subject's name, its source image and its true target image on the same grid."""
_INTERVAL = 1.96
_COVERED = 95.0
_USUAL = 99.9
_MOST_VOXELS = 200_000
"""Of one pair, drawn at random: more would not change a figure's third digit."""
_LEAST = 1e-4
"""Network units; a smaller deviation counts as this where the scale is sought, which would be infinite."""
_FEW = 4


@dataclass
class _Subject:
    """Values of the drawn foreground voxels, in network units and in mm of edges, and the whole maps in these."""

    doubt: list[np.ndarray] = field(default_factory=list)
    error: list[np.ndarray] = field(default_factory=list)
    moved: list[np.ndarray] = field(default_factory=list)
    maps: list[sitk.Image] = field(default_factory=list)

    def ratios(self) -> np.ndarray:
        """Errors in half-widths of the unscaled interval."""
        return np.concatenate(self.error) / (_INTERVAL * np.maximum(np.concatenate(self.doubt), _LEAST))

    def coverage(self, scale: float) -> float:
        inside = np.concatenate(self.error) <= _INTERVAL * scale * np.concatenate(self.doubt)
        return float(inside.mean())

    def correlation(self) -> float:
        from scipy.stats import spearmanr

        doubt, error = np.concatenate(self.doubt), np.concatenate(self.error)
        return float(spearmanr(doubt, error).statistic) if np.ptp(doubt) and np.ptp(error) else 0.0


def calibrate(
    package: Package,
    pairs: Iterable[Pair],
    method: Literal["augmentation", "dropout", "cycle"],
    data: str,
    inverse: Package | None = None,
    device: str = "cpu",
) -> CalibrationCard:
    """Measure one kind of map against the true error, on what `translate` gives.

    The error is the absolute difference to the truth in network units (MR has no other common unit), in the truth's
    foreground: as in `evaluate`, MR above 5 % of the 99.8th percentile, CT above -500 HU. The scale is found on every
    second subject and its coverage measured on the others. With fewer than four subjects it is found on all, and the
    coverage is the mean of leaving each one out.

    Args:
        package: A translation.
        pairs: Read one after the other; several may be of one subject.
        method: Of the map.
        data: Sentence for the card: who the subjects were and whether the weights had seen them.
        inverse: For the cycle: the way back, where it is not the one that the card names.
        device: As of `translate`.

    Raises:
        InputError: There is no pair, or `translate` cannot give the map.
    """
    card = package.translation_card()
    bare = copy(package)  # its maps are not scaled
    bare.card = card.model_copy(update={"calibration": []})
    unit = intensity.unfitted(card.intensity.target)
    subjects: dict[str, _Subject] = {}
    for name, source, target in pairs:
        if method == "cycle":
            result = translate(source, bare, device, cycle=inverse or True)
            doubt, factor, beneath = result.cycle, FULL_SCALE, _as_seen(source, card)
        else:
            result = translate(source, bare, device, uncertainty=method)
            doubt, factor, beneath = result.uncertainty, 1 / unit.scale, result.image
        assert doubt is not None
        truth = sitk.GetArrayViewFromImage(target)
        inside = truth > BODY_HU if modality(card.target).kind == "CT" else mr_foreground(truth)
        own = intensity.fit(card.intensity.target, truth)
        made = (sitk.GetArrayViewFromImage(result.image)[inside] - unit.offset) / unit.scale
        error = np.abs(np.clip(made, own.low, own.high) - own.apply(truth[inside]))
        drawn = np.random.default_rng(0).permutation(len(error))[:_MOST_VOXELS]
        subject = subjects.setdefault(name, _Subject())
        moved = in_head(in_edges(doubt, beneath, 1 / factor), beneath)
        subject.doubt.append(sitk.GetArrayViewFromImage(doubt)[inside][drawn] * np.float32(factor))
        subject.error.append(error[drawn].astype(np.float32))
        subject.moved.append(sitk.GetArrayViewFromImage(moved)[inside][drawn])
        subject.maps.append(moved)
    if not subjects:
        raise InputError("A calibration needs at least one subject with both images.")
    found = list(subjects.values())
    usual = _digits(np.percentile(np.concatenate([part for subject in found for part in subject.moved]), _USUAL))
    regions = [largest_region(image, usual) for subject in found for image in subject.maps]
    largest = max((region[0] for region in regions if region is not None), default=0.0)
    scale, coverage = (None, None) if method == "cycle" else _scale(found)
    return CalibrationCard(
        method=method,
        data=data,
        subjects=list(subjects),
        correlation=_digits(np.mean([subject.correlation() for subject in found])),
        scale=scale,
        coverage_95=coverage,
        usual=usual,
        usual_ml=math.ceil(largest * 1000) / 1000,
    )


def _scale(subjects: Sequence[_Subject]) -> tuple[float, float | None]:
    """The factor, and the share of errors that it covers in subjects that it was not found on."""

    def find(found: Sequence[_Subject]) -> float:
        return max(_digits(np.percentile(np.concatenate([one.ratios() for one in found]), _COVERED)), 1e-6)

    if len(subjects) >= _FEW:
        scale = find(subjects[::2])
        return scale, _digits(np.mean([subject.coverage(scale) for subject in subjects[1::2]]))
    if len(subjects) == 1:
        return find(subjects), None
    left_out = [
        subject.coverage(find([*subjects[:number], *subjects[number + 1 :]])) for number, subject in enumerate(subjects)
    ]
    return find(subjects), _digits(np.mean(left_out))


def _as_seen(image: sitk.Image, card: TranslationCard) -> sitk.Image:
    """An input in the unit of the map of what does not come back."""
    preparation = Preparation(image, card)
    return preparation.grid.inverse(preparation.array) / FULL_SCALE


def _digits(value: float | np.floating) -> float:
    return float(f"{value:.4g}")
