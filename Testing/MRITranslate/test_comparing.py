"""A prediction held against the truth: as a script does it, and in the panel with its views and files."""

import csv
import json
import sys
import time

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

from .conftest import click_and_wait, wait
from .test_generating import folder_of, matrix_of, numbers, texts
from .test_panel import SHAPE, head, nodes_of_scene
from .test_scene import OBLIQUE, grid, place

ODD = 'Scan "1" & <b>it\'s</b> / ä'


def near(node, amount=20.0, name="Prediction"):
    """A volume on the grid of another one, with a smooth error of up to `amount`."""
    import slicer

    array = slicer.util.arrayFromVolume(node).astype(np.float32)
    array += amount * np.sin(np.arange(array.shape[1]) / 3)[:, None].astype(np.float32)
    made = slicer.util.addVolumeFromArray(array, name=name)
    return place(made, matrix_of(node))


def as_ct(node):
    """The same volume, in Hounsfield units and declared as such."""
    import slicer

    from MRITranslateLib.modality import modality

    array = slicer.util.arrayFromVolume(node)
    slicer.util.updateVolumeFromArray(node, np.where(array > 0, array, -1000.0).astype(np.float32))
    sys.modules["MRITranslatePanel.results"].setQuantity(node, modality("CT"))
    return node


def transform(matrix, name="Moved"):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix)))
    return node


# ---------------------------------------------------------------------------------------------- as a script does


def test_everything_that_a_comparison_makes(logic):
    import slicer

    reference = place(head(name="Truth"), grid((1.0, 1.2, 3.0), True))
    moved = transform(OBLIQUE)
    reference.SetAndObserveTransformNodeID(moved.GetID())
    prediction = near(reference)
    prediction.SetAndObserveTransformNodeID(moved.GetID())
    found = logic.compare(reference, prediction)
    assert found.warnings == []
    assert found.resampled is None
    assert (found.unit, found.facts["protocol"], found.facts["modality"]) == ("of full scale", "plain", "MR")
    assert {"mae", "psnr", "ssim", "ms_ssim", "dice_foreground"} <= set(found.scores)
    difference = found.difference
    assert difference.GetName() == "Prediction [difference to Truth]"
    assert np.abs(matrix_of(difference) - matrix_of(reference)).max() < 1e-6
    assert difference.GetParentTransformNode() is moved
    display = difference.GetDisplayNode()
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeFileDivergingBlueRed.txt"
    assert not display.GetAutoWindowLevel()
    assert display.GetWindowLevelMin() == -display.GetWindowLevelMax() < 0
    assert texts(found.table) == list(found.scores)
    assert numbers(found.table, 1) == pytest.approx(list(found.scores.values()))
    assert found.table.GetCellText(0, 2) == "of full scale"
    assert found.table.GetCellText(0, 3) == "plain"
    errors = numbers(found.slices, 1)
    assert len(errors) == SHAPE[0]
    voxels = numbers(found.slices, 2)
    assert np.nansum(np.multiply(errors, voxels)) / np.sum(voxels) == pytest.approx(found.scores["mae"], rel=1e-4)
    assert sum(numbers(found.histogram, 2)) == sum(voxels) > 0
    series = found.chart.GetNthPlotSeriesNode(0)
    assert series.GetTableNode() is found.slices
    assert series.GetYColumnName() == found.slices.GetColumnName(1)
    made = (difference, found.table, found.slices, found.histogram, found.chart, series)
    assert len({folder_of(node) for node in made}) == 1
    for node in made:
        assert node.GetAttribute("MRITranslate.SourceNodeID") == prediction.GetID()
        assert "not for diagnosis" in node.GetAttribute("MRITranslate.Notice")
        assert node.GetAttribute("MRITranslate.Protocol") == "plain"
        assert node.GetNodeReference("MRITranslate.reference") is reference
    assert json.loads(difference.GetAttribute("MRITranslate.Parameters"))["modality"] == "MR"
    assert all(png.startswith(b"\x89PNG") for png in found.pictures.values())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = {prediction.GetID(), reference.GetID(), moved.GetID()}
    hierarchy.RemoveItem(folder_of(difference), True, True)
    assert before <= nodes_of_scene()
    assert not any(slicer.mrmlScene.IsNodePresent(node) for node in made)


def test_ct_is_what_the_reference_is_declared_to_be(logic):
    import slicer

    reference = as_ct(head())
    prediction = near(reference)
    found = logic.compare(reference, prediction)
    assert found.unit == "HU"
    table = logic.evaluate(reference, prediction)
    assert numbers(table, 1)[0] == pytest.approx(found.scores["mae"])
    assert found.difference.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    assert found.difference.GetVoxelValueQuantity() is None  # a difference is no attenuation
    array = [slicer.util.arrayFromVolume(node) for node in (reference, prediction, found.difference)]
    np.testing.assert_allclose(array[2], array[1] - array[0], atol=1e-3)
    assert {"dice_bone", "dice_soft_tissue"} <= set(found.scores)
    assert found.table.GetCellText(0, 2) == "HU"
    challenge = logic.compare(reference, prediction, protocol="synthrad2023")
    assert set(challenge.scores) == {"mae", "psnr", "ssim"}
    assert challenge.table.GetCellText(0, 3) == "synthrad2023"
    assert logic.compare(reference, prediction, modality="MR").unit == "of full scale"


@pytest.mark.parametrize("kind", ["label map", "segmentation"])
def test_only_the_mask_counts(logic, kind):
    import slicer

    reference = as_ct(head())
    array = slicer.util.arrayFromVolume(reference).copy()
    array[:, :20] += 30
    prediction = slicer.util.addVolumeFromArray(array, name="Prediction")
    inside = np.zeros(SHAPE, np.uint8)
    inside[4:9, 5:30, 10:25] = 1
    mask = slicer.util.addVolumeFromArray(inside, None, "Mask", "vtkMRMLLabelMapVolumeNode")
    if kind == "segmentation":
        labels, mask = mask, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segments")
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, mask)
    found = logic.compare(reference, prediction, mask)
    assert found.scores["mae"] == pytest.approx(30 * 15 / 25)
    assert found.facts["mask"] == "given mask"
    assert sum(numbers(found.slices, 2)) == inside.sum()


def test_the_same_place_under_different_transforms(logic):
    """Other voxel axes, other transforms, one place in the world: there is no error."""
    import slicer

    reference = place(head(), grid((1.0, 1.2, 3.0), False))
    reference.SetAndObserveTransformNodeID(transform(OBLIQUE).GetID())
    world = OBLIQUE @ matrix_of(reference)
    prediction = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(reference).copy(), name="Prediction")
    place(prediction, np.diag([2.0, 1.5, -1.0, 1.0]))
    prediction.SetAndObserveTransformNodeID(transform(world @ np.linalg.inv(matrix_of(prediction)), "Back").GetID())
    found = logic.compare(reference, prediction)
    assert found.scores["mae"] < 1e-4
    assert len(found.warnings) == 1
    assert "resampled" in found.warnings[0]
    assert found.resampled.GetName() == "Prediction [resampled to Scan]"
    assert found.resampled.GetParentTransformNode() is reference.GetParentTransformNode()
    assert np.abs(matrix_of(found.resampled) - matrix_of(reference)).max() < 1e-6
    array = [slicer.util.arrayFromVolume(node) for node in (reference, found.resampled)]
    np.testing.assert_allclose(array[1], array[0], atol=0.1)
    prediction.SetAndObserveTransformNodeID(None)
    with pytest.raises(InputError, match="wholly outside"):
        logic.compare(reference, place(prediction, np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 9e3))


def test_a_curved_transform_is_followed(logic):
    """Beside the value of the prediction at the place where vtk moves each voxel of the reference."""
    import slicer
    import vtk

    reference = place(head((10, 24, 22)), grid((1.5, 1.4, 3.0), True))
    middle = matrix_of(reference) @ [10.5, 11.5, 4.5, 1]
    curved, points, moved = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(3, 3, 3):
        place_mm = 40.0 * np.array(corner) - 40 + middle[:3]
        points.InsertNextPoint(place_mm)
        moved.InsertNextPoint(place_mm + (4 if corner == (1, 1, 1) else 0))
    curved.SetSourceLandmarks(points)
    curved.SetTargetLandmarks(moved)
    curved.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Curved")
    node.SetAndObserveTransformToParent(curved)
    reference.SetAndObserveTransformNodeID(node.GetID())
    k, j, i = np.meshgrid(*[np.arange(50.0)] * 3, indexing="ij")
    ramp = (100 + 3 * i - 2 * j + 4 * k).astype(np.float32)  # linear: what lies between voxels is known
    corner = np.diag([2.0, 2.0, 2.0, 1.0])
    corner[:3, 3] = middle[:3] - 50
    prediction = slicer.util.addVolumeFromArray(ramp, corner, "Prediction")
    found = logic.compare(reference, prediction)
    (note,) = [text for text in found.warnings if "curved transform" in text]
    error = float(note.split("within ")[1].split(" mm")[0])
    assert 0 < error < 1
    made = slicer.util.arrayFromVolume(found.resampled)
    worst = largest = 0.0
    for index in np.ndindex(made.shape):
        start = (matrix_of(reference) @ [*index[::-1], 1])[:3]
        world = np.array(curved.TransformPoint(start))
        voxel = (world - corner[:3, 3]) / 2
        expected = 100 + voxel @ [3, -2, 4]
        worst = max(worst, abs(made[index] - expected))
        largest = max(largest, np.linalg.norm(world - start))
    assert largest > 3
    assert worst < 2.5 * 1.5 * error + 0.1  # the ramp climbs by less than 2.7 a millimetre


def test_what_cannot_be_compared(logic, tmp_path):
    import slicer

    scan = head()
    labels = slicer.util.addVolumeFromArray(np.ones(SHAPE, np.uint8), None, "Labels", "vtkMRMLLabelMapVolumeNode")
    constant = slicer.util.addVolumeFromArray(np.full(SHAPE, 7.0, np.float32), name="Constant")
    other = near(scan)
    before = nodes_of_scene()
    for options, sentence in (
        ({"predictionNode": None}, "missing"),
        ({"predictionNode": labels}, "not a scan"),
        ({"predictionNode": scan}, "itself"),
        ({"predictionNode": constant}, "everywhere"),
        ({"predictionNode": other, "protocol": "synthrad2025"}, "scores CT"),
        ({"predictionNode": other, "mask": scan}, "neither"),
    ):
        with pytest.raises(InputError, match=sentence):
            logic.compare(scan, **options)
    assert nodes_of_scene() == before


def test_a_report_of_volumes_with_odd_names(logic, tmp_path):
    reference, prediction = head(name=ODD), None
    prediction = near(reference, name="<i>Made</i>")
    before = nodes_of_scene()
    found = logic.compare(reference, prediction, report=tmp_path / "a.html")
    assert found.difference.GetName() == f"<i>Made</i> [difference to {ODD}]"
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "Scan &quot;1&quot; &amp; &lt;b&gt;it&#x27;s&lt;/b&gt; / ä" in page
    assert "<i>" not in page
    made = nodes_of_scene() - before
    job = sys.modules["MRITranslatePanel.comparejob"].ReportJob
    assert logic.wait(job(reference, prediction, path=str(tmp_path / "a.csv"))) == str(tmp_path / "a.csv")
    assert nodes_of_scene() - before == made  # writing adds nothing
    for path in ("a.pdf", "nowhere/a.html"):
        with pytest.raises(InputError, match=r"end with|does not exist"):
            logic.wait(job(reference, prediction, path=str(tmp_path / path)))


# ---------------------------------------------------------------------------------------------- in the panel


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


def compared(section):
    click_and_wait(section, section.ui.compareButton)
    assert "Prediction [scores]" in section.ui.statusLabel.text, section.ui.statusLabel.text


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
    assert not ui.exportButton.enabled
    assert "Compare first" in ui.exportButton.toolTip
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
    assert not ui.exportButton.enabled
    assert ui.compareResultLabel.text == ""
    assert not ui.compareResultLabel.visible


def test_exporting(section, tmp_path):
    ui = section.ui
    compared(section)
    assert not ui.exportButton.enabled
    assert ".html" in ui.exportButton.toolTip
    before = nodes_of_scene()
    for name in ("report.html", "scores.csv"):
        ui.exportPath.currentPath = str(tmp_path / name)
        click_and_wait(section, ui.exportButton)
        assert f'Wrote "{tmp_path / name}"' in ui.statusLabel.text
        assert (tmp_path / name).stat().st_size > 100
    with (tmp_path / "scores.csv").open(newline="") as stream:
        rows = {row["measure"]: row["value"] for row in csv.DictReader(stream)}
    (table,) = [node for node in nodes_named("[scores]") if node.IsA("vtkMRMLTableNode")]
    assert [float(value) for value in rows.values()] == pytest.approx(numbers(table, 1))
    ui.exportPath.currentPath = str(tmp_path / "nowhere" / "report.html")
    click_and_wait(section, ui.exportButton)
    assert "does not exist" in ui.statusLabel.text
    ui.exportPath.currentPath = str(tmp_path / "report.docx")
    assert not ui.exportButton.enabled
    assert nodes_of_scene() == before


def test_the_application_stays_alive_while_comparing(section):
    """As of translating: a timer of the event loop is not late."""
    import qt

    gaps, last = [], [None]

    def tick():
        now = time.monotonic()
        if last[0] is not None:
            gaps.append(now - last[0])
        last[0] = now

    compared(section)  # the worker is warm
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", tick)
    timer.start()
    section.ui.compareViewCombo.currentIndex = 0
    section.ui.compareButton.click()
    wait(lambda: not section.logic.running)
    timer.stop()
    assert max(gaps) < 0.5
