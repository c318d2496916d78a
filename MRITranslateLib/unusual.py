"""Where a map of doubt is more than validation ever saw: the place where a lesion may be drawn wrongly.

Every model is least sure at edges, most of all at those of the skull, where a shift by half a voxel changes the value
most; beside them a lesion in soft tissue would not be seen. So the map is divided by the slope of the image beneath it:
what remains is how many millimetres an edge would have to move to explain the doubt. Smoothed, thin lines vanish and
places stay.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .card import CalibrationCard
from .volume import like

_FLAT = 0.01
"""Network units a mm that every place is allowed to change by: a flat one would make any doubt infinite."""
_EDGE_MM = 1.0
_REACH_MM = 2.0
_PLACE_MM = 3.0
_MARGIN = 2.0
"""Times the largest region that validation saw: the largest of few subjects is not the largest there is."""


def in_edges(doubt: sitk.Image, beneath: sitk.Image, unit: float) -> sitk.Image:
    """A map of doubt in millimetres by which edges would have to move.

    Args:
        doubt: Standard deviation or difference.
        beneath: The image it belongs to, on the same grid, in the same unit.
        unit: One network unit.

    Returns:
        float32 on the same grid, mm, smoothed by a Gaussian of 3 mm.
    """
    spacing = np.asarray(doubt.GetSpacing())[::-1]
    image = ndimage.gaussian_filter(sitk.GetArrayViewFromImage(beneath), _EDGE_MM / spacing, output=np.float32)
    slope = np.zeros_like(image)
    for axis, step in enumerate(spacing):
        if image.shape[axis] > 1:
            slope += (np.gradient(image, axis=axis) / np.float32(step)) ** 2
    slope = np.sqrt(slope, out=slope)
    slope = ndimage.maximum_filter(slope, [2 * round(_REACH_MM / step) + 1 for step in spacing])
    slope += np.float32(_FLAT * unit)
    moved = ndimage.gaussian_filter(sitk.GetArrayViewFromImage(doubt) / slope, _PLACE_MM / spacing, output=np.float32)
    return like(moved, doubt)


def in_head(image: sitk.Image, beneath: sitk.Image) -> sitk.Image:
    """A map with 0 outside the head, where there is only noise.

    The head is the largest part that is brighter than air (Otsu 1979), and what that encloses in any plane, such as a
    cavity. Where nothing stands out, all of the image.
    """
    bright = sitk.GetArrayFromImage(sitk.OtsuThreshold(beneath, 0, 1)) > 0
    if not bright.any():
        return image
    parts, _ = ndimage.label(bright)
    bright = parts == np.bincount(parts[bright]).argmax()
    head = np.zeros_like(bright)
    for axis in range(3):
        planes, filled = np.moveaxis(bright, axis, 0), np.moveaxis(head, axis, 0)
        for plane, into in zip(planes, filled, strict=True):
            into |= ndimage.binary_fill_holes(plane)
    return sitk.Mask(image, like(head.astype(np.uint8), image))


def largest_region(image: sitk.Image, level: float) -> tuple[float, tuple[float, float, float]] | None:
    """The largest connected region (faces touch) of a map above a level.

    Returns:
        Its volume in ml and its strongest place in RAS mm; None where nothing lies above the level.
    """
    regions = sitk.ConnectedComponent(image > level)
    found = sitk.LabelIntensityStatisticsImageFilter()
    found.Execute(regions, image)
    if not found.GetNumberOfLabels():
        return None
    label = max(found.GetLabels(), key=found.GetPhysicalSize)
    x, y, z = image.TransformIndexToPhysicalPoint(found.GetMaximumIndex(label))
    return found.GetPhysicalSize(label) / 1000, (-x, -y, z)


def lesion_warning(doubt: sitk.Image, beneath: sitk.Image, unit: float, what: str, known: CalibrationCard) -> list[str]:
    """One sentence where a map is above its usual values in a region twice as large as validation saw; else none.

    Args:
        doubt, beneath, unit: As of `in_edges`, not scaled by the calibration.
        what: The map's name for people, such as "uncertainty".
        known: The calibration of this kind of map.
    """
    region = largest_region(in_head(in_edges(doubt, beneath, unit), beneath), known.usual)
    if region is None or region[0] <= _MARGIN * known.usual_ml:
        return []
    ml, place = region
    return [
        f"The {what} is unusually high in {ml:.2g} ml around RAS ({', '.join(f'{value:.0f}' for value in place)}) mm, "
        "which is outside what validation saw; a lesion may be drawn wrongly there."
    ]
