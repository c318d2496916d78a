"""A folder with a DICOM series: a complete stack is a volume, anything else is refused with what to do."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.volume import read_volume, same_grid, write_volume

from .dicoms import SAGITTAL, write_slice

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real DICOM series are not here")


def write_stack(folder: Path, xs: list[float], **options: object) -> np.ndarray:
    """A slice at every x; file names in another order than positions. Returns the slices in order of x."""
    folder.mkdir(exist_ok=True)
    array = np.random.default_rng(1).integers(0, 900, (len(xs), 6, 8)).astype(np.int16)
    for number, (x, plane) in enumerate(zip(xs, array, strict=True)):
        write_slice(folder / f"i{(number * 7) % len(xs):02d}-{number}.dcm", plane, (x, 3.0, 4.0), **options)  # type: ignore[arg-type]
    return array[np.argsort(xs)]


def test_a_series_is_sorted_by_position_and_keeps_its_geometry(tmp_path):
    array = write_stack(tmp_path / "scan", [20, 0, 10, 30])
    (tmp_path / "scan" / "notes.txt").write_text("not an image")
    (tmp_path / "scan" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    image = read_volume(tmp_path / "scan")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array[::-1])  # the normal runs to negative x
    assert image.GetSpacing() == pytest.approx((0.5, 0.75, 10))
    assert image.GetOrigin() == pytest.approx((30, 3, 4))
    assert image.TransformIndexToPhysicalPoint((1, 1, 3)) == pytest.approx((0, 3.5, 3.25))
    assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1)


def test_nothing_of_the_patient_comes_along(tmp_path):
    write_stack(tmp_path / "scan", [0, 1])
    file = next((tmp_path / "scan").iterdir())
    for image in (read_volume(tmp_path / "scan"), read_volume(file)):
        written = write_volume(image, tmp_path / "out.nrrd")
        assert b"Nobody" in file.read_bytes()
        assert b"Nobody" not in written.read_bytes()
        assert not image.GetMetaDataKeys()


def test_rescaled_pixels_are_in_the_unit_of_the_modality(tmp_path):
    array = write_stack(tmp_path / "ct", [0, 5], _0028_1052="-1024", _0028_1053="1", _0008_0060="CT")
    stored = sitk.GetArrayFromImage(read_volume(tmp_path / "ct"))
    assert set(np.unique(stored[0] - array[::-1][0].astype(np.int32))) <= {0}


@pytest.mark.parametrize(
    ("xs", "says"),
    [
        ([0, 10, 20, 0, 10, 20], r"6 images at 3 slice positions"),
        ([0, 10, 20, 40, 50], r"10 to 20 mm apart, so some are missing"),
    ],
)
def test_what_is_no_single_complete_stack_is_refused(tmp_path, xs, says):
    write_stack(tmp_path / "scan", xs)
    with pytest.raises(InputError, match=says):
        read_volume(tmp_path / "scan")


def test_several_series_are_refused(tmp_path):
    write_stack(tmp_path / "scan", [0, 10, 20])
    write_slice(tmp_path / "scan" / "other.dcm", np.ones((6, 8), np.int16), (0, 0, 0), series="1.2.4")
    with pytest.raises(InputError, match=r"2 DICOM series \(number 7 with 3 files, number 7 with 1 files\)"):
        read_volume(tmp_path / "scan")


@pytest.mark.parametrize("difference", ["size", "direction"])
def test_images_on_different_grids_are_refused(tmp_path, difference):
    write_stack(tmp_path / "scan", [0, 10])
    shape, axes = ((6, 9), SAGITTAL) if difference == "size" else ((6, 8), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    write_slice(tmp_path / "scan" / "odd.dcm", np.ones(shape, np.int16), (20, 3, 4), axes=axes)
    with pytest.raises(InputError, match="differ in size, pixel spacing or direction"):
        read_volume(tmp_path / "scan")


def test_a_tilted_gantry_is_refused(tmp_path):
    for number in range(4):
        write_slice(tmp_path / f"{number}.dcm", np.full((6, 8), number, np.int16), (10.0 * number, 2.0 * number, 0))
    with pytest.raises(InputError, match="sheared"):
        read_volume(tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_cut_off_file_is_damage_and_not_a_file_to_pass_over(tmp_path, share):
    """GDCM says the same of half an image and of a text file; the last slice would be lost without a word."""
    rng = np.random.default_rng(2)
    for number in range(3):
        write_slice(tmp_path / f"{number}.dcm", rng.integers(0, 900, (64, 64)).astype(np.int16), (number, 0, 0))
    last = tmp_path / "2.dcm"
    last.write_bytes(last.read_bytes()[: int(share * last.stat().st_size)])
    with pytest.raises(InputError, match=r'"2.dcm" is a damaged DICOM file'):
        read_volume(tmp_path)


def test_folders_without_a_series(tmp_path):
    with pytest.raises(InputError, match="without DICOM images"):
        read_volume(tmp_path)
    (tmp_path / "t1.nii.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="without DICOM images"):
        read_volume(tmp_path)


@real
def test_a_real_series_reads_as_the_scanner_made_it():
    folder = REAL / "siemens_prisma_t1_fl2d_sag_HFS"
    image = read_volume(folder)
    assert image.GetSize() == (256, 256, 35)
    assert image.GetSpacing() == pytest.approx((1.015625, 1.015625, 4.8))
    for file in sorted(folder.iterdir())[::17]:  # every slice lies where its own file says
        plane = sitk.ReadImage(str(file))
        index = image.TransformPhysicalPointToIndex(plane.GetOrigin())
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(plane.GetOrigin(), abs=1e-3)
        assert index[:2] == (0, 0)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image[:, :, index[2]]), sitk.GetArrayFromImage(plane)[0])
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    assert same_grid(image, sitk.ReadImage(names), tolerance=1e-3)


@real
def test_a_real_time_series_is_never_stacked():
    with pytest.raises(InputError, match=r"150 images at 15 slice positions"):
        read_volume(REAL / "ge_epi_fmri_interleaved")
