"""The figures that each protocol has, against closed forms, numpy, torchmetrics and what the protocol says."""

import math
from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import structural_similarity_index_measure

from MRITranslateLib.errors import InputError
from MRITranslateLib.evaluate import PROTOCOLS, evaluate
from MRITranslateLib.phantom import phantom
from MRITranslateLib.scoring.protocols import KINDS_OF, tissue_dice
from MRITranslateLib.scoring.scores import title_of

from ..test_evaluate import image, waves

AIR, SOFT, BONE = -900.0, 40.0, 800.0


def body() -> np.ndarray:
    """A block of soft tissue with a shell of bone and a cavity of air, in air of -1000 HU."""
    ct = np.full((20, 24, 28), -1000.0)
    ct[4:16, 4:20, 4:24] = BONE
    ct[5:15, 5:19, 5:23] = SOFT
    ct[8:11, 9:13, 10:16] = AIR
    return ct


def test_ct_errors_by_tissue_have_their_closed_form() -> None:
    """Air 50 HU too bright, soft tissue 7 too dark, bone 90 too dark; the air outside of the patient counts nowhere."""
    reference = body()
    prediction = reference.copy()
    prediction[reference == AIR] += 50.0
    prediction[reference == SOFT] -= 7.0
    prediction[reference == BONE] -= 90.0
    prediction[reference == -1000.0] += 33.0
    scores = evaluate(image(reference), image(prediction), "CT")
    values = scores.values
    for name, error in (("air", 50.0), ("soft_tissue", -7.0), ("bone", -90.0)):
        assert values[f"mae_{name}"] == pytest.approx(abs(error))
        assert values[f"me_{name}"] == pytest.approx(error)
    soft, bone = (np.count_nonzero(reference == value) for value in (SOFT, BONE))
    assert values["me"] == pytest.approx((-7.0 * soft - 90.0 * bone) / (soft + bone))
    assert scores.measured["mae_air"].mask == "air in outline of: reference above -500 HU"
    assert "soft tissue from -200 to 250 HU" in scores.facts["structures"]


def test_a_mask_holds_for_the_tissues_too() -> None:
    reference = body()
    prediction = reference + 10.0
    prediction[:, :, 14:] += 1000.0
    mask = np.zeros(reference.shape, np.uint8)
    mask[:, :, :14] = 1
    values = evaluate(image(reference), image(prediction), "CT", image(mask)).values
    assert values["mae_air"] == values["mae_bone"] == values["mae_soft_tissue"] == pytest.approx(10.0)


def test_bone_that_moved_has_its_distance() -> None:
    """All of the patient one slice of 3 mm further up: so is 95 % of the surface of the bone, or less."""
    reference = body()
    prediction = np.roll(reference, 1, axis=0)
    moved = evaluate(*(image(array, (1.0, 1.0, 3.0)) for array in (reference, prediction)), "CT").values
    assert moved["hd95_bone"] == pytest.approx(3.0)
    assert 0.0 < moved["dice_bone"] < 1.0
    same = evaluate(image(reference), image(reference + 1.0), "CT").values
    assert same["hd95_bone"] == 0.0
    assert same["dice_bone"] == 1.0
    without = evaluate(image(reference), image(np.minimum(reference, 200.0)), "CT").values
    assert without["dice_bone"] == 0.0
    assert without["hd95_bone"] == math.inf


@pytest.mark.parametrize("kind", ["MR", "CT"])
def test_ncc_is_pearsons(kind: str) -> None:
    reference, prediction = (400.0 * waves((16, 20, 18), seed) for seed in (1, 2))
    mask = np.zeros(reference.shape, np.uint8)
    mask[2:14, 3:18, 1:15] = 1
    found = evaluate(image(reference), image(prediction), kind, image(mask)).values["ncc"]
    assert found == pytest.approx(np.corrcoef(reference[mask > 0], prediction[mask > 0])[0, 1], rel=1e-5)


def test_ncc_does_not_mind_a_map_of_intensities() -> None:
    reference = waves((16, 20, 18))
    assert evaluate(image(reference), image(30.0 * reference + 4.0)).values["ncc"] == pytest.approx(1.0)
    assert evaluate(image(reference), image(3.0 - reference)).values["ncc"] == pytest.approx(-1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_dice_of_tissues_is_that_of_each_class_alone(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    truth, made = random.random((2, 4, 5, 6))
    inside = random.random((4, 5, 6)) < share
    for number, value in enumerate(tissue_dice(truth, made, inside, [0.3, 0.6])):
        first, second = (np.digitize(array[inside], [0.3, 0.6]) == number for array in (truth, made))
        both = first.sum() + second.sum()
        assert value == pytest.approx(2 * (first & second).sum() / both) if both else math.isnan(value)


def test_mr_tissues_of_a_head() -> None:
    """A head against itself in another unit: nothing is lost; against a blurred one, something."""
    head = phantom(seed=2, shape=(24, 48, 48)).t1
    blurred = sitk.SmoothingRecursiveGaussian(sitk.Cast(head, sitk.sitkFloat32), 2.0)
    classes = {"dice_dark", "dice_middle", "dice_bright", "dice_foreground"}
    same = evaluate(head, sitk.ShiftScale(sitk.Cast(head, sitk.sitkFloat32), 0.0, 3.0)).values
    assert {same[name] for name in classes} == {1.0}
    assert same["hd95_foreground"] == 0.0
    other = evaluate(head, blurred).values
    assert all(0.3 < other[name] < 1.0 for name in classes)
    assert other["hd95_foreground"] > 0.0


# ---------------------------------------------------------------------------------------------- brasyn


def scaled(array: np.ndarray) -> np.ndarray:
    low, high = np.percentile(array, (0.5, 99.5))
    low = max(low, 0.0)
    return (np.clip(array, low, high) - low) / (high - low)


@pytest.mark.parametrize("part", ["tumour", "healthy"])
def test_brasyn_similarity_is_torchmetrics_of_the_blanked_volumes(part: str) -> None:
    """Of the challenge's evaluation: clipped to percentiles, one part blanked, torchmetrics' default SSIM."""
    reference, prediction = (900.0 * waves((24, 40, 30), seed) - 300.0 for seed in (1, 2))
    tumour = np.zeros(reference.shape, np.uint8)
    tumour[6:14, 10:24, 8:20] = 3  # any label
    found = evaluate(image(reference), image(prediction), mask=image(tumour), protocol="brasyn").values
    kept = (tumour > 0) if part == "tumour" else (tumour == 0)
    volumes = [torch.from_numpy(scaled(array) * kept)[None, None] for array in (prediction, reference)]
    assert found[f"ssim_{part}"] == pytest.approx(float(structural_similarity_index_measure(*volumes)), rel=1e-4)


def test_brasyn_errors_are_those_of_each_part() -> None:
    reference, prediction = (900.0 * waves((16, 30, 20), seed) for seed in (1, 2))
    reference[:, :4] = prediction[:, :4] = 0.0  # outside of the brain
    tumour = np.zeros(reference.shape, np.uint8)
    tumour[4:9, 12:20, 5:12] = 1
    scores = evaluate(image(reference), image(prediction), mask=image(tumour), protocol="brasyn")
    difference = scaled(prediction) - scaled(reference)
    foreground = reference > 0.05 * np.percentile(reference[reference > 0], 99.8)
    for name, part in (("tumour", tumour > 0), ("healthy", foreground & (tumour == 0))):
        expected = -10.0 * math.log10(np.mean(difference[part] ** 2))
        assert scores.values[f"psnr_{name}"] == pytest.approx(expected, rel=1e-4)
    assert scores.facts["mask"] == "given mask: the tumour"


def test_brasyn_without_a_tumour_scores_the_whole_as_healthy() -> None:
    scores = evaluate(image(waves((16, 20, 20))), image(waves((16, 20, 20), 2)), protocol="brasyn")
    assert set(scores.values) == {"ssim_healthy", "psnr_healthy"}
    with pytest.raises(InputError, match="at least 11 voxels"):
        evaluate(image(waves((10, 20, 20))), image(waves((10, 20, 20), 2)), protocol="brasyn")


def test_a_tumour_that_the_prediction_does_not_reach_has_no_figure() -> None:
    """Two volumes without anything left are alike, but that says nothing."""
    reference, prediction = image(waves((16, 20, 30))), image(waves((16, 20, 30), 2))[:20]
    tumour = np.zeros((16, 20, 30), np.uint8)
    tumour[4:9, 4:9, 24:28] = 1
    found = evaluate(reference, prediction, mask=image(tumour), protocol="brasyn", resample=True).values
    assert set(found) == {"ssim_healthy", "psnr_healthy"}


# ---------------------------------------------------------------------------------------------- what is said of each


@pytest.mark.parametrize(
    ("protocol", "kind"), [pair for name in PROTOCOLS for pair in product([name], KINDS_OF[name])], ids=str
)
def test_every_figure_says_how_it_was_measured(protocol: str, kind: str) -> None:
    reference, prediction = (300.0 * waves((30, 40, 36), seed) for seed in (1, 2))
    scores = evaluate(image(reference), image(prediction), kind, protocol=protocol, source=None)
    assert set(scores.measured) == set(scores.values)
    for name, how in scores.measured.items():
        assert how.mask
        assert bool(how.window) == ("ssim" in name)
        assert bool(how.data_range) == ("ssim" in name or "psnr" in name)
        assert (how.unit == "dB") == name.startswith("psnr")
        assert "_" not in title_of(name, short=True)


def test_names_for_people() -> None:
    assert title_of("dice_soft_tissue", short=True) == "Dice, soft tissue"
    assert title_of("mae_bone") == "Mean absolute error (MAE), bone"
    assert title_of("ms_ssim_affine", short=True) == "MS-SSIM, after a fit"
    assert title_of("psnr_gain", short=True) == "PSNR, gain"
    assert title_of("me", short=True) == "Mean error"
