"""A prediction held against the truth in the panel: its choices, the views, and files."""

import csv
import sys
import time

import numpy as np
import pytest

from Testing.benchmarks.stalls import Stalls

from .conftest import click_and_wait, wait
from .test_comparejob import near
from .test_generating import matrix_of, numbers
from .test_panel import head, nodes_of_scene
from .test_scene import place
from .test_stalls import judge, settle, volume


@pytest.fixture
def section(panel):
    """The section open, with a reference and a prediction chosen."""
    panel.ui.compareSection.collapsed = False
    reference = place(head(name="Truth"), np.diag([-4.0, -4.0, 6.0, 1.0]))
    prediction = near(reference)
    panel.ui.compareReferenceSelector.setCurrentNode(reference)
    panel.ui.comparePredictionSelector.setCurrentNode(prediction)
    yield panel
    panel.ui.compareSection.collapsed = True


def test_views_keep_their_place_after_a_comparison(section):
    """Its own views show other volumes; that is no reason to scroll those of the ordinary layout."""
    import slicer

    scan = section.ui.inputSelector.currentNode()
    results = sys.modules["MRITranslatePanel.results"]
    results.showLayers(scan, None, 0.0)
    compared(section)
    section.ui.compareSection.collapsed = True
    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    offset = view.GetSliceOffset() + 3 * scan.GetSpacing()[2]
    view.SetSliceOffset(offset)
    click_and_wait(section, section.ui.runButton)
    assert view.GetSliceOffset() == pytest.approx(offset)


def compared(section):
    click_and_wait(section, section.ui.compareButton)
    assert "Prediction [scores]" in section.ui.statusLabel.text, section.ui.statusLabel.text
    wait(lambda: section.ui.compareViewCombo.currentIndex == 1)


def nodes_named(text):
    import slicer

    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return [node for node in nodes if text in (node.GetName() or "")]


def layers(name="Red"):
    import slicer

    composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()


def test_buttons_say_why_they_are_disabled(section):
    ui = section.ui
    assert ui.compareButton.enabled
    ui.comparePredictionSelector.setCurrentNode(ui.compareReferenceSelector.currentNode())
    assert "itself" in ui.compareButton.toolTip
    ui.comparePredictionSelector.setCurrentNode(None)
    assert "missing" in ui.compareButton.toolTip
    assert not ui.compareButton.enabled
    assert not ui.compareExportButton.enabled
    assert "Compare first" in ui.compareExportButton.toolTip
    assert not ui.compareViewCombo.enabled
    assert not ui.curtainSlider.visible


def test_the_section_is_narrow_enough(section):
    compared(section)
    assert section.parent.minimumSizeHint.width() <= 350


def test_protocols_are_for_ct(section):
    ui = section.ui
    ui.compareProtocolCombo.currentIndex = 2
    assert "scores CT" in ui.compareButton.toolTip
    ui.compareKindCombo.currentIndex = 2
    assert ui.compareButton.enabled
    parameters = section.logic.getParameterNode()
    assert (parameters.compareKind.value, parameters.compareProtocol.value) == ("CT", "synthrad2025")
    compared(section)
    assert "protocol synthrad2025" in ui.compareResultLabel.text
    assert "HU" in ui.compareResultLabel.text


def test_side_by_side_and_back(section):
    import slicer

    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    before = layers()
    compared(section)
    ui = section.ui
    assert "MAE" in ui.compareResultLabel.text
    assert "data:image/png" in ui.compareResultLabel.text
    assert ui.compareViewCombo.currentIndex == 1
    shown = {}
    for name in ("Reference", "Prediction", "Difference"):
        widget = manager.sliceWidget(f"MRITranslate{name}")
        composite = widget.mrmlSliceCompositeNode()
        assert composite.GetLinkedControl()
        shown[name] = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName()
    assert shown == {
        "Reference": "Truth",
        "Prediction": "Prediction",
        "Difference": "Prediction [difference to Truth]",
    }
    slices = [manager.sliceWidget(f"MRITranslate{name}").mrmlSliceNode() for name in shown]
    assert len({node.GetSliceToRAS().GetElement(2, 3) for node in slices}) == 1
    plot = slicer.mrmlScene.GetSingletonNode("MRITranslatePlot", "vtkMRMLPlotViewNode")
    assert plot.GetPlotChartNode().GetName() == "Prediction [error chart]"
    ui.compareViewCombo.currentIndex = 0
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert layers() == before
    ui.compareViewCombo.currentIndex = 1
    slicer.util.selectModule("Welcome")
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    slicer.util.selectModule("MRITranslate")
    assert ui.compareViewCombo.currentIndex == 0
    ui.compareViewCombo.currentIndex = 1
    ui.compareSection.collapsed = True
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_a_layout_that_the_user_chose_meanwhile_stays(section):
    import slicer

    compared(section)
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    section.ui.compareViewCombo.currentIndex = 0
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def test_scrolling_one_of_the_views_scrolls_all(section):
    """As Slicer does between linked views when a person moves the slider of one of them."""
    import slicer

    compared(section)
    manager = slicer.app.layoutManager()
    first, second = (manager.sliceWidget(f"MRITranslate{name}") for name in ("Reference", "Difference"))
    logic = first.sliceLogic()
    logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.SliceToRASFlag)
    first.mrmlSliceNode().SetSliceOffset(13.0)
    logic.EndSliceNodeInteraction()
    assert second.mrmlSliceNode().GetSliceOffset() == pytest.approx(13.0)
    assert manager.sliceWidget("Red").mrmlSliceNode().GetSliceOffset() != pytest.approx(13.0)


def pixels(name="Red"):
    """What a slice view shows, in grey: (rows, columns)."""
    import slicer

    from Testing.host.sliceview import slice_image

    widget = slicer.app.layoutManager().sliceWidget(name)
    picture = slice_image(widget._native_object()._logic if hasattr(widget, "_native_object") else widget.sliceLogic())
    view = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.bytesPerLine())
    return view[:, : 3 * picture.width() : 3].astype(int)


def test_curtain_shows_both_sides(section):
    """Left of the curtain (the patient's right) are the pixels of the reference, right of it the prediction's."""
    import slicer

    ui = section.ui
    reference, prediction = (s.currentNode() for s in (ui.compareReferenceSelector, ui.comparePredictionSelector))
    for node in (reference, prediction):
        node.GetDisplayNode().SetAutoWindowLevel(False)
    reference.GetDisplayNode().SetWindowLevelMinMax(0, 800)
    prediction.GetDisplayNode().SetWindowLevelMinMax(0, 2000)  # each keeps a window of its own
    results = sys.modules["MRITranslatePanel.results"]
    results.showLayers(reference, None, 0.0)
    slicer.util.resetSliceViews()
    alone = []
    for node in (prediction, reference):
        results.showLayers(node, None, 0.0)
        slicer.app.processEvents()
        alone.append(pixels())
    before = layers(), nodes_of_scene()
    compared(section)
    ui.compareViewCombo.currentIndex = 2
    assert ui.curtainSlider.visible
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    (curtain,) = nodes_named("[curtain]")
    wait(lambda: layers() == (reference.GetID(), curtain.GetID()))
    shown = {}
    for percent in (50, 100, 0, 25):
        ui.curtainSlider.value = percent
        slicer.app.processEvents()
        shown[percent] = pixels()
    assert np.abs(shown[100] - alone[1]).max() == 0
    inside = alone[0] > 0
    assert np.abs(shown[0] - alone[0])[inside].mean() < 2
    width = shown[50].shape[1]
    half = shown[50]
    assert np.abs(half - alone[1])[:, : width // 2 - 30].max() == 0
    right = inside[:, width // 2 + 30 :]
    assert np.abs(half - alone[0])[:, width // 2 + 30 :][right].mean() < 2
    ui.curtainSlider.value = 50
    slicer.app.processEvents()
    np.testing.assert_array_equal(pixels(), shown[50])
    ui.compareViewCombo.currentIndex = 0
    assert nodes_named("[curtain]") == []
    assert layers() == before[0]
    assert not ui.curtainSlider.visible


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1)])
def test_the_curtain_knows_right_from_left(section, flip):
    """Whichever way the columns run, the reference is at the patient's right."""
    import slicer

    ui = section.ui
    for node in (ui.compareReferenceSelector.currentNode(), ui.comparePredictionSelector.currentNode()):
        place(node, np.diag([*(4.0 * np.array(flip)), 1.0]))
    compared(section)
    ui.compareViewCombo.currentIndex = 2
    ui.curtainSlider.value = 25
    (curtain,) = nodes_named("[curtain]")
    wait(lambda: layers()[1] == curtain.GetID())
    empty = np.isnan(slicer.util.arrayFromVolume(curtain)).all(axis=(0, 1))
    right = matrix_of(curtain)[0, 0] * np.arange(len(empty)) + matrix_of(curtain)[0, 3]
    assert empty.sum() == 9
    assert right[empty].min() > right[~empty].max()


def test_checkerboard_of_a_volume_on_another_grid(section):
    import slicer

    ui = section.ui
    prediction = ui.comparePredictionSelector.currentNode()
    place(prediction, np.diag([-3.9, -3.9, 6.1, 1.0]))
    compared(section)
    assert "resampled" in section.ui.warningsLabel.text
    ui.compareViewCombo.currentIndex = 3
    assert not ui.curtainSlider.visible
    (board,) = nodes_named("[checkerboard]")
    wait(lambda: layers()[1] == board.GetID())
    assert np.abs(matrix_of(board) - matrix_of(ui.compareReferenceSelector.currentNode())).max() < 1e-6
    assert not board.GetSaveWithScene()
    array = slicer.util.arrayFromVolume(board)
    shown = ~np.isnan(array)
    assert 0.4 < shown.mean() < 0.6
    (resampled,) = [node for node in nodes_named("[resampled to Truth]") if node is not board]
    np.testing.assert_array_equal(array[shown], slicer.util.arrayFromVolume(resampled)[shown])
    k, j, i = (np.arange(n) * step // 25 for n, step in zip(array.shape, (6, 4, 4), strict=True))
    np.testing.assert_array_equal(shown, (k[:, None, None] + j[:, None] + i) % 2 == 1)


def test_moving_the_curtain_is_quick_in_a_large_volume(section):
    """The panel's own share of a move; a few slices of voxels are rewritten, not the volume."""
    import slicer

    views = sys.modules["MRITranslatePanel.compareviews"]
    reference = slicer.util.addVolumeFromArray(np.zeros((200, 256, 256), np.int16), name="Large")
    prediction = slicer.util.addVolumeFromArray(np.ones((200, 256, 256), np.int16), name="Other")
    ready = []
    mixed = views._Mixed(reference, prediction, True, 0.5, lambda: ready.append(True))
    mixed.setBoundary(0.3)  # while it is being filled
    wait(lambda: ready)
    assert np.isnan(slicer.util.arrayFromVolume(mixed.node)).sum() == 200 * 256 * round(0.3 * 256)
    times = []
    for percent in range(50, 60):
        started = time.perf_counter()
        mixed.setBoundary(percent / 100)
        times.append(time.perf_counter() - started)
    assert np.median(times) < 0.1
    assert np.isnan(slicer.util.arrayFromVolume(mixed.node)).sum() == 200 * 256 * round(0.59 * 256)
    mixed.remove()


def test_removing_a_volume_or_the_scene_ends_the_comparison(section):
    import slicer

    ui = section.ui
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    compared(section)
    slicer.mrmlScene.RemoveNode(ui.comparePredictionSelector.currentNode())
    ui.compareViewCombo.currentIndex = 2
    assert ui.compareResultLabel.text == ""
    assert ui.compareViewCombo.currentIndex == 0
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert nodes_named("[curtain]") == []
    reference = ui.compareReferenceSelector.currentNode()
    ui.comparePredictionSelector.setCurrentNode(near(reference))
    compared(section)
    ui.compareViewCombo.currentIndex = 2
    slicer.mrmlScene.Clear()
    assert nodes_named("[curtain]") == []
    assert not ui.compareExportButton.enabled
    assert ui.compareResultLabel.text == ""
    assert not ui.compareResultLabel.visible


def test_exporting(section, tmp_path):
    ui = section.ui
    compared(section)
    assert not ui.compareExportButton.enabled
    assert ".html" in ui.compareExportButton.toolTip
    before = nodes_of_scene()
    for name in ("report.html", "scores.csv"):
        ui.compareExportPath.currentPath = str(tmp_path / name)
        click_and_wait(section, ui.compareExportButton)
        assert f'Wrote "{tmp_path / name}"' in ui.statusLabel.text
        assert (tmp_path / name).stat().st_size > 100
    with (tmp_path / "scores.csv").open(newline="") as stream:
        rows = {row["measure"]: row["value"] for row in csv.DictReader(stream)}
    (table,) = [node for node in nodes_named("[scores]") if node.IsA("vtkMRMLTableNode")]
    assert [float(value) for value in rows.values()] == pytest.approx(numbers(table, 1))
    ui.compareExportPath.currentPath = str(tmp_path / "nowhere" / "report.html")
    click_and_wait(section, ui.compareExportButton)
    assert "does not exist" in ui.statusLabel.text
    ui.compareExportPath.currentPath = str(tmp_path / "report.docx")
    assert not ui.compareExportButton.enabled
    assert nodes_of_scene() == before


def test_nothing_holds_the_application_up(panel):
    """From the click to the views, and while the curtain of a large volume is drawn."""
    ui = panel.ui
    ui.compareSection.collapsed = False
    reference, prediction = volume((60, 256, 256), "Truth"), volume((60, 256, 256), "Prediction")
    ui.compareReferenceSelector.setCurrentNode(reference)
    ui.comparePredictionSelector.setCurrentNode(prediction)
    compared(panel)
    settle(panel)

    def comparing():
        ui.compareViewCombo.currentIndex = 0
        settle(panel)
        with Stalls() as stalls:
            compared(panel)
            settle(panel)
        return stalls

    def looking():
        ui.compareViewCombo.currentIndex = 0
        settle(panel)
        with Stalls() as stalls:
            for mode, name in ((3, "[checkerboard]"), (2, "[curtain]")):
                ui.compareViewCombo.currentIndex = mode
                (node,) = nodes_named(name)
                wait(lambda node=node: layers()[1] == node.GetID())
            for percent in range(40, 60, 4):
                ui.curtainSlider.value = percent
                settle(panel)
        return stalls

    judge("compare 256 x 256 x 60", comparing)
    judge("checkerboard and curtain of 256 x 256 x 60", looking)
    ui.compareSection.collapsed = True
