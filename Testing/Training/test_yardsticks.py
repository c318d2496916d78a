"""What translators are measured by: each yardstick is what it says, and all are scored alike."""

import numpy as np
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.card import TranslationCard
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import like
from Testing.MRITranslateLib.packages import CARD, tiny_package
from Training.data.scans import Pair
from Training.yardsticks import (
    constant,
    intensity_map,
    moments,
    neighbourhood,
    score,
    translated,
)


def pair(seed: int, target: str = "t2") -> Pair:
    head = phantom(seed=seed, shape=(8, 40, 40), spacing=(4.8, 4.8, 15.0), randomise=True)
    return Pair(f"phantom-{seed}", head.t1, sitk.Cast(getattr(head, target), sitk.sitkFloat32))


@pytest.fixture(scope="module")
def card() -> TranslationCard:
    return TranslationCard.model_validate(CARD)


def test_the_intensity_map_is_the_oracle_of_evaluate(card):
    one = pair(1)
    found = score(one, intensity_map(one, card), card)
    oracle = evaluate(one.target, one.target + sitk.Cast(one.source, sitk.sitkFloat32), source=one.source)
    assert found["psnr"] == pytest.approx(oracle.values["psnr_oracle"], abs=1e-3)
    assert found["psnr_affine"] == pytest.approx(found["psnr"], abs=1e-3)  # it is the best of all maps already


def test_the_constant_is_the_spread_of_the_truth(card):
    one = pair(1)
    truth = sitk.GetArrayFromImage(one.target)
    inside = truth > 0.05 * np.percentile(truth[truth > 0], 99.8)
    spread = truth[inside].std() / np.percentile(truth[inside], 99.8)
    found = score(one, constant(one, card), card)
    assert found["psnr"] == pytest.approx(-20 * np.log10(spread), abs=1e-3)
    assert found["psnr_affine"] == pytest.approx(found["psnr"], abs=1e-3)
    assert found["through_plane"] == 0


def test_the_regression_finds_a_filter_in_the_plane_of_the_model(card):
    """A truth that is a filter of the source is foretold exactly, from other subjects, however it is stored."""

    def filtered(seed: int, orientation: str) -> Pair:
        source = sitk.Cast(pair(seed).source, sitk.sitkFloat32)
        array = sitk.GetArrayFromImage(source)
        padded = np.pad(array, ((0, 0), (1, 0), (1, 0)), mode="edge")
        moved = 0.5 * array + 0.25 * (padded[:, :-1, 1:] + padded[:, 1:, :-1])  # nothing from slice to slice
        return Pair(str(seed), *(sitk.DICOMOrient(image, orientation) for image in (source, like(moved, source))))

    one = filtered(1, "SAL")
    learnt = [moments(filtered(2, "SAL"), card)]
    assert score(one, neighbourhood(one, card, learnt), card)["psnr_affine"] > 60
    sagittal = card.model_copy(update={"grid": card.grid.model_copy(update={"plane": "sagittal"})})
    learnt = [moments(filtered(2, "SAL"), sagittal)]
    assert score(one, neighbourhood(one, sagittal, learnt), sagittal)["psnr_affine"] < 35


def test_the_regression_beats_the_constant_on_another_head(card):
    one = pair(1)
    found = score(one, neighbourhood(one, card, [moments(pair(seed), card) for seed in (2, 3)]), card)
    assert found["psnr_affine"] > score(one, constant(one, card), card)["psnr_affine"]


def test_a_package_is_scored_as_evaluate_does(card, tmp_path):
    one, package = pair(1), mt.load_package(tiny_package(tmp_path / "tiny"))
    found = score(one, translated(one, package), card)
    expected = evaluate(one.target, mt.translate(one.source, package, "cpu").image).values
    for name in ("psnr", "psnr_affine", "ssim_affine"):
        assert found[name] == pytest.approx(expected[name], abs=1e-3), name


def test_ct_is_scored_in_hounsfield_units():
    card = TranslationCard.model_validate(CARD | {"target": "CT"})
    one = pair(1, "ct")
    flat = score(one, constant(one, card), card)
    mapped = score(one, intensity_map(one, card), card)
    assert flat["mae"] > mapped["mae"] > 20
    assert flat["bone_dice"] == 0
    regression = score(one, neighbourhood(one, card, [moments(pair(seed, "ct"), card) for seed in (2, 3)]), card)
    assert regression["psnr"] > 10
    assert regression.keys() >= {"mae", "psnr", "ssim"}
