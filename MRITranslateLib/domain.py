"""Does an image look like what a model was trained on? Plain words where it does not, a refusal where it cannot be."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import SimpleITK as sitk

from .card import ClassificationCard, TranslationCard
from .contrast import Contrast, recognise
from .errors import InputError
from .geometry import patient_extent
from .intensity import Normaliser, fit, foreground
from .modality import modality

if TYPE_CHECKING:
    from .package import Package

_SAMPLES = 96
"""Voxels along each axis that are enough for quantiles."""
_EXTENT_TOLERANCE = 1.4
_SPACING_TOLERANCE = 1.7
"""Extents and spacings may leave the range of the training data by these factors without a word: in plane the image is
resampled anyway, and augmentation has scaled the training slices."""
_ABSURD = 6.0
"""Beyond this factor no head scan can be meant."""


@dataclass(frozen=True)
class DomainReport:
    """What `check` says.

    Attributes:
        outcome: "refuse": the model cannot take this image. "warn": it can, but the result may be wrong. "ok".
        reasons: Sentences for people; none where all is well.
        contrast: What the image looks like.
    """

    outcome: Literal["ok", "warn", "refuse"]
    reasons: list[str]
    contrast: Contrast


def check(image: sitk.Image, package: "Package") -> DomainReport:
    """Compare an image with what a model needs, before any work is done: its contrast, and for a translation its field
    of view, voxel spacing and intensities too. A model that makes pictures from nothing takes any image.

    Args:
        image: 3-D scalar volume, any grid.
        package: From `load_package`.

    Raises:
        InputError: The image cannot be used by any model (see `check_volume`).
    """
    contrast, card = recognise(image), package.card
    try:
        if isinstance(card, TranslationCard):
            reasons = _check_contrast(contrast, card.source, card.name) + _check_extent(image, card)
            values = thinned(sitk.GetArrayViewFromImage(image))
            normaliser = fit(card.intensity.source, values)
            reasons += check_intensity(normaliser.apply(values), normaliser, card)
        elif isinstance(card, ClassificationCard):
            reasons = _check_contrast(contrast, card.source, card.name)
        else:
            reasons = []
    except InputError as error:
        return DomainReport("refuse", [str(error)], contrast)
    return DomainReport("warn" if reasons else "ok", reasons, contrast)


def check_domain(image: sitk.Image, card: TranslationCard) -> list[str]:
    """Compare an image with the model's training data before any work is done.

    Returns:
        Warnings for people, one sentence each; empty when all is well.

    Raises:
        InputError: The image is of another kind (a CT for an MRI model), or its size cannot be a patient's.
    """
    return _check_contrast(recognise(image), card.source, card.name) + _check_extent(image, card)


def _check_contrast(contrast: Contrast, needed: str, model: str) -> list[str]:
    """Refuse a CT for an MRI model and the reverse; among the contrasts of MRI the guess may be wrong, so only warn."""
    source = modality(needed)
    if source.kind == "MR" and contrast.hounsfield:
        raise InputError(
            f"This image looks like a CT (Hounsfield units), but {model} needs a {source.title}; choose the MRI."
        )
    if source.kind == "CT" and not contrast.hounsfield:
        raise InputError(f"This image does not look like a CT, but {model} needs one; choose the CT.")
    if needed not in contrast.probabilities:
        return []  # a chest X-ray
    if not contrast.known:
        return [
            f"This image resembles none of the MRI and CT of heads that are known here, and {model} needs "
            f"a {source.title} of a head; is it one?"
        ]
    if contrast.name == needed or not contrast.sure:
        return []
    return [f"This looks like a {contrast}, but {model} needs {needed}; choose the {source.title} if there is one."]


def _check_extent(image: sitk.Image, card: TranslationCard) -> list[str]:
    warnings = []
    for name, extent, spacing, extents, spacings in zip(
        ("left-right", "front-back", "head-foot"),
        *patient_extent(image),
        card.domain.field_of_view_mm,
        card.domain.spacing_mm,
        strict=True,
    ):
        if extent > _ABSURD * extents[1] or spacing > _ABSURD * spacings[1] or spacing < spacings[0] / _ABSURD / 2:
            raise InputError(
                f"The image measures {extent:.4g} mm {name} with voxels of {spacing:.4g} mm, which no scan "
                f"for {card.name} can be; correct the voxel spacing in its header."
            )
        if not extents[0] / _EXTENT_TOLERANCE <= extent <= extents[1] * _EXTENT_TOLERANCE:
            warnings.append(
                f"The field of view is {extent:.0f} mm {name}; "
                f"the model was trained on {_span(*(format(value, '.0f') for value in extents))} mm."
            )
        if not spacings[0] / _SPACING_TOLERANCE <= spacing <= spacings[1] * _SPACING_TOLERANCE:
            warnings.append(
                f"The voxel spacing is {spacing:.3g} mm {name}; "
                f"the model was trained on {_span(*(format(value, '.3g') for value in spacings))} mm."
            )
    return warnings


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def thinned(array: np.ndarray) -> np.ndarray:
    """Every so many voxels of a large volume: enough for its quantiles."""
    return array[tuple(slice(None, None, max(1, extent // _SAMPLES)) for extent in array.shape)]


def foreground_quantiles(array: np.ndarray) -> dict[str, float]:
    """Quantiles of the normalised foreground, as the card's `domain.quantiles` keeps them (network units, -1 = no
    signal)."""
    tissue = array[foreground(array)]
    return {f"p{q}": float(np.percentile(tissue, q)) for q in (10, 50, 90, 99)}


def check_intensity(array: np.ndarray, normaliser: Normaliser, card: TranslationCard) -> list[str]:
    """Compare the normalised input's intensity shape with the training data's; one warning at most."""
    seen = foreground_quantiles(array)
    off = []
    for key, (low, high) in card.domain.quantiles.items():
        margin = 0.35 * (high - low) + 0.1
        if key in seen and not low - margin <= seen[key] <= min(high, normaliser.high) + margin:
            off.append(key)
    if not off:
        return []
    return [
        f"The distribution of intensities differs from that of the {card.source} scans the model was trained on "
        f"({', '.join(off)}); is this really a {modality(card.source).title}?"
    ]
