"""A prediction beside the truth: grids, displacements, coverage, errors of slices, histogram, Dice."""

import math
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib.compare import BINS, compare, slice_errors
from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.phantom import phantom

from .test_evaluate import image, waves

SHAPE = (14, 20, 18)


def oblique(array: np.ndarray, spacing: tuple[float, float, float] = (1.5, 1.2, 2.5)) -> sitk.Image:
    made = image(array, spacing)
    c, s = math.cos(0.3), math.sin(0.3)
    made.SetDirection((c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
    made.SetOrigin((-20.0, 13.0, 4.0))
    return made


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_errors_of_slices_add_up_to_the_whole(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    difference = random.normal(size=(5, 6, 7)).astype(np.float32)
    region = random.random((5, 6, 7)) < share
    errors, voxels = slice_errors(difference, region)
    assert voxels.sum() == region.sum()
    assert np.array_equal(np.isnan(errors), voxels == 0)
    expected = np.abs(difference[region].astype(np.float64)).sum()
    assert np.nansum(errors * voxels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("protocol", ["plain", "synthrad2023", "synthrad2025"])
def test_scores_are_those_of_evaluate_and_the_difference_has_their_mae(protocol: str) -> None:
    reference = image(np.round(700.0 * waves(SHAPE) - 500.0))
    prediction = image(np.round(700.0 * waves(SHAPE, 2) - 500.0))
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:12, 4:17, 3:15] = 1
    region = image(mask)
    found = compare(reference, prediction, "CT", region, protocol)
    assert found.scores.values == evaluate(reference, prediction, "CT", region, protocol).values
    assert found.resampled is None
    assert found.warnings == []
    assert found.unit == "HU"
    error = np.abs(sitk.GetArrayFromImage(found.difference))[mask > 0]
    assert error.mean() == pytest.approx(found.scores.values["mae"], rel=1e-5)
    assert np.isnan(found.errors[[0, 1, 2, 12, 13]]).all()
    assert np.nansum(found.errors * found.voxels) / mask.sum() == pytest.approx(found.scores.values["mae"], rel=1e-5)
    assert found.histogram.counts.sum() == mask.sum()
    assert found.scores.facts["mask"] == "given mask"


def test_mr_is_compared_after_scaling() -> None:
    reference = image(200.0 * waves(SHAPE))
    found = compare(reference, image(0.02 * waves(SHAPE)))
    assert found.unit == "of full scale"
    assert np.abs(sitk.GetArrayFromImage(found.difference)).max() < 1e-5
    assert found.scores.values["ms_ssim"] == pytest.approx(1.0, abs=1e-4)
    assert found.scores.values["dice_foreground"] == 1.0
    assert found.histogram.counts.sum() == np.trace(found.histogram.counts)  # all of it equal
    assert found.histogram.counts.shape == (BINS, BINS)


def test_a_ct_that_is_scored_as_mr_is_remarked() -> None:
    head = phantom(seed=1, shape=(12, 24, 24)).ct
    (told,) = compare(head, head, "MR").warnings
    lowest = float(sitk.GetArrayViewFromImage(head).min())
    assert f"down to {lowest:g}; if it is a CT" in told
    assert compare(head, head, "CT").warnings == []


def test_memory_stays_near_the_inputs() -> None:
    shape = (64, 128, 128)
    reference, prediction = (image(waves(shape, seed).astype(np.float32)) for seed in (1, 2))
    tracemalloc.start()
    compare(reference, prediction, "CT", image(np.ones(shape, np.uint8)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 4 * math.prod(shape) + 200e6


def test_equal_volumes_have_no_error_and_a_window_all_the_same() -> None:
    reference = image(200.0 * waves(SHAPE))
    found = compare(reference, reference)
    assert found.scores.values["psnr"] == math.inf
    assert np.nanmax(found.errors) == 0.0
    assert found.reach > 0.0


def test_the_joint_histogram_has_the_reference_first() -> None:
    reference = np.full((8, 8, 8), 100.0)
    reference[:, :, 4:] = 200.0
    prediction = np.full((8, 8, 8), 300.0)
    prediction[:, :, 4:] = 100.0
    found = compare(image(reference), image(prediction), "CT")
    counts, edges = found.histogram.counts, found.histogram.edges
    bins = {value: int(np.clip(np.searchsorted(edges, value, "right") - 1, 0, BINS - 1)) for value in (100, 200, 300)}
    assert counts[bins[100], bins[300]] == 256
    assert counts[bins[200], bins[100]] == 256


def test_another_grid_is_resampled_with_a_warning_and_what_it_lacks_is_left_out() -> None:
    head = phantom(seed=1, shape=(24, 48, 48)).ct
    whole = sitk.Cast(head, sitk.sitkFloat32)
    part = whole[6:, :, 4:]  # the same voxels, fewer of them
    found = compare(head, part, "CT")
    assert found.scores.values["mae"] == pytest.approx(0.0, abs=1e-3)
    assert found.resampled is not None
    assert found.resampled.GetSize() == head.GetSize()
    assert "resampled" in found.warnings[0]
    share = 100 * (1 - np.prod(part.GetSize()) / np.prod(head.GetSize()))
    assert f"does not reach {share:.0f} %" in found.warnings[1]
    assert "where the prediction reaches" in found.scores.facts["mask"]
    assert found.voxels[:4].sum() == 0
    assert sitk.GetArrayFromImage(found.difference)[:4].max() == 0.0
    assert sitk.GetArrayFromImage(found.resampled)[:4].max() == -1024.0
    assert found.scores.values["dice_bone"] == pytest.approx(1.0)  # not that of empty space with bone


def test_what_dice_counts_outside_the_scored_region() -> None:
    """Bone invented in the air lowers the overlap, though the errors are taken within the patient."""
    reference = np.full((10, 10, 10), -1000.0)
    reference[2:6, 2:6, 2:6] = 500.0
    prediction = reference.copy()
    prediction[7:9, 2:6, 2:6] = 500.0
    values = compare(image(reference), image(prediction), "CT").scores.values
    assert values["mae"] == 0.0
    assert values["dice_bone"] == pytest.approx(2 * 64 / (64 + 96))
    assert math.isnan(values["dice_soft_tissue"])


def test_a_mask_that_vanishes_at_the_coarsest_scale_has_no_ms_ssim() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 3, 3] = 1
    values = compare(image(waves(SHAPE)), image(waves(SHAPE, 2)), mask=image(mask)).scores.values
    assert math.isnan(values["ms_ssim"])
    assert math.isfinite(values["mae"])


def test_a_single_slice_and_an_oblique_one() -> None:
    found = compare(oblique(waves((1, 30, 28))), oblique(waves((1, 30, 28), 2)))
    assert found.errors.shape == (1,)
    assert found.scores.facts["window"].startswith("1x7x7")


def test_what_cannot_be_compared() -> None:
    good = image(waves(SHAPE))
    away = image(waves(SHAPE))
    away.SetOrigin((500.0, 0.0, 0.0))
    mask = np.zeros(SHAPE, np.uint8)
    mask[0] = 1
    for sentence, options in (
        ("wholly outside", {"prediction": away}),
        ("everywhere", {"prediction": image(np.ones(SHAPE))}),
        ("everywhere", {"reference": image(np.ones(SHAPE))}),
        ("NaN", {"prediction": image(np.where(waves(SHAPE) > 1, np.nan, 1.0))}),
        ("mask lies on another grid", {"mask": image(np.ones((3, 3, 3), np.uint8))}),
        ("mask is empty", {"mask": image(np.zeros(SHAPE, np.uint8))}),
        ("reaches nothing", {"prediction": image(waves(SHAPE))[:, :, 3:], "mask": image(mask)}),
        ("no protocol", {"protocol": "ssim"}),
        ("cannot be evaluated", {"modality": "PET"}),
        ("scores CT", {"protocol": "synthrad2025"}),
    ):
        with pytest.raises(InputError, match=sentence):
            compare(**{"reference": good, "prediction": good, **options})  # type: ignore[arg-type]


def test_cancelling_between_the_steps() -> None:
    stages: list[str] = []
    with pytest.raises(Cancelled):
        compare(
            image(waves(SHAPE)),
            image(waves(SHAPE, 2)),
            progress=lambda fraction, stage, done, total: stages.append(stage),
            cancel=lambda: bool(stages),
        )
    assert stages == ["Scoring"]


def test_cancelling_within_the_scoring() -> None:
    """A large volume is scored slab by slab, and no more than one of them is waited for."""
    asked: list[None] = []

    def cancel() -> bool:
        asked.append(None)
        return len(asked) > 3

    volumes = [image(waves((60, 200, 200), seed)) for seed in (1, 2)]
    stages: list[str] = []
    with pytest.raises(Cancelled):
        compare(*volumes, progress=lambda fraction, stage, done, total: stages.append(stage), cancel=cancel)
    assert stages == ["Scoring"]
