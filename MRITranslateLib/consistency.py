"""Cycle consistency: an image there and back again (Zhu et al., ICCV 2017). Where it does not come back as it was, one
of the two ways has lost or invented something; where it does, both may still be wrong alike."""

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from . import intensity
from .card import GridCard
from .errors import InputError
from .inference import Generator
from .package import Package, load_package
from .preparation import Preparation
from .volume import check_volume, like

FULL_SCALE = 2.0
"""Network units from no signal (-1) to the value that the card's normaliser sends to 1."""


def find_inverse(package: Package, given: Package | None) -> Package:
    """The package that goes the other way: the given one, or the one that the card names.

    Raises:
        InputError: There is none, it is not installed, or it does not lead from the target back to the source.
    """
    card = package.translation_card()
    if given is None:
        if card.inverse is None:
            raise InputError(
                f'The card of "{card.name}" names no model for the way back from {card.target} to {card.source}; '
                "give one."
            )
        try:
            given = load_package(card.inverse)
        except InputError:
            raise InputError(
                f'The way back from "{card.name}" is the model "{card.inverse}", which is not there or cannot be used; '
                "add it, or give another one."
            ) from None
    back = given.translation_card()
    if (back.source, back.target) != (card.target, card.source):
        raise InputError(
            f'"{back.name}" makes {back.target} of {back.source}, but the way back from "{card.name}" is from '
            f"{card.target} to {card.source}; give a model for that."
        )
    return given


def cycle_map(
    preparation: Preparation,
    synthetic: sitk.Image,
    inverse: Package,
    mask: sitk.Image | None,
    run: Callable[[GridCard, Generator, np.ndarray], np.ndarray],
) -> sitk.Image:
    """Absolute difference between the input, as the model saw it, and its way there and back.

    Args:
        preparation: Of the input.
        synthetic: The way there, on the input's grid.
        inverse: For the way back.
        mask: As of the input's preparation.
        run: All of a prepared volume through a generator.

    Returns:
        float32 on the input's grid, as a fraction of the input's full scale: the width of the CT window, or for MR the
        value that the card's normaliser sends to 1.

    Raises:
        InputError: The synthetic image is constant.
    """
    check_volume(synthetic, "The synthetic image")
    card, own = inverse.translation_card(), preparation.card.intensity.source
    there = Preparation(synthetic, card, mask)
    made = sitk.GetArrayFromImage(there.restore(run(card.grid, inverse.generator, there.array)))
    # MR has no unit: where the way back was trained to another one, the image is scaled like an input.
    same = own == card.intensity.target
    back = (intensity.unfitted(own) if same else intensity.fit(own, made)).apply(made)
    # The input went through the model's grid too, so that blur by resampling is not taken for a mistake.
    before = preparation.grid.inverse(preparation.array)
    back -= sitk.GetArrayViewFromImage(before)
    return like(np.abs(back, out=back) / np.float32(FULL_SCALE), synthetic)
