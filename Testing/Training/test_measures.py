"""The figures that a card has beside those of `evaluate`."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import like
from Testing.MRITranslateLib.packages import CARD
from Training.data.scans import Pair
from Training.measures import measure, through_plane


def waves(period: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    profile = 10 + np.sin(np.arange(24) * 2 * np.pi / period)
    return profile[:, None, None] * rng.uniform(0.5, 1.5, (1, 16, 16))


def test_through_plane_is_the_ratio_of_neighbouring_differences():
    truth, inside = waves(12), np.ones((24, 16, 16), bool)
    assert through_plane(truth, truth, inside) == pytest.approx(1)
    assert through_plane(truth, 3 * truth + 70, inside) == pytest.approx(1)  # the unit says nothing
    flicker = truth + 2 * (-1.0) ** np.arange(24)[:, None, None]
    assert through_plane(truth, flicker, inside) > 1.5
    still = np.broadcast_to(truth.mean(0), truth.shape)
    assert through_plane(truth, still, inside) == pytest.approx(0)
    turned = (np.moveaxis(array, 0, 2) for array in (truth, flicker, inside))
    assert through_plane(*turned, axis=2) == pytest.approx(through_plane(truth, flicker, inside))


def test_through_plane_looks_at_the_foreground_only():
    truth, inside = waves(12), np.ones((24, 16, 16), bool)
    inside[10:12] = False
    broken = truth.copy()
    broken[10:12] = 1000
    assert through_plane(truth, broken, inside) == pytest.approx(1)
    assert math.isnan(through_plane(truth[:1], truth[:1], inside[:1]))


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_the_slices_are_those_of_the_model(plane):
    """However the image is stored: flicker of the sagittal slices is nothing to axial ones."""
    head = phantom(seed=3, shape=(12, 32, 32), spacing=(6.0, 6.0, 10.0))
    card = TranslationCard.model_validate(CARD | {"grid": CARD["grid"] | {"plane": plane}})
    truth = sitk.Cast(head.t2, sitk.sitkFloat32)
    flicker = sitk.GetArrayFromImage(truth)
    flicker[:, :, ::2] *= 1.3
    pair, made = Pair("a", head.t1, truth), like(flicker, truth)
    pair = Pair("a", *(sitk.DICOMOrient(image, "SAR") for image in (head.t1, truth)))
    ratio = measure(pair, sitk.DICOMOrient(made, "SAR"), card).values["through_plane"]
    assert (ratio > 1.15) == (plane == "sagittal")


def test_bone_dice_and_what_is_not_defined():
    head = phantom(seed=3, shape=(12, 32, 32), spacing=(6.0, 6.0, 10.0))
    card = TranslationCard.model_validate(CARD | {"target": "CT"})
    ct = sitk.Cast(head.ct, sitk.sitkFloat32)
    assert measure(Pair("a", head.t1, ct), ct + 1.0, card).values["bone_dice"] > 0.9
    soft = sitk.Clamp(ct, sitk.sitkFloat32, -1000, 200)
    assert measure(Pair("a", head.t1, ct), soft, card).values["bone_dice"] == 0
    assert "bone_dice" not in measure(Pair("a", head.t1, soft), soft + 1.0, card).values
    assert "through_plane" not in measure(Pair("a", head.t1, ct), soft, card).values
