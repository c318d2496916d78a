"""`SimpleITK.Image` to and from the exchange folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .volumes import read_array, write_array

#: Pixel types that travel as they are; 64-bit whole numbers become int32, float16 becomes float32, bool becomes uint8.
_EXACT = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


def send_image(folder: str | os.PathLike[str], image: sitk.Image) -> dict[str, Any]:
    """Writes a 3-D scalar image into the exchange folder and returns its description (protocol volume)."""
    return write_array(
        folder,
        sitk.GetArrayViewFromImage(image),
        image.GetSpacing(),
        image.GetOrigin(),
        image.GetDirection(),
    )


def receive_image(folder: str | os.PathLike[str], volume: Mapping[str, Any]) -> sitk.Image:
    """The image of a description; the voxels are copied, so that the file may go afterwards.

    Raises:
        InputError: As `read_array`, or whole numbers beyond 32 bits, or cosines that are no rotation or reflection.
    """
    image = sitk.GetImageFromArray(_supported(read_array(folder, volume)))
    image.SetSpacing(volume["spacing"])
    image.SetOrigin(volume["origin"])
    cosines = np.reshape(volume["direction"], (3, 3))
    # ITK only refuses a singular matrix; a sheared one would silently bend the anatomy.
    if not np.allclose(cosines @ cosines.T, np.eye(3), atol=1e-3):
        raise InputError("The volume's direction cosines are not orthonormal; resample it to a regular grid first.")
    image.SetDirection(volume["direction"])
    return image


def _supported(array: np.ndarray) -> np.ndarray:
    if array.dtype.name in _EXACT:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    limits = np.iinfo(np.int32)
    if array.min() < limits.min or array.max() > limits.max:
        raise InputError("The volume holds whole numbers beyond 32 bits; convert it to float first.")
    return array.astype(np.int32)
