"""A synthetic volume as a DICOM series of single-frame files that says in every place meant for it what it is.

A CT becomes CT Image Storage and a contrast of MRI becomes MR Image Storage, because planning and viewing systems read
nothing else as a volume. What keeps either from passing for an acquisition: Image Type DERIVED\\SECONDARY, Synthetic
Data YES, the notice in Series Description and Image Comments, Derivation Description and Code, the synthesizing
equipment, and no acquisition parameters at all. A picture that lies nowhere in a patient (made from noise or a report)
becomes a Secondary Capture of the conversion type "synthetic image", without a position.

Voxel values: Hounsfield units are whole numbers (at most 0.5 off), rescale slope 1. MR Image Storage has no rescaling,
and readers ignore one: values are stored as they are where whole numbers are fine enough, else multiplied by a power of
ten that the Real World Value Mapping states.

The patient's data come from the source's files, if they are known, and go into the written files only.
"""

from __future__ import annotations

import datetime
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .dicomsource import Source, read_source, values_as_they_are
from .errors import Cancelled, InputError
from .modality import MODALITIES, Modality

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTICE = "SYNTHETIC - not for diagnosis"
ARTIFICIAL_PATIENT = "SYNTHETIC^MRITranslate"
CT_CLASS, MR_CLASS, CAPTURE_CLASS = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
)
SYNTHETIC_DATA = 0x0008001C
"""Synthetic Data (CS), by its tag: the dictionary of pydicom 2 does not know it yet."""
_LARGEST = 32767
_FINE_ENOUGH = 500.0
"""From this largest value on, whole numbers are exact to 0.1 % of it."""

Progress = Callable[[float, str, int, int], None]


@dataclass(frozen=True)
class Facts:
    """What is said of a series beside its voxels.

    Attributes:
        modality: Key of the contrast, such as "CT".
        model, version, weights: Name and version of the model and the SHA-256 of its weights; "" where unknown.
        extension: Version of MRITranslate.
        placed: Whether the voxels lie somewhere in a patient.
        phantom: Whether the source is a phantom and no person.
        same_frame: Whether the grid may lie in the source's frame of reference: False once a transform moved it.
        window: Display window (width, level), or None.
    """

    modality: str
    model: str = ""
    version: str = ""
    weights: str = ""
    extension: str = ""
    placed: bool = True
    phantom: bool = False
    same_frame: bool = True
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: The new folder of the series.
        files: Names of its files, in the order of the slices.
        from_source: Whether patient and study are those of source files, and not artificial.
        warnings: Sentences for people.
    """

    folder: Path
    files: tuple[str, ...]
    from_source: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Series:
    """What all files of the series have in common."""

    facts: Facts
    kind: Modality
    image: sitk.Image
    common: Dataset
    source: Source | None
    scale: float


def export_series(
    image: sitk.Image,
    facts: Facts,
    folder: str | Path,
    source_files: Sequence[str] = (),
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Exported:
    """Write a volume as one DICOM series into a new folder within `folder`; all of it or nothing.

    Args:
        image: 3-D scalar image, LPS mm; oblique and left-handed grids are kept as they are.
        facts: What is said of it.
        folder: An existing folder; the series gets one of its own in it.
        source_files: DICOM files that the source volume was read from: patient, study, frame of reference and the
            references come from them. Without any, the patient is an artificial one.
        progress: (fraction, stage, slices done, slices in all).
        cancel: Asked before every slice.

    Raises:
        InputError: The folder cannot be written, or the values are not finite, or beyond the range of a CT.
        Cancelled: Nothing is left of the series.
    """
    target = Path(folder)
    if not target.is_dir():
        raise InputError(f'The folder "{target.name}" does not exist; choose another one for the DICOM files.')
    with values_as_they_are():
        return _export(image, facts, target, source_files, progress or _no_progress, cancel or _never)


def _export(
    image: sitk.Image,
    facts: Facts,
    target: Path,
    source_files: Sequence[str],
    progress: Progress,
    cancel: Callable[[], bool],
) -> Exported:
    kind = MODALITIES[facts.modality]
    warnings: list[str] = []
    source = read_source([Path(file) for file in source_files], warnings) if source_files else None
    scale = _scale(image, kind)
    common = _common(image, facts, kind, source, warnings)
    series = _Series(facts, kind, image, common, source, scale)
    name = f"SYNTHETIC_{facts.modality}_{common.SeriesDate}_{common.SeriesTime[:6]}"
    temporary = target / f".{name}_{uuid.uuid4().hex}.part"
    try:
        temporary.mkdir()
        files = _write_slices(temporary, series, progress, cancel)
        final = _free_name(target, name)
        temporary.rename(final)
    except OSError as error:
        raise InputError(
            f"The DICOM files could not be written ({error.strerror or error}); free space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(final, tuple(files), source is not None, tuple(warnings))


def _write_slices(folder: Path, series: _Series, progress: Progress, cancel: Callable[[], bool]) -> list[str]:
    array = sitk.GetArrayViewFromImage(series.image)
    digits = max(4, len(str(len(array))))
    names = []
    for index, plane in enumerate(array):
        if cancel():
            raise Cancelled
        progress(index / len(array), "Writing DICOM files", index, len(array))
        names.append(f"IM{index + 1:0{digits}d}.dcm")
        _save(_slice(series, index, plane), folder / names[-1])
    return names


def _common(image: sitk.Image, facts: Facts, kind: Modality, source: Source | None, warnings: list[str]) -> Dataset:
    """The attributes that all slices share: patient, study, series, equipment, derivation."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    now = datetime.datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    data = Dataset()
    if source is None:
        _artificial_patient(data, date, time)
    else:
        source.copy_patient_and_study(data)
    data.SOPClassUID = _storage_class(facts, kind)
    data.Modality = {CT_CLASS: "CT", MR_CLASS: "MR", CAPTURE_CLASS: "OT"}[data.SOPClassUID]
    data.SeriesInstanceUID = generate_uid(prefix=None)
    data.SeriesNumber = 1 if source is None else source.next_number
    data.SeriesDate, data.SeriesTime = date, time
    data.ContentDate, data.ContentTime = date, time
    data.InstanceCreationDate, data.InstanceCreationTime = date, time
    data.SeriesDescription = f"{NOTICE}: {kind.name}"
    data.ImageComments = f"{NOTICE}. Computed by a neural network, not acquired: {kind.title}."
    if "BodyPartExamined" not in data:
        data.Laterality = None  # it might be one of a pair
    data.BurnedInAnnotation = "NO"
    data.QualityControlImage = "YES" if facts.phantom else "NO"
    data.add_new(SYNTHETIC_DATA, "CS", "YES")
    data.Manufacturer, data.ManufacturerModelName = "MRITranslate", facts.model[:64]
    data.SoftwareVersions = [text for text in (facts.extension, facts.version) if text] or "unknown"
    data.ContributingEquipmentSequence = [_equipment(facts, date, time)]
    data.DerivationDescription = _derivation(facts, kind)
    data.DerivationCodeSequence = [_code("SYNTHESIS", "99MRITRANSLATE", "Image synthesis by a neural network")]
    if facts.placed:
        data.PositionReferenceIndicator = None
        kept = source is not None and facts.same_frame and source.lies_on(image)
        if source is not None and source.frame and not kept:
            warnings.append(
                "The grid is not that of the DICOM source, so the series has a frame of reference of its own."
            )
        data.FrameOfReferenceUID = source.frame if kept and source is not None else generate_uid(prefix=None)
        data.PatientPosition = source.patient_position if source is not None else None
    return data


def _artificial_patient(data: Dataset, date: str, time: str) -> None:
    from pydicom.uid import generate_uid

    data.SpecificCharacterSet = "ISO_IR 192"
    data.PatientName, data.PatientID = ARTIFICIAL_PATIENT, f"SYNTHETIC-{uuid.uuid4().hex[:12].upper()}"
    data.PatientBirthDate = data.PatientSex = None
    data.StudyInstanceUID = generate_uid(prefix=None)
    data.StudyDate, data.StudyTime = date, time
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", None, None
    data.StudyDescription = NOTICE


def _storage_class(facts: Facts, kind: Modality) -> str:
    if not facts.placed or kind.kind not in ("CT", "MR"):
        return CAPTURE_CLASS
    return CT_CLASS if kind.kind == "CT" else MR_CLASS


def _derivation(facts: Facts, kind: Modality) -> str:
    model = f"model {facts.model} {facts.version}" if facts.model else "a model"
    weights = f" (weights SHA-256 {facts.weights})" if facts.weights else ""
    return f"{kind.title} computed by MRITranslate {facts.extension} with {model}{weights}. {NOTICE}."[:1024]


def _equipment(facts: Facts, date: str, time: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code("109100", "DCM", "Synthesizing Equipment")]
    item.Manufacturer, item.ManufacturerModelName = "MRITranslate", facts.model[:64]
    item.SoftwareVersions = [text for text in (facts.extension, facts.version) if text] or "unknown"
    item.ContributionDateTime = date + time
    item.ContributionDescription = NOTICE
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _scale(image: sitk.Image, kind: Modality) -> float:
    """What values are multiplied by before they are rounded.

    Raises:
        InputError: Values are not finite, or too large for 16 bits in a unit that must not be scaled.
    """
    array = sitk.GetArrayViewFromImage(image)
    largest = max(float(array.max()), -float(array.min()))  # NaN in the array gives NaN here
    if not np.isfinite(largest):
        raise InputError("The volume holds values that are not finite; DICOM cannot store them.")
    if kind.kind == "CT":
        if largest > _LARGEST:
            raise InputError(f"The volume holds {largest:g} HU; a CT in DICOM reaches {_LARGEST} HU.")
        return 1.0
    if largest == 0 or _FINE_ENOUGH <= largest <= _LARGEST:
        return 1.0
    return float(10.0 ** np.floor(np.log10(_LARGEST / largest)))


def _slice(series: _Series, index: int, plane: np.ndarray) -> Dataset:
    """One file's data set."""
    from copy import deepcopy

    from pydicom.uid import generate_uid

    data = deepcopy(series.common)
    data.SOPInstanceUID = generate_uid(prefix=None)
    data.InstanceNumber = index + 1
    stored = np.rint(plane * np.float64(series.scale)).astype("<i2")
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = plane.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"
    _describe_values(data, series)
    if series.facts.placed:
        _place(data, series.image, index)
    else:
        data.PatientOrientation = None
        data.ConversionType = "SYN"
        data.ImageType = ["DERIVED", "SECONDARY"]
    if series.source is not None:
        position = np.array(series.image.TransformIndexToPhysicalPoint((0, 0, index)))
        series.source.refer(data, position, series.image)
    return data


def _describe_values(data: Dataset, series: _Series) -> None:
    """Image type, what the acquisition module must hold, and how stored values become values."""
    if data.SOPClassUID == CT_CLASS:
        data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        data.KVP = data.AcquisitionNumber = None
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = 0, 1, "HU"
    elif data.SOPClassUID == MR_CLASS:
        data.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        data.ScanningSequence, data.SequenceVariant = "RM", "NONE"  # research mode: no sequence was run
        data.ScanOptions = data.MRAcquisitionType = None
        data.RepetitionTime = data.EchoTime = data.EchoTrainLength = None
    if data.SOPClassUID != CT_CLASS and series.scale != 1.0:
        data.RealWorldValueMappingSequence = [_mapping(series)]
    if series.facts.window is not None:
        width, level = (value * series.scale for value in series.facts.window)
        data.WindowCenter, data.WindowWidth = _decimal(level), _decimal(max(width, 1.0))


def _mapping(series: _Series) -> Dataset:
    from pydicom.dataset import Dataset

    kind = series.kind
    item = Dataset()
    item.LUTLabel, item.LUTExplanation = "VALUE", kind.quantity_meaning
    item.add_new(0x00409216, "SS", -_LARGEST - 1)
    item.add_new(0x00409211, "SS", _LARGEST)
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1.0 / series.scale
    item.MeasurementUnitsCodeSequence = [_code(kind.units_code, "UCUM", kind.units_meaning)]
    return item


def _place(data: Dataset, image: sitk.Image, index: int) -> None:
    cosines = np.reshape(image.GetDirection(), (3, 3))
    spacing = image.GetSpacing()
    data.ImageOrientationPatient = [_decimal(value) for value in (*cosines[:, 0], *cosines[:, 1])]
    data.ImagePositionPatient = [_decimal(value) for value in image.TransformIndexToPhysicalPoint((0, 0, index))]
    data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    data.SliceThickness = data.SpacingBetweenSlices = _decimal(spacing[2])


def _decimal(value: float) -> str:
    """A number as DICOM's decimal string of at most 16 characters, as exact as that allows."""
    value = float(value) + 0.0  # no minus zero
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def _save(data: Any, file: Path) -> None:
    """Write a file with its preamble, by pydicom 2 and 3 alike."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    data.preamble = b"\0" * 128
    if int(pydicom.__version__.split(".")[0]) < 3:
        data.is_little_endian, data.is_implicit_VR = True, False
        data.save_as(file, write_like_original=False)
    else:
        data.save_as(file, enforce_file_format=True)


def _free_name(folder: Path, name: str) -> Path:
    candidates = (folder / (name if number == 1 else f"{name}_{number}") for number in range(1, 10_000))
    return next(path for path in candidates if not path.exists())


def _no_progress(fraction: float, stage: str, done: int, total: int) -> None:
    """For callers that do not want to hear of progress."""


def _never() -> bool:
    return False


__all__: Sequence[str] = ("ARTIFICIAL_PATIENT", "NOTICE", "Exported", "Facts", "export_series")
