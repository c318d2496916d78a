"""Explanations as a person asks for them and as a script does: targets, slices, tables, curves, the live look."""

import json

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

from .conftest import CLASSIFIER, TINY_CT, TINY_T2, choose_model, choose_target, click_and_wait, wait
from .test_panel import SHAPE, head, nodes_of_scene


@pytest.fixture
def scan(panel):
    node = head((9, 40, 36))
    node.SetSpacing(5, 5, 6)
    node.SetOrigin(-20, 10, 30)
    panel.ui.inputSelector.setCurrentNode(node)
    panel.ui.opacitySlider.value = 0.5
    return node


def red():
    import slicer

    return slicer.app.layoutManager().sliceWidget("Red")


def show_slice(scan, k):
    """Scroll the axial view to slice k of the scan."""
    node = red().mrmlSliceNode()
    node.SetOrientation("Axial")
    node.JumpSlice(*(np.array(scan.GetOrigin()) + np.array(scan.GetSpacing()) * (18, 20, k)))


def crosshair():
    """The one of the scene, as every Slicer has it."""
    import slicer

    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    return node or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode", "Crosshair")


def by_name(name):
    import slicer

    return slicer.mrmlScene.GetFirstNodeByName(name)


def column(table, name):
    import slicer

    return list(slicer.util.arrayFromTableColumn(table, name))


def texts(table):
    return [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())]


def test_each_target_shows_its_own_choices(panel):
    ui = panel.ui
    rows = {
        "region": (ui.regionLabel, ui.regionSelector),
        "voxel": (ui.pointLabel, ui.pointSelector),
        "realism": (ui.referenceLabel, ui.referenceSelector),
        "error": (ui.referenceLabel, ui.referenceSelector),
        "class": (ui.classifierLabel, ui.classifierCombo, ui.classLabel, ui.classCombo),
    }
    everything = {widget for widgets in rows.values() for widget in widgets}
    for target, widgets in rows.items():
        choose_target(panel, target)
        assert {widget for widget in everything if widget.visible} == set(widgets), target


def test_slice_that_is_shown_is_explained_into_the_same_nodes(panel, scan):
    import slicer

    show_slice(scan, 4)
    click_and_wait(panel, panel.ui.explainSliceButton)
    heat = by_name(f"Scan [heat map of {TINY_T2}, slice]")
    assert heat is not None, panel.ui.statusLabel.text
    warm = np.flatnonzero(slicer.util.arrayFromVolume(heat).max(axis=(1, 2)) > 0)
    assert list(warm) == [4]
    assert json.loads(heat.GetAttribute("MRITranslate.Parameters"))["plane"] == [2, 4]
    present = nodes_of_scene()
    show_slice(scan, 6)
    click_and_wait(panel, panel.ui.explainSliceButton)
    assert nodes_of_scene() == present
    assert list(np.flatnonzero(slicer.util.arrayFromVolume(heat).max(axis=(1, 2)) > 0)) == [6]
    red().mrmlSliceNode().JumpSlice(0, 0, 900)
    click_and_wait(panel, panel.ui.explainSliceButton)
    assert "outside the input" in panel.ui.statusLabel.text


def test_slice_of_a_region(panel, scan):
    import slicer

    box = np.zeros((9, 40, 36), np.uint8)
    box[3:6, 15:25, 10:20] = 1
    region = slicer.util.addVolumeFromArray(box, None, "Box", "vtkMRMLLabelMapVolumeNode")
    region.CopyOrientation(scan)
    panel.ui.regionSelector.setCurrentNode(region)
    show_slice(scan, 5)
    click_and_wait(panel, panel.ui.explainSliceButton)
    heat = slicer.util.arrayFromVolume(by_name(f"Scan [heat map of {TINY_T2}, slice]"))
    assert list(np.flatnonzero(heat.max(axis=(1, 2)) > 0)) == [5]
    show_slice(scan, 7)
    click_and_wait(panel, panel.ui.explainSliceButton)
    assert "Nothing of the region" in panel.ui.statusLabel.text


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_plane_of_the_view_follows_the_patients_axes(panel, axis):
    """Volumes whose columns, rows or slices run from foot to head; the axial view lies across that axis."""
    import sys

    import slicer

    shape = [30, 32, 34]
    shape[2 - axis] = 8
    scan = head(tuple(shape))
    order = [(axis + 1) % 3, (axis + 2) % 3, axis]  # which voxel axis runs along R, A, S
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for direction, voxel_axis in enumerate(order):
        matrix[direction, voxel_axis] = (2.0, -3.0, -5.0)[direction]
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    index = [15, 15, 15]
    index[axis] = 6
    node = red().mrmlSliceNode()
    node.SetOrientation("Axial")
    node.JumpSlice(*(matrix @ [*index, 1])[:3])
    assert sys.modules["MRITranslatePanel.slicing"].planeOfView(scan, "axial") == (axis, 6)


def test_the_slice_of_a_view_that_is_not_shown_is_not_explained(panel):
    """Other layouts, such as that of a comparison, leave slice nodes behind in the scene."""
    import sys

    import slicer
    import vtk

    slicing = sys.modules["MRITranslatePanel.slicing"]
    scan = head((8, 30, 32))
    bounds = np.zeros(6)
    scan.GetRASBounds(bounds)
    middle = (bounds[::2] + bounds[1::2]) / 2
    wait(lambda: red().mrmlSliceNode() in slicing.visibleViews())
    node = red().mrmlSliceNode()
    node.SetOrientation("Axial")
    tilted = vtk.vtkTransform()
    tilted.SetMatrix(node.GetSliceToRAS())
    tilted.RotateX(5)
    node.GetSliceToRAS().DeepCopy(tilted.GetMatrix())
    node.UpdateMatrices()
    node.JumpSlice(*middle)
    before = slicing.planeOfView(scan, "axial")
    hidden = slicer.vtkMRMLSliceNode()
    hidden.SetLayoutName("Elsewhere")
    hidden = slicer.mrmlScene.AddNode(hidden)
    try:
        hidden.GetSliceToRAS().Identity()  # straight, so that it lies more like the model's slices than the tilted one
        hidden.GetSliceToRAS().SetElement(2, 3, bounds[5] - 0.5)
        assert slicing.planeOfView(scan, "axial") == before
        assert before[1] < 7  # the hidden one's
    finally:
        slicer.mrmlScene.RemoveNode(hidden)
        node.SetOrientation("Axial")


def test_point_of_markups_and_crosshair(panel, scan):
    import slicer

    choose_target(panel, "voxel")
    centre = np.array(scan.GetOrigin()) + np.array(scan.GetSpacing()) * (18, 20, 4)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Why here")
    points.AddControlPoint(centre.tolist())
    panel.ui.pointSelector.setCurrentNode(points)
    click_and_wait(panel, panel.ui.explainButton)
    heat = by_name(f"Scan [heat map of {TINY_T2}, voxel]")
    assert heat is not None, panel.ui.statusLabel.text
    array = slicer.util.arrayFromVolume(heat).copy()
    assert list(np.flatnonzero(array.max(axis=(1, 2)) > 0)) == [4]
    panel.ui.pointSelector.setCurrentNode(None)
    crosshair().SetCrosshairRAS(*centre)
    click_and_wait(panel, panel.ui.explainSliceButton)
    again = by_name(f"Scan [heat map of {TINY_T2}, voxel]_1")
    np.testing.assert_allclose(slicer.util.arrayFromVolume(again), array, atol=1e-5)
    crosshair().SetCrosshairRAS(0, 0, 900)
    click_and_wait(panel, panel.ui.explainButton)
    assert "outside the input" in panel.ui.statusLabel.text


def test_opacity_and_threshold_act_on_what_is_shown(panel, scan):
    import slicer

    show_slice(scan, 4)
    panel.ui.thresholdSlider.value = 0.3
    click_and_wait(panel, panel.ui.explainSliceButton)
    heat = by_name(f"Scan [heat map of {TINY_T2}, slice]")
    display, composite = heat.GetDisplayNode(), red().mrmlSliceCompositeNode()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (0.3, 1.0)
    computed = heat.GetImageData().GetMTime()
    for value in (0.6, 0.05):
        panel.ui.thresholdSlider.value = value
        panel.ui.opacitySlider.value = 1 - value
        assert display.GetLowerThreshold() == pytest.approx(value)
        assert composite.GetForegroundOpacity() == pytest.approx(1 - value)
    panel.ui.thresholdSlider.value = 0
    assert 0 < display.GetLowerThreshold() < 0.02  # what has no heat never darkens the anatomy
    assert heat.GetImageData().GetMTime() == computed
    assert not panel.logic.running
    assert slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID()) is heat


def test_levels_shares_and_check_come_as_tables_and_chart(panel, scan):
    import slicer

    labels = np.zeros((9, 40, 36), np.uint8)
    labels[:, :, :18], labels[:, :, 18:] = 1, 2
    halves = slicer.util.addVolumeFromArray(labels, None, "Halves", "vtkMRMLLabelMapVolumeNode")
    halves.CopyOrientation(scan)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Halves")
    segmentation.CreateDefaultDisplayNodes()
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(halves, segmentation)
    for index, name in enumerate(("left half", "right half")):
        segmentation.GetSegmentation().GetNthSegment(index).SetName(name)
    panel.ui.anatomySelector.setCurrentNode(segmentation)
    panel.ui.checkMapCheck.checked = True
    show_slice(scan, 4)
    click_and_wait(panel, panel.ui.explainSliceButton)
    table = by_name(f"Scan [heat table of {TINY_T2}, slice]")
    assert table is not None, panel.ui.statusLabel.text
    assert texts(table) == ["little or none", "strongest 50 %", "strongest 25 %", "strongest 10 %", "strongest 3 %"]
    voxels = slicer.util.arrayFromVolume(by_name(f"Scan [heat levels of {TINY_T2}, slice]"))
    values = slicer.util.arrayFromVolume(scan)
    assert column(table, "Volume (ml)") == pytest.approx([0.15 * (voxels == n).sum() for n in range(5)])
    assert column(table, "Mean of the input")[4] == pytest.approx(values[voxels == 4].mean(), rel=1e-4)
    shares = by_name(f"Scan [heat shares of {TINY_T2}, slice]")
    assert set(texts(shares)) == {"left half", "right half", "elsewhere"}
    assert sum(column(shares, "Share of the heat (%)")) == pytest.approx(100)
    chart = by_name(f"Scan [check of the heat map of {TINY_T2}, slice]")
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert len(series) == 6
    for one in series:
        assert one.GetTableNode().GetName() == f"Scan [check curves of {TINY_T2}, slice]"
        curve = column(one.GetTableNode(), one.GetYColumnName())
        assert len(curve) == len(column(one.GetTableNode(), one.GetXColumnName())) > 5
        assert np.isfinite(curve).all()
        assert len(set(curve)) > 1
    assert panel.ui.verdictLabel.text.endswith(".")
    assert "% of the evidence lies in" in panel.ui.sharesLabel.text
    assert panel.ui.curvesButton.visible
    panel.ui.curvesButton.click()
    views = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
    assert chart.GetID() in {view.GetPlotChartNodeID() for view in views}
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    made = [table, shares, chart, *series, series[0].GetTableNode(), by_name(f"Scan [heat map of {TINY_T2}, slice]")]
    assert len({hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in made}) == 1
    for node in made:
        assert node.GetAttribute("MRITranslate.SourceNodeID") == scan.GetID()
        assert node.GetAttribute("MRITranslate.WeightsSHA256")
    present = nodes_of_scene()
    click_and_wait(panel, panel.ui.explainSliceButton)
    assert nodes_of_scene() == present


def test_class_of_a_classifier(panel, scan):
    import slicer

    choose_target(panel, "class")
    combo = panel.ui.classCombo
    panel.ui.classifierCombo.currentIndex = panel.ui.classifierCombo.findData(CLASSIFIER)
    assert [combo.itemData(index) for index in range(combo.count)] == ["normal", "effusion", "nodule"]
    combo.currentIndex = 2
    parameters = panel.logic.getParameterNode()
    assert (parameters.classifier, parameters.className) == (CLASSIFIER, "nodule")
    click_and_wait(panel, panel.ui.explainButton)
    heat = by_name(f"Scan [heat map of {CLASSIFIER}, nodule]")
    assert heat is not None, panel.ui.statusLabel.text
    assert slicer.util.arrayFromVolume(heat).max() == pytest.approx(1)


def test_script_gets_nodes_by_name_and_as_a_pair(logic):
    import slicer

    scan = head()
    truth = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(scan) * 2 + 30, name="Truth")
    explained = logic.explain(scan, TINY_T2, "realism", referenceNode=truth, method="eigengradcam")
    heat, levels = explained
    assert (heat, levels) == (explained.heatMap, explained.levels)
    assert explained.table.GetNumberOfRows() == 5
    assert explained.shares is None
    assert explained.chart is None
    assert explained.passes is None
    beside = explained.besideHeatMap
    assert beside.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    assert 0 < slicer.util.arrayFromVolume(beside).max() <= 1
    options = {"thresholds": (0.25, 0.5), "layer": "model.1, model.4", "voxel": (18, 20, 6)}
    try:
        two = logic.explain(scan, TINY_T2, "voxel", **options)
    except InputError as error:  # says which layers there are
        names = str(error)
        assert "layer" in names
    else:
        assert texts(two.table) == ["little or none", "heat from 0.25", "heat from 0.5"]
    error = logic.explain(scan, TINY_T2, "error", referenceNode=truth, thresholds=(0.25, 0.5))
    assert texts(error.table) == ["little or none", "heat from 0.25", "heat from 0.5"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "error"}, "reference volume is missing"),
        ({"target": "voxel"}, "voxel is missing"),
        ({"target": "class"}, "class is missing"),
        ({"target": "beauty"}, "cannot be explained"),
        ({"target": "realism", "plane": (2, 3)}, "Only a region"),
        ({"plane": (2, 99)}, "no plane of voxels"),
        ({"plane": (2, 0)}, "Nothing of the head"),
        ({"plane": (2, 3), "quantiles": (0.9, 0.5)}, "rising numbers"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_sentence(logic, options, sentence):
    scan = head()
    before = nodes_of_scene()
    with pytest.raises(InputError, match=sentence) as caught:
        logic.explain(scan, TINY_T2, **options)
    assert "\n" not in str(caught.value)
    assert nodes_of_scene() == before


def test_maps_of_doubt_come_with_the_translation(panel):
    import slicer

    scan = head()
    panel.ui.inputSelector.setCurrentNode(scan)
    choose_model(panel, TINY_CT)
    assert not panel.ui.cycleCheck.enabled
    assert "No model for the way back" in panel.ui.cycleCheck.toolTip
    choose_model(panel, TINY_T2)
    assert panel.ui.cycleCheck.enabled
    panel.ui.uncertaintyCheck.checked = True
    panel.ui.cycleCheck.checked = True
    click_and_wait(panel, panel.ui.runButton)
    made = by_name("Scan [synthetic T2]")
    assert made is not None, panel.ui.statusLabel.text
    spread = made.GetNodeReference("MRITranslate.uncertainty")
    cycle = made.GetNodeReference("MRITranslate.cycle")
    assert spread.GetName() == "Scan [uncertainty of synthetic T2]"
    assert cycle.GetName() == f"Scan [difference there and back by {TINY_T2}]"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (made, spread, cycle)}
    assert len(parents) == 1
    for node, colours in ((spread, "Viridis"), (cycle, "Magma")):
        array = slicer.util.arrayFromVolume(node)
        assert array.shape == SHAPE
        assert array.min() >= 0
        assert array.max() > 0
        display = node.GetDisplayNode()
        assert display.GetColorNode().GetName().lower() == colours.lower()
        assert display.GetWindowLevelMin() == 0
        assert 0 < display.GetWindowLevelMax() <= array.max()
        assert "not for diagnosis" in node.GetAttribute("MRITranslate.Notice")
    assert spread.GetVoxelValueUnits().GetCodeValue() == "1"


def test_segments_have_their_own_names(logic):
    """Tissues of the phantom have names; a label map with Slicer's table for any label map has none."""
    import slicer

    nodes = logic.loadPhantom(shape=(16, 48, 48))
    options = {"target": "voxel", "voxel": (24, 24, 8)}
    shares = logic.explain(nodes["t1"], TINY_T2, anatomyNode=nodes["labels"], **options).shares
    assert {"grey matter", "white matter", "elsewhere"} <= set(texts(shares))
    plain = slicer.util.addVolumeFromArray(
        np.full((16, 48, 48), 7, np.int16), nodeClassName="vtkMRMLLabelMapVolumeNode", name="Plain"
    )
    plain.CopyOrientation(nodes["t1"])
    explained = logic.explain(nodes["t1"], TINY_T2, anatomyNode=plain, **options)
    assert texts(explained.shares) == ["label 7", "elsewhere"]
    assert explained.evidence.startswith("100 % of the evidence lies in label 7")
