"""Regions as voxels of a volume: boxes against Slicer's own answer point by point, single segments, the panel."""

import sys

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

from .conftest import TINY_T2, choose_target, click_and_wait
from .test_explanations import by_name
from .test_panel import SHAPE, head
from .test_scene import grid, matrix_of, place


def turned(seed):
    """A rotation by any angle about any axis."""
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return matrix * np.sign(np.linalg.det(matrix))


def box(centre, size, axes=None, name="Box"):
    """A markups ROI; its axes are the columns of `axes`."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    node.SetSize(*size)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if axes is None else axes
    matrix[:3, 3] = centre
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def moved(node, matrix, name):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def mask_of(region, scan, segment=""):
    return sys.modules["MRITranslatePanel.regions"].maskArray(region, scan, segment)


def by_points(region, scan, stretched=False):
    """What Slicer says of every voxel centre; of a stretched box, whether it lies in the one that Slicer draws.

    (`IsPointInROIWorld` leaves the stretching out in newer Slicers, what is drawn does not.)
    """
    import slicer
    import vtk

    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(scan.GetParentTransformNode(), None, between)
    expected = np.zeros(tuple(reversed(scan.GetImageData().GetDimensions())), np.uint8)
    for k, j, i in np.ndindex(expected.shape):
        world = between.TransformPoint((matrix_of(scan) @ [i, j, k, 1])[:3])
        if stretched:
            local = region.GetObjectToWorldMatrix().NewInstance()
            local.DeepCopy(region.GetObjectToWorldMatrix())
            local.Invert()
            point = np.array(local.MultiplyPoint([*world, 1.0]))[:3]
            expected[k, j, i] = (np.abs(point) <= np.array(region.GetSize()) / 2).all() != region.GetInsideOut()
        else:
            expected[k, j, i] = region.IsPointInROIWorld(world)
    return expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("inside_out", [False, True])
def test_turned_boxes_under_transforms_are_exact(logic, seed, inside_out):
    """Voxel by voxel what Slicer's own box says, for boxes and volumes of any direction, each under a transform."""
    rng = np.random.default_rng(seed)
    scan = place(head((9, 17, 15)), grid((3.0, 2.1, 4.3), seed % 2 == 0))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned(seed + 10), rng.normal(scale=20, size=3)
    if seed % 3:
        moved(scan, matrix, "Moved scan")
    world = (matrix if seed % 3 else np.eye(4)) @ matrix_of(scan)
    centre = (world @ [7 + rng.normal(), 8 + rng.normal(), 4, 1])[:3]
    region = box(centre, rng.uniform(12, 34, size=3), turned(seed))
    if seed % 2:
        stretched = np.diag([1.1, 0.9, 1.2, 1.0])
        stretched[:3, 3] = centre - stretched[:3, :3] @ centre
        moved(region, stretched, "Stretched box")
    region.SetInsideOut(inside_out)
    mask = mask_of(region, scan)
    assert 0 < mask.sum() < mask.size
    np.testing.assert_array_equal(mask, by_points(region, scan, seed % 2 == 1))


def test_volume_of_a_box_is_that_of_its_voxels(logic):
    """Within the shell of voxels that its faces cut, and nearer the finer the voxels are."""
    size = np.array([31.0, 22.0, 27.0])
    errors = []
    for voxel in (2.0, 1.0, 0.5):
        extent = int(60 / voxel)
        scan = place(head((extent,) * 3), np.diag([voxel, voxel, voxel, 1.0]))
        mask = mask_of(box([30, 29, 31], size, turned(3)), scan)
        shell = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2]) * voxel * np.sqrt(3) / 2
        errors.append(abs(mask.sum() * voxel**3 - size.prod()))
        assert errors[-1] < shell
    assert errors[2] / size.prod() < 0.005


def test_a_face_through_voxel_centres_counts_them(logic):
    scan = place(head((10, 12, 14)), np.diag([1.0, 1.0, 1.0, 1.0]))
    mask = mask_of(box([5, 6, 4], [4, 2, 6]), scan)
    expected = np.zeros((10, 12, 14), np.uint8)
    expected[1:8, 5:8, 3:8] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("under", ["scan", "box"])
def test_box_under_a_curved_transform(logic, under):
    import slicer
    import vtk

    curved, points, ends = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(3, 3, 3):
        place_mm = 60.0 * np.array(corner) - 60
        points.InsertNextPoint(place_mm)
        ends.InsertNextPoint(place_mm + (6 if corner == (1, 1, 1) else 0))
    curved.SetSourceLandmarks(points)
    curved.SetTargetLandmarks(ends)
    curved.SetBasisToR()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Curved")
    transform.SetAndObserveTransformToParent(curved)
    scan = place(head((7, 12, 11)), grid((5, 4, 6), True))
    region = box((matrix_of(scan) @ [5, 6, 3, 1])[:3], (30, 22, 25), turned(1))
    straight = mask_of(region, scan)
    (scan if under == "scan" else region).SetAndObserveTransformNodeID(transform.GetID())
    mask = mask_of(region, scan)
    assert (mask != straight).any()
    np.testing.assert_array_equal(mask, by_points(region, scan, stretched=under == "box"))


def test_boxes_that_cannot_be_used(logic):
    import slicer

    scan = head()
    for region in (box([900, 0, 0], (5, 5, 5)), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Undrawn")):
        with pytest.raises(InputError, match="covers no voxel"):
            logic.explain(scan, TINY_T2, regionNode=region)


def test_a_large_box_does_not_hold_the_application_up(logic):
    import time

    scan = place(head((180, 256, 256)), grid((1.0, 0.9, 0.9), True))
    region = box((matrix_of(scan) @ [128, 128, 90, 1])[:3], (150, 150, 150), turned(2))
    best = min(_seconds(time.perf_counter, lambda: mask_of(region, scan)) for _ in range(3))
    assert best < 0.1


def _seconds(clock, work):
    start = clock()
    work()
    return clock() - start


def segmentation_of(scan, boxes):
    """Segments by name, each a block of voxels of the scan."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Parts")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    for name, block in boxes.items():
        identity = node.GetSegmentation().AddEmptySegment("", name)
        array = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
        array[block] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, identity, scan)
    return node


PARTS = {"Left": np.s_[3:6, 10:20, 5:15], "Right": np.s_[3:6, 10:20, 20:30]}


def test_one_segment_of_a_segmentation(logic):
    scan = place(head(), grid((1.0, 1.2, 3.0), True))
    parts = segmentation_of(scan, PARTS)
    identity = parts.GetSegmentation().GetSegmentIdBySegmentName("Right")
    expected = {name: np.zeros(SHAPE, np.uint8) for name in PARTS}
    for name, block in PARTS.items():
        expected[name][block] = 1
    np.testing.assert_array_equal(mask_of(parts, scan), expected["Left"] + expected["Right"])
    for segment in ("Right", identity):
        np.testing.assert_array_equal(mask_of(parts, scan, segment), expected["Right"])
    parts.GetDisplayNode().SetSegmentVisibility(identity, False)
    np.testing.assert_array_equal(mask_of(parts, scan), expected["Left"])
    np.testing.assert_array_equal(mask_of(parts, scan, "Right"), expected["Right"])
    with pytest.raises(InputError, match='no segment "Middle"; choose one of Left, Right'):
        mask_of(parts, scan, "Middle")


def test_segments_are_listed_and_explained(panel):
    import slicer

    scan = head()
    ui, parameters = panel.ui, panel.logic.getParameterNode()
    ui.inputSelector.setCurrentNode(scan)
    choose_target(panel, "region")
    assert not ui.segmentCombo.visible
    parts = segmentation_of(scan, PARTS)
    ui.regionSelector.setCurrentNode(parts)
    listed = [ui.segmentCombo.itemText(index) for index in range(ui.segmentCombo.count)]
    assert listed == ["All that are visible", "Left", "Right"]
    assert ui.segmentCombo.visible
    ui.segmentCombo.currentIndex = 2
    identity = parts.GetSegmentation().GetSegmentIdBySegmentName("Right")
    assert parameters.segment == identity
    parts.GetSegmentation().GetSegment(identity).SetName("Renamed")
    assert ui.segmentCombo.currentText == "Renamed"
    click_and_wait(panel, ui.explainButton)
    heat = by_name(f"Scan [heat map of {TINY_T2}, region]")
    assert heat is not None, ui.statusLabel.text
    alone = slicer.util.arrayFromVolume(heat).copy()
    parts.GetSegmentation().RemoveSegment(identity)
    assert parameters.segment == ""
    assert ui.segmentCombo.currentIndex == 0
    other, _ = panel.logic.explain(scan, TINY_T2, regionNode=parts)
    assert np.abs(slicer.util.arrayFromVolume(other) - alone).max() > 0.1
    ui.regionSelector.setCurrentNode(box((matrix_of(scan) @ [18, 20, 6, 1])[:3], (9, 9, 4)))
    assert not ui.segmentCombo.visible
    click_and_wait(panel, ui.explainButton)
    assert "Made" in ui.statusLabel.text
