"""Pictures from noise: a tiny package, and requests that make no sense."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError

from .packages import tiny_package


@pytest.fixture(scope="module")
def noise_package(tmp_path_factory):
    return mt.load_package(tiny_package(tmp_path_factory.mktemp("models") / "noise", task="generation"))


def test_pictures_as_a_volume_with_realism_and_provenance(noise_package):
    made = mt.generate(noise_package, 5, seed=3)
    assert made.pictures.shape == (5, 16, 16)
    assert np.abs(made.pictures).max() <= 1
    volume = sitk.GetArrayFromImage(made.image)
    np.testing.assert_allclose(volume, 127.5 * (made.pictures + 1), atol=1e-3)
    assert made.image.GetSpacing() == (8.0, 8.0, 8.0)
    assert len(made.realism) == 5
    assert made.warnings == []
    facts = made.provenance
    assert (facts["model"], facts["seed"], facts["target"]) == ("tiny_noise", "3", "T1")
    assert "not for diagnosis" in facts["notice"]
    json.dumps(facts)


def test_a_seed_gives_the_same_pictures_and_begins_the_same(noise_package):
    first = mt.generate(noise_package, 12, seed=3).pictures
    assert np.array_equal(mt.generate(noise_package, 12, seed=3).pictures, first)
    np.testing.assert_allclose(mt.generate(noise_package, 2, seed=3).pictures, first[:2], atol=1e-5)
    assert not np.allclose(mt.generate(noise_package, 12, seed=4).pictures, first, atol=1e-3)


def test_truncation_makes_pictures_more_alike(noise_package):
    spread = [mt.generate(noise_package, 12, 1, limit).pictures.std(0).mean() for limit in (None, 1.0, 0.1)]
    assert spread[0] > spread[1] > spread[2]


def test_the_way_from_one_seed_to_another(noise_package):
    way = mt.generate(noise_package, 5, seed=1, towards=2)
    ends = [mt.generate(noise_package, 1, seed=seed).pictures[0] for seed in (1, 2)]
    np.testing.assert_allclose(way.pictures[[0, -1]], ends, atol=1e-5)
    assert way.provenance["towards"] == "2"


def test_progress_rises_to_the_end(noise_package):
    told = []
    mt.generate(noise_package, 20, progress=lambda fraction, *rest: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": 0}, "at least 1"),
        ({"count": -3}, "at least 1"),
        ({"count": 1_000_000}, "--yes"),
        ({"count": 1_000_000_000, "allow_many": True}, "GiB of memory"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"truncation": 0.0}, "truncation"),
        ({"towards": 1}, "two different seeds"),
        ({"towards": 2, "count": 1}, "two different seeds"),
        ({"device": "tpu"}, "not available"),
    ],
)
def test_requests_that_make_no_sense_are_refused_at_once(noise_package, options, says):
    with pytest.raises(InputError, match=says):
        mt.generate(noise_package, **options)


def test_a_package_of_another_task_and_one_without_a_judge(package, tmp_path):
    with pytest.raises(InputError, match="makes no pictures from noise"):
        mt.generate(package)
    alone = mt.load_package(tiny_package(tmp_path / "alone", task="generation", discriminator=None))
    assert mt.generate(alone, 2).realism == []
