"""What a run made comes back from a saved scene as it was, and goes with one folder of the subject hierarchy."""

import sys

import numpy as np
import pytest

from .conftest import TINY_CT, TINY_T2
from .test_generating import NOISE, REPORT, XRAY, generators  # noqa: F401
from .test_panel import head, nodes_of_scene
from .test_scene import grid, matrix_of, place, region_of

PREFIX = "MRITranslate."


def hierarchy():
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def path_of(node):
    """Names of the items above a node in the subject hierarchy, from the top."""
    items = hierarchy()
    item, names = items.GetItemParent(items.GetItemByDataNode(node)), []
    while item and item != items.GetSceneItemID():
        names.insert(0, items.GetItemName(item))
        item = items.GetItemParent(item)
    return names


def nodes():
    import slicer

    return [slicer.mrmlScene.GetNodeByID(identity) for identity in sorted(nodes_of_scene())]


def ours():
    """Nodes that this module made, with their kinds."""
    return [node for node in nodes() if node.GetAttribute(PREFIX + "Kind")]


def references(node):
    roles = []
    node.GetNodeReferenceRoles(roles)
    named = {
        role: [node.GetNthNodeReference(role, number) for number in range(node.GetNumberOfNodeReferences(role))]
        for role in roles
    }
    return {
        role: [found.GetName() for found in those if found is not None]
        for role, those in named.items()
        if role not in ("storage", "display")
    }


def facts(node):
    """All of a node that a user could miss after loading."""
    import slicer

    said = {
        "class": node.GetClassName(),
        "attributes": {name: node.GetAttribute(name) for name in node.GetAttributeNames() if name.startswith(PREFIX)},
        "references": references(node),
        "place": path_of(node) if hierarchy().GetItemByDataNode(node) else None,
    }
    if node.IsA("vtkMRMLVolumeNode"):
        transform = node.GetParentTransformNode()
        said["transform"] = transform.GetName() if transform else None
        said["voxels"] = slicer.util.arrayFromVolume(node).copy()
        said["matrix"] = matrix_of(node).round(4)
        if node.IsA("vtkMRMLScalarVolumeNode"):
            coded = (node.GetVoxelValueQuantity(), node.GetVoxelValueUnits())
            said["codes"] = [entry.GetCodeValue() if entry is not None else None for entry in coded]
    display = node.GetDisplayNode() if node.IsA("vtkMRMLDisplayableNode") else None
    if display is not None:
        colours = display.GetColorNode()
        said["colours"] = None if colours is None else colours.GetName()
        said["visible colours"] = display.GetVisibility()
    if display is not None and display.IsA("vtkMRMLScalarVolumeDisplayNode"):
        said["window"] = [f"{value:.5g}" for value in (display.GetWindow(), display.GetLevel())]
        said["automatic"] = (display.GetAutoWindowLevel(), display.GetAutoThreshold())
        said["threshold"] = (display.GetApplyThreshold(), f"{display.GetLowerThreshold():.5g}")
    if node.IsA("vtkMRMLTableNode"):
        said["columns"] = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
        said["cells"] = [
            [_rounded(node.GetCellText(row, column)) for column in range(node.GetNumberOfColumns())]
            for row in range(node.GetNumberOfRows())
        ]
    if node.IsA("vtkMRMLTextNode"):
        said["text"] = node.GetText()
    if node.IsA("vtkMRMLColorTableNode"):
        said["names"] = [node.GetColorName(index) for index in range(node.GetNumberOfColors())]
        colours = np.zeros(4)
        said["colours"] = []
        for index in range(node.GetNumberOfColors()):
            node.GetColor(index, colours)
            said["colours"].append(colours.round(2).tolist())
    if node.IsA("vtkMRMLPlotSeriesNode"):
        table = node.GetTableNode()
        said["series"] = (
            node.GetXColumnName(),
            node.GetYColumnName(),
            node.GetLineStyle(),
            node.GetPlotType(),
            [round(value, 3) for value in node.GetColor()],
            table.GetName(),
        )
    if node.IsA("vtkMRMLPlotChartNode"):
        said["chart"] = (node.GetTitle(), node.GetXAxisTitle(), node.GetYAxisTitle())
        said["curves"] = [node.GetNthPlotSeriesNode(number).GetName() for number in range(6)]
    return said


def _rounded(text):
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text


@pytest.fixture
def patient(logic):
    """A scan in a study, on an oblique grid and under a transform, with a region on it."""
    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), False))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), False)))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    items = hierarchy()
    subject = items.CreateSubjectItem(items.GetSceneItemID(), "Patient")
    items.SetItemParent(items.GetItemByDataNode(scan), items.CreateStudyItem(subject, "Study"))
    return scan


def all_results(logic, scan):
    """One of every kind of result."""
    import slicer

    synthetic = logic.translate(scan, TINY_T2, uncertainty=True, cycle=True)
    logic.translate(scan, TINY_CT)
    inside = (slicer.util.arrayFromVolume(scan) > 0).astype(np.uint8)
    region = region_of(scan, "label map", matrix_of(scan), inside)
    region.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    logic.explain(scan, TINY_T2, regionNode=region, checkMap=True, anatomyNode=region)
    logic.explain(scan, TINY_T2, "realism")
    logic.evaluate(scan, synthetic)
    logic.generate(NOISE, count=2)
    xray = logic.radiograph(REPORT, XRAY)
    logic.explain(xray, XRAY, "match")
    logic.explainWords(xray, XRAY)
    logic.loadPhantom(shape=(8, 16, 16), lesions=1)


@pytest.mark.usefixtures("generators")
def test_everything_comes_back(logic, patient, tmp_path):
    import slicer

    all_results(logic, patient)
    kinds = {node.GetAttribute(PREFIX + "Kind") for node in ours()}
    results = sys.modules["MRITranslatePanel.results"]
    made = {
        value
        for name, value in vars(results).items()
        if name.isupper() and isinstance(value, str) and name not in ("PREFIX", "KIND", "NOTICE", "INFERNO", "VIRIDIS")
    }
    assert kinds <= made
    assert len(kinds) >= 16
    before = {}
    for node in ours():
        assert (node.GetName(), node.GetClassName()) not in before
        before[node.GetName(), node.GetClassName()] = facts(node)
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert ours() == []
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    after = {(node.GetName(), node.GetClassName()): facts(node) for node in ours()}
    assert set(after) == set(before)
    lost = []
    for key, said in before.items():
        for what, value in said.items():
            found = after[key][what]
            same = np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value
            if not same:
                lost.append(f"{key}: {what} was {value!r:.300} and is {found!r:.300}")
    assert lost == []


@pytest.mark.parametrize(
    "run",
    [
        lambda logic, scan: logic.translate(scan, TINY_T2, uncertainty=True, cycle=True),
        lambda logic, scan: logic.explain(scan, TINY_T2, "voxel", voxel=(18, 20, 6), checkMap=True).heatMap,
        lambda logic, scan: logic.explain(scan, TINY_T2, "realism").heatMap,
        lambda logic, scan: logic.evaluate(scan, scan, modality="MR"),
        lambda logic, scan: logic.generate(NOISE, count=2),
        lambda logic, scan: logic.radiograph(REPORT, XRAY),
        lambda logic, scan: logic.explainWords(REPORT, XRAY).table,
        lambda logic, scan: logic.loadPhantom(shape=(8, 16, 16), lesions=1)["t1"],
    ],
    ids=["translate", "explain", "realism", "evaluate", "generate", "radiograph", "words", "phantom"],
)
@pytest.mark.usefixtures("generators")
def test_deleting_the_folder_undoes_the_run(logic, patient, run):
    import slicer

    before, items = nodes_of_scene(), hierarchy().GetNumberOfItems()
    node = run(logic, patient)
    assert nodes_of_scene() > before
    hierarchy().RemoveItem(top_of(node, patient))
    slicer.app.processEvents()
    left = nodes_of_scene() - before
    assert {slicer.mrmlScene.GetNodeByID(identity).GetName() or identity for identity in left} == set()
    assert hierarchy().GetNumberOfItems() == items
    assert slicer.mrmlScene.IsNodePresent(patient)


def top_of(node, scan):
    """The item to delete: the run's folder, or the patient that a run has made."""
    items = hierarchy()
    item = items.GetItemByDataNode(node)
    study = items.GetItemParent(items.GetItemByDataNode(scan))
    while items.GetItemParent(item) not in (study, items.GetSceneItemID()):
        item = items.GetItemParent(item)
    return item


def test_what_runs_share_goes_with_the_last_of_them(logic, patient):
    import slicer

    def table():
        return slicer.mrmlScene.GetFirstNodeByName("MRITranslate heat levels")

    first, second = (logic.explain(patient, TINY_T2, "realism").levels for _ in range(2))
    assert first.GetDisplayNode().GetColorNode() is second.GetDisplayNode().GetColorNode() is table()
    for node, left in ((first, True), (second, False)):
        hierarchy().RemoveItem(top_of(node, patient))
        slicer.app.processEvents()
        assert (table() is not None) == left
    node = logic.explain(patient, TINY_T2, "realism").levels
    table().SetName("Kept")
    segment = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")
    segment.GetDisplayNode().SetAndObserveColorNodeID(node.GetDisplayNode().GetColorNodeID())
    slicer.mrmlScene.RemoveNode(node)
    slicer.app.processEvents()
    assert segment.GetDisplayNode().GetColorNode().GetName() == "Kept"


def test_nodes_of_others_keep_what_they_have(logic, patient):
    """Slicer leaves the display nodes of a removed node alone, and so does this module where it is none of its own."""
    import slicer

    other = head(name="Other")
    other.CreateDefaultDisplayNodes()
    display = other.GetDisplayNode()
    slicer.mrmlScene.RemoveNode(other)
    slicer.app.processEvents()
    assert slicer.mrmlScene.IsNodePresent(display)


def test_a_run_of_a_loaded_scene_can_be_undone(logic, patient, tmp_path):
    import slicer

    logic.translate(patient, TINY_T2, uncertainty=True)
    logic.explain(patient, TINY_T2, "voxel", voxel=(18, 20, 6), checkMap=True)
    logic.evaluate(patient, patient, modality="MR")
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    scan = slicer.mrmlScene.GetFirstNodeByName("Scan")
    for node in ours():
        if slicer.mrmlScene.IsNodePresent(node) and hierarchy().GetItemByDataNode(node):
            hierarchy().RemoveItem(top_of(node, scan))
    slicer.app.processEvents()
    assert ours() == []
    for kind in ("vtkMRMLStorageNode", "vtkMRMLVolumeDisplayNode", "vtkMRMLTableNode", "vtkMRMLPlotSeriesNode"):
        for node in slicer.util.getNodesByClass(kind):
            used = any(slicer.mrmlScene.IsNodeReferencingNodeID(other, node.GetID()) for other in nodes())
            assert used, f"{node.GetID()} is left of a run"


def test_a_result_knows_its_source_in_a_scene_with_other_ids(logic, patient, tmp_path):
    """Importing a scene into one that is not empty changes the ids of its nodes."""
    import slicer

    logic.translate(patient, TINY_T2)
    logic.explain(patient, TINY_T2, plane=(2, 6))
    identity = patient.GetID()
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    others = [head(name="Other") for _ in range(2)]
    slicer.util.loadScene(str(tmp_path / "s.mrb"), {"clear": False})
    scan = slicer.mrmlScene.GetFirstNodeByName("Scan")
    assert scan.GetID() != identity
    source = sys.modules["MRITranslatePanel.results"].sourceOf(
        slicer.mrmlScene.GetFirstNodeByName("Scan [synthetic T2]")
    )
    assert source is scan
    assert source not in others
    before = nodes_of_scene()
    logic.explain(scan, TINY_T2, plane=(2, 5))  # scrolling on overwrites the slice of before
    assert nodes_of_scene() == before


STATE = {
    "model": TINY_CT,
    "uncertainty": True,
    "cycle": True,
    "opacity": 0.25,
    "threshold": 0.5,
    "checkMap": True,
    "layer": "up.1",
    "speckMl": 2.5,
    "pictureCount": 5,
    "pictureSeed": 77,
    "towardsSeed": 78,
    "truncation": 1.5,
    "xraySeed": 3,
    "xrayCount": 2,
    "report": 'The "lungs" are clear.\nNo effusion; 5 % < 10 %.',
}


def test_the_panel_comes_back_as_it_was(panel, tmp_path):
    import slicer

    parameters = panel.logic.getParameterNode()
    scan, output, reference = head(), head(name="Output [synthetic CT]"), head(name="Reference")
    kinds = sys.modules["MRITranslatePanel.parameters"]
    state = {
        **STATE,
        "device": "cpu",
        "target": kinds.Target.ERROR,
        "method": kinds.Method.HIRESCAM,
        "xrayTarget": kinds.XrayTarget.REALISM,
    }
    for name, value in state.items():
        setattr(parameters, name, value)
    made = {"inputVolume": scan, "outputVolume": output, "referenceVolume": reference}
    for name, node in made.items():
        setattr(parameters, name, node)
    names = {name: node.GetName() for name, node in made.items()}
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert parameters.pictureCount == 16
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    slicer.app.processEvents()
    parameters = panel.logic.getParameterNode()
    assert {name: getattr(parameters, name) for name in state} == state
    assert {name: getattr(parameters, name).GetName() for name in names} == names
    ui = panel.ui
    assert ui.inputSelector.currentNode().GetName() == "Scan"
    assert ui.outputSelector.currentNode().GetName() == "Output [synthetic CT]"
    assert ui.modelCombo.currentData == TINY_CT
    assert ui.uncertaintyCheck.checked
    assert not ui.regionSelector.visible
