"""What a person marks in a volume - a segmentation, one of its segments, a label map, a box - as voxels of that volume.

Parent transforms of both are respected, curved ones too. Arrays are (slice, row, column).
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from MRITranslateLib.errors import InputError

from . import scene

ON_THE_FACE = 1e-6
"""A voxel centre so close to the face of a box (in columns, or of half its edge) is inside: rounding must not tell."""


def maskArray(regionNode, referenceNode, segment: str = "") -> np.ndarray:
    """The voxels of `referenceNode` whose centres lie in a region.

    Args:
        regionNode: A vtkMRMLSegmentationNode (its visible segments), vtkMRMLLabelMapVolumeNode, on any grid, or a
            vtkMRMLMarkupsROINode.
        referenceNode: The volume whose grid the answer has.
        segment: Identifier or name of one segment of a segmentation, which then counts alone, hidden or not.

    Returns:
        uint8 array (slice, row, column), 1 inside.

    Raises:
        InputError: No node, a node of another kind, no such segment, or nothing of it inside the volume.
    """
    if regionNode is None:
        raise InputError(_("The region is missing; choose a segmentation, a label map or a box."))
    if not regionNode.IsA("vtkMRMLMarkupsROINode"):
        return (scene.labelArray(regionNode, referenceNode, segment)[0] != 0).astype(np.uint8)
    mask = boxArray(regionNode, referenceNode)
    if not mask.any():
        raise InputError(scene.coversNothing(regionNode))
    return mask


def boxArray(roiNode, referenceNode) -> np.ndarray:
    """The voxels of `referenceNode` whose centres lie in a box of any direction; without those if it is inside out.

    The box is the one that Slicer draws: a transform may turn and stretch it, but it keeps its right angles.

    Args:
        roiNode: A vtkMRMLMarkupsROINode.
        referenceNode: As for `maskArray`.

    Returns:
        uint8 array (slice, row, column), 1 inside; all 0 for a box that has not been drawn.
    """
    size = tuple(reversed(referenceNode.GetImageData().GetDimensions()))
    half = np.array(roiNode.GetSize()) / 2  # in the box's own millimetres, which a transform may stretch
    if not half.any():
        return np.zeros(size, np.uint8)
    toBox = np.linalg.inv(slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix()))
    between, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(referenceNode.GetParentTransformNode(), None, between)
    if slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        straight = slicer.util.arrayFromVTKMatrix(linear.GetMatrix())
        mask = _boxOfRows(toBox @ straight @ scene.ijkToRAS(referenceNode), half, size)
    else:
        mask = _boxOfPoints(toBox, between, scene.ijkToRAS(referenceNode), half, size)
    return 1 - mask if roiNode.GetInsideOut() else mask


def _boxOfRows(toBox: np.ndarray, half: np.ndarray, size: tuple) -> np.ndarray:
    """Row by row: a straight row of voxels enters a box once and leaves it once.

    Args:
        toBox: 4 x 4 matrix from the index (column, row, slice) to the box's own space, whose middle is the origin.
        half: Half the box's edges there.
        size: Slices, rows, columns.
    """
    slices, rows, columns = size
    k, j = np.ogrid[:slices, :rows]
    first = np.full((slices, rows), 0.0)
    last = np.full((slices, rows), columns - 1.0)
    for edge, (perColumn, perRow, perSlice, start) in zip(half, toBox[:3], strict=True):
        place = perRow * j + perSlice * k + start  # of column 0 along this edge
        if abs(perColumn) * columns <= ON_THE_FACE * edge:  # the rows run along this pair of faces
            last[np.abs(place) > edge * (1 + ON_THE_FACE)] = -1
            continue
        middle, reach = -place / perColumn, edge / abs(perColumn)
        np.maximum(first, np.ceil(middle - reach - ON_THE_FACE), out=first)
        np.minimum(last, np.floor(middle + reach + ON_THE_FACE), out=last)
    column = np.arange(columns)
    return ((column >= first[..., None]) & (column <= last[..., None])).astype(np.uint8)


def _boxOfPoints(toBox: np.ndarray, between, ijkToRAS: np.ndarray, half: np.ndarray, size: tuple) -> np.ndarray:
    """Point by point: under a curved transform rows of voxels are no straight lines."""
    slices, rows, columns = size
    mask = np.zeros(size, np.uint8)
    j, i = np.mgrid[:rows, :columns]
    index = np.stack([i.ravel(), j.ravel(), np.zeros(rows * columns), np.ones(rows * columns)])
    for k in range(slices):
        index[2] = k
        points, moved = vtk.vtkPoints(), vtk.vtkPoints()
        points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray((ijkToRAS @ index)[:3].T), deep=True))
        moved.SetDataTypeToDouble()
        between.TransformPoints(points, moved)
        local = numpy_support.vtk_to_numpy(moved.GetData()) @ toBox[:3, :3].T + toBox[:3, 3]
        mask[k] = (np.abs(local) <= half * (1 + ON_THE_FACE)).all(axis=1).reshape(rows, columns)
    return mask


def segmentsOf(regionNode) -> list[tuple[str, str]]:
    """(name, identifier) of the segments of a segmentation; none for what is none."""
    if regionNode is None or not regionNode.IsA("vtkMRMLSegmentationNode"):
        return []
    segmentation = regionNode.GetSegmentation()
    identities = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return [(segmentation.GetSegment(identity).GetName(), identity) for identity in identities]
