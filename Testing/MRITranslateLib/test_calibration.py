"""Calibration: known errors give known scales; odd objects are told from what validation saw."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib.calibration import calibrate
from MRITranslateLib.errors import InputError, PackageError
from MRITranslateLib.package import Package, rewrite_card
from MRITranslateLib.translate import translate

from .packages import card, tiny_package
from .test_translate import blob

DEVIATION = 0.05 / np.sqrt(2)
"""Of four answers of a network that copies its input, as a fraction of the signal."""


def pair(seed: int, times: float) -> tuple[str, sitk.Image, sitk.Image]:
    """An image, and a truth that differs from it by normal noise of `times` the deviation that it will have."""
    image = blob((40, 44, 12), (1.0, 1.0, 3.0), seed=seed)
    noise = 1 + times * DEVIATION * np.random.default_rng(seed).standard_normal(image.GetSize()[::-1])
    truth = sitk.GetImageFromArray((sitk.GetArrayFromImage(image) * noise).astype(np.float32))
    truth.CopyInformation(image)
    return f"s{seed}", image, truth


@pytest.mark.parametrize("subjects", [2, 5])
def test_the_scale_is_how_much_larger_the_error_is_than_the_deviation(identity, subjects):
    entry = calibrate(identity, (pair(seed, 3.0) for seed in range(subjects)), "augmentation", "Made up.")
    assert entry.scale == pytest.approx(3.0, rel=0.08)  # the noise moves the median of a small truth
    assert entry.coverage_95 == pytest.approx(0.95, abs=0.01)
    assert entry.subjects == [f"s{seed}" for seed in range(subjects)]
    assert entry.method == "augmentation"
    assert entry.correlation > 0.1


def test_coverage_is_measured_on_subjects_that_the_scale_was_not_found_on(identity):
    """Every second subject errs twice as much: three times the interval for half of them is too little for the
    others."""
    entry = calibrate(identity, (pair(seed, 1.0 + seed % 2) for seed in range(6)), "augmentation", "Made up.")
    assert entry.scale == pytest.approx(1.0, rel=0.05)
    assert entry.coverage_95 == pytest.approx(0.673, abs=0.02)  # within 0.98 standard deviations


def test_one_subject_has_no_other_to_be_checked_on(identity):
    entry = calibrate(identity, [pair(1, 2.0), pair(1, 2.0)], "augmentation", "Made up.")
    assert entry.scale == pytest.approx(2.0, rel=0.05)
    assert entry.coverage_95 is None
    with pytest.raises(InputError, match="at least one subject"):
        calibrate(identity, [], "augmentation", "Made up.")


def test_a_measured_package_is_measured_again_as_if_it_were_not(identity):
    entry = calibrate(identity, [pair(1, 2.0)], "augmentation", "Made up.")
    again = Package(identity.folder)
    again.card = identity.card.model_copy(update={"calibration": [entry.model_copy(update={"scale": 7.0})]})
    assert calibrate(again, [pair(1, 2.0)], "augmentation", "Made up.") == entry
    assert again.card.calibration


def test_the_interval_of_a_translation_covers_its_errors(identity):
    """95 % of the errors lie within 1.96 of what `translate` calls the standard deviation."""
    entry = calibrate(identity, [pair(1, 2.0)], "augmentation", "Made up.")
    measured = Package(identity.folder)
    measured.card = identity.card.model_copy(update={"calibration": [entry]})
    _, image, truth = pair(2, 2.0)
    result = translate(image, measured, "cpu", uncertainty=True)
    made, spread, true = (sitk.GetArrayFromImage(one) for one in (result.image, result.uncertainty, truth))
    true *= 500 / np.median(true[true > true.mean()])  # the package's unit: twice the median is 1000
    inside = true > 100
    assert (np.abs(made - true) <= 1.96 * spread)[inside].mean() == pytest.approx(0.95, abs=0.015)


@pytest.fixture(scope="module")
def heads():
    return {seed: mt.phantom(seed=seed, shape=(20, 64, 64)) for seed in (1, 2, 3, 4)}


class Clamped(nn.Module):
    """Copies what it has learnt, values up to 0.6; beyond, it guesses by the sign of what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x < 0.6, x, 1.5 * torch.sin(40 * x))


@pytest.mark.parametrize("method", ["augmentation", "cycle"])
def test_an_object_that_validation_never_saw_is_pointed_at(tmp_path, monkeypatch, heads, method):
    """A ball in a head, as bright as nothing in the heads of the validation."""
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Clamped())
    one = mt.load_package(tiny_package(tmp_path / "tiny"))
    back = mt.load_package(tiny_package(tmp_path / "back", name="back", source="T2", target="T1"))

    def head(seed: int) -> sitk.Image:
        return heads[seed].t1

    pairs = [(f"s{seed}", heads[seed].t1, heads[seed].t2) for seed in (1, 2, 3)]
    entry = calibrate(one, pairs, method, "Digital heads.", inverse=back)
    assert (entry.scale is None) == (method == "cycle")
    one.card = one.card.model_copy(update={"calibration": [entry]})
    ask = {"uncertainty": True} if method == "augmentation" else {"cycle": back}

    def lesion_warnings(image: sitk.Image) -> list[str]:
        return [text for text in translate(image, one, "cpu", **ask).warnings if "lesion" in text]

    assert lesion_warnings(head(4)) == []
    odd = sitk.GetArrayFromImage(head(4))
    place = (11, 34, 28)
    index = np.indices(odd.shape) - np.reshape(place, (3, 1, 1, 1))
    spacing = np.array(head(4).GetSpacing())[::-1].reshape(3, 1, 1, 1)
    inside = ((index * spacing) ** 2).sum(0) < 20**2
    odd[inside] = np.median(odd[odd > odd.mean()]) * 2 * np.random.default_rng(0).uniform(0.9, 1.3, inside.sum())
    image = sitk.GetImageFromArray(odd)
    image.CopyInformation(head(4))
    (sentence,) = lesion_warnings(image)
    found = [float(value) for value in sentence.split("RAS (")[1].split(")")[0].split(",")]
    x, y, z = image.TransformIndexToPhysicalPoint([int(n) for n in place[::-1]])
    assert np.linalg.norm(np.subtract(found, (-x, -y, z))) < 25


def test_a_card_names_a_method_once():
    entry = {"method": "cycle", "data": "x", "subjects": ["a"], "correlation": 0.1, "usual": 0.1, "usual_ml": 1.0}
    assert card(calibration=[entry]).calibrated("cycle").usual == 0.1
    assert card(calibration=[entry]).calibrated("dropout") is None
    assert card().calibration == []
    with pytest.raises(PackageError, match="name each method once"):
        card(calibration=[entry, entry])
    with pytest.raises(PackageError, match=r"calibration\.0\.correlation"):
        card(calibration=[entry | {"correlation": 2.0}])


def test_a_card_is_rewritten_and_the_weights_stay(tmp_path):
    folder = tiny_package(tmp_path / "tiny")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    package = mt.load_package(folder)
    entry = {"method": "cycle", "data": "x", "subjects": ["a"], "correlation": 0.1, "usual": 0.1, "usual_ml": 1.0}
    new = card(calibration=[entry]).model_copy(update={"files": package.card.files})
    rewrite_card(folder, new, "# New\n")
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert mt.load_package(folder).card == new
    assert after.pop("README.md") == b"# New\n"
    assert {name for name in after if after[name] != before[name]} == {"model.json"}
    with pytest.raises(PackageError):
        rewrite_card(folder, card(), "# New\n")  # states no files
    assert mt.load_package(folder).card == new
