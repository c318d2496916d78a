"""The live preview: what it shows is the slice of the whole translation, it never queues, and it leaves no trace."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from Testing.MRITranslateLib.packages import tiny_package_3d
from Testing.MRITranslateLib.test_geometry import rotation

from .conftest import TINY_CT, TINY_T2, choose_model, click_and_wait, wait
from .test_panel import head, nodes_of_scene, start_slow_run

VOLUMES = "tiny_volumes"
SHAPE = (16, 48, 40)


@pytest.fixture(scope="module")
def volumes_model(models_folder):
    tiny_package_3d(models_folder / VOLUMES, name=VOLUMES, title="Tiny volumes")


@pytest.fixture
def section(panel):
    """The preview of the panel, off at the end."""
    import slicer

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view(name).SetOrientation(orientation)
    (found,) = (part for part in panel._sections if type(part).__name__ == "PreviewSection")
    found.refresh()
    panel.ui.previewViewCombo.currentIndex = 0
    yield found
    panel.ui.previewCheck.checked = False
    wait(lambda: not worker().busyQuietly)


def worker():
    return sys.modules["MRITranslatePanel.worker"].sharedWorker()


def view(name="Red"):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()


def composite(name="Red"):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()


def place_scan(panel, spacing=(2.0, 2.0, 4.0), shape=SHAPE, name="Scan"):
    """A scan as the panel's input, in the views, its middle slice shown."""
    import slicer

    scan = head(shape, name)
    scan.SetSpacing(*spacing)
    scan.SetOrigin(-40, -48, -32)
    panel.ui.inputSelector.setCurrentNode(scan)
    slicer.util.setSliceViewerLayers(background=scan, foreground=None, fit=True)
    scroll(scan, shape[0] // 2)
    return scan


def scroll(scan, index, axis=2, name="Red"):
    """Move a view to a slice of the scan's voxels."""
    import slicer
    import vtk

    voxel = [n / 2 for n in scan.GetImageData().GetDimensions()]
    voxel[axis] = index
    matrix, point = vtk.vtkMatrix4x4(), [0.0, 0.0, 0.0]
    scan.GetIJKToRASMatrix(matrix)
    local = matrix.MultiplyPoint([*voxel, 1.0])[:3]
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(scan.GetParentTransformNode(), None, to_world)
    to_world.TransformPoint(local, point)
    view(name).JumpSliceByOffsetting(*point)


def switch_on(panel):
    panel.ui.previewCheck.checked = True


def wait_for_slice(section, index):
    wait(lambda: section._shown is not None and section._shown[2] == index and section._asked is None)
    return section._overlay.node


def preview_nodes():
    import slicer

    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetAttribute("MRITranslate.Kind") == "preview of a synthetic image"
    ]


def assert_equals_translation(panel, scan, node, axis, index):
    import slicer

    model = panel.ui.modelCombo.currentData
    full = slicer.util.arrayFromVolume(panel.logic.translate(scan, model))
    expected = np.take(full, [index], axis=2 - axis)
    shown = slicer.util.arrayFromVolume(node)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 1e-3 * np.ptp(full)


def test_shows_the_slice_of_the_whole_translation_where_it_lies(panel, section):
    import slicer

    scan = place_scan(panel)
    switch_on(panel)
    node = wait_for_slice(section, 8)
    assert node.GetName() == "Scan [preview of synthetic T2]"
    assert composite().GetForegroundVolumeID() == node.GetID()
    assert composite().GetForegroundOpacity() == 1.0
    assert composite().GetBackgroundVolumeID() == scan.GetID()
    for name in ("Yellow", "Green"):
        assert composite(name).GetForegroundVolumeID() is None
    assert node.GetAttribute("MRITranslate.SourceNodeName") == "Scan"
    assert node.GetAttribute("MRITranslate.Model") == TINY_T2
    assert len(node.GetAttribute("MRITranslate.WeightsSHA256")) == 64
    assert "not for diagnosis" in node.GetAttribute("MRITranslate.Notice")
    assert panel.ui.previewLabel.text == ""
    corner = sys.modules["MRITranslatePanel.corner"]
    assert corner.showsOwnVolume(composite())  # "SYNTHETIC - not for diagnosis"
    assert not corner.showsOwnVolume(composite("Green"))
    np.testing.assert_allclose(node.GetOrigin(), (-40, -48, -32 + 8 * 4))
    scroll(scan, 5)
    assert wait_for_slice(section, 5) is node
    np.testing.assert_allclose(node.GetOrigin(), (-40, -48, -32 + 5 * 4))
    copy = np.array(slicer.util.arrayFromVolume(node))
    panel.ui.previewCheck.checked = False
    assert preview_nodes() == []
    assert composite().GetForegroundVolumeID() is None
    full = slicer.util.arrayFromVolume(panel.logic.translate(scan, TINY_T2))
    assert np.abs(copy[0] - full[5]).max() <= 1e-3 * np.ptp(full)


def test_is_seen_in_the_view(panel, section):
    """The composed picture of the view is the synthetic slice's, all over, and follows the scrolling."""
    import slicer

    from Testing.host.sliceview import slice_image

    def picture():
        from PySide6 import QtGui

        image = slice_image(slicer.app.layoutManager().sliceWidget("Red").sliceLogic())
        image = image.convertToFormat(QtGui.QImage.Format.Format_Grayscale8)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : image.width()].astype(float)

    scan = place_scan(panel)
    switch_on(panel)
    node = wait_for_slice(section, 8)
    with_preview = picture()
    scroll(scan, 8.4)  # beside the middle of the slice it covers the input as well
    between = picture()
    scroll(scan, 8)
    display = node.GetDisplayNode()
    window = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    panel.ui.previewCheck.checked = False
    result = panel.logic.translate(scan, TINY_T2)
    result.GetDisplayNode().SetWindowLevelMinMax(*window)
    slicer.util.setSliceViewerLayers(foreground=result, foregroundOpacity=1.0)
    expected = picture()
    assert np.ptp(expected) > 100
    assert np.abs(with_preview - expected).max() <= 2
    assert np.abs(between - expected).max() <= 2


@pytest.mark.parametrize("model", [TINY_T2, TINY_CT])
def test_oblique_flipped_and_transformed_volumes(panel, section, model):
    import slicer

    scan = place_scan(panel)
    choose_model(panel, model)
    matrix = rotation((0.3, -0.2, 0.1)) @ np.diag([-2.0, 2.0, -4.0])
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = matrix, (12, -30, 7)
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(full))
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation((0.0, 0.15, 0.0)), (5, 6, 7)
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    scan.SetAndObserveTransformNodeID(moved.GetID())
    switch_on(panel)
    wait(lambda: "rotate it to the volume plane" in panel.ui.previewLabel.text)
    assert preview_nodes() == []
    view().RotateToVolumePlane(scan)
    scroll(scan, 6)
    node = wait_for_slice(section, 6)
    assert node.GetTransformNodeID() == moved.GetID()
    ours = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node))
    expected = full.copy()
    expected[:3, 3] += 6 * matrix[:, 2]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    if model == TINY_CT:
        assert node.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    scan.SetAndObserveTransformNodeID(None)
    assert node.GetTransformNodeID() is None
    switch_off_and_compare(panel, section, scan, 2, 6)


def _ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def switch_off_and_compare(panel, section, scan, axis, index):
    import slicer

    copy = np.array(slicer.util.arrayFromVolume(section._overlay.node))
    panel.ui.previewCheck.checked = False
    full = slicer.util.arrayFromVolume(panel.logic.translate(scan, panel.ui.modelCombo.currentData))
    assert np.abs(copy - np.take(full, [index], axis=2 - axis)).max() <= 1e-3 * np.ptp(full)


def test_sagittal_scan_is_sliced_as_the_model_sees_it(panel, section):
    """Stored slice by slice from left to right, translated by an axial model: its slices are the scan's rows."""
    import slicer

    scan = place_scan(panel, shape=(24, 40, 32))
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = (0, -2, 0), (0, 0, -3), (4, 0, 0), (-48, 30, 60)
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    scroll(scan, 11, axis=1)
    switch_on(panel)
    node = wait_for_slice(section, 11)
    assert node.GetImageData().GetDimensions() == (32, 1, 24)
    switch_off_and_compare(panel, section, scan, 1, 11)


def test_never_queues_and_ends_at_the_newest_slice(panel, section, monkeypatch):
    scan = place_scan(panel)
    switch_on(panel)
    wait_for_slice(section, 8)
    asked, most = [], [0]
    request = worker().request

    def counted(method, params, *rest):
        most[0] = max(most[0], len(worker()._requests()))
        asked.append(params["index"])
        request(method, params, *rest)

    monkeypatch.setattr(worker(), "request", counted)
    for index in (*range(16), 3):  # faster than anything can answer
        scroll(scan, index)
        assert len(asked) <= 1
    wait_for_slice(section, 3)
    assert len(asked) <= 2  # at most one on its way, then the newest
    assert asked[-1] == 3
    assert most[0] == 0


def test_lags_by_one_slice_at_most_while_scrolling(panel, section, monkeypatch):
    """Whenever a slice is asked for, it is the one that the view shows at that moment."""
    import slicer

    scan = place_scan(panel)
    switch_on(panel)
    wait_for_slice(section, 8)
    place, behind = [8], []
    request = worker().request

    def noted(method, params, *rest):
        behind.append(place[0] - params["index"])
        request(method, params, *rest)

    monkeypatch.setattr(worker(), "request", noted)
    for index in range(16):
        place[0] = index
        scroll(scan, index)
        for _ in range(3):
            slicer.app.processEvents()
    wait_for_slice(section, 15)
    assert len(behind) > 1
    assert set(behind) == {0}


def test_the_volume_is_sent_once(panel, section):
    import slicer

    folder = Path(worker().folder())
    before = set(folder.iterdir())  # of others

    def files():
        return set(folder.iterdir()) - before

    scan = place_scan(panel)
    switch_on(panel)
    wait_for_slice(section, 8)
    wait(lambda: len(files()) == 1)  # the volume; the slices, and what the look at the input took, are gone
    (first,) = files()
    for index in (7, 6, 5):
        scroll(scan, index)
        wait_for_slice(section, index)
        assert first in files()
    slicer.util.arrayFromVolume(scan)[:] *= 2
    slicer.util.arrayFromVolumeModified(scan)
    wait(lambda: first not in files())
    wait_for_slice(section, 5)
    wait(lambda: len(files()) == 1)
    panel.ui.previewCheck.checked = False
    wait(lambda: not files())


def test_gives_way_to_a_run_and_comes_back_with_the_next_slice(slow_model, panel, section):
    import slicer

    scan = place_scan(panel)
    switch_on(panel)
    wait_for_slice(section, 8)
    scroll(scan, 4)  # one is on its way
    slicer.app.processEvents()
    click_and_wait(panel, panel.ui.runButton)
    assert "Made" in panel.ui.statusLabel.text
    result = slicer.mrmlScene.GetFirstNodeByName("Scan [synthetic T2]")
    assert composite().GetForegroundVolumeID() == result.GetID()
    assert preview_nodes() == []
    scroll(scan, 9)
    node = wait_for_slice(section, 9)
    assert composite().GetForegroundVolumeID() == node.GetID()
    panel.ui.previewCheck.checked = False
    assert composite().GetForegroundVolumeID() == result.GetID()  # given back


def test_a_run_is_not_disturbed(slow_model, panel, section):
    import slicer

    panel.ui.previewCheck.checked = True
    scan, _ = start_slow_run(panel)
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    for index in range(20, 40):
        scroll(scan, index)
        slicer.app.processEvents()
    assert panel.logic.running
    assert not worker().busyQuietly
    assert preview_nodes() == []
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)


@pytest.mark.parametrize("how", ["module", "scene", "input", "model"])
def test_is_taken_away(panel, section, how):
    import slicer

    scan = place_scan(panel)
    other = head(name="Other")
    panel.ui.inputSelector.setCurrentNode(scan)
    switch_on(panel)
    node = wait_for_slice(section, 8)
    identity = node.GetID()
    if how == "module":
        slicer.util.selectModule("Welcome")
    elif how == "scene":
        slicer.mrmlScene.Clear()
    elif how == "input":
        panel.ui.inputSelector.setCurrentNode(other)
    else:
        choose_model(panel, TINY_CT)
    assert slicer.mrmlScene.GetNodeByID(identity) is None
    assert composite().GetForegroundVolumeID() is None
    if how == "module":
        slicer.util.selectModule("MRITranslate")
        wait_for_slice(section, 8)
    elif how == "scene":
        assert preview_nodes() == []
        assert len([name for name in nodes_of_scene() if "DisplayNode" in name and "Scalar" in name]) == 0
    elif how == "model":
        assert wait_for_slice(section, 8).GetName() == "Scan [preview of synthetic CT]"


def test_removing_the_input_or_the_preview_is_survived(panel, section):
    import slicer

    scan = place_scan(panel)
    switch_on(panel)
    slicer.mrmlScene.RemoveNode(wait_for_slice(section, 8))
    scroll(scan, 9)
    wait_for_slice(section, 9)
    scroll(scan, 10)
    slicer.mrmlScene.RemoveNode(scan)
    wait(lambda: not worker().busyQuietly)
    assert preview_nodes() == []


def test_is_neither_listed_nor_saved(panel, section, tmp_path):
    import slicer

    scan = place_scan(panel)
    switch_on(panel)
    node = wait_for_slice(section, 8)
    offered = [panel.ui.inputSelector.nodeFromIndex(n) for n in range(panel.ui.inputSelector.nodeCount())]
    assert scan in offered
    assert node not in offered
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(node) == 0
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    panel.ui.previewCheck.checked = False
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    names = [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLVolumeNode")]
    assert names == ["Scan"]
    assert not any("preview" in (n.GetName() or "") for n in slicer.util.getNodesByClass("vtkMRMLNode"))
    assert composite().GetForegroundVolumeID() is None


def test_a_view_can_be_chosen(panel, section):
    scan = place_scan(panel)
    combo = panel.ui.previewViewCombo
    assert [combo.itemText(n) for n in range(1, combo.count)] == ["Red", "Green", "Yellow"]
    combo.currentIndex = combo.findData("Green")
    switch_on(panel)
    wait(lambda: 'the view "Green" cuts through them' in panel.ui.previewLabel.text)
    view("Green").SetOrientation("Axial")
    scroll(scan, 5, name="Green")
    node = wait_for_slice(section, 5)
    assert composite("Green").GetForegroundVolumeID() == node.GetID()
    assert composite("Red").GetForegroundVolumeID() is None
    assert panel.ui.previewLabel.text == ""
    combo.currentIndex = 0
    wait_for_slice(section, 8)
    assert composite("Green").GetForegroundVolumeID() is None


def test_what_has_no_preview_gets_a_sentence(volumes_model, panel, section):
    import slicer

    panel.enter()
    scan = place_scan(panel)
    choose_model(panel, VOLUMES)
    switch_on(panel)
    wait(lambda: "whole volumes, not slices" in panel.ui.previewLabel.text)
    choose_model(panel, TINY_T2)
    wait_for_slice(section, 8)
    slicer.util.arrayFromVolume(scan)[:] = 7
    slicer.util.arrayFromVolumeModified(scan)
    wait(lambda: "everywhere" in panel.ui.previewLabel.text)
    assert preview_nodes() == []
    scroll(scan, 3)
    wait(lambda: section._asked is None)
    assert "everywhere" in panel.ui.previewLabel.text
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
    scroll(scan, 4)
    wait(lambda: "No slice view" in panel.ui.previewLabel.text)


def test_a_killed_worker_switches_it_off_with_a_sentence(panel, section):
    scan = place_scan(panel)
    switch_on(panel)
    wait_for_slice(section, 8)
    os.kill(worker().processId, signal.SIGSTOP)
    scroll(scan, 4)
    wait(lambda: section._asked is not None)
    os.kill(worker().processId, signal.SIGKILL)
    wait(lambda: not panel.ui.previewCheck.checked)
    assert preview_nodes() == []
    assert "ended unexpectedly" in panel.ui.previewLabel.text
    switch_on(panel)  # with a fresh process, to which the volume goes again
    wait_for_slice(section, 4)
