"""The random changes: geometry that is exact where it can be checked, physics of the ghosts."""

import numpy as np
import pytest
import torch
from monai.data.meta_obj import get_track_meta

from Training.config.parts import AugmentConfig
from Training.data.augmentation import Geometry, Intensity, Placement, RandCurve, RandGhosting, RandNulling, cut

NONE = AugmentConfig(
    flip=0, rotate_degrees=0, scale=0, elastic_mm=0, gamma=0, brightness=0, bias_field=0, noise=0, blur_mm=0, ghosting=0
)


@pytest.fixture
def plane() -> np.ndarray:
    """A smooth blob beside the middle, 1 channel of 64 x 80."""
    y, x = np.mgrid[:64, :80]
    return (2 * np.exp(-(((y - 30) / 9) ** 2) - ((x - 44) / 6) ** 2) - 1)[None].astype(np.float32)


def grid_of(start: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    return np.stack(np.mgrid[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]).astype(np.float32)


@pytest.mark.parametrize("start", [(10, 20), (-7, 60), (50, -20)])
def test_a_resampled_window_that_is_not_changed_is_the_window(plane, start):
    size = (24, 32)
    (plain,) = cut([plane], Placement(start, size, None))
    (resampled,) = cut([plane], Placement(start, size, grid_of(start, size)))
    assert plain.shape == (1, *size)
    torch.testing.assert_close(resampled, plain, atol=1e-5, rtol=0)


def test_a_window_beside_the_image_is_air(plane):
    size = (8, 8)
    for start in ((100, 0), (-50, -50), (0, 200)):
        assert (cut([plane], Placement(start, size, None))[0] == -1).all()
        assert (cut([plane], Placement(start, size, grid_of(start, size)))[0] == -1).all()


def test_half_a_pixel_further_is_interpolated_cubically(plane):
    grid = grid_of((10, 20), (30, 40)) + np.array([0.5, 0.25], np.float32)[:, None, None]
    (moved,) = cut([plane], Placement((10, 20), (30, 40), grid))
    y, x = grid
    expected = 2 * np.exp(-(((y - 30) / 9) ** 2) - ((x - 44) / 6) ** 2) - 1
    np.testing.assert_allclose(moved[0].numpy(), expected, atol=0.02)


def test_a_rotation_is_one_in_millimetres():
    """With pixels of 1 x 2 mm a disc stays a disc, wherever it is turned to."""
    y, x = np.mgrid[:80, :40]
    disc = np.where(np.hypot(y - 40, 2 * (x - 20)) < 20, 1.0, -1.0)[None].astype(np.float32)
    turn = Geometry(NONE.model_copy(update={"rotate_degrees": 90}), (80, 40), (1.0, 2.0))
    changed = 0
    for seed in range(12):
        placement = turn.draw((0, 0), np.random.default_rng(seed))
        if placement.grid is None:
            continue
        changed += 1
        (turned,) = cut([disc], placement)
        assert float((turned.numpy()[0] - disc[0] > 1).mean()) < 0.03
        across = placement.grid[:, 40, 21] - placement.grid[:, 40, 20]
        assert np.hypot(across[0], 2 * across[1]) == pytest.approx(2.0, abs=1e-3)
    assert changed > 2


def test_the_deformation_keeps_its_bound_and_folds_nothing():
    bend = Geometry(NONE.model_copy(update={"elastic_mm": 10.0}), (96, 96), (1.0, 1.0))
    plain = grid_of((0, 0), (96, 96))
    largest = 0.0
    for seed in range(40):
        placement = bend.draw((0, 0), np.random.default_rng(seed))
        if placement.grid is not None:
            largest = max(largest, float(np.abs(placement.grid - plain).max()))
            rows, columns = np.gradient(placement.grid[0]), np.gradient(placement.grid[1])
            assert (rows[0] * columns[1] - rows[1] * columns[0] > 0).all()
    assert 2.0 < largest <= 10.0


def test_nothing_is_drawn_where_nothing_is_asked_for(plane):
    assert Geometry(NONE, (8, 8), (1.0, 1.0)).draw((0, 0), np.random.default_rng(0)).grid is None
    window = torch.from_numpy(plane)
    assert Intensity(NONE, (1.0, 1.0))(window, np.random.default_rng(0)) is window


@pytest.mark.parametrize(
    "key", ["curve", "nulling", "gamma", "brightness", "bias_field", "noise", "blur_mm", "ghosting"]
)
@pytest.mark.parametrize("shape", [(3, 40, 48), (1, 16, 24, 24)])
def test_every_change_of_intensity_changes_some_inputs_and_keeps_the_air(key, shape):
    change = Intensity(NONE.model_copy(update={key: getattr(AugmentConfig(), key) or 0.3}), (1.0,) * (len(shape) - 1))
    window = torch.full(shape, -1.0)
    window[..., 8:16, 8:16] = torch.rand(8, 8) * 0.5
    tracked = get_track_meta()
    before = window.clone()
    results = [change(window, np.random.default_rng(seed)) for seed in range(30)]
    assert window.equal(before)
    assert get_track_meta() is tracked
    assert all(type(result) is torch.Tensor and result.shape == shape for result in results)
    assert all(result.min() >= -1 and torch.isfinite(result).all() for result in results)
    assert any(not torch.allclose(result, before, atol=1e-6) for result in results)
    assert change(window, np.random.default_rng(3)).equal(results[3])
    # Also noise, blur and ghosts, so that the network sees where a brain was stripped of its skull.
    nothing = before == -1
    assert all((result[nothing] == -1).all() for result in results)


def test_a_curve_rises_keeps_0_and_1_and_goes_on_beyond_2():
    ramp = torch.linspace(0, 4, 801)[None, None]
    curve = RandCurve(prob=1.0, strength=0.3)
    curve.set_random_state(seed=3)
    for _ in range(20):
        result = curve(ramp)[0, 0]
        assert (result.diff() > 0).all()
        assert float(result[0]) == 0.0
        assert float(result[200]) == pytest.approx(1.0, abs=1e-5)
        steps = result.diff()
        assert float(steps[-1]) == pytest.approx(float(steps[398]), rel=1e-3)  # as steep as just below 2
        assert not torch.allclose(result, ramp[0, 0], atol=0.02)
    curve.prob = 0.0
    assert curve(ramp) is ramp


def test_nulling_takes_dark_signal_away_and_leaves_1():
    ramp = torch.linspace(0, 2, 401)[None, None]
    nulling = RandNulling(prob=1.0, strength=0.4)
    nulling.set_random_state(seed=2)
    levels = []
    for _ in range(20):
        result = nulling(ramp)[0, 0]
        levels.append(float(ramp[0, 0][result == 0].max()))
        assert result[200].item() == pytest.approx(1)
        assert (result.diff() >= 0).all()
    assert 0.2 < max(levels) <= 0.4
    assert min(levels) < 0.2
    nulling.prob = 0.0
    assert nulling(ramp) is ramp


def test_ghosts_are_copies_a_fraction_of_the_window_away():
    """A modulation with a period of n lines moves a share of the signal by 1/n of the window, to both sides."""
    image = torch.zeros(1, 64, 64)
    image[0, 30:34, 20:24] = 1.0
    ghosting = RandGhosting(prob=1.0, strength=0.4, periods=(4.0, 4.0 + 1e-9))
    ghosting.set_random_state(seed=3)
    for _ in range(8):
        result = ghosting(image)
        axis, amplitude = ghosting._axis, ghosting._amplitude
        expected = image.clone()
        for shift in (-16, 16):
            expected += amplitude / 2 * image.roll(shift, dims=axis)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=0)
    ghosting.prob = 0.0
    assert ghosting(image) is image
