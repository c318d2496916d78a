"""Heads made from a label map: random people whose images say what the labels say."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import TISSUES, phantom
from MRITranslateLib.phantom.grid import make_grid
from MRITranslateLib.phantom.subject import Subject
from MRITranslateLib.phantom.tissue import AIR, CORTICAL, CSF, FAT, GREY, MARROW, MUSCLE, SKIN, WHITE
from Training.data.labelheads import change_thickness, label_head, read_label_map

GRID = make_grid((12, 64, 64), (4.0, 4.0, 8.0))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The labels of a phantom, voxels of 2 mm."""
    folder = tmp_path_factory.mktemp("maps")
    sitk.WriteImage(phantom(seed=5, shape=(90, 128, 128)).labels, str(folder / "map.nii.gz"))
    return folder / "map.nii.gz"


@pytest.fixture(scope="module")
def labels(file):
    return read_label_map(file)


def arrays(head):
    return [sitk.GetArrayFromImage(getattr(head, name)) for name in ("t1", "t2", "flair", "pd", "ct", "labels")]


def test_ct_numbers_and_contrasts_are_those_of_the_labels(labels):
    t1, t2, _, _, ct, found = arrays(label_head(labels, "labels-map-1", make_grid((9, 128, 128), (2, 2, 2))))
    expected = np.array([tissue.hounsfield for tissue in TISSUES])[found]
    assert np.median(np.abs(ct - expected)[found != AIR]) < 20
    for tissue in (AIR, WHITE):
        inner = ndimage.binary_erosion(found == tissue, np.ones((3, 3, 3)))
        assert np.median(ct[inner]) == pytest.approx(TISSUES[tissue].hounsfield, rel=0.12)
    medians = {
        tissue: [np.median(image[found == tissue]) for image in (t1, t2, ct)] for tissue in (CSF, WHITE, CORTICAL)
    }
    assert medians[WHITE][0] > 1.5 * medians[CSF][0]
    assert medians[WHITE][1] < medians[CSF][1]
    assert medians[CORTICAL][2] > 600


def test_one_name_is_one_head(labels):
    first, again, other = (arrays(label_head(labels, f"labels-map-{n}", GRID)) for n in (1, 1, 2))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one != three).mean() > 0.05


def test_a_head_is_the_same_on_another_grid(labels):
    """Every second voxel of a grid that is twice as fine shows the same anatomy."""
    coarse = arrays(label_head(labels, "labels-map-3", make_grid((1, 64, 64), (4.0, 4.0, 2.0), (-126, -126, 0))))[5]
    fine = arrays(label_head(labels, "labels-map-3", make_grid((1, 128, 128), (2.0, 2.0, 2.0), (-126, -126, 0))))[5]
    # A coarse voxel's middle sample lies a quarter of it beside its middle.
    assert (coarse == fine[:, ::2, ::2]).mean() > 0.85


def test_skull_and_scalp_change_and_the_brain_does_not(labels):
    volumes = []
    for seed in range(4):
        changed = change_thickness(labels, Subject(seed), np.random.default_rng(seed))
        for tissue in (GREY, WHITE, CSF):
            np.testing.assert_array_equal(changed == tissue, labels.labels == tissue)
        volumes.append([np.isin(changed, bones).sum() for bones in ((CORTICAL, MARROW), (SKIN, FAT, MUSCLE))])
    assert (np.std(volumes, axis=0) / np.mean(volumes, axis=0)).min() > 0.03


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((4, 4, 4), 3), "needs air"),
        (np.arange(64).reshape(4, 4, 4) % 40, "tissue numbers from 0 to 17"),
        (np.arange(64).reshape(4, 4, 4) / 10, "tissue numbers from 0 to 17"),
    ],
)
def test_an_unusable_map_is_told_in_one_sentence(tmp_path, array, says):
    array = array.astype(np.float32 if array.dtype.kind == "f" else np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "x.nii"))
    with pytest.raises(InputError, match=says) as error:
        read_label_map(tmp_path / "x.nii")
    assert "\n" not in str(error.value)


def test_a_missing_map(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_label_map(tmp_path / "x.nii")
