"""Digital heads as training data: which, in what resolution, and what the cache knows them by."""

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from Training.config.data import DataConfig
from Training.data.heads import head_key, make_head
from Training.data.index import read_index
from Training.data.pairs import prepare_all, prepare_side
from Training.data.scans import load_pair

SHAPE = (8, 32, 32)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    sitk.WriteImage(phantom(seed=5, shape=(48, 64, 64), spacing=(4.0, 4.0, 4.0)).labels, str(folder / "mni.nii.gz"))
    return folder


def index_of(maps, **settings):
    return read_index(
        DataConfig(label_maps=maps, label_heads=12, phantoms=12, test=["phantom-1"], phantom_shape=SHAPE, **settings)
    )


def array(image):
    return sitk.GetArrayFromImage(image)


def test_a_phantom_is_the_engines_own(maps):
    t1, ct = make_head(index_of(maps), "phantom-1000", ("T1", "CT"))
    head = phantom(seed=1000, shape=SHAPE, randomise=True)
    np.testing.assert_array_equal(array(t1), array(head.t1))
    np.testing.assert_array_equal(array(ct), array(head.ct))
    assert t1.GetOrigin() == head.t1.GetOrigin()


def test_heads_to_train_on_differ_in_resolution(maps):
    index = index_of(maps, resolution=True)
    plain = index_of(maps)
    for kind in ("phantom", "labels-mni"):
        names = [f"{kind}-{1000 + n}" for n in range(12)]
        heads = [make_head(index, name, ("T1", "CT")) for name in names]
        apart = np.array([t1.GetSpacing()[2] for t1, _ in heads])
        assert 1 <= apart.min() < 3 < apart.max() <= 6
        assert all(t1.GetSize() == SHAPE[::-1] for t1, _ in heads)
        assert all((array(ct) > -500).any() for _, ct in heads)
        again = make_head(index, names[0], ("CT",))[0]
        np.testing.assert_array_equal(array(again), array(heads[0][1]))
        assert head_key(index, names[0]) != head_key(plain, names[0])


def test_heads_to_test_on_do_not(maps):
    index = index_of(maps, resolution=True)
    np.testing.assert_array_equal(
        array(make_head(index, "phantom-1", ("T1",))[0]), array(make_head(index_of(maps), "phantom-1", ("T1",))[0])
    )
    assert head_key(index, "phantom-1") == SHAPE


def test_the_cache_knows_a_label_map_by_its_file(maps):
    assert str(maps / "mni.nii.gz") in str(head_key(index_of(maps), "labels-mni-3"))


def test_a_head_is_prepared_as_any_subject(maps, card):
    index = index_of(maps)
    (pair,) = prepare_all(index, card, ["labels-mni-1000"])
    assert pair.subject == pair.name == "labels-mni-1000"
    assert pair.slices.size
    (side,) = prepare_side(index, card, "target", ["labels-mni-1000"])
    assert side.array.shape == pair.target.shape


def test_an_unusable_label_map_is_told_with_the_head(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 4, 4), 99, np.uint8)), str(tmp_path / "bad.nii.gz"))
    index = read_index(DataConfig(label_maps=tmp_path, label_heads=1))
    with pytest.raises(InputError, match=r'labels-bad-1000: "bad\.nii\.gz" is no label map') as error:
        load_pair(index, "T1", "CT", "labels-bad-1000")
    assert "\n" not in str(error.value)


def test_a_label_map_that_is_not_there(maps):
    with pytest.raises(InputError, match='no label map "other"'):
        make_head(index_of(maps), "labels-other-1", ("T1",))
