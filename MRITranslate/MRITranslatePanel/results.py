"""Results as MRML nodes: names, units, display, provenance and their place in the subject hierarchy.

A run adds everything at its end and in one go; if that fails half-way, what was added is removed again (`Additions`).
"""

from __future__ import annotations

import datetime
import json

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

import MRITranslateLib
from MRITranslateLib.modality import MODALITIES, Modality

from .scene import ijkToRAS, ijkToRASOfGeometry

PREFIX = "MRITranslate."
KIND = PREFIX + "Kind"
SYNTHETIC, HEAT_MAP, HEAT_LEVELS, SCORES, PHANTOM = "synthetic image", "heat map", "heat levels", "scores", "phantom"
TISSUES, UNCERTAINTY, CYCLE, COMPARED = "tissues", "uncertainty", "difference there and back", "image beside"
HEAT_TABLE, HEAT_SHARES, CHECK_CURVES, CHECK_CHART = "heat table", "heat shares", "check curves", "check chart"
PREVIEW = "preview of a synthetic image"
REPORT, VERDICT, WORDS = "report", "verdict of the discriminator", "words that mattered"
DIFFERENCE, RESAMPLED, CHECKERBOARD = "difference", "resampled image", "checkerboard"
SLICE_ERRORS, ERROR_CHART, JOINT_HISTOGRAM = "error of each slice", "error chart", "joint histogram"
REPORT_ROLE = PREFIX + "report"
"""Node reference from an X-ray to the text node of its report."""
REFERENCE_ROLE = PREFIX + "reference"
"""Node reference from what a comparison made to the volume that was taken for the truth."""
SOURCE_ROLE = PREFIX + "source"
"""Node reference from a result to what it was computed from: unlike an id in an attribute, it holds after loading."""
NOTICE = "Synthetic or computed image of a research tool: not for diagnosis."
NO_HEAT = 0.01
"""Below this part of the maximum a heat map is transparent, so that the anatomy is not darkened."""
INFERNO = "vtkMRMLColorTableNodeFileInferno.txt"
VIRIDIS, MAGMA = "vtkMRMLColorTableNodeFileViridis.txt", "vtkMRMLColorTableNodeFileMagma.txt"
DIVERGING = "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"
DISPLAY_PERCENTILES = (0.5, 99.5)
PERCENTILE_SAMPLES = 50_000


class Additions:
    """The nodes and folders that one run adds to the scene; an exception within the `with` block removes them again."""

    def __init__(self) -> None:
        self._nodes = []
        self._items = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            return
        for node in reversed(self._nodes):
            slicer.mrmlScene.RemoveNode(node)
        for item in reversed(self._items):
            _hierarchy().RemoveItem(item)

    def add(self, node, name: str, unique: bool = True):
        """Add a filled node, with its display node where it has one; under a name that no other node has, if unique."""
        node.SetName(uniqueName(name) if unique else name)
        node = slicer.mrmlScene.AddNode(node)
        self._nodes.append(node)
        if node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            # The default display node would look through all voxels for a window that is then replaced.
            display = slicer.vtkMRMLScalarVolumeDisplayNode()
            display.SetAutoWindowLevel(False)
            display = slicer.mrmlScene.AddNode(display)
            display.SetDefaultColorMap()
            node.SetAndObserveDisplayNodeID(display.GetID())
            self._nodes.append(display)
        elif node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
            self._nodes.append(node.GetDisplayNode())
        return node

    def present(self) -> bool:
        """Whether all nodes that were added are still in the scene."""
        return all(slicer.mrmlScene.IsNodePresent(node) for node in self._nodes)

    def folderBeside(self, node, name: str, children) -> None:
        """Put `children` into a new folder that has the same parent (study, patient, folder) as `node`."""
        if not children:
            return
        hierarchy = _hierarchy()
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        folder = hierarchy.CreateFolderItem(parent, _freeItemName(parent, name))
        self._items.append(folder)
        for child in children:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(child), folder)

    def study(self, patient: str, study: str, children) -> None:
        """Put `children` into a study of a new patient."""
        hierarchy = _hierarchy()
        patientItem = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), patient)
        self._items.append(patientItem)
        studyItem = hierarchy.CreateStudyItem(patientItem, study)
        for child in children:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(child), studyItem)


def _hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def _freeItemName(parent: int, name: str) -> str:
    hierarchy = _hierarchy()
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(parent, children)
    taken = {hierarchy.GetItemName(children.GetId(index)) for index in range(children.GetNumberOfIds())}
    candidates = [name, *(f"{name} {number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def uniqueName(name: str) -> str:
    """`name`, or with a number behind it if a node has it already."""
    scene = slicer.mrmlScene
    return scene.GenerateUniqueName(name) if scene.GetFirstNodeByName(name) else name


def fillVolume(node, array: np.ndarray, gridNode) -> None:
    """Give a volume node voxels on the grid of another volume node."""
    setVoxels(node, array)
    node.CopyOrientation(gridNode)


def setVoxels(node, array: np.ndarray) -> None:
    """Give a volume node these voxels (slice, row, column). Those of an ImageArray are taken over, not copied."""
    image = getattr(array, "image", None)
    if image is None:
        slicer.util.updateVolumeFromArray(node, array)
    else:
        array.image = None  # a second node must not share them
        node.SetAndObserveImageData(image)


def followTransform(node, gridNode) -> None:
    """Put a node of the scene under the same parent transform as another."""
    node.SetAndObserveTransformNodeID(gridNode.GetTransformNodeID())


def newVolume(array: np.ndarray, gridNode, className: str = "vtkMRMLScalarVolumeNode"):
    """A volume node that is not yet in the scene."""
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)  # CreateNodeByClass counts a reference that Python's variable does not give back
    fillVolume(node, array, gridNode)
    return node


def newVolumeOfGeometry(array: np.ndarray, geometry: dict, className: str = "vtkMRMLScalarVolumeNode"):
    """A volume node with a grid of its own (LPS geometry), not yet in the scene."""
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)
    setVoxels(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRASOfGeometry(geometry)))
    return node


def removeVolume(node) -> None:
    """Take a volume with its display node out of the scene at once, as far as they are in it."""
    scene = slicer.mrmlScene
    for each in (node, node.GetDisplayNode()):
        if each is not None and scene.IsNodePresent(each):
            scene.RemoveNode(each)


def setQuantity(node, modality: Modality) -> None:
    """State what the voxel values are, in DICOM's and UCUM's codes."""
    quantity, units = slicer.vtkCodedEntry(), slicer.vtkCodedEntry()
    quantity.SetValueSchemeMeaning(modality.quantity_code, "DCM", modality.quantity_meaning)
    units.SetValueSchemeMeaning(modality.units_code, "UCUM", modality.units_meaning)
    node.SetVoxelValueQuantity(quantity)
    node.SetVoxelValueUnits(units)


def setWindow(node, modality: Modality) -> None:
    """Window for looking at the volume: the preset or window of its modality, else percentiles of its foreground."""
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    if modality.display_preset is not None:
        slicer.modules.volumes.logic().ApplyVolumeDisplayPreset(display, modality.display_preset)
    elif modality.window is not None:
        display.SetWindowLevel(*modality.window)
    else:
        low, high = displayRange(slicer.util.arrayFromVolume(node), modality.background)
        display.SetWindowLevelMinMax(low, high)


def displayRange(array: np.ndarray, background: float) -> tuple[float, float]:
    """Percentiles of what is above the background, and that; a sample of a large array has to do."""
    values = array.reshape(-1)[:: max(1, array.size // PERCENTILE_SAMPLES)]
    values = values[np.isfinite(values)]
    foreground = values[values > background]
    low, high = np.percentile(foreground if foreground.size else values, DISPLAY_PERCENTILES)
    return float(min(low, background)), float(high if high > low else low + 1)


def setProvenance(node, kind: str, sourceNode, provenance: dict[str, str], parameters: dict) -> None:
    """Attributes "MRITranslate.*" that say where the node comes from; they are saved with the scene.

    Args:
        provenance: What the worker states (model, version, hash of the weights, software, ...).
        parameters: What the caller chose.
    """
    attributes = {
        "Notice": NOTICE,
        "Date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{_camel(key): value for key, value in provenance.items()},
        "Kind": kind,
        "Parameters": json.dumps(parameters, sort_keys=True),
        "Extension": MRITranslateLib.__version__,
        "Slicer": slicer.app.applicationVersion,
    }
    if sourceNode is not None:
        attributes["SourceNodeID"] = sourceNode.GetID()
        attributes["SourceNodeName"] = sourceNode.GetName()
        node.SetNodeReferenceID(SOURCE_ROLE, sourceNode.GetID())
    for key, value in attributes.items():
        node.SetAttribute(PREFIX + key, str(value))


def _camel(key: str) -> str:
    """weights_sha256 -> WeightsSHA256"""
    return "".join("SHA256" if part == "sha256" else part[:1].upper() + part[1:] for part in key.split("_"))


def reportOf(node) -> str | None:
    """The report that an X-ray was made from, or that somebody referenced from it; None where there is none."""
    text = node.GetNodeReference(REPORT_ROLE) if node is not None else None
    return None if text is None else text.GetText() or ""


def sourceOf(node):
    """The node that a result was computed from; None where it has none, or has lost it."""
    return node.GetNodeReference(SOURCE_ROLE) if node is not None else None


def seedOf(node) -> int | None:
    """The seed that a synthetic picture was made with; None for what has no such attribute."""
    stated = node.GetAttribute(PREFIX + "Seed") if node is not None else None
    return int(stated) if stated and stated.isdecimal() else None


def showAsHeatMap(node) -> None:
    """Inferno over the fixed range 0 to 1, so that colours mean the same in every heat map; no heat is transparent."""
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(INFERNO)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAutoThreshold(False)
    display.SetThreshold(NO_HEAT, 1.0)
    display.SetApplyThreshold(True)


def showAsSpread(node, colours: str) -> None:
    """A colour table from 0 to the volume's 99.5th percentile, for maps that have no negative values."""
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colours)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*displayRange(slicer.util.arrayFromVolume(node), 0.0))


def showAsDifference(node, reach: float) -> None:
    """Blue below zero, red above, both as strong at the same distance; zero is in the middle."""
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(DIVERGING)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-reach, reach)


def copyWindow(fromNode, toNode) -> None:
    """Show one volume as another is shown: with its window and its colours."""
    display, shown = fromNode.GetDisplayNode(), toNode.GetDisplayNode()
    if display is None:
        return
    shown.SetAndObserveColorNodeID(display.GetColorNodeID())
    shown.SetWindowLevelMinMax(display.GetWindowLevelMin(), display.GetWindowLevelMax())


def kindOf(node) -> str:
    """ "CT" for a volume whose voxel values are declared to be that, else "MR"."""
    quantity = node.GetVoxelValueQuantity() if node is not None else None
    return "CT" if quantity and quantity.GetCodeValue() == MODALITIES["CT"].quantity_code else "MR"


def setUnits(node, modality: Modality) -> None:
    """State the unit of the voxel values alone, for what is no image of the modality itself."""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning(modality.units_code, "UCUM", modality.units_meaning)
    node.SetVoxelValueUnits(units)


def levelColours(additions: Additions, names: list[str]):
    """The colour table of heat levels: Inferno's colours under the levels' names; level 0 is transparent."""
    inferno = slicer.mrmlScene.GetNodeByID(INFERNO)
    last = inferno.GetNumberOfColors() - 1
    places = [round(level / (len(names) - 1) * last) for level in range(len(names))]
    return _namedColours(additions, HEAT_LEVELS, _("MRITranslate heat levels"), names, inferno, places)


def tissueColours(additions: Additions, names: list[str]):
    """The colour table of the phantom's tissues: Slicer's colours for labels under the tissues' names."""
    labels = slicer.mrmlScene.GetNodeByID(slicer.modules.colors.logic().GetDefaultLabelMapColorNodeID())
    places = list(range(len(names)))
    return _namedColours(additions, TISSUES, _("MRITranslate tissues"), names, labels, places)


def _namedColours(additions: Additions, kind: str, title: str, names: list[str], source, places: list[int]):
    """A table of the colours at `places` of another one; the first is transparent.

    A table of an earlier run with the same names is used again.
    """
    for table in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if table.GetAttribute(KIND) == kind and _colourNames(table) == names:
            return table
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetNumberOfColors(len(names))
    for label, (name, place) in enumerate(zip(names, places, strict=True)):
        colour = [0.0, 0.0, 0.0, 0.0]
        if label:
            source.GetColor(place, colour)
            colour[3] = 1.0
        table.SetColor(label, name, *colour)
    if not hasattr(table, "SetColorDefined"):  # Slicer 5.8: without this, names are replaced when they are first read
        table.NamesInitialisedOn()
    table.SetAttribute(KIND, kind)
    table.SetAttribute("Category", "MRITranslate")
    return additions.add(table, title)


def _colourNames(table) -> list[str]:
    return [table.GetColorName(index) for index in range(table.GetNumberOfColors())]


def viewsExist() -> bool:
    """Whether there are slice views to show something in; without a main window there are none."""
    return slicer.app.layoutManager() is not None


def showLayers(background, foreground, opacity: float) -> None:
    """Show two volumes over each other in all slice views, if there are any. A view that shows this background already
    keeps its place and zoom."""
    if not viewsExist():
        return
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    others = [view.GetLayoutName() for view in composites if view.GetBackgroundVolumeID() != background.GetID()]
    slicer.util.setSliceViewerLayers(background=background, foreground=foreground, foregroundOpacity=opacity)
    for name in others:
        widget = slicer.app.layoutManager().sliceWidget(name)
        if widget is not None:
            widget.sliceController().fitSliceToBackground()


def showPictures(node) -> None:
    """Show a volume whose slices are pictures: the first of them, in the views that lie in the pictures' plane."""
    showLayers(node, None, 0.0)
    columns, rows, __ = node.GetImageData().GetDimensions()
    middle = ijkToRAS(node) @ [(columns - 1) / 2, (rows - 1) / 2, 0, 1]
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if view.GetOrientation() == "Axial":
            view.JumpSlice(*middle[:3])


def setHeatMapLook(opacity: float, threshold: float) -> None:
    """Opacity and lower threshold of the heat maps that slice views show in their foreground; nothing is computed."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        identity = composite.GetForegroundVolumeID()
        shown = slicer.mrmlScene.GetNodeByID(identity) if identity else None
        if shown is not None and shown.GetAttribute(KIND) == HEAT_MAP:
            composite.SetForegroundOpacity(opacity)
            shown.GetDisplayNode().SetThreshold(max(NO_HEAT, threshold), 1.0)
