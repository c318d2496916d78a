"""What belongs to a result goes with it: its display and storage nodes, and a colour table that nothing else uses.

The subject hierarchy, by which a user undoes a run, deletes data nodes only.
"""

from __future__ import annotations

import qt
import slicer
import vtk

from . import results


class Tidier:
    """Watches the scene from `start` to `stop` for results of this module that are removed from it."""

    def __init__(self) -> None:
        self._tags = []
        self._companions = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)  # when whoever removes a node, or a folder full of them, is done
        self._timer.connect("timeout()", self._sweep)

    def start(self) -> None:
        """Begin to watch; a second call changes nothing."""
        if self._tags:
            return
        scene = slicer.mrmlScene
        removed, closed = scene.NodeAboutToBeRemovedEvent, scene.StartCloseEvent
        self._tags = [scene.AddObserver(removed, self._onRemoved), scene.AddObserver(closed, self._onClosed)]

    def stop(self) -> None:
        for tag in self._tags:
            slicer.mrmlScene.RemoveObserver(tag)
        self._tags = []
        self._timer.stop()
        self._companions = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onRemoved(self, scene, event, node) -> None:
        if scene.IsClosing() or node.GetAttribute(results.KIND) is None:
            return
        self._companions += _companionsOf(node)
        if self._companions:
            self._timer.start()

    def _onClosed(self, scene, event) -> None:
        self._timer.stop()
        self._companions = []

    def _sweep(self) -> None:
        """Remove the companions that are left over: who refers to another one comes before it."""
        companions, self._companions = self._companions, []
        for node in sorted(companions, key=_rank):
            if slicer.mrmlScene.IsNodePresent(node) and not _isReferenced(node):
                slicer.mrmlScene.RemoveNode(node)


def _rank(node) -> int:
    return 2 if node.IsA("vtkMRMLStorageNode") else 1 if node.IsA("vtkMRMLColorNode") else 0


def _companionsOf(node) -> list:
    found = []
    if node.IsA("vtkMRMLStorableNode"):
        found += [node.GetNthStorageNode(number) for number in range(node.GetNumberOfStorageNodes())]
    if node.IsA("vtkMRMLDisplayableNode"):
        for number in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(number)
            colours = display.GetColorNode() if display is not None else None
            found.append(display)
            if colours is not None and colours.GetAttribute(results.KIND) is not None:  # a table of this module's own
                found += [colours, *_companionsOf(colours)]
    return [one for one in found if one is not None]


def _isReferenced(node) -> bool:
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
    return any(scene.IsNodeReferencingNodeID(other, node.GetID()) for other in nodes)


_shared = Tidier()


def tidier() -> Tidier:
    """The one of the application."""
    return _shared
