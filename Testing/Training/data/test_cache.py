"""The folder of prepared arrays: sound entries come back, and nothing else does."""

import os

import numpy as np
import pytest

from Training.data.cache import Cache, fingerprint, safe_name

FACTS = {"slices": [1, 2], "spacing_mm": [1.0, 2.0, 3.5]}


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float16)


def test_what_is_written_is_read_back_under_its_key_only(tmp_path, array):
    cache = Cache(tmp_path / "cache")
    assert cache.read("p1", [1]) is None
    np.testing.assert_array_equal(cache.write("p1", [1], array, FACTS), array)
    found = cache.read("p1", [1])
    assert found is not None
    np.testing.assert_array_equal(found[0], array)
    assert found[1] == FACTS
    assert cache.read("p1", [2]) is None
    assert cache.read("p2", [1]) is None
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_an_array_of_another_kind_is_not_taken(tmp_path, array):
    cache = Cache(tmp_path)
    cache.write("p1", [1], array.astype(np.float32), FACTS)
    assert cache.read("p1", [1]) is None


def test_an_entry_without_its_facts_is_none(tmp_path, array):
    cache = Cache(tmp_path)
    cache.write("p1", [1], array, FACTS)
    next(tmp_path.glob("*.json")).unlink()
    assert cache.read("p1", [1]) is None


def test_large_arrays_are_mapped_and_small_ones_are_not(tmp_path, array):
    cache = Cache(tmp_path)
    assert not isinstance(cache.write("small", [1], array, FACTS), np.memmap)
    large = np.zeros((2, 32, 128, 128), np.float16)
    assert isinstance(cache.write("large", [1], large, FACTS), np.memmap)
    found = cache.read("large", [1])
    assert found is not None
    assert isinstance(found[0], np.memmap)


def test_without_a_folder_nothing_is_kept(array):
    cache = Cache(None)
    assert cache.write("p1", [1], array, FACTS) is array
    assert cache.read("p1", [1]) is None


def test_a_fingerprint_changes_with_a_file_and_with_any_file_of_a_folder(tmp_path):
    file = tmp_path / "series" / "1.dcm"
    file.parent.mkdir()
    file.write_bytes(b"12")
    before = fingerprint(file), fingerprint(file.parent)
    assert (fingerprint(file), fingerprint(file.parent)) == before
    os.utime(file, ns=(5, 5))
    assert all(now != then for now, then in zip((fingerprint(file), fingerprint(file.parent)), before, strict=True))
    (tmp_path / "series" / "2.dcm").touch()
    assert len(fingerprint(file.parent)) == 3


@pytest.mark.parametrize("name", ["p1", "ms_a-1.b"])
def test_plain_names_stay(name):
    assert safe_name(name) == name


def test_other_names_become_file_names_and_stay_apart():
    made = [safe_name(name) for name in ("a/b", "a b", "../x", ".x", "é", "a" * 300)]
    assert len(set(made)) == len(made)
    assert all("/" not in name and not name.startswith(".") and len(name) < 120 for name in made)
