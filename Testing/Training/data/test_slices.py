"""Training windows: functions of seed and index, cut from where the patient is, the same for slices and patches."""

import dataclasses

import numpy as np
import pytest
import torch

from MRITranslateLib.card import GridCard
from Training.config.parts import AugmentConfig
from Training.data.pairs import PreparedPair
from Training.data.slices import RandomSlices, WindowSampler, shares

PLAIN = AugmentConfig(
    flip=0, rotate_degrees=0, scale=0, elastic_mm=0, gamma=0, brightness=0, bias_field=0, noise=0, blur_mm=0, ghosting=0
)
ALL = AugmentConfig.model_validate({})
PATCH = GridCard(dimensions=3, slice_spacing_mm=2.0, patch=(8, 16, 16), size_multiple=8)


@pytest.fixture(scope="module")
def pair() -> PreparedPair:
    """A textured ellipsoid; the truth is half of the input."""
    z, y, x = np.mgrid[:12, :48, :40]
    inside = ((z - 5.5) / 6) ** 2 + ((y - 20) / 18) ** 2 + ((x - 22) / 14) ** 2 < 1
    values = np.random.default_rng(0).uniform(0.2, 1.0, inside.shape)
    source, target = (np.where(inside, scale * 2 * values - 1, -1).astype(np.float16) for scale in (1.0, 0.5))
    return PreparedPair("p", source, target, np.arange(2, 10), (40.0, 48.0, 24.0), (1.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("grid", "source_shape", "target_shape"),
    [
        (GridCard(), (1, 32, 32), (1, 32, 32)),
        (GridCard(context=3), (3, 32, 32), (1, 32, 32)),
        (GridCard(context=5, plane="sagittal", spacing_mm=(1.0, 2.0)), (5, 32, 32), (1, 32, 32)),
        (PATCH, (1, 8, 16, 16), (1, 8, 16, 16)),
    ],
)
def test_samples_depend_on_seed_and_index_alone(pair, grid, source_shape, target_shape):
    samples = RandomSlices([pair, dataclasses.replace(pair, subject="q")], grid, 32, ALL, 0.3, seed=5, length=12)
    torch.manual_seed(1)
    backwards = [samples[index] for index in (7, 3, 0)]
    torch.manual_seed(2)
    again = RandomSlices([pair, dataclasses.replace(pair, subject="q")], grid, 32, ALL, 0.3, seed=5, length=99)
    for (source, target), index in zip(backwards, (7, 3, 0), strict=True):
        assert source.shape == source_shape
        assert target.shape == target_shape
        assert source.dtype == target.dtype == torch.float32
        assert source.equal(again[index][0])
        assert target.equal(again[index][1])
        assert source.min() >= -1
        assert -1 <= target.min() <= target.max() <= 0.02
    assert not samples[1][0].equal(samples[2][0])
    other = RandomSlices([pair], grid, 32, ALL, 0.3, seed=6, length=12)
    assert not other[3][1].equal(samples[3][1])


@pytest.mark.parametrize("index", range(4))
def test_without_augmentation_a_sample_is_a_window_of_the_volume(pair, index):
    source, target = RandomSlices([pair], GridCard(context=3), 32, PLAIN, 0.3, seed=1, length=4)[index]
    windows = np.lib.stride_tricks.sliding_window_view(pair.target.astype(np.float32), (32, 32), axis=(1, 2))
    error = np.abs(windows - target[0].numpy()).max(axis=(-1, -2))
    assert error.min() == 0
    middle, row, column = np.unravel_index(error.argmin(), error.shape)
    for channel, slice_ in enumerate(np.clip((middle - 1, middle, middle + 1), 0, 11)):
        expected = pair.source[slice_, row : row + 32, column : column + 32].astype(np.float32)
        np.testing.assert_array_equal(source[channel].numpy(), expected)


def test_without_augmentation_a_patch_is_a_window_of_the_volume(pair):
    samples = RandomSlices([pair], PATCH, 0, PLAIN, 0.3, seed=1, length=6)
    windows = np.lib.stride_tricks.sliding_window_view(pair.target.astype(np.float32), (8, 16, 16))
    for index in range(6):
        source, target = samples[index]
        error = np.abs(windows - target[0].numpy()).max(axis=(-1, -2, -3))
        assert error.min() == 0
        z, y, x = np.unravel_index(error.argmin(), error.shape)
        expected = pair.source[z : z + 8, y : y + 16, x : x + 16].astype(np.float32)
        np.testing.assert_array_equal(source[0].numpy(), expected)


@pytest.mark.parametrize(
    "grid", [GridCard(context=3), PATCH, PATCH.model_copy(update={"plane": "coronal"}), GridCard(plane="coronal")]
)
def test_input_and_truth_are_moved_alike(pair, grid):
    geometry = PLAIN.model_copy(update={"flip": 0.5, "rotate_degrees": 40, "scale": 0.2, "elastic_mm": 4.0})
    samples = RandomSlices([pair], grid, 32, geometry, 0.3, seed=2, length=12)
    plain = RandomSlices([pair], grid, 32, PLAIN, 0.3, seed=2, length=12)
    for index in range(12):
        source, target = samples[index]
        middle = source[source.shape[0] // 2]
        torch.testing.assert_close((middle + 1) / 2, target[0] + 1, atol=4e-3, rtol=0)
        assert target.max() <= pair.target.max()
    assert sum(not samples[index][1].equal(plain[index][1]) for index in range(12)) > 6


def test_intensity_changes_the_input_alone(pair):
    intensity = ALL.model_copy(update={"flip": 0, "rotate_degrees": 0, "scale": 0, "elastic_mm": 0})
    for grid in (GridCard(context=3), PATCH):
        changed = RandomSlices([pair], grid, 32, intensity, 0.3, seed=2, length=12)
        plain = RandomSlices([pair], grid, 32, PLAIN, 0.3, seed=2, length=12)
        assert all(changed[index][1].equal(plain[index][1]) for index in range(12))
        assert sum(not changed[index][0].equal(plain[index][0]) for index in range(12)) > 8


def test_a_flip_exchanges_left_and_right_in_every_plane(pair):
    flip = PLAIN.model_copy(update={"flip": 1.0})
    for grid, axis in ((GridCard(context=3), 2), (GridCard(context=3, plane="coronal"), 2)):
        flipped = RandomSlices([pair], grid, 32, flip, 0.3, seed=2, length=1)[0]
        plain = RandomSlices([pair], grid, 32, PLAIN, 0.3, seed=2, length=1)[0]
        assert all(one.equal(other.flip(axis)) for one, other in zip(flipped, plain, strict=True))
    # Sagittal slices are stacked from left to right.
    grid = GridCard(context=3, plane="sagittal")
    flipped = RandomSlices([pair], grid, 32, flip, 0.3, seed=2, length=1)[0]
    plain = RandomSlices([pair], grid, 32, PLAIN, 0.3, seed=2, length=1)[0]
    assert flipped[0].equal(plain[0].flip(0))
    assert flipped[1].equal(plain[1])
    for plane, axis in (("axial", 3), ("sagittal", 1)):
        grid = PATCH.model_copy(update={"plane": plane})
        flipped = RandomSlices([pair], grid, 0, flip, 0.3, seed=2, length=1)[0]
        plain = RandomSlices([pair], grid, 0, PLAIN, 0.3, seed=2, length=1)[0]
        assert all(one.equal(other.flip(axis)) for one, other in zip(flipped, plain, strict=True))


def test_a_window_larger_than_the_volume_is_padded_with_background(pair):
    source, target = RandomSlices([pair], GridCard(), 64, PLAIN, 0.3, seed=1, length=1)[0]
    assert source.shape == target.shape == (1, 64, 64)
    assert (target[0, 48:] == -1).all()
    assert (target[0, :, 40:] == -1).all()
    grid = PATCH.model_copy(update={"patch": (16, 64, 16)})
    for augment in (PLAIN, ALL):
        for index in range(6):
            patch = RandomSlices([pair], grid, 0, augment, 0.3, seed=1, length=6)[index][1]
            assert patch.shape == (1, 16, 64, 16)
            assert torch.isfinite(patch).all()
    plain = RandomSlices([pair], grid, 0, PLAIN, 0.3, seed=1, length=1)[0][1]
    assert (plain[0, 12:] == -1).all()
    assert (plain[0, :, 48:] == -1).all()
    assert plain.max() > -0.5


def test_one_slice_is_its_own_neighbour(pair):
    picture = dataclasses.replace(pair, source=pair.source[5:6], target=pair.target[5:6], slices=np.array([0]))
    source, _ = RandomSlices([picture], GridCard(context=3), 32, PLAIN, 0.3, seed=1, length=1)[0]
    assert source[0].equal(source[1])
    assert source[2].equal(source[1])


def test_windows_hold_the_patient_but_for_a_fifth(pair):
    wide = np.full((12, 200, 200), -1, np.float16)
    wide[:, 150:180, 20:50] = 0.5
    far = dataclasses.replace(pair, source=wide, target=wide)
    samples = RandomSlices([far], GridCard(), 32, PLAIN, 0.3, seed=3, length=200)
    whole = np.mean([float((samples[index][1] > 0).sum()) > 0.9 * 900 for index in range(200)])
    assert 0.75 < whole < 0.9


def test_subjects_are_drawn_alike_however_many_pairs_they_have():
    subjects = ["a", "a", "a", "b", "phantom-1", "phantom-2"]
    np.testing.assert_allclose(shares(subjects, 0.2), [0.4 / 3] * 3 + [0.4, 0.1, 0.1])
    np.testing.assert_allclose(shares(["phantom-1", "phantom-2"], 0.2), [0.5, 0.5])
    np.testing.assert_allclose(shares(["a", "b"], 0.2), [0.5, 0.5])


def test_digital_heads_are_drawn_by_their_share(pair):
    head = dataclasses.replace(pair, subject="phantom-1", target=np.full_like(pair.target, 0.5))
    samples = RandomSlices([pair, head, head], GridCard(), 8, PLAIN, 0.2, seed=1, length=300)
    drawn = np.mean([bool((samples[index][1] == 0.5).all()) for index in range(300)])
    assert 0.12 < drawn < 0.28


def test_one_side_alone_can_be_sampled(pair):
    sampler = WindowSampler(GridCard(context=3), 32, PLAIN)
    (window,) = sampler([pair.source], pair.slices, np.random.default_rng(1))
    assert window.shape == (3, 32, 32)
