"""Reading, writing and checking `SimpleITK.Image` volumes, the one volume type between the parts of the engine."""

import gzip
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom import read_series, without_metadata
from .errors import ConstantImage, InputError
from .picture import EXTENSIONS as PICTURES
from .picture import read_picture

WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")
ENDINGS = (*WRITABLE, ".nhdr", ".mhd")
"""Of files that hold a volume; the last two are headers, with the voxels in a file beside."""
WRITING = ".writing-"
"""What the folder of a file that is being written begins with; it lies beside the file's place."""
_NOT_FINITE = "NaN or infinite values; repair it (for example replace them by 0) first."
_MOST_LABELS = 24
"""An integer volume with at most this many distinct values is taken for a label map."""


def _one_line(error: Exception) -> str:
    """The part of an ITK exception that tells a person something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("ITK ERROR: ").split("): ", 1)[-1].rstrip(".") if lines else "unknown error"


def read_volume(path: str | os.PathLike[str], labels: bool = False) -> sitk.Image:
    """Read one 3-D scalar volume.

    Args:
        path: A file of any format that SimpleITK reads (NIfTI, NRRD, MetaImage, ...), a folder with one DICOM series,
            or a picture (PNG, JPEG, TIFF), which is a volume of one slice with pixels of 1 mm: what resolution a
            picture states is that of a printer.
        labels: True reads a mask or label map; False refuses one, since a label map is no scan.

    Returns:
        The image, 3-D and scalar, in the file's own pixel type.

    Raises:
        InputError: The file is missing, not an image, 4-D, a vector image, or (not `labels`) a label map; the folder
            holds no series, or several, or one that is no single, complete stack of slices.
    """
    file = Path(path)
    if file.is_dir():
        image = read_series(file)
        _refuse_shape(image.GetDimension(), image.GetNumberOfComponentsPerPixel(), image.GetSize(), f'"{file.name}"')
    elif not file.is_file():
        raise InputError(f'"{file}" does not exist; check the path.')
    elif file.suffix.lower() in PICTURES:
        image = _picture_volume(read_picture(file))
    else:
        image = _read_file(file)
    if not labels and is_label_map(image):
        raise InputError(
            f'"{file.name}" looks like a label map, not a scan; give it as a mask or choose the scan itself.'
        )
    return image


def _read_file(file: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise InputError(f'"{file.name}" cannot be read as an image; give a NIfTI, NRRD or MetaImage file.') from None
    _refuse_shape(reader.GetDimension(), reader.GetNumberOfComponents(), reader.GetSize(), f'"{file.name}"')
    _refuse_damaged_nifti(file)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f'"{file.name}" is damaged ({_one_line(error)}); export it again.') from None
    image = without_metadata(image)
    if image.GetDimension() == 4:
        image = image[..., 0]
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    return image


def _picture_volume(array: np.ndarray) -> sitk.Image:
    """One slice, in the file's whole numbers where it has such."""
    if (array == np.rint(array)).all() and array.min() >= 0 and array.max() <= 65535:
        array = array.astype(np.uint8 if array.max() <= 255 else np.uint16)
    return sitk.GetImageFromArray(array[None])


def _refuse_shape(dimension: int, components: int, size: tuple[int, ...], what: str) -> None:
    if components != 1:
        raise InputError(f"{what} has {components} values per voxel; give a scalar volume, one value per voxel.")
    if dimension < 2 or any(extent > 1 for extent in size[3:]):
        raise InputError(f"{what} is {dimension}-dimensional; give one 3-D volume (split a time series first).")


def _refuse_damaged_nifti(file: Path) -> None:
    """ITK fills what is missing of a NIfTI file with zeros, and puts 0 for NaN and infinity, and says nothing: half a
    download or a broken computation would pass for a scan."""
    name = file.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    finite = True
    try:
        with gzip.open(file) if name.endswith(".gz") else file.open("rb") as stream:
            header = stream.read(348)
            order = "<" if struct.unpack_from("<i", header)[0] == 348 else ">"
            dimensions = struct.unpack_from(f"{order}8h", header, 40)
            bits = struct.unpack_from(f"{order}h", header, 72)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
            voxels = 1
            for extent in dimensions[1 : 1 + dimensions[0]]:
                voxels *= max(1, extent)
            kind = {16: "f4", 64: "f8"}.get(struct.unpack_from(f"{order}h", header, 70)[0])
            stream.read(int(offset) - len(header))
            missing = voxels * bits // 8
            while missing > 0 and (part := stream.read(min(missing, 1 << 24))):
                missing -= len(part)
                if kind is not None and len(part) % int(kind[1]) == 0:
                    finite = finite and bool(np.isfinite(np.frombuffer(part, order + kind)).all())
    except (OSError, EOFError, zlib.error, struct.error):
        missing = 1
    if missing > 0:
        raise InputError(f'"{file.name}" ends too early (a broken download or copy); get the file again.')
    if not finite:
        raise InputError(f'"{file.name}" holds {_NOT_FINITE}')


def is_label_map(image: sitk.Image) -> bool:
    """Whether an integer image holds so few distinct values that it must be a mask or a label map."""
    if image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):
        return False
    array = sitk.GetArrayViewFromImage(image)
    coarse = array[:: max(1, array.shape[0] // 8)]
    if np.unique(coarse).size > _MOST_LABELS:
        return False
    values = np.unique(array)
    return bool(1 < values.size <= _MOST_LABELS and values[0] >= 0)


def check_volume(image: sitk.Image, what: str = "The input image") -> None:
    """Refuse what no model can use.

    Raises:
        InputError: The image is not 3-D or not scalar, is empty, constant, or holds NaN or infinite values.
    """
    _refuse_shape(image.GetDimension(), image.GetNumberOfComponentsPerPixel(), image.GetSize(), what)
    if image.GetDimension() != 3:
        raise InputError(f"{what} is {image.GetDimension()}-dimensional; give a 3-D volume.")
    if image.GetNumberOfPixels() == 0:
        raise InputError(f"{what} has no voxels; choose another volume.")
    array = sitk.GetArrayViewFromImage(image)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{what} holds {_NOT_FINITE}")
    if low == high:
        raise ConstantImage(f"{what} has the value {low:g} everywhere; choose a volume with an anatomy in it.")


def like(array: np.ndarray, image: sitk.Image) -> sitk.Image:
    """An array as an image on the grid of another."""
    made = sitk.GetImageFromArray(array)
    made.CopyInformation(image)
    return made


def without_ending(name: str, endings: tuple[str, ...] = ENDINGS) -> str:
    """The name of a file without whichever of these endings it has, in any case of letters."""
    ending = next((ending for ending in endings if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def same_grid(first: sitk.Image, second: sitk.Image, tolerance: float = 1e-4) -> bool:
    """Whether two images have the same size and place every corner voxel within `tolerance` voxels of each other."""
    if first.GetSize() != second.GetSize():
        return False
    limit = tolerance * min(first.GetSpacing())
    for corner in np.ndindex(2, 2, 2):
        index = [int(c) * (n - 1) for c, n in zip(corner, first.GetSize(), strict=True)]
        a, b = first.TransformIndexToPhysicalPoint(index), second.TransformIndexToPhysicalPoint(index)
        if max(abs(p - q) for p, q in zip(a, b, strict=True)) > limit:
            return False
    return True


def check_output_path(path: str | os.PathLike[str]) -> Path:
    """Refuse, before any work, a path that `write_volume` could not write.

    Raises:
        InputError: The extension is unknown, the folder does not exist or is not writable.
    """
    file = Path(path)
    if not file.name.lower().endswith(WRITABLE):
        raise InputError(f'"{file.name}" has no image extension; end it with one of {", ".join(WRITABLE)}.')
    if not file.parent.is_dir():
        raise InputError(f'The folder "{file.parent}" does not exist; create it or choose another output.')
    if not os.access(file.parent, os.W_OK):
        raise InputError(f'The folder "{file.parent}" is not writable; choose another output.')
    return file


def write_volume(image: sitk.Image, path: str | os.PathLike[str]) -> Path:
    """Write a volume under a temporary name and rename it, so that no half-written file is ever seen.

    Raises:
        InputError: The path cannot be written, or the disk is full.
    """
    file = check_output_path(path)
    extension = next(end for end in WRITABLE if file.name.lower().endswith(end))
    with tempfile.TemporaryDirectory(prefix=WRITING, dir=file.parent) as folder:
        temporary = Path(folder) / f"volume{extension}"
        try:
            sitk.WriteImage(image, str(temporary), useCompression=extension != ".nii")
            os.replace(temporary, file)
        except (RuntimeError, OSError) as error:
            raise InputError(f'"{file}" could not be written ({_one_line(error)}); check the disk.') from None
    return file
