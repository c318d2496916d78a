"""Pairs out of register are found, drawn and refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.volume import write_volume
from Training.config.data import DataConfig
from Training.data.alignment import (
    check_alignment,
    draw_alignment,
    is_misaligned,
    measure_alignment,
    normalised_mutual_information,
)
from Training.data.pairs import prepare_all, prepare_pair
from Training.data.scans import Pair, load_pair

REAL = Path(__file__).parents[4] / "shared" / "data" / "brain_t1_t2_flair"


def moved(pair: Pair, by: int, axis: int) -> Pair:
    image = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(pair.target), by, axis=axis))
    image.CopyInformation(pair.target)
    return dataclasses.replace(pair, target=image)


@pytest.mark.parametrize(("by", "axis", "way"), [(1, 2, "left"), (-1, 2, "right"), (1, 1, "up"), (-1, 1, "down")])
def test_pairs_out_of_register_are_refused(data, by, axis, way):
    pair = load_pair(data, "T1", "T2", "ms_a")
    check_alignment(pair)
    shifted = moved(pair, by, axis)
    measured = measure_alignment(shifted)
    assert max(measured, key=lambda key: measured[key]) == way
    with pytest.raises(InputError, match="ms_a: the two images fit better when shifted"):
        check_alignment(shifted)


def test_a_subject_is_judged_by_the_mean_of_its_pairs():
    good = {"aligned": 1.3, "up": 1.1, "down": 1.1, "left": 1.1, "right": 1.1}
    poor = good | {"aligned": 1.05, "up": 1.1}
    assert not is_misaligned([good])
    assert is_misaligned([poor])
    assert not is_misaligned([good, poor])


def test_mutual_information_of_independent_and_identical_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200000))
    assert normalised_mutual_information(a, b) < 1.05
    assert normalised_mutual_information(a, a**3) == pytest.approx(2.0, abs=0.01)
    assert normalised_mutual_information(a, np.zeros_like(a)) == 1.0


@pytest.mark.parametrize("slices", [None, 1])
def test_the_figure_shows_both_images_and_where_they_differ(data, card, tmp_path, slices):
    from matplotlib import image

    pair = prepare_pair(load_pair(data, "T1", "T2", "ms_a"), card)
    if slices:
        pair = dataclasses.replace(pair, source=pair.source[2:3], target=pair.target[2:3])
    draw_alignment(pair, tmp_path / "figures" / "ms_a.png")
    picture = image.imread(tmp_path / "figures" / "ms_a.png")[..., :3]
    assert picture.shape == ((192 if slices else 576), 768, 3)
    source, target, board, edges = np.split(picture, 4, axis=1)
    assert not np.array_equal(source, target)
    assert set(np.unique((board == source) | (board == target))) == {True}
    red = edges[..., 0] > edges[..., 1] + 0.5
    assert 0.01 < red.mean() < 0.2
    assert not (source[..., 0] != source[..., 1]).any()


def test_a_refused_pair_is_drawn_and_named(data, card, tmp_path):
    pair = moved(load_pair(data, "T1", "T2", "ms_a"), 1, 2)
    (tmp_path / "set" / "bad").mkdir(parents=True)
    write_volume(pair.source, tmp_path / "set" / "bad" / "t1.nii.gz")
    write_volume(pair.target, tmp_path / "set" / "bad" / "t2.nii.gz")
    here = DataConfig(root=tmp_path / "set", cache=tmp_path / "cache")
    for _ in range(2):  # from the cache too
        with pytest.raises(InputError, match=r"bad: .* fit better when shifted \(see .*bad.png\); register them first"):
            prepare_all(here, card, ["bad"], figures=tmp_path / "figures")
    assert (tmp_path / "figures" / "bad.png").is_file()
    assert prepare_all(here.model_copy(update={"check_alignment": False}), card, ["bad"])


def test_digital_heads_are_not_drawn(data, card, tmp_path):
    data = data.model_copy(update={"phantom_shape": (4, 32, 32)})
    prepare_all(data, card, ["ms_a", "phantom-1"], figures=tmp_path / "figures")
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["ms_a.png"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real volumes are not here")
def test_real_pairs_pass_and_fail_when_shifted():
    data = DataConfig(root=REAL, train=["mscs_p07"], leave_out=["mslg_p19_s2", "mslg_p20_s2"])
    pair = load_pair(data, "T1", "T2", "mscs_p07")
    check_alignment(pair)
    with pytest.raises(InputError, match="fit better"):
        check_alignment(moved(pair, 4, 2))
