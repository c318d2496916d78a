"""Between MRML nodes and the worker's volumes.

MRML keeps geometry in RAS, the worker (like ITK and SimpleITK) in LPS; this is the only file that knows both. Arrays
are (slice, row, column) on both sides. A parent transform is no part of a volume's own grid: it is never baked in.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from MRITranslateLib.errors import InputError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLANE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The patient's axis (left-right, front-back, head-foot) along which a model of a plane stacks its slices."""
MOST_NAMED_LABELS = 10_000
LATTICE_MM = 5.0
MOST_LATTICE_POINTS = 40
MOST_VOXELS = 1024**3
"""Of a scan: as the 32-bit numbers that the worker computes with, 4 GiB, of which it holds several copies."""
GEOMETRY_TOLERANCE = 1e-3
"""Largest difference (mm, or of a direction cosine) between the grid that was sent and the grid that came back."""


def checkScan(node, what: str) -> None:
    """Refuse what is no scalar volume with voxels in the scene; looks at no voxel.

    Raises:
        InputError: No node, or one that has left the scene, is a label map, a vector volume, holds no image, or one
            that is too large.
    """
    if node is None:
        raise InputError(_("{what} is missing; choose a volume.").format(what=what))
    if not slicer.mrmlScene.IsNodePresent(node):
        raise InputError(_("{what} is no longer in the scene; choose another one.").format(what=what))
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            _('{what} "{name}" is not a scan; choose a scalar volume.').format(what=what, name=node.GetName())
        )
    image = node.GetImageData()
    if image is not None and image.GetNumberOfPoints() > MOST_VOXELS:
        raise InputError(
            _(
                '{what} "{name}" has {size} voxels, which take {need:.1f} GB to compute with, and {most:.1f} GB at '
                "most can be used; crop it, or resample it to larger voxels."
            ).format(
                what=what,
                name=node.GetName(),
                size=" x ".join(str(extent) for extent in image.GetDimensions()),
                need=4e-9 * image.GetNumberOfPoints(),
                most=4e-9 * MOST_VOXELS,
            )
        )
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        raise InputError(
            _('{what} "{name}" has no voxels; load or choose another volume.').format(what=what, name=node.GetName())
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(
            _('{what} "{name}" has {count} values per voxel; convert it to a scalar volume first.').format(
                what=what, name=node.GetName(), count=image.GetNumberOfScalarComponents()
            )
        )


def ijkToRAS(node) -> np.ndarray:
    """The node's 4 x 4 matrix from voxel index (column, row, slice) to its own RAS space, without parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def geometryOfNode(node) -> dict[str, list[float]]:
    """The grid of a volume node as the worker states it: spacing, origin and direction (row-major, LPS)."""
    return _geometry(ijkToRAS(node))


def geometryInWorld(node) -> dict[str, list[float]]:
    """The grid of a volume node with its parent transforms applied, as `geometryOfNode` states it.

    Raises:
        InputError: A parent transform bends the grid, or shears it.
    """
    matrix = ijkToRAS(node)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise InputError(
                _('The transform over "{name}" bends it; resample the volume under it first, or take it out.').format(
                    name=node.GetName()
                )
            )
        toWorld = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(toWorld)
        matrix = slicer.util.arrayFromVTKMatrix(toWorld) @ matrix
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > GEOMETRY_TOLERANCE:
        raise InputError(
            _('The grid of "{name}" is sheared; resample the volume to a straight grid first.').format(
                name=node.GetName()
            )
        )
    return _geometry(matrix)


def _geometry(toRAS: np.ndarray) -> dict[str, list[float]]:
    matrix = RAS_TO_LPS @ toRAS
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = matrix[:3, :3] / spacing
    return {
        "spacing": [float(value) for value in spacing],
        "origin": [float(value) for value in matrix[:3, 3]],
        "direction": [float(value) for value in direction.ravel()],
    }


def ijkToRASOfGeometry(geometry: dict) -> np.ndarray:
    """The 4 x 4 IJK-to-RAS matrix of an LPS geometry; the inverse of `geometryOfNode`."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(geometry["direction"], (3, 3)) * np.asarray(geometry["spacing"])
    matrix[:3, 3] = geometry["origin"]
    return RAS_TO_LPS @ matrix


def checkSameGrid(node, array: np.ndarray, geometry: dict) -> None:
    """Make sure that a result lies on the grid of the node that it was computed from.

    Raises:
        RuntimeError: It does not; showing it there would put it in the wrong place.
    """
    size = tuple(reversed(node.GetImageData().GetDimensions()))
    if array.shape != size:
        raise RuntimeError(f"The result has the size {array.shape} instead of the input's {size}.")
    difference = np.abs(ijkToRASOfGeometry(geometry) - ijkToRAS(node)).max()
    if difference > GEOMETRY_TOLERANCE:
        raise RuntimeError(f"The result lies {difference:g} mm away from the input's grid.")


def labelArray(node, referenceNode, segment: str = "") -> tuple[np.ndarray, dict[int, str]]:
    """The labels of a segmentation (its visible segments, numbered) or of a label map on a volume's grid.

    Parent transforms of both are respected.

    Args:
        node: A vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode, on any grid.
        referenceNode: The volume whose grid the answer has.
        segment: Identifier or name of one segment of a segmentation, which then counts alone, hidden or not.

    Returns:
        Labels (slice, row, column), 0 outside, and the names of those that occur.

    Raises:
        InputError: A node of another kind, no such segment, or nothing of it inside the volume.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        labels, names = _segmentationLabels(node, referenceNode, segment)
    elif node.IsA("vtkMRMLLabelMapVolumeNode"):
        labels, names = _labelMapLabels(node, referenceNode), _colourNames(node)
    else:
        raise InputError(
            _('"{name}" is neither a segmentation nor a label map nor a box; choose one of these.').format(
                name=node.GetName()
            )
        )
    if not labels.any():
        raise InputError(coversNothing(node))
    return labels, names


def coversNothing(node) -> str:
    """What to say of a region that lies outside."""
    return _('The region "{name}" covers no voxel of the input volume; draw it there or choose another.').format(
        name=node.GetName()
    )


def _colourNames(labelNode) -> dict[int, str]:
    """Names of the labels above 0, from the colour table. Label maps with no table of their own have none: the table
    that Slicer gives to all label maps would call a ventricle "Tumor"."""
    display = labelNode.GetDisplayNode()
    table = display.GetColorNode() if display is not None else None
    if table is None or table.GetTypeAsString() == "Labels" or table.GetNumberOfColors() > MOST_NAMED_LABELS:
        return {}
    names = {label: table.GetColorName(label) for label in range(1, table.GetNumberOfColors())}
    return {label: name for label, name in names.items() if name and name != "(none)"}


def _segmentationLabels(segmentationNode, referenceNode, segment: str) -> tuple[np.ndarray, dict[int, str]]:
    chosen = _segment(segmentationNode, segment) if segment else ""
    size = tuple(reversed(referenceNode.GetImageData().GetDimensions()))
    if segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        return np.zeros(size, np.uint8), {}
    if segmentationNode.GetDisplayNode() is None:  # visibility, hence "visible segments", lives in the display node
        segmentationNode.CreateDefaultDisplayNodes()
    present = _nodeIDs()
    try:
        temporary = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "MRITranslateRegion")
        temporary.SetHideFromEditors(True)
        logic = slicer.modules.segmentations.logic()
        if chosen:
            exported = logic.ExportSegmentsToLabelmapNode(segmentationNode, [chosen], temporary, referenceNode)
        else:
            exported = logic.ExportVisibleSegmentsToLabelmapNode(segmentationNode, temporary, referenceNode)
        if not exported or temporary.GetImageData() is None:
            return np.zeros(size, np.uint8), {}
        array = slicer.util.arrayFromVolume(temporary)
        if array.shape != size:
            raise RuntimeError(f"The segmentation was exported with the size {array.shape} instead of {size}.")
        return array.copy(), _colourNames(temporary)
    finally:  # the export adds more than the label map: a display node and a colour table
        for identity in _nodeIDs() - present:
            node = slicer.mrmlScene.GetNodeByID(identity)
            if node is not None:  # it has not left together with another one
                slicer.mrmlScene.RemoveNode(node)


def _segment(segmentationNode, wanted: str) -> str:
    """Identifier of the segment with this identifier or name."""
    segmentation = segmentationNode.GetSegmentation()
    identity = wanted if segmentation.GetSegment(wanted) else segmentation.GetSegmentIdBySegmentName(wanted)
    if identity:
        return identity
    count = segmentation.GetNumberOfSegments()
    names = ", ".join(segmentation.GetNthSegment(index).GetName() for index in range(count))
    raise InputError(
        _('The segmentation "{name}" has no segment "{wanted}"; choose one of {names}.').format(
            name=segmentationNode.GetName(), wanted=wanted, names=names or _("none")
        )
    )


def _nodeIDs() -> set[str]:
    scene = slicer.mrmlScene
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def _labelMapLabels(labelNode, referenceNode) -> np.ndarray:
    size = referenceNode.GetImageData().GetDimensions()
    image = labelNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return np.zeros(tuple(reversed(size)), np.uint8)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image)  # MRML image data always has unit spacing: its space is the voxel index
    reslice.SetInterpolationModeToNearestNeighbor()
    reslice.SetBackgroundLevel(0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    _setVoxelTransform(reslice, referenceNode, labelNode)
    reslice.Update()
    scalars = numpy_support.vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return scalars.reshape(tuple(reversed(size))).copy()


def _setVoxelTransform(reslice, fromNode, toNode) -> None:
    """From voxels of one volume to voxels of another: voxel -> RAS -> (parent transforms) -> RAS -> voxel."""
    toRAS, toIJK = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    fromNode.GetIJKToRASMatrix(toRAS)
    toNode.GetRASToIJKMatrix(toIJK)
    between, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        fromNode.GetParentTransformNode(), toNode.GetParentTransformNode(), between
    )
    # Reslicing by one matrix is many times faster than by a general transform.
    chain = linear if slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear) else between
    chain.PostMultiply()
    chain.Concatenate(toIJK)
    chain.PreMultiply()
    chain.Concatenate(toRAS)
    if chain is linear:
        reslice.SetResliceAxes(linear.GetMatrix())
    else:
        reslice.SetResliceTransform(between)


def shift(fromNode, toNode) -> Optional[tuple[list[np.ndarray], dict, float]]:
    """Where the points of one volume's space lie in the space of another one that other parent transforms move.

    Sampled on a lattice around the first volume, so that the worker can do the resampling: the corners suffice for
    linear transforms, which are then exact; for others points lie at most `LATTICE_MM` apart, as far as
    `MOST_LATTICE_POINTS` along an axis allow.

    Args:
        fromNode, toNode: Volume nodes.

    Returns:
        None where both are under the same transforms. Else displacements (mm, LPS) along x, y and z, each an array
        (slice, row, column) on the lattice, its geometry as of `geometryOfNode`, and by how much linear interpolation
        between its points errs at most (mm, looked at in the middle between them; 0 for linear transforms).
    """
    between = vtk.vtkGeneralTransform()
    fromTransform, toTransform = fromNode.GetParentTransformNode(), toNode.GetParentTransformNode()
    if fromTransform is toTransform:
        return None
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(fromTransform, toTransform, between)
    linear = slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, vtk.vtkTransform())
    matrix = ijkToRAS(fromNode)
    size = fromNode.GetImageData().GetDimensions()
    extent = np.linalg.norm(matrix[:3, :3], axis=0) * size
    counts = [2 if linear else int(np.clip(np.ceil(mm / LATTICE_MM) + 1, 3, MOST_LATTICE_POINTS)) for mm in extent]
    # One voxel beyond the volume on each side, so that rounding leaves no voxel outside the lattice.
    axes = [np.linspace(-1.0, voxels, count) for voxels, count in zip(size, counts, strict=True)]
    displacements = _displacements(between, matrix, axes)
    error = 0.0
    if not linear:
        middles = [(axis[1:] + axis[:-1]) / 2 for axis in axes]
        expected = displacements
        for axis in range(3):
            expected = (expected.take(range(1, expected.shape[axis]), axis) + np.delete(expected, -1, axis)) / 2
        error = float(np.linalg.norm(_displacements(between, matrix, middles) - expected, axis=-1).max())
    lattice = geometryOfNode(fromNode)
    lattice["origin"] = [float(value) for value in (RAS_TO_LPS @ matrix @ [-1, -1, -1, 1])[:3]]
    lattice["spacing"] = [step * float(axis[1] - axis[0]) for step, axis in zip(lattice["spacing"], axes, strict=True)]
    return [np.ascontiguousarray(displacements[..., part]) for part in range(3)], lattice, error


def _displacements(transform, matrix: np.ndarray, axes: list[np.ndarray]) -> np.ndarray:
    """What a transform adds to points at these voxel indices (columns, rows, slices): (slice, row, column, 3), LPS."""
    k, j, i = np.meshgrid(*reversed(axes), indexing="ij")
    ras = np.stack([i, j, k], axis=-1).reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(ras), deep=True))
    moved.SetDataTypeToDouble()
    transform.TransformPoints(points, moved)
    difference = (numpy_support.vtk_to_numpy(moved.GetData()) - ras) @ RAS_TO_LPS[:3, :3]
    return difference.reshape(*k.shape, 3)


def voxelAt(point, volumeNode) -> tuple[int, int, int]:
    """Index (i, j, k) of the voxel at a point of the world (RAS, mm); parent transforms are respected.

    Raises:
        InputError: The point lies outside the volume.
    """
    index = indexAt(point, volumeNode)
    if any(not 0 <= n < extent for n, extent in zip(index, volumeNode.GetImageData().GetDimensions(), strict=True)):
        raise InputError(_("The point lies outside the input volume; put it inside."))
    return index


def indexAt(point, volumeNode) -> tuple[int, int, int]:
    """As `voxelAt`, of points outside the volume too."""
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), between)
    local = between.TransformPoint(point)
    return tuple(int(np.rint(n)) for n in (np.linalg.inv(ijkToRAS(volumeNode)) @ [*local, 1.0])[:3])


def crosshairPoint():
    """Where the crosshair of the slice views is (RAS, mm)."""
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if node is None:
        raise InputError(_("There is no crosshair; choose a point."))
    return node.GetCrosshairRAS()
