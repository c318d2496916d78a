"""A synthetic volume as DICOM files: the same voxels in the same places for every reader, and nothing that could pass
for an acquisition."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MRITranslateLib.dicom import read_series
from MRITranslateLib.dicomexport import Facts, export_series
from MRITranslateLib.errors import Cancelled, InputError

from .dicoms import write_slice

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom" / "siemens_prisma_t1_fl2d_sag_HFS"
DCIODVFY = shutil.which("dciodvfy") or shutil.which("dciodvfy", path=str(Path(sys.executable).parent))
CT, MR = Facts("CT", "t1_to_ct", "1.0.0", "a" * 64, "0.1", window=(100.0, 50.0)), Facts("T2", "t1_to_t2", "1.0.0")
PICTURE = Facts("CXR", "chest_xray", "1.0.0", placed=False)
OBLIQUE = np.linalg.qr(np.array([[-0.9, 0.4, 0.2], [0.3, 1.1, -0.9], [-0.2, 0.5, 2.8]]))[0]
STUDY = "2.25.12"
TYPE_1 = {
    "all": "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality ImageType SamplesPerPixel Rows "
    "Columns PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation PixelData InstanceNumber",
    "placed": "FrameOfReferenceUID PixelSpacing ImageOrientationPatient ImagePositionPatient",
    "CT": "RescaleIntercept RescaleSlope RescaleType",
    "MR": "ScanningSequence SequenceVariant",
    "OT": "ConversionType",
}
"""Attributes that must have a value, of PS3.3's modules for the three storage classes."""


def volume(shape=(5, 12, 10), left_handed=False, scale=1000.0, offset=-300.0):
    """Random values on an oblique grid."""
    array = np.random.default_rng(3).uniform(0, 1, shape) * scale + offset
    image = sitk.GetImageFromArray(array.astype(np.float32))
    handed = np.sign(np.linalg.det(OBLIQUE)) * (-1 if left_handed else 1)
    image.SetDirection((OBLIQUE * [1, 1, handed]).ravel())
    image.SetOrigin((1.23456789, -71.5, 103.25))
    image.SetSpacing((0.9765625, 1.1, 3.3))
    return image


def headers(made):
    return [pydicom.dcmread(made.folder / name) for name in made.files]


def values(data):
    """What a reader that follows the standard makes of the stored values."""
    mapping = data.get("RealWorldValueMappingSequence")
    if mapping:
        return data.pixel_array * mapping[0].RealWorldValueSlope + mapping[0].RealWorldValueIntercept
    return data.pixel_array * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))


@pytest.mark.parametrize("left_handed", [False, True], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("shape", [(5, 12, 10), (1, 7, 9)], ids=["volume", "single slice"])
def test_every_reader_finds_the_same_voxels_in_the_same_places(tmp_path, shape, left_handed):
    image = volume(shape, left_handed)
    array = sitk.GetArrayFromImage(image)
    made = export_series(image, CT, tmp_path)
    for index, data in enumerate(headers(made)):
        assert np.abs(values(data) - array[index]).max() <= 0.5
        rows, columns = np.reshape(data.ImageOrientationPatient, (2, 3)).astype(float)
        for i, j in ((0, 0), (shape[2] - 1, shape[1] - 1)):
            place = np.array(data.ImagePositionPatient, float) + i * rows * float(data.PixelSpacing[1])
            place = place + j * columns * float(data.PixelSpacing[0])
            assert np.abs(place - image.TransformIndexToPhysicalPoint((i, j, index))).max() < 1e-4
    back = read_series(made.folder)
    assert back.GetSize() == image.GetSize()
    # Readers sort slices along the normal of rows and columns: a left-handed grid comes back with its slices reversed.
    order = slice(None, None, -1) if left_handed and shape[0] > 1 else slice(None)
    assert np.abs(sitk.GetArrayFromImage(back) - array[order]).max() <= 0.5
    for index in np.ndindex(*(2,) * 3):
        corner = [int(bit * (size - 1)) for bit, size in zip(index, image.GetSize(), strict=True)]
        there = [*corner[:2], shape[0] - 1 - corner[2]] if order.step else corner
        difference = np.subtract(back.TransformIndexToPhysicalPoint(there), image.TransformIndexToPhysicalPoint(corner))
        assert np.abs(difference).max() < 1e-4


def test_says_everywhere_what_it_is(tmp_path):
    made = export_series(volume(), CT, tmp_path)
    files = headers(made)
    assert [path.name for path in tmp_path.iterdir()] == [made.folder.name]
    for data in files:
        assert data.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert (data.Modality, data.RescaleType, data.BurnedInAnnotation) == ("CT", "HU", "NO")
        assert data[0x0008001C].value == "YES"
        assert "SYNTHETIC - not for diagnosis" in data.SeriesDescription
        assert "SYNTHETIC - not for diagnosis" in data.ImageComments
        assert data.QualityControlImage == "NO"
        for text in ("t1_to_ct 1.0.0", "a" * 64, "MRITranslate 0.1"):
            assert text in data.DerivationDescription
        assert data.DerivationCodeSequence[0].CodeMeaning == "Image synthesis by a neural network"
        equipment = data.ContributingEquipmentSequence[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("MRITranslate", "t1_to_ct")
        assert (data.WindowWidth, data.WindowCenter) == (100, 50)
        assert str(data.PatientName) == "SYNTHETIC^MRITranslate"
        assert data.PatientID.startswith("SYNTHETIC-")
        assert not {"SourceImageSequence", "ReferencedSeriesSequence", "KVP"} & {e.keyword for e in data if e.value}
    for keyword, number in (("SOPInstanceUID", 5), ("SeriesInstanceUID", 1), ("FrameOfReferenceUID", 1)):
        assert len({data[keyword].value for data in files}) == number
    again = headers(export_series(volume(), CT, tmp_path))[0]
    assert again.SeriesInstanceUID != files[0].SeriesInstanceUID
    assert len(list(tmp_path.iterdir())) == 2
    assert headers(export_series(volume(), Facts("CT", phantom=True), tmp_path))[0].QualityControlImage == "YES"


@pytest.mark.parametrize("facts", [CT, MR, PICTURE], ids=["CT", "MR", "picture"])
@pytest.mark.parametrize("with_source", [False, True], ids=["alone", "of a source"])
def test_conforms_to_the_standard(tmp_path, facts, with_source):
    source = _source(tmp_path / "source") if with_source and facts.placed else []
    made = export_series(volume(offset=0), facts, tmp_path, source)
    for name, data in zip(made.files, headers(made), strict=True):
        needed = TYPE_1["all"] + (" " + TYPE_1["placed"] if facts.placed else "") + " " + TYPE_1[data.Modality]
        assert [keyword for keyword in needed.split() if data.get(keyword) in (None, "")] == []
        if DCIODVFY:
            found = subprocess.run(
                [DCIODVFY, "-new", made.folder / name], capture_output=True, encoding="utf-8", check=False
            )
            assert "Error" not in found.stderr, found.stderr


def test_mr_values_keep_their_precision(tmp_path):
    for scale in (1.0, 1e-4, 800.0, 1e6):
        image = volume(scale=scale, offset=0)
        array = sitk.GetArrayFromImage(image)
        for index, data in enumerate(headers(export_series(image, MR, tmp_path))):
            assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
            assert np.abs(values(data) - array[index]).max() <= 1e-3 * array.max()
            assert ("RealWorldValueMappingSequence" in data) == (scale != 800.0)
            assert "RescaleSlope" not in data


def test_values_that_dicom_cannot_hold(tmp_path):
    spoilt = volume()
    spoilt.SetPixel((1, 2, 3), float("nan"))
    for image, sentence in ((spoilt, "not finite"), (volume(scale=1e5), "HU")):
        with pytest.raises(InputError, match=sentence):
            export_series(image, CT, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _source(folder, count=5, **tags):
    """Sagittal slices of "Nobody^Known"; their paths."""
    folder.mkdir(exist_ok=True)
    array = np.arange(6 * 8, dtype=np.int16).reshape(6, 8)
    given = {
        "_0010_0020": "N1",
        "_0020_000d": STUDY,
        "_0020_0052": "1.2.9",
        "_0018_5100": "HFS",
        "_0020_0010": "77",
        **tags,
    }
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        write_slice(path, array, (2.0 * number, 3.0, 4.0), _0008_0018=f"1.2.3.{number}", **given)
    return paths


def test_belongs_to_the_patient_and_study_of_its_source(tmp_path):
    files = _source(tmp_path / "source")
    image = read_series(tmp_path / "source")
    made = export_series(image, MR, tmp_path, files)
    assert made.from_source
    assert made.warnings == ()
    for index, data in enumerate(headers(made)):
        assert (data.PatientName, data.PatientID, data.StudyInstanceUID) == ("Nobody^Known", "N1", STUDY)
        assert (data.FrameOfReferenceUID, data.PatientPosition, data.StudyID) == ("1.2.9", "HFS", "77")
        assert data.SeriesInstanceUID != "1.2.3"
        assert data.SeriesNumber == 701
        assert data.ImageType[:2] == ["DERIVED", "SECONDARY"]
        item = data.SourceImageSequence[0]
        # The first voxel of the volume is at the largest x: the normal of these slices runs to negative x.
        assert item.ReferencedSOPInstanceUID == f"1.2.3.{4 - index}"
        assert item.SpatialLocationsPreserved == "YES"
        assert len(data.SourceImageSequence) == 1
        series = data.ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == "1.2.3"
        assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == f"1.2.3.{4 - index}"


def test_a_moved_grid_has_a_frame_of_reference_of_its_own(tmp_path):
    files = _source(tmp_path / "source")
    image = read_series(tmp_path / "source")
    hardened = sitk.Image(image)
    hardened.SetOrigin([value + 0.4 for value in image.GetOrigin()])
    transformed = Facts("T2", same_frame=False)
    for moved, facts in ((hardened, MR), (image, transformed)):
        made = export_series(moved, facts, tmp_path, files)
        assert "frame of reference of its own" in made.warnings[0]
        data = headers(made)[0]
        assert data.FrameOfReferenceUID != "1.2.9"
        assert data.PatientID == "N1"
        assert data.SourceImageSequence[0].SpatialLocationsPreserved == "NO"


def test_source_files_that_are_gone_or_of_another_series(tmp_path):
    files = _source(tmp_path / "source")
    image = read_series(tmp_path / "source")
    other = tmp_path / "other"
    other.mkdir()
    write_slice(other / "0.dcm", np.ones((6, 8), np.int16), (0, 3, 4), series="1.9", _0010_0010="Other^Patient")
    files[1].unlink()
    files[2].write_bytes(b"no DICOM")
    made = export_series(image, MR, tmp_path, [*files, other / "0.dcm"])
    assert "3 of 6" in made.warnings[0]
    assert {str(data.PatientName) for data in headers(made)} == {"Nobody^Known"}
    made = export_series(image, MR, tmp_path, [files[1], files[2]])
    assert not made.from_source
    assert str(headers(made)[0].PatientName) == "SYNTHETIC^MRITranslate"


def test_all_or_nothing(tmp_path):
    stops = iter([False, False, True])
    with pytest.raises(Cancelled):
        export_series(volume(), CT, tmp_path, cancel=lambda: next(stops))
    assert list(tmp_path.iterdir()) == []

    def full(fraction, stage, done, total):
        if done == 3:
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        export_series(volume(), CT, tmp_path, progress=full)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="does not exist"):
        export_series(volume(), CT, tmp_path / "nowhere")


def test_patient_names_in_other_scripts_survive(tmp_path):
    files = _source(tmp_path / "source", 2)
    for file in files:
        data = pydicom.dcmread(file)
        data.SpecificCharacterSet = "ISO_IR 192"
        data.PatientName = "Müller^Änne=山田^太郎"
        data.save_as(file)
    made = export_series(read_series(tmp_path / "source"), MR, tmp_path, files)
    assert {str(data.PatientName) for data in headers(made)} == {"Müller^Änne=山田^太郎"}


def test_odd_values_of_a_source_are_kept_and_never_printed(tmp_path, capfd, recwarn):
    """They name the patient, and what a worker prints may be shown or kept."""
    odd = {"_0010_0020": "N" * 80, "_0010_0030": "1.2.1960", "_0010_1010": "about 60", "_0008_0090": "Doctor " * 20}
    files = _source(tmp_path / "source", 2, **odd)
    made = export_series(read_series(tmp_path / "source"), MR, tmp_path, files)
    out, err = capfd.readouterr()
    assert out + err == ""
    assert list(recwarn) == []
    assert made.warnings == ()
    data = headers(made)[0]
    assert data.PatientID.startswith("NNNN")
    assert str(data.PatientBirthDate) == "1.2.1960"


def test_a_multi_frame_source_is_referred_to_as_one_instance(tmp_path):
    """An enhanced file keeps the places of its frames in functional groups."""
    files = _source(tmp_path / "source")
    image = read_series(tmp_path / "source")
    data = pydicom.dcmread(files[0])
    positions = [pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient for file in files]
    axes = data.ImageOrientationPatient
    del data.ImagePositionPatient, data.ImageOrientationPatient
    shared, orientation = pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = axes
    shared.PlaneOrientationSequence = [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = []
    for position in positions:
        group, plane = pydicom.Dataset(), pydicom.Dataset()
        plane.ImagePositionPatient = position
        group.PlanePositionSequence = [plane]
        data.PerFrameFunctionalGroupsSequence.append(group)
    data.save_as(tmp_path / "enhanced.dcm")
    made = export_series(image, MR, tmp_path, [tmp_path / "enhanced.dcm"])
    for data in headers(made):
        assert data.FrameOfReferenceUID == "1.2.9"
        assert [item.ReferencedSOPInstanceUID for item in data.SourceImageSequence] == ["1.2.3.0"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real DICOM series are not here")
def test_a_real_series_and_what_was_made_of_it_lie_in_one_place(tmp_path):
    files = sorted(file for file in REAL.rglob("*") if file.suffix == ".dcm")
    image = read_series(files[0].parent)
    made = export_series(image, MR, tmp_path, files)
    assert made.warnings == ()
    real = pydicom.dcmread(files[0], stop_before_pixels=True)
    data = headers(made)[0]
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == (real.StudyInstanceUID, real.FrameOfReferenceUID)
    places = {tuple(np.round(pydicom.dcmread(file).ImagePositionPatient, 3)) for file in files}
    assert {tuple(np.round(data.ImagePositionPatient, 3)) for data in headers(made)} == places
