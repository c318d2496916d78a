"""Pictures: PNG and JPEG files as grey arrays, and as what the networks of pictures see.

A picture, unlike a volume, has no geometry and no unit: a radiograph, or a slice that somebody saved. Its values are
therefore brought to [-1, 1] by the picture itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ConstantImage, InputError

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_MOST_PIXELS = 1 << 26
"""Twice the largest detectors of radiography, and little enough for any memory."""
_WINDOW_PERCENTILE = 99.5
_TISSUE = 0.1
"""Part of a volume's window from which on a voxel counts as the patient."""


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one grey picture; colours become their luminance (ITU-R 601), what is transparent becomes black.

    Args:
        path: A PNG, JPEG, TIFF or BMP file, 8 or 16 bit, turned as its EXIF data says.

    Returns:
        float32 (rows, columns), finite, in the file's own range (0..255 or 0..65535).

    Raises:
        InputError: The file is missing, damaged, no picture, too large, or shows one value everywhere.
    """
    from PIL import Image, ImageOps

    file = Path(path)
    if not file.is_file():
        raise InputError(f'"{file}" does not exist; check the path.')
    try:
        with Image.open(file, formats=_FORMATS) as header:
            columns, rows = header.size
            frames = getattr(header, "n_frames", 1)
            if columns * rows <= _MOST_PIXELS and frames == 1:
                header.verify()  # the checksums, which reading skips
                with Image.open(file, formats=_FORMATS) as picture:
                    array = _grey(ImageOps.exif_transpose(picture))
    # What a decoder raises over a hostile file is anything: OSError, SyntaxError, struct.error, MemoryError, ...
    except Exception as error:
        what = "is empty" if file.stat().st_size == 0 else "is damaged or no picture"
        raise InputError(f'"{file.name}" {what}; give a whole PNG or JPEG file.') from error
    if columns * rows > _MOST_PIXELS:
        raise InputError(f'"{file.name}" has {columns} x {rows} pixels, more than {_MOST_PIXELS:,}; make it smaller.')
    if frames != 1:
        raise InputError(f'"{file.name}" holds {frames} pictures; save each in a file of its own.')
    if not np.isfinite(array).all():
        raise InputError(f'"{file.name}" holds NaN or infinite values; save it as 8 or 16 bit.')
    if array.min() == array.max():
        raise ConstantImage(f'"{file.name}" has the value {array.min():g} everywhere; leave it out.')
    return array


def prepare_picture(array: np.ndarray, size: int) -> np.ndarray:
    """Bring a grey picture to what a network sees: from its darkest value to its 99.5th percentile becomes -1..1, the
    longer side becomes `size`, and the shorter one is padded on both sides with black.

    Args:
        array: (rows, columns), finite, any range.
        size: Rows and columns of the result.

    Returns:
        float32 (size, size) in [-1, 1]; a constant picture becomes black.
    """
    from PIL import Image

    values = np.asarray(array, dtype=np.float64)
    low, high = values.min(), np.percentile(values, _WINDOW_PERCENTILE)
    if high <= low:  # a few bright pixels on an empty ground
        high = values.max()
    shares = np.clip((values - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1)
    # The longer side first: padding a strip to a square before would take the square of its length.
    inside = placement(values.shape, size)
    rows, columns = (part.stop - part.start for part in inside)
    resized = Image.fromarray(shares.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    square = np.full((size, size), -1.0, dtype=np.float32)
    square[inside] = np.clip(2 * np.asarray(resized) - 1, -1, 1)
    return square


def placement(shape: tuple[int, ...], size: int) -> tuple[slice, slice]:
    """Where `prepare_picture` puts a picture (rows, columns) in the square: its rows and columns there."""
    rows, columns = (max(1, round(extent * size / max(shape))) for extent in shape)
    top, left = (size - rows) // 2, (size - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def telling_slices(array: np.ndarray) -> np.ndarray:
    """Numbers of the slices of a volume (slices, rows, columns) that show at least half as much of the patient as the
    one that shows most; the others make no picture worth looking at."""
    low, high = np.percentile(array, (0.0, _WINDOW_PERCENTILE))
    tissue = (array > low + _TISSUE * (high - low)).mean(axis=(1, 2))
    return np.flatnonzero(tissue > 0.5 * tissue.max())


def to_grey(array: np.ndarray) -> np.ndarray:
    """Values in [-1, 1] (what lies beyond is cut off) as float32 from 0 to 255."""
    return (np.clip(array, -1, 1).astype(np.float32) + 1) * np.float32(127.5)


def to_bytes(array: np.ndarray) -> np.ndarray:
    """Values in [-1, 1] (what lies beyond is cut off) as uint8, for a file or a screen."""
    return np.rint((np.clip(array, -1, 1).astype(np.float64) + 1) * 127.5).astype(np.uint8)


def write_picture(pixels: np.ndarray, path: str | os.PathLike[str], facts: Mapping[str, str]) -> Path:
    """Write a grey or coloured picture as PNG, under a temporary name first.

    Args:
        pixels: uint8 (rows, columns) or (rows, columns, 3).
        path: Ends with .png.
        facts: Go into the file as texts, such as who made it.

    Raises:
        InputError: The path has another ending, or cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    file = Path(path)
    if file.suffix.lower() != ".png":
        raise InputError(f'"{file.name}" must end with .png; rename it.')
    if not file.parent.is_dir():
        raise InputError(f'The folder "{file.parent}" does not exist; create it or choose another output.')
    texts = PngInfo()
    for key, value in facts.items():
        texts.add_itxt(key, value)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.writing")
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG", pnginfo=texts)
        os.replace(temporary, file)
    except OSError as error:
        raise InputError(f'"{file}" could not be written ({error.strerror}); choose another output.') from None
    finally:
        temporary.unlink(missing_ok=True)
    return file


def _grey(picture: "Image.Image") -> np.ndarray:
    """float32 (rows, columns); more than 8 bits only where the file is grey."""
    if picture.mode in ("F", "I") or picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.float32)
    if picture.has_transparency_data:
        grey, alpha = picture.convert("RGBA").convert("LA").split()
        return np.asarray(grey).astype(np.float32) * np.asarray(alpha).astype(np.float32) / 255
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")  # palette, CMYK, YCbCr, one bit
    return np.asarray(picture.convert("L")).astype(np.float32)
