"""What Slicer's subject hierarchy plugins do for every data node: an item when it comes, none when it goes."""

from typing import Any

import slicer
import vtk

_LISTED = (
    "vtkMRMLDisplayableNode",
    "vtkMRMLTableNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLTextNode",
    "vtkMRMLSequenceNode",
)
_NOT_LISTED = ("vtkMRMLAbstractViewNode", "vtkMRMLCameraNode")


def _wanted(node: Any) -> bool:
    return (
        not node.GetHideFromEditors()
        and any(node.IsA(name) for name in _LISTED)
        and not any(node.IsA(name) for name in _NOT_LISTED)
    )


@vtk.calldata_type(vtk.VTK_OBJECT)
def _added(scene: Any, event: str, node: Any) -> None:
    if scene.IsImporting() or not _wanted(node):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is not None and not hierarchy.GetItemByDataNode(node):
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _about_to_be_removed(scene: Any, event: str, node: Any) -> None:
    if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if item:
        hierarchy.RemoveItem(item, False, False)


def _imported(scene: Any, event: str) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        if _wanted(node) and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def observe(scene: Any) -> None:
    """Keep the hierarchy of a scene in step with its nodes."""
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, _added)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, _about_to_be_removed)
    scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, _imported)
