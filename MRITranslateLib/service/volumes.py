"""Volumes as .npy files in the exchange folder that a client and the worker share.

A description is the protocol's volume: {"array": "NAME.npy", "spacing": [x, y, z], "origin": [x, y, z], "direction": [9
cosines]}, spacing and origin in mm, LPS, direction row-major; the array's axes are (slice, row, column). numpy and the
standard library only, in Python 3.9's syntax, because Slicer's panel imports this file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .messages import VOLUME

#: 2048 cubed: larger than any clinical volume, and small enough that sizes never overflow.
MAX_VOXELS = 2048**3
_SUFFIX = ".npy"
_TEMPORARY = ".tmp"
_OWN_NAME = re.compile(r"[0-9a-f]{32}\.npy(\.tmp)?")


class ArrayWriter:
    """Writes an array (slice, row, column) under a fresh name, in pieces where it is large.

    The file appears under its name only when it is complete.

    Attributes:
        description: The array's.

    Raises InputError for an array that is not 3-D and real, and for a folder that cannot take it, which is full as a
    rule.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        array: np.ndarray,
        spacing: Sequence[float],
        origin: Sequence[float],
        direction: Sequence[float],
    ) -> None:
        _check_array(array)
        self._array = array.view(np.uint8) if array.dtype == np.bool_ else array
        self._next = 0
        name = uuid.uuid4().hex + _SUFFIX
        self.description: dict[str, Any] = {
            "array": name,
            "spacing": [float(value) for value in spacing],
            "origin": [float(value) for value in origin],
            "direction": [float(value) for value in direction],
        }
        self._path = Path(folder) / name
        self._temporary = Path(folder) / (name + _TEMPORARY)
        with self._room():
            self._stream = open(self._temporary, "wb")  # noqa: SIM115 - `write` and `abandon` close it
        with self._room(), self._whole():
            descr = np.lib.format.dtype_to_descr(self._array.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(self._stream, header)

    def write(self, most_bytes: int) -> bool:
        """Writes the next slices, as many as `most_bytes` hold but one at least; False when that was the end."""
        with self._room(), self._whole():
            stop = self._next + max(1, most_bytes // self._array[0].nbytes)
            self._stream.write(np.ascontiguousarray(self._array[self._next : stop]).data)
            self._next = stop
            if stop < len(self._array):
                return True
            self._stream.close()
            os.replace(self._temporary, self._path)
        return False

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abandon()
            raise

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """What the system says of a folder without room, as one sentence."""
        try:
            yield
        except OSError as error:
            place, needed = self._path.parent.parent, self._array.nbytes
            free = ""
            with contextlib.suppress(OSError):
                free = f", {shutil.disk_usage(place).free / 1e6:.1f} MB are free"
            raise InputError(
                f"The temporary folder {place} cannot take a volume of {needed / 1e6:.1f} MB "
                f"({error.strerror}{free}); make room there and run again."
            ) from error

    def abandon(self) -> None:
        """Deletes what was written of a file that is not complete."""
        with contextlib.suppress(OSError):  # a full disk refuses the rest of the buffer again
            self._stream.close()
        self._temporary.unlink(missing_ok=True)


def write_array(
    folder: str | os.PathLike[str],
    array: np.ndarray,
    spacing: Sequence[float],
    origin: Sequence[float],
    direction: Sequence[float],
) -> dict[str, Any]:
    """Writes `array` (slice, row, column) in one go and returns its description; see `ArrayWriter`."""
    writer = ArrayWriter(folder, array, spacing, origin, direction)
    writer.write(array.nbytes)
    return writer.description


def read_array(folder: str | os.PathLike[str], volume: Mapping[str, Any]) -> np.ndarray:
    """The array of a description, (slice, row, column), memory-mapped and read-only.

    Raises InputError for a description that breaks the protocol, a missing, linked or truncated file, pickled content,
    or an array that is not 3-D and real.
    """
    path = _path(folder, volume)
    name = path.name
    if path.is_symlink() or not path.is_file():
        raise InputError(f"The exchange folder has no file {name!r}; write the array before sending the request.")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise InputError(f"The file {name!r} is not a complete .npy array of numbers.") from error
    if not isinstance(array, np.ndarray):
        array.close()  # an .npz archive under a .npy name
        raise InputError(f"The file {name!r} is not a complete .npy array of numbers.")
    _check_array(array)
    return array


def remove_array(folder: str | os.PathLike[str], volume: Mapping[str, Any]) -> None:
    """Deletes the file of a description; a file that is gone already is no error."""
    _path(folder, volume).unlink(missing_ok=True)


def remove_folder(folder: str | os.PathLike[str]) -> None:
    """Deletes the exchange files in `folder`, then the folder if nothing else is in it.

    Nothing but arrays is deleted, and `prepare_folder` admits no foreign array: a wrong folder costs nobody his data.
    """
    path = Path(folder)
    if path.is_symlink():
        return
    # Both sides clean up, either may come first. Windows keeps a file that is still mapped: the other side removes it.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for file in path.iterdir():
            if file.name.endswith((_SUFFIX, _SUFFIX + _TEMPORARY)):
                file.unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """The exchange folder, made if need be and readable by its owner only.

    Raises InputError if it holds anything but files of `write_array`: the folder is emptied at the end.
    """
    path = Path(folder)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"{path} is not a folder; give the worker a fresh folder of its own.")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = [file.name for file in path.iterdir() if not _OWN_NAME.fullmatch(file.name)]
    except OSError as error:
        raise InputError(f"The folder {path} cannot be used: {error.strerror}.") from error
    if strange:
        raise InputError(f"The folder {path} holds other files ({strange[0]}); give the worker a fresh one of its own.")
    return path.resolve()


def _path(folder: str | os.PathLike[str], volume: Mapping[str, Any]) -> Path:
    VOLUME.check(volume, "The volume")
    return Path(folder) / str(volume["array"])


def _check_array(array: np.ndarray) -> None:
    if array.ndim != 3 or array.size == 0 or array.size > MAX_VOXELS:
        raise InputError(
            f"A volume must be a 3-D array of 1 to {MAX_VOXELS} voxels, not of shape {tuple(array.shape)}."
        )
    # Native or foreign byte order alike; complex numbers, objects, texts and records are refused.
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError(f"A volume must hold real numbers of at most 64 bits, not {array.dtype}.")
