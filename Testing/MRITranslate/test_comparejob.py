"""A prediction held against the truth by a script: what comes into the scene, on any grid and under any transform."""

import json
import sys

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

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
