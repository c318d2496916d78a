"""Volumes are prepared as the engine prepares them, read once, cached by everything that shapes them, and refused by
name."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.preparation import Preparation
from MRITranslateLib.volume import write_volume
from Training.config.data import DataConfig
from Training.data import pairs as pairs_module
from Training.data.index import read_index
from Training.data.pairs import PreparedPair, prepare_all, prepare_pair, prepare_side
from Training.data.scans import load_pair, load_pairs, load_side

from ...MRITranslateLib.dicoms import write_slice
from .conftest import disc, save_picture

PNG = Path(__file__).parents[4] / "shared" / "data" / "t1_t2_png"
real = pytest.mark.skipif(not PNG.is_dir(), reason="the real pictures are not here")


def same(first: PreparedPair, second: PreparedPair) -> None:
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


@pytest.fixture
def pictures(tmp_path) -> DataConfig:
    """Two people, three slices each: a disc that grows, and its negative."""
    for person in ("p1", "p2"):
        for number, radius in enumerate((8, 12, 16)):
            shape = disc(radius + (person == "p2"))
            save_picture(tmp_path / "a" / f"{person}_{number}.png", shape)
            save_picture(tmp_path / "b" / f"{person}_{number}.png", np.where(shape > 0, 260 - shape, 0))
    return DataConfig(
        root=tmp_path, source_folder="a", target_folder="b", subject_pattern=r"/(p\d)_", train=["p1", "p2"]
    )


@pytest.fixture
def flat(card) -> TranslationCard:
    """2-D, pixels of a millimetre."""
    grid = card.grid.model_copy(update={"spacing_mm": (1.0, 1.0), "context": 1})
    return card.model_copy(update={"grid": grid})


def test_the_source_is_prepared_as_translate_prepares_it(data, card):
    pair = load_pair(data, "T1", "T2", "ms_a")
    prepared = prepare_pair(pair, card)
    np.testing.assert_allclose(prepared.source, Preparation(pair.source, card).array, atol=2e-3)
    assert prepared.source.shape == prepared.target.shape
    assert prepared.slices.size
    assert prepared.spacing_mm == pytest.approx((4.0, 4.0, 20.0))
    assert prepared.extent_mm == pytest.approx((192.0, 192.0, 120.0))
    assert prepared.voxel_mm == pytest.approx((20.0, 4.0, 4.0))


def test_one_side_is_prepared_as_the_input_of_a_model_of_that_side(data, card):
    index = read_index(data)
    (there,) = prepare_side(index, card, "source", ["ms_a"])
    (image,) = load_side(index, "T1", "source", "ms_a")
    np.testing.assert_allclose(there.array, Preparation(image, card).array, atol=2e-3)
    back = card.model_copy(
        update={
            "source": "T2",
            "target": "T1",
            "intensity": card.intensity.model_copy(
                update={"source": card.intensity.target, "target": card.intensity.source}
            ),
        }
    )
    (here,) = prepare_side(index, card, "target", ["ms_a"])
    (image,) = load_side(index, "T2", "target", "ms_a")
    np.testing.assert_allclose(here.array, Preparation(image, back).array, atol=2e-3)
    (head,) = prepare_side(data.model_copy(update={"phantom_shape": (4, 32, 32)}), card, "target", ["phantom-3"])
    assert head.subject == "phantom-3"
    assert head.slices.size


def test_a_subject_without_a_side_is_passed_over(tmp_path, flat):
    for name in ("a1", "a2"):
        save_picture(tmp_path / "trainA" / f"{name}.png", disc(10))
    save_picture(tmp_path / "trainB" / "b1.png", disc(14))
    index = read_index(DataConfig(root=tmp_path, source_folder="trainA", target_folder="trainB"), paired=False)
    assert [volume.name for volume in prepare_side(index, flat, "source", index.train)] == ["a1", "a2"]
    assert [volume.name for volume in prepare_side(index, flat, "target", index.train)] == ["b1"]


def test_every_picture_is_a_pair_of_one_slice_of_its_subject(pictures, flat):
    prepared = prepare_all(pictures, flat, ["p1", "p2"])
    assert [(pair.subject, pair.name) for pair in prepared][:4] == [
        ("p1", "p1_0"), ("p1", "p1_1"), ("p1", "p1_2"), ("p2", "p2_0"),
    ]  # fmt: skip
    assert prepared[0].source.shape == (1, 48, 48)
    assert [pair.name for pair in load_pairs(pictures, "T1", "T2", "p2")] == ["p2_0", "p2_1", "p2_2"]


def test_black_pictures_are_background_unless_they_are_all_there_is(pictures, flat):
    save_picture(pictures.root / "a" / "p1_1.png", np.zeros((48, 48)))
    assert [pair.name for pair in prepare_all(pictures, flat, ["p1"])] == ["p1_0", "p1_2"]
    assert [pair.name for pair in load_pairs(pictures, "T1", "T2", "p1")] == ["p1_0", "p1_2"]
    few = pictures.model_copy(update={"least_tissue": 0.15})
    assert [pair.name for pair in prepare_all(few, flat, ["p1"])] == ["p1_2"]
    none = pictures.model_copy(update={"least_tissue": 0.9})
    with pytest.raises(InputError, match=r"p1: no slice shows enough of the patient \(data.least_tissue\)"):
        prepare_all(none, flat, ["p1"])
    alone = pictures.model_copy(update={"subject_pattern": None, "train": None})
    with pytest.raises(InputError, match=r'p1_1: "p1_1.png" has the value 0 everywhere'):
        prepare_all(alone, flat, ["p1_0", "p1_1"])


def test_the_cache_gives_the_very_same_without_reading_again(data, card, tmp_path, monkeypatch):
    data = data.model_copy(update={"cache": tmp_path / "cache", "phantom_shape": (4, 32, 32)})
    plain = prepare_all(data.model_copy(update={"cache": None}), card, ["ms_a", "phantom-5"])
    first = prepare_all(data, card, ["ms_a", "phantom-5"])
    monkeypatch.setattr(pairs_module, "read_pair", lambda *_: pytest.fail("read again"))
    again = prepare_all(data, card, ["ms_a", "phantom-5"])
    for one, two, three in zip(plain, first, again, strict=True):
        same(one, two)
        same(one, three)


def test_the_cache_knows_every_parameter_and_every_change_of_a_file(pictures, flat, tmp_path):
    cached = pictures.model_copy(update={"cache": tmp_path / "cache"})

    def entries() -> int:
        return len(list((tmp_path / "cache").glob("*.npy")))

    prepare_all(cached, flat, ["p1"])
    assert entries() == 3
    prepare_all(cached, flat, ["p1"])
    assert entries() == 3
    prepare_all(cached.model_copy(update={"least_tissue": 0.03}), flat, ["p1"])
    assert entries() == 6
    coarse = flat.model_copy(update={"grid": flat.grid.model_copy(update={"spacing_mm": (2.0, 2.0)})})
    assert prepare_all(cached, coarse, ["p1"])[0].source.shape == (1, 24, 24)
    assert entries() == 9
    before = prepare_all(cached, flat, ["p1"])[0].source
    file = save_picture(pictures.root / "a" / "p1_0.png", disc(9))
    assert not np.array_equal(prepare_all(cached, flat, ["p1"])[0].source, before)
    assert entries() == 10
    os.utime(file, ns=(1, 1))
    prepare_all(cached, flat, ["p1"])
    assert entries() == 11


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "no facts", "wrong facts"])
def test_a_damaged_cache_is_made_anew(data, card, tmp_path, damage):
    data = data.model_copy(update={"cache": tmp_path / "cache"})
    (first,) = prepare_all(data, card, ["ms_a"])
    expected = np.array(first.source)
    array, facts = next((tmp_path / "cache").glob("*.npy")), next((tmp_path / "cache").glob("*.json"))
    content = bytearray(array.read_bytes())
    if damage == "cut":
        array.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        array.write_bytes(b"not an array")
    elif damage == "flipped":
        content[-1] ^= 255
        array.write_bytes(content)
    else:
        facts.write_text("" if damage == "no facts" else "[1]")
    (again,) = prepare_all(data, card, ["ms_a"])
    np.testing.assert_array_equal(again.source, expected)
    assert bytes(array.read_bytes()) == bytes(next((tmp_path / "cache").glob("*.npy")).read_bytes())


def test_a_cache_that_cannot_be_written_is_named(data, card, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r'The cache ".*file" cannot be written'):
        prepare_all(data.model_copy(update={"cache": tmp_path / "file"}), card, ["ms_a"])


def test_large_volumes_stay_on_disk(tmp_path, flat):
    rng = np.random.default_rng(3)
    for name in ("t1.nii.gz", "t2.nii.gz"):
        (tmp_path / "p").mkdir(exist_ok=True)
        write_volume(sitk.GetImageFromArray(rng.gamma(2, 50, (20, 192, 192)).astype(np.float32)), tmp_path / "p" / name)
    data = DataConfig(root=tmp_path, cache=tmp_path / "p" / "cache", check_alignment=False)
    for _ in range(2):
        (pair,) = prepare_all(data, flat, ["p"])
        assert isinstance(pair.source.base, np.memmap)
        assert not pair.source.flags.writeable


def test_all_unusable_subjects_are_told_at_once_by_name_and_file(data, card, tmp_path, subjects):
    image = sitk.ReadImage(str(subjects / "ms_a" / "t1.nii.gz"))
    array = sitk.GetArrayFromImage(image)
    broken = array.copy()
    broken[2, 3, 4] = np.nan
    for name, target in {
        "good": image,
        "grid": image[:-2],
        "nan": sitk.GetImageFromArray(broken),
        "flat": image * 0,
    }.items():
        (tmp_path / name).mkdir()
        write_volume(image, tmp_path / name / "t1.nii.gz")
        write_volume(target, tmp_path / name / "t2.nii.gz")
    for name, content in {"cut": None, "empty": b"", "text": b"hello"}.items():
        (tmp_path / name).mkdir()
        write_volume(image, tmp_path / name / "t1.nii.gz")
        whole = (tmp_path / name / "t1.nii.gz").read_bytes()
        (tmp_path / name / "t2.nii.gz").write_bytes(whole[: len(whole) // 2] if content is None else content)
    here = DataConfig(root=tmp_path, check_alignment=False)
    seen: list[str] = []
    for name, says in {
        "grid": "grid: the two images lie on different grids",
        "nan": 'nan: "t2.nii.gz" holds NaN',
        "flat": 'flat: "t2.nii.gz" has the value 0 everywhere',
        "cut": r'cut: "t2.nii.gz" (ends too early|is damaged)',
        "empty": 'empty: "t2.nii.gz" cannot be read',
        "text": 'text: "t2.nii.gz" cannot be read',
    }.items():
        with pytest.raises(InputError, match=says):
            prepare_all(here, card, [name], seen.append)
    assert len(seen) == 6
    with pytest.raises(InputError, match=r"neither can 2 more be used: empty, text\.$"):
        prepare_all(here, card, ["good", "cut", "empty", "text"])


def test_a_dicom_folder_is_a_subjects_image(tmp_path, flat):
    rng = np.random.default_rng(5)
    for side in ("t1", "t2"):
        (tmp_path / "p1" / side).mkdir(parents=True)
        for number in range(4):
            file = tmp_path / "p1" / side / f"{number}.dcm"
            array = rng.integers(0, 900, (32, 32)).astype(np.int16)
            write_slice(file, array, (0, 0, 5 * number), axes=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    data = DataConfig(
        root=tmp_path, source_file="t1", target_file="t2", check_alignment=False, cache=tmp_path / "cache"
    )
    (pair,) = prepare_all(data, flat, ["p1"])
    assert pair.source.shape == (4, 24, 16)
    assert pair.spacing_mm == pytest.approx((0.5, 0.75, 5))
    written = list((tmp_path / "cache").iterdir())
    file.unlink()
    with pytest.raises(InputError, match="different grids"):
        prepare_all(data, flat, ["p1"])
    assert list((tmp_path / "cache").iterdir()) == written


@real
def test_real_pictures_are_in_register_and_prepared(flat, tmp_path):
    data = DataConfig(
        root=PNG / "paired_slices", source_folder="t1", target_folder="t2", subject_pattern=r"/([a-z]+_[a-z0-9]+)"
    )
    index = read_index(data)
    subjects = list(index.train)[:2]
    prepared = prepare_all(index, flat, subjects, figures=tmp_path / "alignment")
    assert len(prepared) > 20
    assert sorted(file.stem for file in (tmp_path / "alignment").iterdir()) == sorted(subjects)
