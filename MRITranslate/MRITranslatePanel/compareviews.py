"""Reference and prediction in the slice views: side by side, with a curtain between them, or as a checkerboard.

Curtain and checkerboard are a volume of the prediction's own values that is empty (NaN, which a threshold of its
display makes transparent) where the reference is to be seen through it. So both keep their own window, and moving the
curtain rewrites only the voxels that it passes.
"""

from __future__ import annotations

import enum
import time

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from . import results
from .scene import ijkToRAS

LAYOUT_ID = 16210
TILE_MM = 25.0
FILLING_S = 0.01
"""Time that the event loop is held at once while a checkerboard is filled."""
_LARGE = 1e30
"""Beyond any voxel value: a threshold that only what is no number at all misses."""
_VIEW_GROUP = 16
"""Of the views side by side: linked with each other, not with the views of other layouts."""


def registerLayout() -> None:
    """Make the layout known, so that a scene which was saved while it was shown opens in it."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    layout = manager.layoutLogic().GetLayoutNode()
    if layout.IsLayoutDescription(LAYOUT_ID):
        layout.SetLayoutDescription(LAYOUT_ID, _description())
    else:
        layout.AddLayoutDescription(LAYOUT_ID, _description())


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

        def ready():
            for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
                self._layers[composite.GetID()] = _layersOf(composite)
            results.showLayers(referenceNode, self._mixed.node, 1.0)

        self._mixed = _Mixed(referenceNode, onGrid, mode == Mode.CURTAIN, boundary, ready)

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
        if self._arrangement is not None and results.viewsExist():
            layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
            if layout.GetViewArrangement() == LAYOUT_ID:  # else the user has chosen another one meanwhile
                layout.SetViewArrangement(self._arrangement)
        self._arrangement = None

    def _showSideBySide(self, referenceNode, predictionNode, compared) -> None:
        manager = slicer.app.layoutManager()
        layout = manager.layoutLogic().GetLayoutNode()
        if layout.GetViewArrangement() != LAYOUT_ID:
            self._arrangement = layout.GetViewArrangement()
        registerLayout()
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
    """A volume that shows parts of the prediction over the reference; it belongs to the views, not to the results.

    It is filled a few slices at a time, so that the application stays responsive; then `onReady` is called, once.
    """

    def __init__(self, referenceNode, predictionNode, curtain: bool, boundary: float, onReady) -> None:
        self._source = predictionNode
        self._onReady = onReady
        self._curtain = curtain
        directions = ijkToRAS(referenceNode)[:3, :3]
        self._spacing = np.linalg.norm(directions, axis=0)[::-1]
        # The voxel axis that runs most nearly from the patient's right to the left, as array axis.
        across = int(np.argmax(np.abs(directions[0]) / self._spacing[::-1]))
        self._axis, self._leftwards = 2 - across, directions[0, across] < 0
        self._boundary = boundary
        self._filled = 0
        self.node = self._newNode(referenceNode)
        self.identity = self.node.GetID()
        self._extent = slicer.util.arrayFromVolume(self.node).shape[self._axis]
        self._shown = self._planes(boundary)
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._fill)
        self._timer.start()

    def _newNode(self, referenceNode):
        image = vtk.vtkImageData()
        image.SetDimensions(referenceNode.GetImageData().GetDimensions())
        image.AllocateScalars(vtk.VTK_FLOAT, 1)
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
        node.UnRegister(None)
        node.SetAndObserveImageData(image)
        node.CopyOrientation(referenceNode)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        title = _("curtain") if self._curtain else _("checkerboard")
        with results.Additions() as additions:
            node = additions.add(node, f"{self._source.GetName()} [{title}]")
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        results.copyWindow(self._source, node)
        display.SetThreshold(-_LARGE, _LARGE)
        display.SetApplyThreshold(True)
        results.setProvenance(node, results.CHECKERBOARD, self._source, {}, {"curtain": self._curtain})
        results.followTransform(node, referenceNode)
        return node

    def _fill(self) -> None:
        """Fill slices for a moment; the event loop calls again until all are."""
        if not self._alive():
            self._timer.stop()
            return
        made, source = self._arrays()
        end = time.monotonic() + FILLING_S
        while self._filled < len(made) and time.monotonic() < end:
            self._fillSlice(made, source, self._filled)
            self._filled += 1
        if self._filled == len(made):
            self._timer.stop()
            slicer.util.arrayFromVolumeModified(self.node)
            self.setBoundary(self._boundary)  # it may have moved meanwhile
            self._onReady()

    def _fillSlice(self, made: np.ndarray, source: np.ndarray, index: int) -> None:
        if self._curtain:
            place = self._place(0, self._shown)
            if self._axis == 0:
                inside = index in range(*place[0].indices(self._extent))
                made[index] = source[index] if inside else np.nan
            else:
                made[index] = np.nan
                made[index][place[1:]] = source[index][place[1:]]
            return
        k, j, i = (np.arange(n) * step // TILE_MM for n, step in zip(made.shape, self._spacing, strict=True))
        made[index] = np.where((k[index] + j[:, None] + i) % 2 == 1, source[index], np.nan)

    def setBoundary(self, boundary: float) -> None:
        """Let the prediction begin at this part of the way from the patient's right to the left."""
        self._boundary = boundary
        if not self._curtain or not self._alive():
            return
        made, source = self._arrays()
        wanted = self._planes(boundary)
        if self._filled < len(made) or wanted == self._shown:
            return
        place = self._place(*sorted((wanted, self._shown)))
        made[place] = source[place] if wanted > self._shown else np.nan
        self._shown = wanted
        slicer.util.arrayFromVolumeModified(self.node)

    def _planes(self, boundary: float) -> int:
        """How many planes of voxels, counted from the patient's left, show the prediction."""
        return self._extent - round(min(max(boundary, 0.0), 1.0) * self._extent)

    def _place(self, low: int, high: int) -> tuple[slice, slice, slice]:
        """Slices, rows and columns of the planes number `low` to `high - 1` from the patient's left."""
        planes = slice(self._extent - high, self._extent - low) if self._leftwards else slice(low, high)
        return tuple(planes if axis == self._axis else slice(None) for axis in range(3))

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return slicer.util.arrayFromVolume(self.node), slicer.util.arrayFromVolume(self._source)

    def _alive(self) -> bool:
        return all(slicer.mrmlScene.IsNodePresent(node) for node in (self.node, self._source))

    def remove(self) -> None:
        self._timer.stop()
        results.removeVolume(self.node)
