"""Arrays on their way to the worker and back, piece by piece, so that the largest volume does not hold Slicer up.

`Worker` takes a step at a time from the event loop; a job sees nothing of it.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np
import vtk
from vtk.util import numpy_support

from MRITranslateLib.errors import InputError
from MRITranslateLib.service import volumes

PIECE = 1 << 21
"""Bytes that are copied at a time: a disk that others keep busy takes up to a tenth of a second for them."""
SMALL = 1 << 20
"""Bytes of an array that is not worth a turn of the event loop."""


def volumesOf(value):
    """Every volume description within a request's parameters or a result."""
    if isinstance(value, dict):
        if "array" in value:
            yield value
        for part in value.values():
            yield from volumesOf(part)


class Outbox(os.PathLike):
    """The arrays of one request; a path too: that of the folder.

    Args:
        folder: The worker's.

    Attributes:
        done: Whether everything has been written.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writers = []
        self._descriptions = []

    def __fspath__(self) -> str:
        return self._folder

    @property
    def done(self) -> bool:
        return not self._writers

    def add(self, array: np.ndarray, geometry: dict) -> dict:
        """Announce an array (slice, row, column) on a grid; it may be written later, unless it is small.

        Returns:
            Its description for the request.

        Raises:
            InputError: It is no volume, or the folder cannot take it.
        """
        writer = volumes.ArrayWriter(
            self._folder, array, geometry["spacing"], geometry["origin"], geometry["direction"]
        )
        self._writers.append(writer)
        self._descriptions.append(writer.description)
        if array.nbytes <= SMALL:
            while writer.write(PIECE):
                pass
            self._writers.remove(writer)
        return writer.description

    def step(self) -> None:
        """Write the next piece.

        Raises:
            InputError: The folder cannot take it.
        """
        if self._writers and not self._writers[0].write(PIECE):
            self._writers.pop(0)

    def remove(self) -> None:
        """Delete what was written, and write no more."""
        for writer in self._writers:
            writer.abandon()
        self._writers = []
        for description in self._descriptions:
            volumes.remove_array(self._folder, description)
        self._descriptions = []


class ImageArray(np.ndarray):
    """The voxels (slice, row, column) of the image data in its attribute `image`, which a node may take over."""

    image = None


class Inbox(os.PathLike):
    """The arrays of one result; a path too: that of the folder.

    Args:
        folder: The worker's.
        result: Of the request.

    Attributes:
        done: Whether everything has been read.
    """

    def __init__(self, folder: str, result: dict) -> None:
        self._folder = folder
        self._descriptions = list(volumesOf(result))
        self._arrays = {}
        self._open = []
        for volume in self._descriptions:
            try:
                source = volumes.read_array(folder, volume)
            except InputError:  # whoever asks for it will hear of it
                continue
            if source.nbytes > SMALL and _vtkType(source.dtype) is not None:
                self._arrays[volume["array"]] = array = _allocate(source)
                self._open.append((source, array))
        self._next = 0

    def __fspath__(self) -> str:
        return self._folder

    @property
    def done(self) -> bool:
        return not self._open

    def step(self) -> None:
        """Read the next piece."""
        if self.done:
            return
        source, array = self._open[0]
        stop = self._next + max(1, PIECE // source[0].nbytes)
        array[self._next : stop] = source[self._next : stop]
        self._next = stop
        if stop >= len(source):
            self._open.pop(0)
            self._next = 0

    def array(self, volume: dict) -> np.ndarray:
        """The array of a description in the result.

        Raises:
            InputError: There is none.
        """
        found = self._arrays.get(volume["array"])
        return volumes.read_array(self._folder, volume) if found is None else found

    def remove(self) -> None:
        """Delete what was received, and read no more."""
        self._open = []
        for description in self._descriptions:
            with contextlib.suppress(PermissionError):  # Windows keeps a file that somebody still has mapped
                volumes.remove_array(self._folder, description)
        self._descriptions = []


def _vtkType(dtype: np.dtype) -> int | None:
    """VTK's number for it, None where a volume node cannot hold it."""
    if not dtype.isnative or (dtype.itemsize > 4 and dtype.kind != "f"):
        return None
    try:
        return numpy_support.get_vtk_array_type(dtype)
    except TypeError:
        return None


def _allocate(source: np.ndarray) -> ImageArray:
    image = vtk.vtkImageData()
    image.SetDimensions(source.shape[::-1])
    image.AllocateScalars(_vtkType(source.dtype), 1)
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(source.shape).view(ImageArray)
    array.image = image
    return array
