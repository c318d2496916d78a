"""Reference and prediction in the slice views: side by side, with a curtain between them, or as a checkerboard.

Curtain and checkerboard are a volume of the prediction's own values that is empty (NaN, which a threshold of its
display makes transparent) where the reference is to be seen through it. So both keep their own window, and moving the
curtain rewrites only the voxels that it passes.
"""

from __future__ import annotations

import enum

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import results
from .scene import ijkToRAS

LAYOUT_ID = 16210
TILE_MM = 25.0
_LARGE = 1e30
"""Beyond any voxel value: a threshold that only what is no number at all misses."""
_VIEW_GROUP = 16
"""Of the views side by side: linked with each other, not with the views of other layouts."""


class Mode(enum.IntEnum):
    """How the slice views show a comparison, in the order of the panel's list."""

    ORDINARY = 0
    SIDE_BY_SIDE = 1
    CURTAIN = 2
    CHECKERBOARD = 3


class Views:
    """Shows a comparison in the slice views and puts them back. Without views nothing happens."""

    def __init__(self) -> None:
        self.mode = Mode.ORDINARY
        self._arrangement = None
        self._layers = {}
        self._mixed = None

    def show(self, mode: Mode, referenceNode, predictionNode, compared, boundary: float) -> None:
        """Show two volumes and what their comparison found.

        Args:
            mode: ORDINARY puts the views back.
            boundary: Of the curtain, 0 (all is the prediction) to 1 (all is the reference).
        """
        self.restore()
        if mode == Mode.ORDINARY or not results.viewsExist():
            return
        self.mode = mode
        if mode == Mode.SIDE_BY_SIDE:
            self._showSideBySide(referenceNode, predictionNode, compared)
            return
        onGrid = predictionNode if compared.resampled is None else compared.resampled
        self._mixed = _Mixed(referenceNode, onGrid, mode == Mode.CURTAIN, boundary)
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self._layers[composite.GetID()] = _layersOf(composite)
        results.showLayers(referenceNode, self._mixed.node, 1.0)

    def setBoundary(self, boundary: float) -> None:
        """Move the curtain, if it is shown."""
        if self.mode == Mode.CURTAIN and self._mixed is not None:
            self._mixed.setBoundary(boundary)

    def restore(self) -> None:
        """Show again what was shown before."""
        self.mode = Mode.ORDINARY
        scene = slicer.mrmlScene
        for identity, (background, foreground, opacity) in self._layers.items():
            composite = scene.GetNodeByID(identity)
            if composite is None or self._mixed is None or composite.GetForegroundVolumeID() != self._mixed.identity:
                continue  # somebody has chosen something else meanwhile
            composite.SetBackgroundVolumeID(background if background and scene.GetNodeByID(background) else None)
            composite.SetForegroundVolumeID(foreground if foreground and scene.GetNodeByID(foreground) else None)
            composite.SetForegroundOpacity(opacity)
        self._layers = {}
        if self._mixed is not None:
            self._mixed.remove()
            self._mixed = None
        if self._arrangement is not None:
            layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
            if layout.GetViewArrangement() == LAYOUT_ID:  # else the user has chosen another one meanwhile
                layout.SetViewArrangement(self._arrangement)
            self._arrangement = None

    def _showSideBySide(self, referenceNode, predictionNode, compared) -> None:
        manager = slicer.app.layoutManager()
        layout = manager.layoutLogic().GetLayoutNode()
        if layout.GetViewArrangement() != LAYOUT_ID:
            self._arrangement = layout.GetViewArrangement()
        if layout.IsLayoutDescription(LAYOUT_ID):
            layout.SetLayoutDescription(LAYOUT_ID, _description())
        else:
            layout.AddLayoutDescription(LAYOUT_ID, _description())
        manager.setLayout(LAYOUT_ID)
        shown = {"Reference": referenceNode, "Prediction": predictionNode, "Difference": compared.difference}
        for name, node in shown.items():
            widget = manager.sliceWidget(_TAG + name)
            composite = widget.mrmlSliceCompositeNode()
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
            composite.SetBackgroundVolumeID(referenceNode.GetID())
            widget.sliceController().fitSliceToBackground()  # to the reference in all three: they show one section
            composite.SetBackgroundVolumeID(node.GetID())
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
        plot = slicer.mrmlScene.GetSingletonNode(_TAG + "Plot", "vtkMRMLPlotViewNode")
        if plot is not None:
            plot.SetPlotChartNodeID(compared.chart.GetID())


_TAG = "MRITranslate"


def _layersOf(composite) -> tuple:
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()


def _description() -> str:
    """Three axial views beside each other over the plot of the error of each slice."""
    labels = (
        ("Reference", _("Ref."), "#F34A33"),
        ("Prediction", _("Pred."), "#6EB04B"),
        ("Difference", _("Diff."), "#EDD54C"),
    )
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{_TAG}{name}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property>'
        f'<property name="viewgroup" action="default">{_VIEW_GROUP}</property>'
        "</view></item>"
        for name, label, colour in labels
    )
    plot = (
        f'<item splitSize="300"><view class="vtkMRMLPlotViewNode" singletontag="{_TAG}Plot">'
        '<property name="viewlabel" action="default">P</property></view></item>'
    )
    return (
        '<layout type="vertical" split="true">'
        f'<item splitSize="700"><layout type="horizontal">{views}</layout></item>{plot}</layout>'
    )


class _Mixed:
    """A volume that shows parts of the prediction over the reference; it belongs to the views, not to the results."""

    def __init__(self, referenceNode, predictionNode, curtain: bool, boundary: float) -> None:
        self._source = predictionNode
        matrix = ijkToRAS(referenceNode)
        self._directions = matrix[:3, :3]
        size = referenceNode.GetImageData().GetDimensions()
        array = np.full(tuple(reversed(size)), np.nan, np.float32)
        title = _("curtain") if curtain else _("checkerboard")
        node = results.newVolume(array, referenceNode)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        with results.Additions() as additions:
            self.node = additions.add(node, f"{predictionNode.GetName()} [{title}]")
        self.identity = self.node.GetID()
        display = self.node.GetDisplayNode()
        display.SetSaveWithScene(False)
        results.copyWindow(predictionNode, self.node)
        display.SetThreshold(-_LARGE, _LARGE)
        display.SetApplyThreshold(True)
        results.setProvenance(self.node, results.CHECKERBOARD, predictionNode, {}, {"curtain": curtain})
        results.followTransform(self.node, referenceNode)
        self._shown = 0
        # The voxel axis that runs most nearly from the patient's right to the left, as array axis.
        across = int(np.argmax(np.abs(self._directions[0]) / np.linalg.norm(self._directions, axis=0)))
        self._axis, self._leftwards = 2 - across, self._directions[0, across] < 0
        if curtain:
            self.setBoundary(boundary)
        else:
            self._fillTiles()

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return slicer.util.arrayFromVolume(self.node), slicer.util.arrayFromVolume(self._source)

    def setBoundary(self, boundary: float) -> None:
        """Let the prediction begin at this part of the way from the patient's right to the left."""
        if not self._alive():
            return
        made, source = self._arrays()
        extent = made.shape[self._axis]
        wanted = extent - round(min(max(boundary, 0.0), 1.0) * extent)  # planes of the prediction, at the left
        if wanted == self._shown:
            return
        low, high = sorted((wanted, self._shown))
        planes = slice(extent - high, extent - low) if self._leftwards else slice(low, high)
        place = [slice(None)] * 3
        place[self._axis] = planes
        made[tuple(place)] = source[tuple(place)] if wanted > self._shown else np.nan
        self._shown = wanted
        slicer.util.arrayFromVolumeModified(self.node)

    def _fillTiles(self) -> None:
        """Cubes of the prediction and of nothing in turn."""
        made, source = self._arrays()
        spacing = np.linalg.norm(self._directions, axis=0)[::-1]
        k, j, i = (np.arange(n) * step // TILE_MM for n, step in zip(made.shape, spacing, strict=True))
        tiles = (j[:, None] + i).astype(int) % 2
        for index, layer in enumerate(k.astype(int)):
            chosen = (tiles + layer) % 2 == 1
            made[index][chosen] = source[index][chosen]
        slicer.util.arrayFromVolumeModified(self.node)

    def _alive(self) -> bool:
        return all(slicer.mrmlScene.IsNodePresent(node) for node in (self.node, self._source))

    def remove(self) -> None:
        if slicer.mrmlScene.IsNodePresent(self.node):
            display = self.node.GetDisplayNode()
            slicer.mrmlScene.RemoveNode(self.node)
            if display is not None and slicer.mrmlScene.IsNodePresent(display):
                slicer.mrmlScene.RemoveNode(display)
