"""Reading, checking and writing volumes: what is refused, and that nothing is ever half-written."""

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.volume import check_output_path, check_volume, is_label_map, read_volume, same_grid, write_volume


@pytest.fixture
def scan() -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(1).gamma(2, 50, (6, 9, 7)).astype(np.float32))
    image.SetSpacing((0.7, 0.8, 4.0))
    image.SetOrigin((-30.5, 12.25, 8.0))
    return image


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "B.NII.GZ"])
def test_written_volumes_read_back(tmp_path, scan, name):
    file = write_volume(scan, tmp_path / name)
    back = read_volume(file)
    assert same_grid(scan, back)
    np.testing.assert_allclose(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(scan), rtol=1e-6)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path, scan, monkeypatch):
    file = write_volume(scan, tmp_path / "a.nii.gz")
    before = file.read_bytes()

    def full_disk(*_args, **_kwargs):
        raise RuntimeError("ITK ERROR: write: No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        write_volume(scan * 2, file)
    assert file.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nii.gz"]


def test_bad_outputs(tmp_path):
    with pytest.raises(InputError, match="no image extension"):
        check_output_path(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="does not exist"):
        check_output_path(tmp_path / "none" / "a.nii.gz")


def test_bad_files(tmp_path, scan):
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "none.nii.gz")
    (tmp_path / "notes.nii.gz").write_text("not an image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_volume(tmp_path / "notes.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([scan, scan]), str(tmp_path / "series.nii.gz"))
    with pytest.raises(InputError, match="4-dimensional"):
        read_volume(tmp_path / "series.nii.gz")
    sitk.WriteImage(sitk.Compose(scan, scan, scan), str(tmp_path / "vector.nrrd"))
    with pytest.raises(InputError, match="3 values per voxel"):
        read_volume(tmp_path / "vector.nrrd")


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_half_a_download_is_never_a_scan(tmp_path, scan, extension, share):
    """ITK reads a truncated NIfTI file as if its end were air."""
    whole = write_volume(scan, tmp_path / f"whole{extension}").read_bytes()
    cut = tmp_path / f"cut{extension}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"again|cannot be read"):
        read_volume(cut)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_never_read_as_air(tmp_path, scan, extension, value):
    """ITK's NIfTI reader puts 0 where the file says NaN."""
    array = sitk.GetArrayFromImage(scan)
    array[2, 3, 4] = value
    file = write_volume(sitk.GetImageFromArray(array), tmp_path / f"broken{extension}")
    with pytest.raises(InputError, match="NaN or infinite"):
        check_volume(read_volume(file))


def test_a_label_map_is_no_scan_but_may_be_a_mask(tmp_path, scan):
    labels = sitk.Cast(scan > 80, sitk.sitkUInt8)
    write_volume(labels, tmp_path / "labels.nii.gz")
    with pytest.raises(InputError, match="label map"):
        read_volume(tmp_path / "labels.nii.gz")
    assert sitk.GetArrayFromImage(read_volume(tmp_path / "labels.nii.gz", labels=True)).max() == 1
    assert not is_label_map(sitk.Cast(scan, sitk.sitkInt16))
    assert not is_label_map(scan)


def test_a_single_slice_becomes_a_volume(tmp_path, scan):
    sitk.WriteImage(scan[:, :, 2], str(tmp_path / "slice.mha"))
    assert read_volume(tmp_path / "slice.mha").GetSize() == (7, 9, 1)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_picture_becomes_a_volume_of_one_slice_with_pixels_of_a_millimetre(tmp_path, name):
    array = np.random.default_rng(1).integers(0, 255, (9, 7)).astype(np.uint8)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.3, 0.3))  # what ITK writes as the resolution in print
    sitk.WriteImage(image, str(tmp_path / name))
    back = read_volume(tmp_path / name)
    assert back.GetSize() == (7, 9, 1)
    assert back.GetSpacing() == (1, 1, 1)
    assert back.GetPixelID() == sitk.sitkUInt8
    if name != "a.jpg":
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back)[0], array)
    check_volume(back)


def test_deep_and_coloured_pictures_keep_their_values(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65535, (9, 7)).astype(np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(deep), str(tmp_path / "deep.png"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(tmp_path / "deep.png"))[0], deep)
    colours = np.random.default_rng(1).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "colours.png"))
    luminance = colours @ np.array([0.299, 0.587, 0.114])
    read = sitk.GetArrayFromImage(read_volume(tmp_path / "colours.png"))[0]
    np.testing.assert_allclose(read, luminance, atol=1)
    (tmp_path / "cut.png").write_bytes((tmp_path / "deep.png").read_bytes()[:100])
    with pytest.raises(InputError, match="damaged or no picture"):
        read_volume(tmp_path / "cut.png")


def test_unusable_values(scan):
    check_volume(scan)
    with pytest.raises(InputError, match="value 5 everywhere"):
        check_volume(scan * 0 + 5)
    for value in (np.nan, np.inf):
        array = sitk.GetArrayFromImage(scan)
        array[1, 2, 3] = value
        with pytest.raises(InputError, match="NaN or infinite"):
            check_volume(sitk.GetImageFromArray(array))


def test_same_grid_sees_every_difference(scan):
    assert same_grid(scan, scan + 1)
    moved, turned, wider = (sitk.Image(scan) for _ in range(3))
    moved.SetOrigin((-30.5, 12.25, 8.1))
    turned.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, 1))
    wider.SetSpacing((0.7, 0.81, 4.0))
    assert not any(same_grid(scan, other) for other in (moved, turned, wider, scan[:-1]))
