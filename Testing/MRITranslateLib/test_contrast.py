"""Which contrast an image shows: every contrast of unseen heads, however they are stored; and what is none of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.contrast import FILE, NAMES, features, recognise
from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import read_volume

PATIENTS = Path(__file__).parents[3] / "shared" / "data" / "brain_t1_t2_flair"


@pytest.fixture(scope="module")
def head():
    return phantom(seed=7, shape=(40, 64, 64))


def test_contrasts_of_heads_that_were_not_learnt_from():
    wrong = []
    for seed in (3, 7, 11, 12):
        head = phantom(seed=seed, shape=(48, 64, 64))
        for name in NAMES:
            found = recognise(getattr(head, name.lower()))
            assert found.known
            assert sum(found.probabilities.values()) == pytest.approx(1)
            if found.name != name:
                wrong.append((seed, name, str(found)))
                assert not found.sure
    assert len(wrong) <= 2, wrong


def test_a_ct_without_hounsfield_units(head):
    values = sitk.Cast(head.ct, sitk.sitkFloat32)
    assert recognise(head.ct).hounsfield
    window = recognise(sitk.Clamp(values, lowerBound=-100, upperBound=300) + 100)
    assert window.name == "CT"
    assert not window.hounsfield
    shifted = recognise(values + 1000)
    assert shifted.name == "CT" or not shifted.sure


@pytest.mark.parametrize("name", ["t1", "t2"])
def test_the_answer_does_not_depend_on_how_the_image_is_stored(head, name):
    image = getattr(head, name)
    turned = sitk.Image(image)
    turned.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    turned.SetOrigin((100, -50, 7))
    wanted = recognise(image).probabilities
    for other in (
        sitk.DICOMOrient(image, "PIR"),
        sitk.Flip(image, [True, False, True]),
        turned,
        image * 0.01,
        sitk.Cast(image * 20, sitk.sitkInt16),
    ):
        found = recognise(other)
        assert found.name == name.upper()
        assert found.probabilities[found.name] == pytest.approx(wanted[found.name], abs=0.02)


def test_the_same_image_gives_the_same_features(head):
    np.testing.assert_array_equal(features(head.t1), features(head.t1))


def test_what_shows_nothing_is_unknown():
    dots = np.zeros((8, 32, 32), np.float32)
    dots[4, 10:12, 10:12] = 1
    assert not recognise(sitk.GetImageFromArray(dots)).known
    with pytest.raises(InputError, match="everywhere"):
        recognise(sitk.GetImageFromArray(np.ones((4, 8, 8), np.float32)))


def test_file_is_small_and_holds_its_tables():
    assert FILE.stat().st_size < 100_000
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    assert tuple(stored["names"][:5]) == NAMES
    count = len(stored["mean"])
    for first, bias, second, offset in stored["networks"]:
        assert np.shape(first) == (count, len(bias))
        assert np.shape(second) == (len(bias), len(offset))
    for title, found in stored["confusion"].items():
        table = np.asarray(found["table"])
        assert found["right"] == pytest.approx(np.trace(table) / table.sum(), abs=1e-3), title
    assert stored["confusion"]["phantoms"]["right"] > 0.9
    assert stored["confusion"]["real volumes"]["right"] > 0.7


@pytest.mark.skipif(not PATIENTS.is_dir(), reason="the shared folder with the patients is absent")
@pytest.mark.parametrize("contrast", ["t1", "t2", "flair"])
def test_real_patient(contrast):
    assert recognise(read_volume(PATIENTS / "mslg_p01_s1" / f"{contrast}.nii.gz")).name == contrast.upper()
