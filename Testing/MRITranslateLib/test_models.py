"""The built-in models: sound packages, honest cards, and worth loading."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.catalog import builtin_folder

MODELS = ("t1_to_ct", "t1_to_t2")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "brain_t1_t2_flair"
REAL = pytest.mark.skipif(not DATA.is_dir(), reason="the real scans are not beside the repository")


@pytest.fixture(scope="module")
def head():
    """A head that no model was trained on: training heads have seeds from 1000."""
    return mt.phantom(seed=5, shape=(24, 192, 192), spacing=(1.2, 1.2, 6.0))


def test_the_built_in_models_are_there_and_sound():
    assert sorted(model.name for model in mt.list_models() if model.built_in) == list(MODELS)
    for name in MODELS:
        mt.load_package(name).verify()
        size = sum(file.stat().st_size for file in (builtin_folder() / name).iterdir())
        assert size < 16 * 2**20


@pytest.mark.parametrize("name", MODELS)
def test_a_card_says_what_was_trained_on_scored_and_must_not_be_done(name):
    card = mt.load_package(name).card
    assert card.training.steps > 1000
    assert card.training.subjects
    assert any("diagnosis" in limit for limit in card.limits)
    assert card.scores
    for score in card.scores:
        unseen = "without these subjects" in score.protocol
        assert unseen or not set(score.subjects) & set(card.training.subjects)


@pytest.mark.parametrize("name", MODELS)
def test_a_card_says_what_its_uncertainty_is_worth(name):
    card = mt.load_package(name).card
    entry = card.calibrated("augmentation")
    assert entry.correlation > 0
    assert len(entry.subjects) > 3
    assert 0.5 < entry.coverage_95 <= 1
    seen = set(entry.subjects) & set(card.training.subjects)
    assert ("trained on" in entry.data) == bool(seen)
    assert ("never seen" in entry.data) == (len(seen) < len(entry.subjects))


def test_what_no_head_holds_is_called_a_place_of_a_possible_lesion():
    """A ball of noise in the brain, 44 mm wide; the same slices without it are passed."""
    head = mt.phantom(seed=5, shape=(48, 96, 96)).t1
    array = sitk.GetArrayFromImage(head)
    index = np.indices(array.shape) - np.reshape((25, 46, 58), (3, 1, 1, 1))
    ball = ((index * np.reshape(head.GetSpacing()[::-1], (3, 1, 1, 1))) ** 2).sum(0) < 22**2
    array[ball] = np.random.default_rng(0).uniform(0, 3 * np.median(array[array > array.mean()]), ball.sum())
    odd = sitk.GetImageFromArray(array)
    odd.CopyInformation(head)
    package = mt.load_package("t1_to_ct")
    for image, expected in ((head, 0), (odd, 1)):
        result = mt.translate(image[:, :, 19:31], package, "cpu", uncertainty=True)
        assert sum("lesion" in warning for warning in result.warnings) == expected
        assert result.provenance["calibration"].startswith("standard deviation x ")


def test_a_synthetic_ct_has_a_skull_where_the_head_has(head):
    ct = sitk.GetArrayFromImage(head.ct)
    made = sitk.GetArrayFromImage(mt.translate(head.t1, mt.load_package("t1_to_ct"), "cpu").image)
    bone, answer = ct > 250, made > 250
    assert 2 * (bone & answer).sum() / (bone.sum() + answer.sum()) > 0.8
    assert np.abs(made - ct)[ct > -500].mean() < 100
    assert -1024 <= made.min() < -900  # air


def test_a_synthetic_t2_shows_fluid_bright(head):
    result = mt.translate(head.t1, mt.load_package("t1_to_t2"), "cpu")
    scores = mt.evaluate(head.t2, result.image, source=head.t1).values
    assert scores["psnr_affine"] > 15
    labels, made = sitk.GetArrayFromImage(head.labels), sitk.GetArrayFromImage(result.image)
    label = {name: value for value, name in head.label_names.items()}
    fluid, white = (made[labels == label[key]].mean() for key in ("cerebrospinal fluid", "white matter"))
    assert fluid > 1.5 * white


@REAL
@pytest.mark.parametrize("subject", ["mscs_p07", "mslg_p01_s1"])
def test_real_scans_are_translated_better_than_by_any_map_of_intensities(subject):
    """At least 1.5 dB above the best intensity map. The shipped weights have seen these people; the card says so."""
    t1, t2 = (sitk.ReadImage(str(DATA / subject / f"{name}.nii.gz")) for name in ("t1", "t2"))
    result = mt.translate(t1, mt.load_package("t1_to_t2"), "cpu")
    assert mt.evaluate(t2, result.image, source=t1).values["psnr_gain"] > 1.5
