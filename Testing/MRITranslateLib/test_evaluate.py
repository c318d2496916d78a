"""Metrics against closed forms, scikit-image, and the SynthRAD challenges' own figures."""

import importlib.util
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.signal import fftconvolve
from skimage.metrics import structural_similarity

from MRITranslateLib.errors import InputError
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.phantom import phantom
from MRITranslateLib.scoring import similarity

SHARED = Path(__file__).parents[3] / "shared"
GOLDEN = SHARED / "golden"
PATIENTS = SHARED / "data" / "brain_t1_t2_flair"


def image(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(spacing)
    return made


def waves(shape: tuple[int, int, int], seed: int = 1) -> np.ndarray:
    """A smooth positive volume without symmetry, about 0.2 to 1.8."""
    z, y, x = np.meshgrid(*(np.linspace(0.0, 1.0, n) for n in shape), indexing="ij")
    return 1.0 + 0.4 * np.sin((6 + seed) * x + seed) * np.cos(5 * y) + 0.4 * np.sin(4 * z + 2 * x * y)


# ---------------------------------------------------------------------------------------------- closed forms, CT


@pytest.mark.parametrize("protocol", ["plain", "synthrad2023", "synthrad2025"])
def test_ct_errors_have_their_closed_form(protocol: str) -> None:
    """Half of the mask is off by 10 HU, half by 30: MAE 20, MSE 500."""
    reference = np.round(600.0 * waves((20, 24, 22)))
    prediction = reference.copy()
    prediction[:10] += 10.0
    prediction[10:] -= 30.0
    mask = np.zeros(reference.shape, np.uint8)
    mask[4:16, 6:18, 5:17] = 1
    prediction[mask == 0] = -3000.0  # counts nowhere
    values = evaluate(image(reference), image(prediction), "CT", image(mask), protocol).values
    data_range = {"plain": 4095.0, "synthrad2023": 4024.0, "synthrad2025": 4095.0}[protocol]
    assert values["mae"] == pytest.approx(20.0)
    assert values["psnr"] == pytest.approx(10.0 * math.log10(data_range**2 / 500.0))


def test_ct_psnr_is_clipped_and_mae_is_not() -> None:
    """Metal of 3100 HU, 100 HU too bright: all of it in the MAE, what is inside the range in the PSNR."""
    reference = np.full((12, 12, 12), 3100.0)
    reference[0, 0, 0] = 0.0
    prediction = reference + 100.0
    mask = image(np.ones(reference.shape, np.uint8))
    for protocol, data_range in (("synthrad2023", 4024.0), ("plain", 4095.0)):
        values = evaluate(image(reference), image(prediction), "CT", mask, protocol).values
        assert values["mae"] == pytest.approx(100.0)
        mse = 100.0**2 / reference.size  # only the one voxel below the range's end still differs
        assert values["psnr"] == pytest.approx(10.0 * math.log10(data_range**2 / mse))


def test_ssim_of_constants_has_its_closed_form() -> None:
    """Without structure only the luminance term is left: (2ab + c1) / (a² + b² + c1)."""
    a, b, c1 = 0.8, 0.5, 0.01**2
    first, second = np.full((9, 10, 11), a), np.full((9, 10, 11), b)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert similarity.ssim(first, second, np.ones(first.shape, bool), 1.0) == pytest.approx(expected)


def test_multiscale_ssim_knows_equal_and_opposite_volumes() -> None:
    """1 for equal volumes; 0 (but for flat windows) where the structure runs opposite: the factors are clipped at 0."""
    x = np.add.outer(np.add.outer(np.arange(40) % 7, np.arange(50) % 5), np.arange(45) % 3) / 10.0
    mask = np.ones(x.shape, bool)
    assert similarity.multiscale_ssim(x, x, mask, 1.0) == pytest.approx(1.0)
    assert similarity.multiscale_ssim(x, 2.0 - x, mask, 1e-3) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("shape", [(8, 9, 10), (7, 7, 7)])
def test_halving_is_a_mean_filter_and_every_second_voxel(shape: tuple[int, int, int]) -> None:
    array = waves(shape)
    expected = fftconvolve(array, np.full((2, 2, 2), 1.0 / 8.0), mode="same")[::2, ::2, ::2]
    np.testing.assert_allclose(similarity._halved(array), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(20, 24, 22), (7, 9, 30), (64, 33, 31)])
def test_ssim_is_scikit_images(shape: tuple[int, int, int]) -> None:
    """scikit-image averages inside a border of three voxels."""
    first, second = waves(shape), waves(shape, 3)
    expected = structural_similarity(first, second, data_range=2.0)
    assert similarity.ssim(first, second, similarity.inner(np.ones(shape, bool)), 2.0) == pytest.approx(expected)


def test_slabs_do_not_change_ssim(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, mask = waves((30, 20, 20)), waves((30, 20, 20), 2), np.ones((30, 20, 20), bool)
    whole = similarity.ssim(first, second, mask, 1.0)
    monkeypatch.setattr(similarity, "_SLAB_VOXELS", 3 * 400)
    assert similarity.ssim(first, second, mask, 1.0) == pytest.approx(whole, rel=1e-12)


# ---------------------------------------------------------------------------------------------- the challenges' figures


def golden_cases() -> list[dict]:
    path = GOLDEN / "synthrad.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the shared folder with the SynthRAD figures is absent")
@pytest.mark.parametrize("number", range(len(golden_cases())))
@pytest.mark.parametrize("protocol", ["synthrad2023", "synthrad2025"])
def test_synthrad_figures(number: int, protocol: str) -> None:
    case = golden_cases()[number]
    spec = importlib.util.spec_from_file_location("head_case", GOLDEN / "head_case.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reference, prediction, mask = module.head_case(case["shape"], case["k"])
    assert mask.sum() == case["mask_voxels"]
    scores = evaluate(image(reference), image(prediction), "CT", image(mask), protocol)
    assert scores.values == pytest.approx(case[protocol], rel=1e-4)


# ---------------------------------------------------------------------------------------------- plain, MR


def test_an_affine_prediction_is_perfect_after_the_fit() -> None:
    reference = waves((16, 20, 18))
    values = evaluate(image(reference), image(7.0 * reference + 2.0)).values
    assert values["psnr_affine"] > 100.0
    assert values["mae_affine"] < 1e-5
    assert values["ssim_affine"] == pytest.approx(1.0, abs=1e-5)
    assert values["psnr"] < 40.0


def test_inverted_contrast_is_fitted_too() -> None:
    reference = waves((16, 20, 18))
    assert evaluate(image(reference), image(3.0 - reference)).values["psnr_affine"] > 100.0


def test_a_positive_scale_changes_no_figure() -> None:
    reference, prediction = waves((16, 20, 18)), waves((16, 20, 18), 2)
    first = evaluate(image(reference), image(prediction)).values
    second = evaluate(image(300.0 * reference), image(0.01 * prediction)).values
    assert second == pytest.approx(first, rel=1e-4)


def test_equal_volumes_are_infinitely_good_and_json_says_null() -> None:
    reference = image(waves((16, 20, 18)))
    scores = evaluate(reference, reference)
    assert scores.values["psnr"] == math.inf
    assert scores.values["ssim"] == pytest.approx(1.0)
    assert scores.as_json()["scores"]["psnr"] is None
    json.dumps(scores.as_json(), allow_nan=False)


def test_foreground_is_the_reference_above_five_percent() -> None:
    reference = np.zeros((20, 20, 20))
    reference[5:15, 5:15, 5:15] = waves((10, 10, 10))
    prediction = reference.copy()
    prediction[0] = 50.0  # background: must not count
    scores = evaluate(image(reference), image(prediction))
    assert scores.facts["voxels"] == "1000"
    assert scores.values["mae"] == 0.0


def test_the_best_intensity_map_is_the_yardstick() -> None:
    """The reference follows the input in one half and runs opposite in the other: each level's mean is halfway."""
    source = np.tile(np.linspace(0.0, 1.0, 64), (16, 16, 1))
    reference = 0.5 + 0.4 * source
    reference[8:] = 0.5 + 0.4 * (1.0 - source[8:])
    scores = evaluate(image(reference), image(reference + 0.01 * source), source=image(source))
    full = np.percentile(reference, 99.8)
    # In every column half of the voxels lie 0.4 (s - 1/2) above the mean and half as much below.
    mse = np.mean((0.4 * (source - 0.5) / full) ** 2)
    assert scores.values["psnr_oracle"] == pytest.approx(10.0 * math.log10(1.0 / mse), rel=1e-4)
    assert scores.values["psnr_gain"] == pytest.approx(scores.values["psnr_affine"] - scores.values["psnr_oracle"])


def test_facts_say_how_it_was_measured() -> None:
    facts = evaluate(image(waves((3, 20, 18))), image(waves((3, 20, 18), 2))).facts
    assert facts["data_range"] == "1"
    assert facts["protocol"] == "plain"
    assert facts["window"].startswith("1x7x7")  # three slices hold no 3-D window
    assert "99.8th percentile" in facts["scaling"]


@pytest.mark.skipif(not PATIENTS.is_dir(), reason="the shared folder with the patients is absent")
@pytest.mark.parametrize(("subject", "expected"), [("mscs_p07", 20.7), ("mslg_p01_s1", 15.9)])
def test_yardstick_of_real_patients(subject: str, expected: float) -> None:
    """The figures to beat, with the foreground and full scale that this project defines."""
    t1, t2 = (sitk.ReadImage(str(PATIENTS / subject / f"{name}.nii.gz")) for name in ("t1", "t2"))
    values = evaluate(t2, t1, source=t1).values
    assert values["psnr_oracle"] == pytest.approx(expected, abs=0.05)
    assert values["psnr_gain"] < 0.0  # a copy of the input is worse than its best map


def test_memory_stays_near_the_inputs() -> None:
    shape = (64, 160, 160)
    reference, prediction = (image(waves(shape, seed).astype(np.float32)) for seed in (1, 2))
    tracemalloc.start()
    evaluate(reference, prediction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2 * 4 * math.prod(shape) + 150e6  # the slabs' share does not grow with the volume


# ---------------------------------------------------------------------------------------------- other grids


def test_another_grid_is_resampled_where_that_is_asked_for_and_said() -> None:
    """A part of the same voxels: exactly what is there is scored, and the rest is left out."""
    head = sitk.Cast(phantom(seed=1, shape=(24, 48, 48)).ct, sitk.sitkFloat32)
    part = head[6:, :, 4:]
    refused("another grid.*--resample", head, part, modality="CT")
    scores = evaluate(head, part, "CT", resample=True)
    assert scores.values["mae"] == pytest.approx(0.0, abs=1e-3)
    assert scores.values["dice_bone"] == pytest.approx(1.0)
    said = scores.facts["resampled"]
    assert "the prediction from 42 x 48 x 20 voxels" in said
    assert "27 % of it is not reached and left out" in said
    assert "where the prediction reaches" in scores.facts["mask"]
    assert "resampled" not in evaluate(head, head, "CT", resample=True).facts


def test_a_mask_of_any_label_counts() -> None:
    """Nonzero means nonzero: a segmentation may use negative labels."""
    reference, prediction = image(waves((12, 14, 16))), image(waves((12, 14, 16), 2))
    labels = np.zeros((12, 14, 16), np.int16)
    labels[2:9, 3:11, 4:12] = -2
    one = evaluate(reference, prediction, mask=image(labels)).values
    other = evaluate(reference, prediction, mask=image((labels != 0).astype(np.uint8))).values
    assert one == other


def test_the_input_image_is_resampled_too() -> None:
    t1, t2 = (sitk.Cast(getattr(phantom(seed=1, shape=(24, 48, 48)), name), sitk.sitkFloat32) for name in ("t1", "t2"))
    finer = sitk.Expand(t1, (1, 1, 2))
    scores = evaluate(t2, t2, source=finer, resample=True)
    assert "the input image from 48 x 48 x 48 voxels" in scores.facts["resampled"]
    near = evaluate(t2, t2, source=t1).values["psnr_oracle"]
    assert scores.values["psnr_oracle"] == pytest.approx(near, abs=1.0)
    mask = image(np.ones((24, 48, 47), np.uint8))
    refused("draw it on the reference", t2, t2, mask=mask, resample=True)


# ---------------------------------------------------------------------------------------------- bad input


def refused(sentence: str, *arguments: object, **options: object) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        evaluate(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_unusable_volumes_are_refused() -> None:
    good = image(waves((8, 9, 10)))
    empty = image(np.zeros((8, 9, 10), np.uint8))
    refused("another grid", good, image(waves((8, 9, 11))))
    refused("another grid", good, image(waves((8, 9, 10)), spacing=(1.0, 1.0, 2.0)))
    refused("another grid", good, good, mask=image(np.ones((8, 9, 9), np.uint8)))
    refused("another grid", good, good, source=image(waves((4, 9, 10))))
    refused("mask is empty", good, good, mask=empty)
    refused("everywhere", good, image(np.ones((8, 9, 10))))
    refused("NaN", good, image(np.where(waves((8, 9, 10)) > 1, np.nan, 1.0)))
    refused("no positive values", good, image(-waves((8, 9, 10))))
    refused("no protocol", good, good, protocol="ssim")
    refused("cannot be evaluated", good, good, modality="PET")
    refused("scores CT", good, good, protocol="synthrad2023")
    refused("leave the input image out", good, good, modality="CT", source=good)
    refused("at least 7 voxels", image(waves((3, 20, 20))), image(waves((3, 20, 20), 2)), "CT", None, "synthrad2023")
    refused("no foreground", image(waves((8, 9, 10)) - 2000.0), good, modality="CT")
    edge = np.zeros((9, 9, 9), np.uint8)
    edge[0] = 1
    refused(
        "3 voxels of the edge", image(waves((9, 9, 9))), image(waves((9, 9, 9), 2)), "CT", image(edge), "synthrad2023"
    )
