"""One synthetic slice over its input in one slice view: a volume that is listed nowhere and never saved."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.modality import Modality

from . import results
from .scene import GEOMETRY_TOLERANCE, ijkToRAS, ijkToRASOfGeometry


class Overlay:
    """Shows slices of one volume in a view, over what else it shows; `remove` gives the view back."""

    def __init__(self) -> None:
        self._node = None
        self._composite = None
        self._before = (None, 0.0)
        self._window = None

    @property
    def node(self):
        """The volume node of the slice, None while nothing is shown."""
        return self._node

    def show(self, inputNode, view, axis: int, index: int, array: np.ndarray, result: dict, target: Modality) -> None:
        """Show a slice.

        Args:
            inputNode: The volume that it was made from; the overlay lies on its grid and under its transform.
            view: The slice node.
            axis, index: Which slice of the input's voxels it is.
            array: Its voxels (slice, row, column), one thick along `axis`.
            result: Of the worker.
            target: What it shows.

        Raises:
            RuntimeError: The result is another slice.
        """
        matrix = _placeOf(inputNode, axis, index)
        size = list(inputNode.GetImageData().GetDimensions())
        size[axis] = 1
        away = np.abs(ijkToRASOfGeometry(result["image"]) - matrix).max()
        if array.shape != tuple(reversed(size)) or away > GEOMETRY_TOLERANCE:
            raise RuntimeError(f"The preview came back with the size {array.shape}, {away:g} mm away from its place.")
        if self._node is not None and not slicer.mrmlScene.IsNodePresent(self._node):
            self._node = None
        if self._node is None:
            self._node = self._make(inputNode, target)
        node = self._node
        update = node.StartModify()
        slicer.util.updateVolumeFromArray(node, array)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        results.followTransform(node, inputNode)
        results.setProvenance(node, results.PREVIEW, inputNode, result["provenance"], {"slice": index, "axis": axis})
        self._setWindow(array, target)
        node.EndModify(update)
        self._cover(view)

    def follow(self, inputNode) -> None:
        """Go under the input's transform."""
        if self._node is not None and slicer.mrmlScene.IsNodePresent(self._node):
            results.followTransform(self._node, inputNode)

    def remove(self) -> None:
        """Take the slice away and show what the view showed before. Without one, nothing happens."""
        node, self._node, self._window = self._node, None, None
        if slicer.mrmlScene.IsClosing():  # takes everything with it
            self._composite = None
        self._uncover(node)
        if node is not None:
            results.removeVolume(node)

    def _make(self, inputNode, target: Modality):
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetHideFromEditors(True)  # before it is in the scene: no selector ever lists it
        node.SetSaveWithScene(False)
        name = _("{name} [preview of synthetic {modality}]").format(name=inputNode.GetName(), modality=target.name)
        node = results.Additions().add(node, name)
        node.GetDisplayNode().SetSaveWithScene(False)
        results.setQuantity(node, target)
        return node

    def _setWindow(self, array: np.ndarray, target: Modality) -> None:
        """The window of the modality; where that depends on the voxels, it only grows, lest every slice look alike."""
        display = self._node.GetDisplayNode()
        if target.display_preset is not None or target.window is not None:
            if self._window is None:
                results.setWindow(self._node, target)
                self._window = display.GetWindowLevelMin(), display.GetWindowLevelMax()
            return
        low, high = results.displayRange(array, target.background)
        if self._window is not None:
            low, high = min(low, self._window[0]), max(high, self._window[1])
        if (low, high) != self._window:
            self._window = low, high
            display.SetWindowLevelMinMax(low, high)

    def _cover(self, view) -> None:
        composite = next(
            node
            for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            if node.GetLayoutName() == view.GetLayoutName()
        )
        if composite is not self._composite:
            self._uncover(self._node)
            self._composite = composite
        if composite.GetForegroundVolumeID() != self._node.GetID():  # the first slice, or another one was chosen
            self._before = composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()
            composite.SetForegroundVolumeID(self._node.GetID())
            composite.SetForegroundOpacity(1.0)

    def _uncover(self, node) -> None:
        """Give the view back, unless somebody has shown something else in it meanwhile."""
        composite, self._composite = self._composite, None
        if composite is None or node is None or composite.GetForegroundVolumeID() != node.GetID():
            return
        identity, opacity = self._before
        there = identity and slicer.mrmlScene.GetNodeByID(identity) is not None
        composite.SetForegroundVolumeID(identity if there else None)
        composite.SetForegroundOpacity(opacity)


def _placeOf(inputNode, axis: int, index: int) -> np.ndarray:
    """IJK to RAS of one slice of a volume."""
    matrix = ijkToRAS(inputNode)
    matrix[:3, 3] += index * matrix[:3, axis]
    return matrix
