"""Where a map is more than usual: in units of edges, with volume and place."""

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.card import CalibrationCard
from MRITranslateLib.unusual import in_edges, in_head, largest_region, lesion_warning


def volume(array: np.ndarray, spacing=(1.0, 2.0, 5.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin((100.0, 50.0, -20.0))
    return image


def ramp(unit: float) -> np.ndarray:
    """0.05 network units a mm along the columns of 1 mm."""
    return np.broadcast_to(0.05 * unit * np.arange(40.0), (10, 30, 40))


@pytest.mark.parametrize("unit", [1.0, 500.0])
def test_a_shifted_ramp_is_doubted_by_its_shift(unit):
    """Half a millimetre, but for the slope of 0.01 a mm that every place is granted; in any unit."""
    moved = sitk.GetArrayFromImage(in_edges(volume(np.full((10, 30, 40), 0.025 * unit)), volume(ramp(unit)), unit))
    np.testing.assert_allclose(moved, 0.5 * 0.05 / 0.06, rtol=0.02)


def test_the_same_doubt_weighs_more_where_the_image_is_flat():
    beneath = ramp(1.0).copy()
    beneath[:, :, 20:] = beneath[0, 0, 20]
    moved = sitk.GetArrayFromImage(in_edges(volume(np.full((10, 30, 40), 0.02)), volume(beneath), 1.0))
    assert moved[5, 15, 38] == pytest.approx(2.0, rel=0.05)
    assert moved[5, 15, 2] == pytest.approx(0.02 / 0.06, rel=0.05)


def test_a_single_slice_and_slices_thicker_than_the_reach():
    for count in (1, 2):
        array = np.broadcast_to(0.05 * np.arange(40.0), (count, 30, 40))
        moved = sitk.GetArrayFromImage(in_edges(volume(np.full(array.shape, 0.025)), volume(array), 1.0))
        np.testing.assert_allclose(moved, 0.5 * 0.05 / 0.06, rtol=0.02)


def test_doubt_in_the_air_is_noise_and_in_a_cavity_is_not():
    beneath = np.random.default_rng(0).normal(0, 5, (16, 40, 40))
    beneath[2:14, 5:35, 5:35] += 500.0
    beneath[5:10, 15:25, 15:25] -= 500.0  # a cavity
    beneath[1:3, 1:3, 1:3] += 500.0  # something else
    kept = sitk.GetArrayFromImage(in_head(volume(np.ones(beneath.shape)), volume(beneath)))
    assert kept[2:14, 5:35, 5:35].all()
    assert kept.sum() == 12 * 30 * 30


def test_where_nothing_stands_out_all_is_head():
    assert sitk.GetArrayFromImage(in_head(volume(np.ones((4, 5, 6))), volume(np.zeros((4, 5, 6))))).all()


def test_the_largest_region_its_volume_and_its_place():
    array = np.zeros((10, 20, 30))
    array[2:4, 5:9, 10:15] = 1.0  # 40 voxels of 10 mm³
    array[3, 6, 12] = 2.0
    array[7, 1, 1] = 9.0
    ml, place = largest_region(volume(array), 0.5)
    assert ml == pytest.approx(0.4)
    assert place == pytest.approx((-112.0, -62.0, -5.0))
    assert largest_region(volume(array), 10.0) is None


def test_the_warning_names_volume_and_place_of_what_is_larger_than_in_validation():
    beneath = np.zeros((12, 40, 60))
    doubt = np.zeros(beneath.shape)
    doubt[4:8, 14:26, 20:44] = 0.05
    known = CalibrationCard(
        method="augmentation", data="none", subjects=["s1"], correlation=0.5, scale=1.0, usual=2.5, usual_ml=5.0
    )
    (sentence,) = lesion_warning(volume(doubt), volume(beneath), 1.0, "uncertainty", known)
    assert "The uncertainty is unusually high in 1" in sentence  # 11.5 ml, a little rounder
    assert "ml around RAS (-13" in sentence
    assert sentence.endswith("which is outside what validation saw; a lesion may be drawn wrongly there.")
    for kinder in ({"usual_ml": 20.0}, {"usual": 5.5}):
        assert lesion_warning(volume(doubt), volume(beneath), 1.0, "x", known.model_copy(update=kinder)) == []
