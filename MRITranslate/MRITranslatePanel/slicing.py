"""Which slice of a volume the slice views show, for a model that works slice by slice."""

from __future__ import annotations

import itertools

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError

from .scene import PLANE_AXES, ijkToRAS, indexAt

MOST_TILT = 1.0
"""Slices that a view may cut through from corner to corner, and still count as showing one."""


def stackAxis(volumeNode, plane: str) -> int:
    """The axis of a volume's voxels (0 along the columns, 1 along the rows, 2 along the slices) along which a model of
    a plane ("axial", "coronal" or "sagittal") stacks its slices. The engine decides alike."""
    matrix = ijkToRAS(volumeNode)[:3, :3]
    cosines = np.abs(matrix / np.linalg.norm(matrix, axis=0))
    axes = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(cosines[patient, axis] for patient, axis in enumerate(axes)),
    )
    return axes[PLANE_AXES[plane]]


def shownAlong(view, volumeNode, axis: int) -> np.ndarray:
    """Where a slice view (a vtkMRMLSliceNode) lies along an axis of a volume's voxels; parent transforms are respected.

    Returns:
        Voxel coordinates of the view's centre and of its four corners.
    """
    width, height = view.GetFieldOfView()[:2]
    left, up = view.GetXYZOrigin()[:2]
    toWorld = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    fromWorld = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), fromWorld)
    toVoxels = np.linalg.inv(ijkToRAS(volumeNode))[axis]
    found = []
    for across, along in ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)):
        point = toWorld @ [left + across * width / 2, up + along * height / 2, 0.0, 1.0]
        found.append(toVoxels @ [*fromWorld.TransformPoint(point[:3]), 1.0])
    return np.asarray(found)


def visibleViews() -> list:
    """The slice nodes of the views that the layout shows."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
    return [widget.mrmlSliceNode() for widget in widgets if widget is not None and widget.visible]


def planeOfView(volumeNode, plane: str) -> tuple[int, int]:
    """The plane of a volume's voxels that the slice views show.

    Of the visible ones, or of all where the window itself is hidden, that is taken whose slices lie most like the
    model's; its middle counts.

    Args:
        plane: Of the model: "axial", "coronal" or "sagittal".

    Returns:
        Axis (0 along the columns, 1 along the rows, 2 along the slices) and index.

    Raises:
        InputError: There is no slice view, or it lies outside the volume.
    """
    stacked = PLANE_AXES[plane]
    views = visibleViews() or slicer.util.getNodesByClass("vtkMRMLSliceNode")
    if not views:
        raise InputError(_("There is no slice view whose slice could be explained; explain the volume."))
    matrix = max(views, key=lambda view: abs(view.GetSliceToRAS().GetElement(stacked, 2))).GetSliceToRAS()
    index = indexAt([matrix.GetElement(row, 3) for row in range(3)], volumeNode)
    axis = stackAxis(volumeNode, plane)
    if not 0 <= index[axis] < volumeNode.GetImageData().GetDimensions()[axis]:
        raise InputError(_("The slice view lies outside the input volume; scroll into it."))
    return axis, index[axis]


def viewAndSlice(volumeNode, plane: str, name: str = "") -> tuple:
    """A view that shows single slices of a volume as a model sees them, and the slice that it shows.

    Args:
        plane: Of the model.
        name: Of the view, such as "Red"; "" takes whichever lies best.

    Returns:
        The slice node, the axis of the volume's voxels, and the slice's index along it; None for the index while the
        view lies beyond the volume.

    Raises:
        InputError: There is no such view, or it cuts through the slices.
    """
    axis = stackAxis(volumeNode, plane)
    views = [view for view in visibleViews() if name in ("", view.GetLayoutName())]
    if not views:
        raise InputError(_("No slice view to show the preview in is open; choose a layout with one."))
    places = [shownAlong(view, volumeNode, axis) for view in views]
    best = min(range(len(views)), key=lambda number: np.ptp(places[number]))
    if not np.ptp(places[best]) <= MOST_TILT:
        raise InputError(
            _(
                "The model works on {plane} slices of the input, and {view} cuts through them; set it to {plane}, and "
                "rotate it to the volume plane if the scan is oblique."
            ).format(
                plane=_plane(plane),
                view=_("every slice view") if not name else _('the view "{name}"').format(name=name),
            )
        )
    index = int(np.floor(places[best][0] + 0.5))  # halves always upwards: every step of a slice is another slice
    return views[best], axis, index if 0 <= index < volumeNode.GetImageData().GetDimensions()[axis] else None


def _plane(plane: str) -> str:
    return {"axial": _("axial"), "coronal": _("coronal"), "sagittal": _("sagittal")}[plane]
