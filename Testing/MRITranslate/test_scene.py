"""Results in the scene: place, names, units, display and provenance, on any grid; through the scripting interface."""

import json

import numpy as np
import pytest

from .conftest import TINY_CT, TINY_T2
from .test_panel import SHAPE, head, nodes_of_scene

OBLIQUE = np.array([[-0.9, 0.4, 0.2, 12.0], [0.3, 1.1, -0.9, -40.0], [-0.2, 0.5, 2.8, 7.5], [0, 0, 0, 1]])


def grid(spacing, flip):
    """IJK to RAS with oblique axes, the third one flipped or not."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * np.asarray(spacing) * np.array([1, 1, -1 if flip else 1])
    matrix[:3, 3] = OBLIQUE[:3, 3]
    return matrix


def place(node, matrix):
    import slicer

    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def matrix_of(node):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize(
    ("shape", "spacing", "flip"),
    [((11, 33, 29), (1.3, 0.9, 3.1), False), ((11, 33, 29), (1.3, 0.9, 3.1), True), ((1, 48, 41), (0.5, 0.5, 6), True)],
    ids=["oblique", "left-handed", "single slice"],
)
def test_output_lies_on_the_inputs_grid(logic, shape, spacing, flip):
    import slicer

    scan = place(head(shape), grid(spacing, flip))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(OBLIQUE))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    node = logic.translate(scan, TINY_T2)
    assert np.abs(matrix_of(node) - matrix_of(scan)).max() < 1e-6
    assert node.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    assert node.GetParentTransformNode() is transform
    assert slicer.util.arrayFromVolume(node).dtype == np.float32


def test_ct_is_declared_and_shown_as_ct(logic):
    node = logic.translate(head(), TINY_CT)
    assert node.GetName() == "Scan [synthetic CT]"
    quantity, units, display = node.GetVoxelValueQuantity(), node.GetVoxelValueUnits(), node.GetDisplayNode()
    assert (quantity.GetCodeValue(), quantity.GetCodingSchemeDesignator()) == ("112031", "DCM")
    assert (units.GetCodeValue(), units.GetCodingSchemeDesignator()) == ("[hnsf'U]", "UCUM")
    assert (display.GetWindow(), display.GetLevel()) == (100.0, 50.0)


def test_mr_is_declared_and_its_window_shows_the_foreground(logic):
    import slicer

    node = logic.translate(head(), TINY_T2)
    assert node.GetVoxelValueQuantity().GetCodeValue() == "110852"
    assert node.GetVoxelValueUnits().GetCodeValue() == "1"
    display, array = node.GetDisplayNode(), slicer.util.arrayFromVolume(node)
    assert not display.GetAutoWindowLevel()
    assert display.GetWindowLevelMin() == 0
    assert np.median(array) < display.GetWindowLevelMax() <= array.max()


def test_provenance(logic):
    scan = head()
    node = logic.translate(scan, TINY_T2)
    stated = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    assert stated["MRITranslate.Model"] == TINY_T2
    assert stated["MRITranslate.Version"] == "1.0.0"
    assert len(stated["MRITranslate.WeightsSHA256"]) == 64
    assert (stated["MRITranslate.SourceNodeID"], stated["MRITranslate.SourceNodeName"]) == (scan.GetID(), "Scan")
    chosen = {"model": TINY_T2, "device": "auto", "masked": False, "uncertainty": False, "cycle": False}
    assert json.loads(stated["MRITranslate.Parameters"]) == chosen
    assert "not for diagnosis" in stated["MRITranslate.Notice"]
    assert {f"MRITranslate.{key}" for key in ("Date", "Torch", "Python", "Slicer", "Extension", "Kind")} <= set(stated)


def test_results_of_a_run_share_a_folder_in_the_inputs_study(logic):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    scan = head()
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(scan), study)
    nodes = logic.explain(scan, TINY_T2, "realism")
    folders = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in nodes}
    assert len(folders) == 1
    assert hierarchy.GetItemParent(folders.pop()) == study
    first = logic.translate(scan, TINY_T2)
    second = logic.translate(scan, TINY_T2)
    items = [hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (first, second)]
    assert [hierarchy.GetItemParent(item) for item in items] == [study, study]
    assert len({hierarchy.GetItemName(item) for item in items}) == 2


def test_heat_map_and_levels(logic):
    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), True))
    heat, levels = logic.explain(scan, TINY_T2, "voxel", voxel=(18, 20, 6))
    array, labels = slicer.util.arrayFromVolume(heat), slicer.util.arrayFromVolume(levels)
    assert (heat.GetName(), levels.GetName()) == (
        f"Scan [heat map of {TINY_T2}, voxel]",
        f"Scan [heat levels of {TINY_T2}, voxel]",
    )
    assert array.min() >= 0
    assert array.max() == pytest.approx(1)
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 4}
    display = heat.GetDisplayNode()
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeFileInferno.txt"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert levels.IsA("vtkMRMLLabelMapVolumeNode")
    colours = levels.GetDisplayNode().GetColorNode()
    assert colours.GetName() == "MRITranslate heat levels"
    assert colours.GetColorName(4) == "strongest 3 %"
    for node in (heat, levels):
        assert np.abs(matrix_of(node) - matrix_of(scan)).max() < 1e-6
    again = logic.explain(scan, TINY_T2, "voxel", voxel=(18, 20, 6))
    assert again[1].GetDisplayNode().GetColorNode() is colours


def region_of(scan, kind, matrix, mask):
    """A segmentation or label map node on its own grid."""
    import slicer

    labels = slicer.util.addVolumeFromArray(mask.astype(np.uint8), matrix, "Region", "vtkMRMLLabelMapVolumeNode")
    if kind == "label map":
        return labels
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Region")
    segmentation.CreateDefaultDisplayNodes()
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, segmentation)
    slicer.mrmlScene.RemoveNode(labels)
    return segmentation


@pytest.mark.parametrize("kind", ["label map", "segmentation"])
def test_region_on_another_grid_and_under_another_transform(logic, kind):
    """The region reaches the worker as the voxels of the input that it covers in the world."""
    import sys

    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), False))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), False)))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    world = grid((1, 1, 1), False) @ matrix_of(scan)
    centre = world @ [18, 20, 6, 1]
    fine = np.diag([0.8, 0.8, 0.8, 1.0])
    fine[:3, 3] = centre[:3] - 0.8 * 20
    index = np.indices((40, 40, 40)) - 20
    region = region_of(scan, kind, fine, (index**2).sum(0) < 10**2)  # a ball of 8 mm
    before = nodes_of_scene()
    mask = sys.modules["MRITranslatePanel.regions"].maskArray(region, scan)
    assert nodes_of_scene() == before
    voxels = np.stack(np.nonzero(mask))[::-1]
    distances = np.linalg.norm((world @ np.vstack([voxels, np.ones(voxels.shape[1])]))[:3] - centre[:3, None], axis=0)
    assert distances.max() < 8 + 0.8
    assert mask.sum() * 1.0 * 1.2 * 3.0 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.1)
    heat, _ = logic.explain(scan, TINY_T2, regionNode=region)
    assert heat.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()


def test_region_under_a_curved_transform(logic):
    """Voxel by voxel: through the curved parent transform of the scan into the label map."""
    import sys

    import slicer
    import vtk

    curved, points, moved = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(3, 3, 3):
        place_mm = 60.0 * np.array(corner) - 60
        points.InsertNextPoint(place_mm)
        moved.InsertNextPoint(place_mm + (6 if corner == (1, 1, 1) else 0))
    curved.SetSourceLandmarks(points)
    curved.SetTargetLandmarks(moved)
    curved.SetBasisToR()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Curved")
    transform.SetAndObserveTransformToParent(curved)
    scan = place(head((5, 9, 7)), grid((5, 4, 6), True))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    inside = np.zeros((60, 60, 60), np.uint8)
    inside[10:40, 20:45, 15:50] = 1
    corner_mm = np.diag([2.0, 2.0, 2.0, 1.0])
    corner_mm[:3, 3] = (-60, -70, -50)
    labels = slicer.util.addVolumeFromArray(inside, corner_mm, "Box", "vtkMRMLLabelMapVolumeNode")
    mask = sys.modules["MRITranslatePanel.regions"].maskArray(labels, scan)
    expected = np.zeros_like(mask)
    for k, j, i in np.ndindex(mask.shape):
        world = curved.TransformPoint((matrix_of(scan) @ [i, j, k, 1])[:3])
        voxel = np.rint((np.linalg.inv(corner_mm) @ [*world, 1])[:3]).astype(int)
        if ((voxel >= 0) & (voxel < 60)).all():
            expected[k, j, i] = inside[tuple(voxel[::-1])]
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(mask, expected)


def test_regions_that_cannot_be_used(logic):
    import slicer

    from MRITranslateLib.errors import InputError

    scan = head()
    empty = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.uint8), None, "Empty", "vtkMRMLLabelMapVolumeNode")
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bare")
    before = nodes_of_scene()
    for node, sentence in ((None, "missing"), (empty, "covers no voxel"), (scan, "neither"), (bare, "covers no voxel")):
        with pytest.raises(InputError, match=sentence):
            logic.explain(scan, TINY_T2, regionNode=node)
    assert nodes_of_scene() - before <= {bare.GetDisplayNodeID()}


def test_inputs_that_are_no_scans(logic):
    import slicer

    from MRITranslateLib.errors import InputError

    labels = slicer.util.addVolumeFromArray(np.ones(SHAPE, np.uint8), None, "Labels", "vtkMRMLLabelMapVolumeNode")
    vector = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Vector")
    slicer.util.updateVolumeFromArray(vector, np.ones((*SHAPE, 3), np.float32).transpose(3, 0, 1, 2))
    bare = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Bare")
    gone = head(name="Gone")
    slicer.mrmlScene.RemoveNode(gone)
    cases = (
        (labels, "not a scan"),
        (vector, "values per voxel"),
        (bare, "no voxels"),
        (gone, "no longer"),
        (None, "missing"),
    )
    for node, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            logic.translate(node, TINY_T2)


def test_a_failure_while_adding_leaves_no_debris(logic, monkeypatch):
    import sys

    import slicer

    def fail(*arguments):
        raise OSError("the disk is full")

    scan = head()
    logic.explain(scan, TINY_T2, "realism")  # the colour table of the levels exists
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before, items = nodes_of_scene(), hierarchy.GetNumberOfItems()
    monkeypatch.setattr(sys.modules["MRITranslatePanel.results"], "setProvenance", fail)
    for run in (lambda: logic.translate(scan, TINY_T2), lambda: logic.explain(scan, TINY_T2, "realism")):
        with pytest.raises(OSError, match="disk is full"):
            run()
        assert nodes_of_scene() == before
        assert hierarchy.GetNumberOfItems() == items
    assert not logic.running


def test_scores_table(logic):
    import slicer

    scan = head()
    node = logic.translate(scan, TINY_T2)
    table = logic.evaluate(scan, node)
    assert table.IsA("vtkMRMLTableNode")
    assert table.GetName() == "Scan [synthetic T2] [scores]"
    names = [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())]
    assert any("psnr" in name.lower() for name in names)
    assert table.GetAttribute("MRITranslate.SourceNodeID") == node.GetID()
    assert slicer.mrmlScene.IsNodePresent(table)


def test_saved_scene_keeps_everything(logic, tmp_path):
    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), False))
    node = logic.translate(scan, TINY_CT)
    heat, levels = logic.explain(scan, TINY_T2, "realism")
    array, matrix = slicer.util.arrayFromVolume(node).copy(), matrix_of(node)
    names = [made.GetName() for made in (node, heat, levels)]
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    node, heat, levels = (slicer.mrmlScene.GetFirstNodeByName(name) for name in names)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)
    assert np.abs(matrix_of(node) - matrix).max() < 1e-4
    assert node.GetAttribute("MRITranslate.Model") == TINY_CT
    assert node.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    assert heat.GetDisplayNode().GetColorNodeID() == "vtkMRMLColorTableNodeFileInferno.txt"
    assert levels.GetDisplayNode().GetColorNode().GetColorName(4) == "strongest 3 %"
