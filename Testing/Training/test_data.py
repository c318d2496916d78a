"""Pairs and slices: prepared as the engine prepares them, drawn reproducibly, refused when out of register."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.preparation import Preparation
from Training.config import AugmentConfig, load_config
from Training.data.alignment import check_alignment, normalised_mutual_information
from Training.data.pairs import load_pair, prepare_all, prepare_pair
from Training.data.slices import RandomSlices
from Training.export import draft_card

PLAIN = AugmentConfig(flip=0, rotate_degrees=0, scale=0, gamma=0, brightness=0, bias_field=0, noise=0, blur_mm=0)


@pytest.fixture
def config(config_file):
    return load_config(config_file, [])


def test_the_source_is_prepared_as_translate_prepares_it(config):
    card = draft_card(config)
    pair = load_pair(config.data, "T1", "T2", "ms_a")
    prepared = prepare_pair(pair, card)
    np.testing.assert_allclose(prepared.source, Preparation(pair.source, card).array, atol=2e-3)
    assert prepared.source.shape == prepared.target.shape
    assert prepared.slices.size
    assert prepared.spacing_mm == pytest.approx((4.0, 4.0, 20.0))
    assert prepared.extent_mm == pytest.approx((192.0, 192.0, 120.0))


def test_prepared_volumes_are_cached_by_everything_that_shapes_them(config, tmp_path):
    card = draft_card(config)
    data = config.data.model_copy(update={"cache": tmp_path / "cache"})
    first = prepare_all(data, card, ["ms_a"])[0]
    again = prepare_all(data, card, ["ms_a"])[0]
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    other = card.model_copy(update={"grid": card.grid.model_copy(update={"spacing_mm": (8.0, 8.0)})})
    assert prepare_all(data, other, ["ms_a"])[0].source.shape != first.source.shape
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_samples_depend_on_seed_and_index_alone(config):
    pairs = prepare_all(config.data, draft_card(config), ["ms_a", "ms_b"])
    samples = RandomSlices(pairs, 3, 32, AugmentConfig.model_validate({}), 0.3, seed=5, length=10)
    backwards = [samples[index] for index in (7, 3, 0)]
    forwards = [samples[index] for index in (0, 3, 7)]
    for (source, target), (source_again, target_again) in zip(backwards, forwards[::-1], strict=True):
        assert source.shape == (3, 32, 32)
        assert target.shape == (1, 32, 32)
        assert source.equal(source_again)
        assert target.equal(target_again)
    assert not samples[1][0].equal(samples[2][0])


def test_without_augmentation_a_sample_is_a_window_of_the_volume(config):
    (pair,) = prepare_all(config.data, draft_card(config), ["ms_a"])
    source, target = RandomSlices([pair], 3, 32, PLAIN, 0.3, seed=1, length=4)[2]
    windows = np.lib.stride_tricks.sliding_window_view(pair.target.astype(np.float32), (32, 32), axis=(1, 2))
    error = np.abs(windows - target[0].numpy()).max(axis=(-1, -2))
    assert error.min() < 1e-3
    middle, row, column = np.unravel_index(error.argmin(), error.shape)
    expected = pair.source[middle, row : row + 32, column : column + 32].astype(np.float32)
    np.testing.assert_allclose(source[1].numpy(), expected, atol=1e-3)


def test_a_crop_larger_than_the_slice_is_padded_with_background(config):
    (pair,) = prepare_all(config.data, draft_card(config), ["ms_a"])
    source, target = RandomSlices([pair], 1, 64, PLAIN, 0.3, seed=1, length=1)[0]
    assert source.shape == target.shape == (1, 64, 64)
    assert (target[0, 48:] == -1).all()


def test_digital_heads_are_drawn_by_their_share(config):
    (pair,) = prepare_all(config.data, draft_card(config), ["ms_a"])
    head = dataclasses.replace(pair, subject="phantom-1", target=np.full_like(pair.target, 0.5))
    samples = RandomSlices([pair, head, head], 1, 8, PLAIN, 0.2, seed=1, length=300)
    drawn = np.mean([bool((samples[index][1] == 0.5).all()) for index in range(300)])
    assert 0.12 < drawn < 0.28


def test_pairs_out_of_register_are_refused(config):
    pair = load_pair(config.data, "T1", "T2", "ms_a")
    check_alignment(pair)
    shifted = sitk.Image(pair.target)
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(pair.target), 1, axis=2))
    moved.CopyInformation(shifted)
    with pytest.raises(InputError, match="fit better when shifted"):
        check_alignment(dataclasses.replace(pair, target=moved))


def test_mutual_information_of_independent_and_identical_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20000))
    assert normalised_mutual_information(a, b) < 1.05
    assert normalised_mutual_information(a, a**3) == pytest.approx(2.0, abs=0.01)


def test_missing_and_mismatched_subjects(config, subjects, tmp_path):
    with pytest.raises(InputError, match='subject "nobody" has no folder'):
        load_pair(config.data, "T1", "T2", "nobody")
    with pytest.raises(InputError, match="phantom-7"):
        load_pair(config.data, "T1", "T2", "phantom-x")
    with pytest.raises(InputError, match="--data FOLDER"):
        load_pair(config.data.model_copy(update={"root": None}), "T1", "T2", "ms_a")
    odd = tmp_path / "odd"
    odd.mkdir()
    image = sitk.ReadImage(str(subjects / "ms_a" / "t1.nii.gz"))
    sitk.WriteImage(image, str(odd / "t1.nii.gz"))
    sitk.WriteImage(image[:-2], str(odd / "t2.nii.gz"))
    with pytest.raises(InputError, match="different grids"):
        load_pair(config.data.model_copy(update={"root": tmp_path}), "T1", "T2", "odd")
