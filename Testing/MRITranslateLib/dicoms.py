"""DICOM files for tests."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""Row and column direction of a sagittal slice; the normal is (-1, 0, 0)."""


def write_slice(
    file: Path,
    array: np.ndarray,
    position: tuple[float, float, float],
    series: str = "1.2.3",
    axes: tuple[float, ...] = SAGITTAL,
    **tags: str,
) -> None:
    image = sitk.GetImageFromArray(array[None])
    image.SetSpacing((0.5, 0.75, 1.0))
    values = {
        "0008|0060": "MR",
        "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
        "0010|0010": "Nobody^Known",
        "0020|000d": "1.2",
        "0020|000e": series,
        "0020|0011": "7",
        "0020|0032": "\\".join(f"{value:g}" for value in position),
        "0020|0037": "\\".join(f"{value:g}" for value in axes),
        **{key.replace("_", "|").removeprefix("|"): value for key, value in tags.items()},
    }
    for key, value in values.items():
        image.SetMetaData(key, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(file))
    writer.Execute(image)
