"""The DICOM series that a volume was read from, for the files that are written of what was made of it.

What is read here names a patient. It goes into the data sets of the export and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PATIENT = [
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
]
_STUDY = [
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
]
_ALSO_EMPTY = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
]
"""Present in every file, though the source may leave them out (type 2)."""
_ONCE_LOSSY = ["LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"]
"""Pixels that were once compressed with loss stay marked, whatever is derived of them."""
_TAGS = [
    *_PATIENT,
    *_STUDY,
    *_ONCE_LOSSY,
    *[
        "SpecificCharacterSet",
        "SOPClassUID",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PatientPosition",
    ],
    *["SeriesNumber", "BodyPartExamined", "ImagePositionPatient", "ImageOrientationPatient"],
    *["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"],
]
_ON_A_VOXEL = 0.05
"""Largest distance of a source's pixel from a voxel of the grid that is still the same grid, in voxels."""
_PARALLEL = 0.999


@dataclass(frozen=True)
class _Instance:
    """One file: class and instance for references, and where its frames lie in mm (LPS) with their normals."""

    storage: str
    uid: str
    frames: list[tuple[np.ndarray, np.ndarray]]


class Source:
    """A DICOM series: its first file's data set without pixels, and where every file's image lies."""

    def __init__(self, first: Dataset, instances: list[_Instance]) -> None:
        self._first = first
        self._instances = instances

    @property
    def frame(self) -> str | None:
        """Its frame of reference, None where it has none."""
        return self._first.get("FrameOfReferenceUID") or None

    @property
    def patient_position(self) -> str | None:
        return self._first.get("PatientPosition") or None

    @property
    def next_number(self) -> int:
        """A series number that tells whose child the new series is, in the manner of scanners."""
        return 100 * int(self._first.get("SeriesNumber") or 0) + 1

    def copy_patient_and_study(self, data: Dataset) -> None:
        """Make a data set belong to the same patient and study."""
        for name in ("SpecificCharacterSet", *_PATIENT, *_STUDY, *_ONCE_LOSSY, "BodyPartExamined"):
            if name in self._first:
                data.add(self._first[name])
        for name in _ALSO_EMPTY:
            if name not in data:
                setattr(data, name, None)

    def lies_on(self, image: sitk.Image) -> bool:
        """Whether the first pixel of every image of the source is a voxel of the grid: then nothing moved it since, and
        the source's frame of reference holds for the grid too."""
        points = [position for one in self._instances for position, _ in one.frames]
        if self.frame is None or not points:
            return False
        indices = np.array([image.TransformPhysicalPointToContinuousIndex(point.tolist()) for point in points])
        inside = (indices > -0.5).all() and (indices < np.array(image.GetSize()) - 0.5).all()
        return bool(inside and np.abs(indices - np.rint(indices)).max() < _ON_A_VOXEL)

    def refer(self, data: Dataset, position: np.ndarray, image: sitk.Image) -> None:
        """State what a slice was made of: the nearest of the source's images if they are parallel to it, else all."""
        from pydicom.dataset import Dataset

        used = self._used(position, image)
        items, references = [], []
        for one in used:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.storage, one.uid
            references.append(item)
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.storage, one.uid
            purpose = Dataset()
            purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
            purpose.CodeMeaning = "Source image for image processing operation"
            item.PurposeOfReferenceCodeSequence = [purpose]
            item.SpatialLocationsPreserved = "YES" if data.get("FrameOfReferenceUID") == self.frame else "NO"
            items.append(item)
        data.SourceImageSequence = items
        series = Dataset()
        series.SeriesInstanceUID = self._first.SeriesInstanceUID
        series.ReferencedInstanceSequence = references
        data.ReferencedSeriesSequence = [series]

    def _used(self, position: np.ndarray, image: sitk.Image) -> list[_Instance]:
        normal = np.reshape(image.GetDirection(), (3, 3))[:, 2]
        placed = [
            (abs(float((place - position) @ normal)), number)
            for number, one in enumerate(self._instances)
            for place, axis in one.frames
            if abs(axis @ normal) > _PARALLEL
        ]
        frames = sum(max(1, len(one.frames)) for one in self._instances)
        return [self._instances[min(placed)[1]]] if len(placed) == frames else self._instances


@contextmanager
def values_as_they_are() -> Iterator[None]:
    """Within it pydicom takes odd values of the source as they are: it would refuse some and warn of others by printing
    them, and they name the patient."""
    from pydicom import config

    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = before


def read_source(files: Sequence[Path], remarks: list[str]) -> Source | None:
    """The series of DICOM files, without their pixels; to be called within `values_as_they_are`.

    Files that are gone or damaged, or belong to another series than the first, are left out, and `remarks` says so;
    None if nothing is left.
    """
    read = [found for file in files if (found := _read(file)) is not None]
    used = [(data, one) for data, one in read if data.SeriesInstanceUID == read[0][0].SeriesInstanceUID]
    if len(used) < len(files):
        lost = len(files) - len(used)
        remarks.append(f"{lost} of {len(files)} DICOM files of the source could not be used for the references.")
    return Source(used[0][0], [one for _, one in used]) if used else None


def _read(file: Path) -> tuple[Dataset, _Instance] | None:
    import pydicom

    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        if data.StudyInstanceUID and data.SeriesInstanceUID:
            return data, _instance(data)
    except Exception:  # gone, cut off, no DICOM, without identity: such a file is left out, whatever it is
        return None
    return None


def _instance(data: Dataset) -> _Instance:
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = list(data.get("PerFrameFunctionalGroupsSequence") or [None])
    frames = []
    for group in groups:
        position = _nested("ImagePositionPatient", "PlanePositionSequence", data, group, shared)
        axes = _nested("ImageOrientationPatient", "PlaneOrientationSequence", data, group, shared)
        if position is not None and axes is not None:
            frames.append((position, np.cross(axes[:3], axes[3:])))
    return _Instance(str(data.SOPClassUID), str(data.SOPInstanceUID), frames)


def _nested(name: str, sequence: str, data: Dataset, *groups: Dataset | None) -> np.ndarray | None:
    """Numbers of a single-frame file itself, or of a frame's or all frames' functional group; None where there are
    none."""
    items = [(group.get(sequence) or [None])[0] for group in groups if group is not None]
    found = next((item.get(name) for item in (data, *items) if item is not None and item.get(name)), None)
    return None if found is None else np.array(found, dtype=float)
