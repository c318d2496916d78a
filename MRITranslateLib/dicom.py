"""One DICOM series in a folder as a volume.

GDCM's own series reader stacks whatever it is given: ten time points become one volume of ten heads, and a lost slice
stretches the rest. Here the headers are read first, and only a complete, straight, evenly spaced stack is read.
"""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError

_SERIES, _NUMBER = "0020|000e", "0020|0011"
_SAME_PLACE_MM = 0.01
"""Slices nearer than this lie at one position; scanners write positions to a micrometre or so."""
_UNEVEN = 0.1
"""Largest relative difference of two gaps; a lost slice makes it 1."""
_SHEAR = 0.01
"""Largest sideways step of the slices, as a share of the gap."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IMAGE_CLASSES = ("1", "2", "4", "7", "20", "128", "481.1")
"""Media storage classes of images (CR, CT, MR, secondary capture, NM, PET, RT image), without what lies below."""


@dataclass(frozen=True)
class _Header:
    """What stacking needs of one file; lengths in mm, LPS."""

    file: Path
    series: str
    number: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: np.ndarray
    direction: np.ndarray
    pixel: int


def read_series(folder: Path) -> sitk.Image:
    """Read the one DICOM series in a folder; files that are no DICOM images are ignored, sub-folders too.

    Args:
        folder: Holds single-frame files of one series, or one multi-frame file.

    Returns:
        3-D image, slices in the order of their positions along the normal, without the patient's data.

    Raises:
        InputError: There is no series, or several, or a file is damaged, or the images are no straight and complete
            stack: several at one position (time points, echoes), gaps, different grids, a tilted gantry.
    """
    headers = [header for file in sorted(folder.iterdir()) if file.is_file() and (header := _read_header(file))]
    if not headers:
        raise InputError(f'"{folder.name}" is a folder without DICOM images; give one series, or an image file.')
    by_series = sorted(headers, key=lambda header: header.series)
    groups = [list(group) for _, group in groupby(by_series, key=lambda header: header.series)]
    if len(groups) > 1:
        found = ", ".join(f"number {group[0].number or '?'} with {len(group)} files" for group in groups[:4])
        raise InputError(
            f'"{folder.name}" holds {len(groups)} DICOM series ({found}{", ..." if len(groups) > 4 else ""}); '
            "put one series alone into a folder."
        )
    gap, headers = _stack(headers, f'"{folder.name}"')
    pixels = {header.pixel for header in headers}
    try:
        image = sitk.ReadImage(
            [str(header.file) for header in headers],
            # Rescale slopes may differ between slices, and with them GDCM's pixel types.
            outputPixelType=pixels.pop() if len(pixels) == 1 else sitk.sitkFloat32,
            imageIO="GDCMImageIO",
        )
    except RuntimeError:
        raise InputError(f'The pixels of the DICOM series in "{folder.name}" are damaged; export it again.') from None
    first = headers[0]
    image.SetOrigin([float(value) for value in first.origin])
    image.SetSpacing((*first.spacing[:2], gap))
    image.SetDirection([float(value) for value in first.direction.ravel()])
    return without_metadata(image)


def without_metadata(image: sitk.Image) -> sitk.Image:
    """The image without the header's entries: a DICOM header names the patient, and writers would pass it on."""
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _read_header(file: Path) -> _Header | None:
    """None for what is no image.

    Raises:
        InputError: The file is an image, and damaged.
    """
    if file.name.upper() == "DICOMDIR" or file.name.startswith("."):
        return None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        if _is_image_class(file):
            raise InputError(f'"{file.name}" is a damaged DICOM file; export the series again.') from None
        return None

    def tag(key: str) -> str:
        return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""

    axes = np.asarray(reader.GetDirection()).reshape(3, 3).copy() if reader.GetDimension() == 3 else np.eye(3)
    if reader.GetSize()[2:3] == (1,):
        axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return _Header(
        file,
        tag(_SERIES),
        tag(_NUMBER),
        reader.GetSize(),
        reader.GetSpacing(),
        np.asarray(reader.GetOrigin()),
        axes,
        reader.GetPixelID(),
    )


def _is_image_class(file: Path) -> bool:
    """Whether the preamble and the storage class say that this should have been an image: GDCM refuses a cut-off image
    and a text file alike, and only one of the two may be passed over."""
    try:
        with file.open("rb") as stream:
            start = stream.read(1024)
    except OSError:
        return True
    if start[128:132] != b"DICM":
        return False
    _, found, rest = start.partition(b"\x02\x00\x02\x00UI")
    if not found or len(rest) < 2:
        return True
    uid = rest[2 : 2 + int.from_bytes(rest[:2], "little")].decode("ascii", "replace").rstrip("\0 ")
    return any(uid == _STORAGE + end or uid.startswith(f"{_STORAGE}{end}.") for end in _IMAGE_CLASSES)


def _stack(headers: list[_Header], where: str) -> tuple[float, list[_Header]]:
    """The distance of the slices, and the slices in the order of their positions."""
    first = headers[0]
    if len(headers) == 1:
        return (first.spacing[2] if len(first.spacing) > 2 else 1.0), headers
    if any(header.size[2:] != (1,) for header in headers):
        raise InputError(f"{where} holds several multi-frame DICOM files; put one alone into a folder.")
    for header in headers:
        if (
            header.size != first.size
            or not np.allclose(header.spacing[:2], first.spacing[:2], rtol=1e-3)
            or not np.allclose(header.direction, first.direction, atol=1e-3)
        ):
            raise InputError(
                f"The images in {where} differ in size, pixel spacing or direction; "
                "put the slices of one stack alone into a folder."
            )
    normal = first.direction[:, 2]
    headers = sorted(headers, key=lambda header: float(header.origin @ normal))
    steps = np.diff([header.origin for header in headers], axis=0)
    gaps = steps @ normal
    if gaps.min() < _SAME_PLACE_MM:
        places = 1 + int((gaps >= _SAME_PLACE_MM).sum())
        raise InputError(
            f"{where} holds {len(headers)} images at {places} slice positions (time points, echoes or phases); "
            "put the images of one of them alone into a folder."
        )
    if gaps.max() - gaps.min() > _UNEVEN * gaps.min():
        raise InputError(
            f"The slices in {where} lie {gaps.min():.3g} to {gaps.max():.3g} mm apart, so some are missing; "
            "export the whole series again."
        )
    gap = float(gaps.mean())
    if np.abs(steps - gaps[:, None] * normal).max() > max(_SHEAR * gap, _SAME_PLACE_MM):
        raise InputError(
            f"The slices in {where} are sheared (a tilted gantry); resample them to a straight grid first, "
            "as 3D Slicer's DICOM module does."
        )
    return gap, headers
