"""Does an image look like what a model was trained on? Plain words where it does not, a refusal where it cannot be."""

import numpy as np
import SimpleITK as sitk

from .card import TranslationCard
from .errors import InputError
from .geometry import patient_extent
from .intensity import Normaliser, foreground
from .modality import modality

_AIR_HU = -500.0
_EXTENT_TOLERANCE = 1.4
_SPACING_TOLERANCE = 1.7
"""Extents and spacings may leave the range of the training data by these factors without a word: in plane the image is
resampled anyway, and augmentation has scaled the training slices."""
_ABSURD = 6.0
"""Beyond this factor no head scan can be meant."""


def looks_like_ct(image: sitk.Image) -> bool:
    """Whether the values are Hounsfield units: a good part of the volume lies near air (-1000), and nothing below
    -4096."""
    values = sitk.GetArrayViewFromImage(image)[::2, ::2, ::2]
    low = values.min()
    return bool(-4096 <= low < -200 and np.mean(values < -200) > 0.02 and np.percentile(values, 2) < _AIR_HU)


def check_domain(image: sitk.Image, card: TranslationCard) -> list[str]:
    """Compare an image with the model's training data before any work is done.

    Returns:
        Warnings for people, one sentence each; empty when all is well.

    Raises:
        InputError: The image is of another kind (a CT for an MRI model), or its size cannot be a patient's.
    """
    source = modality(card.source)
    is_ct = looks_like_ct(image)
    if source.kind == "MR" and is_ct:
        raise InputError(
            f"This image looks like a CT (Hounsfield units), but {card.name} needs a {source.title}; choose the MRI."
        )
    if source.kind == "CT" and not is_ct:
        raise InputError(f"This image does not look like a CT, but {card.name} needs one; choose the CT.")
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
                f"the model was trained on {extents[0]:.0f} to {extents[1]:.0f} mm."
            )
        if not spacings[0] / _SPACING_TOLERANCE <= spacing <= spacings[1] * _SPACING_TOLERANCE:
            warnings.append(
                f"The voxel spacing is {spacing:.3g} mm {name}; "
                f"the model was trained on {spacings[0]:.3g} to {spacings[1]:.3g} mm."
            )
    return warnings


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
