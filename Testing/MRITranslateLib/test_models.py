"""The built-in models: sound packages, honest cards, and worth loading."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MRITranslateLib as mt
from MRITranslateLib.catalog import builtin_folder
from MRITranslateLib.sampling import resize_pictures

TRANSLATORS = (
    "flair_to_t1",
    "t1_to_ct",
    "t1_to_t2",
    "t1_to_t2_attention",
    "t1_to_t2_cyclegan",
    "t2_to_ct",
    "t2_to_t1",
    "t2_to_t1_cyclegan",
)
MODELS = ("brain_mri", "brain_tumour", "chest_findings", "chest_xray", *TRANSLATORS)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "brain_t1_t2_flair"
FOLDS = Path(__file__).parents[2] / "Training" / "folds"
REAL = pytest.mark.skipif(not DATA.is_dir(), reason="the real scans are not beside the repository")


@pytest.fixture(scope="module")
def head():
    """A head that no model was trained on: training heads have seeds from 1000."""
    return mt.phantom(seed=5, shape=(24, 192, 192), spacing=(1.2, 1.2, 6.0))


def test_the_built_in_models_are_there_and_sound():
    assert sorted(model.name for model in mt.list_models() if model.built_in) == list(MODELS)
    for name in MODELS:
        mt.load_package(name).verify()
    sizes = {name: _size(builtin_folder() / name) for name in MODELS}
    assert max(sizes.values()) < 16 * 2**20
    assert sum(sizes.values()) < 80 * 2**20


def _size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("name", MODELS)
def test_a_card_says_what_was_trained_on_scored_and_must_not_be_done(name):
    card = mt.load_package(name).card
    assert card.training.steps >= 450
    assert card.training.subjects
    assert any("diagnosis" in limit for limit in card.limits)
    assert card.scores
    for score in card.scores:
        unseen = score.weights or "without these subjects" in score.protocol
        assert unseen or not set(score.subjects) & set(card.training.subjects)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_card_says_what_its_uncertainty_is_worth(name):
    card = mt.load_package(name).card
    entry = card.calibrated("augmentation")
    assert entry.correlation > 0
    assert len(entry.subjects) >= 3
    assert 0.5 < entry.coverage_95 <= 1
    seen = set() if entry.weights else set(entry.subjects) & set(card.training.subjects)
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


@pytest.mark.parametrize("contrast", ["t1", "t2"])
def test_a_synthetic_ct_has_a_skull_where_the_head_has(head, contrast):
    ct = sitk.GetArrayFromImage(head.ct)
    package = mt.load_package(f"{contrast}_to_ct")
    made = sitk.GetArrayFromImage(mt.translate(getattr(head, contrast), package, "cpu").image)
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


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        (
            "brain_mri",
            ("fid", "fid_floor", "kid", "kid_floor", "diversity", "real_diversity", "nearest_train", "copies"),
        ),
        ("chest_xray", ("fid", "fid_floor", "kid", "kid_floor", "nearest_train", "copies", "mean consistency auroc")),
    ],
)
def test_a_generator_s_card_has_its_distance_to_reality_beside_the_floor(name, figures):
    scores = mt.load_package(name).card.scores
    measured = {key: value for score in scores for key, value in score.metrics.items()}
    assert set(figures) <= set(measured)
    assert measured["fid"] > 0
    assert measured["copies"] < 0.2
    assert all("held" in score.protocol for score in scores)


def test_brains_from_noise_are_heads_in_air_and_differ():
    made = mt.generate(mt.load_package("brain_mri"), 16, seed=7, device="cpu")
    assert made.pictures[:, :6].mean() < -0.85  # air in front of the head, and beside it
    assert made.pictures[:, :, :6].mean() < -0.85
    middle = made.pictures[:, 54:74, 54:74]
    assert -0.8 < middle.mean() < 0.5
    differences = np.abs(made.pictures[:, None] - made.pictures[None]).mean((2, 3))
    assert differences[~np.eye(16, dtype=bool)].min() > 0.02


def test_x_rays_show_the_projection_that_the_report_asks_for():
    """Lying patients are filmed from the front, standing ones from behind: the classifier can tell, on average."""
    package, classifier = mt.load_package("chest_xray"), mt.load_package("chest_findings")
    number = classifier.card.classes.index("PA")
    caption = "Frontal chest radiograph, {}, of a male patient, {}."
    means = []
    for projection, where in (
        ("PA projection", "on the day of hospital admission, not in intensive care at the time of imaging"),
        ("AP projection", "8 days after hospital admission, in intensive care at the time of imaging"),
    ):
        made = mt.radiograph(caption.format(projection, where), package, seed=3, count=8, device="cpu").pictures
        small = resize_pictures(torch.from_numpy(made)[:, None], classifier.card.picture.size)
        with torch.inference_mode():
            means.append(float(classifier.classifier()(small)[:, number].mean()))
    assert means[0] > means[1] + 0.5


@pytest.mark.parametrize(("name", "least"), [("flair_to_t1", 1), ("t2_to_t1", 1.5), ("t1_to_t2", 0.9)])
def test_left_out_people_come_out_better_than_by_any_map_of_intensities(name, least):
    """In every family, as the card says; that the card is right is the test of `Training.score_cards`."""
    gains = {}
    for score in mt.load_package(name).card.scores:
        if score.weights:
            gains.setdefault(score.family, []).extend([score.metrics["psnr_gain"]] * len(score.subjects))
    assert set(gains) == {"glioma", "mscs", "mslg"}
    families = [np.mean(values) for values in gains.values()]
    assert min(families) > 0
    assert np.mean(families) > least


@REAL
@pytest.mark.parametrize(("weights", "least"), [("t1_to_t2", 1.5), (FOLDS / "t1_to_t2_fold_1", 1)])
def test_a_real_scan_is_translated_better_than_by_any_map_of_intensities(weights, least):
    """By 1.5 dB by the shipped weights, which have seen this person, and by 1 dB by those that never did."""
    t1, t2 = (sitk.ReadImage(str(DATA / "mscs_p07" / f"{name}.nii.gz")) for name in ("t1", "t2"))
    package = mt.load_package(weights)
    assert ("mscs_p07" in package.card.training.subjects) == (weights == "t1_to_t2")
    result = mt.translate(t1, package, "cpu")
    assert mt.evaluate(t2, result.image, source=t1).values["psnr_gain"] > least
