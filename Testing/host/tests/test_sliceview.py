"""Slice images stand as in Slicer: the patient's right on the left, front or head on top."""

import numpy as np
import pytest
import slicer

from Testing.host.sliceview import painted, slice_image

SHAPE = (40, 50, 60)  # S, P, L: 1 mm voxels, first voxel is right, front, foot


@pytest.fixture
def centre(scene, host):
    """A volume centred on the origin, and a function that brightens one corner of it."""
    array = np.zeros(SHAPE, np.float32)
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])  # columns run to the patient's left, rows to the back, slices upwards
    matrix[:3, 3] = SHAPE[2] / 2, SHAPE[1] / 2, -SHAPE[0] / 2
    node = slicer.util.addVolumeFromArray(array, matrix, name="Corner")
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 1)

    def brighten(right, front, head):
        values = slicer.util.arrayFromVolume(node)
        values[:] = 0
        half = [slice(0, size // 2) for size in SHAPE]
        other = [slice(size // 2, None) for size in SHAPE]
        values[other[0] if head else half[0], half[1] if front else other[1], half[2] if right else other[2]] = 1
        slicer.util.arrayFromVolumeModified(node)
        slicer.util.setSliceViewerLayers(background=node, foreground=None, label=None)
        slicer.util.resetSliceViews()
        host.native.processEvents()

    return brighten


def bright_quarters(view, offset):
    """Which quarters of the image are bright: (left, top) for each."""
    logic = slicer.app.layoutManager().sliceWidget(view).sliceLogic()
    logic.SetSliceOffset(offset)
    image = slice_image(logic)
    found = set()
    for left in (True, False):
        for top in (True, False):
            # a step away from the centre, well within the volume
            x = image.width() / 2 + (-1 if left else 1) * image.width() / 16
            y = image.height() / 2 + (-1 if top else 1) * image.height() / 16
            if image.pixelColor(int(x), int(y)).red() > 128:
                found.add((left, top))
    return found


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("front", [True, False])
@pytest.mark.parametrize("head", [True, False])
def test_corner_lies_where_slicer_shows_it(centre, right, front, head):
    centre(right, front, head)
    # Each slice is taken on the bright side; offsets run to the head, the front and the left.
    assert bright_quarters("Red", 10 if head else -10) == {(right, front)}
    assert bright_quarters("Green", 10 if front else -10) == {(right, head)}
    assert bright_quarters("Yellow", -10 if right else 10) == {(front, head)}
    assert bright_quarters("Red", -10 if head else 10) == set()


def test_foreground_and_labels_are_composed(scene, host):
    red_half = np.zeros((4, 20, 20), np.uint8)
    red_half[:, :, :10] = 1
    grey = slicer.util.addVolumeFromArray(np.full((4, 20, 20), 100, np.float32), name="Grey")
    labels = slicer.util.addVolumeFromArray(red_half, name="Labels", nodeClassName="vtkMRMLLabelMapVolumeNode")
    grey.GetDisplayNode().AutoWindowLevelOff()
    grey.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    slicer.util.setSliceViewerLayers(background=grey, foreground=None, label=labels, labelOpacity=1.0, fit=True)
    host.native.processEvents()
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    image = slice_image(logic)
    seen = {image.pixelColor(x, image.height() // 2).getRgb()[:3] for x in range(0, image.width(), 3)}
    plain = {colour for colour in seen if colour[0] == colour[1] == colour[2] and 120 < colour[0] < 136}
    coloured = {colour for colour in seen if max(colour) - min(colour) > 60}
    assert plain
    assert coloured


def test_text_actors_of_a_view_are_drawn_where_they_stand(scene, host):
    import vtk

    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    renderer = view.renderWindow().GetRenderers().GetItemAsObject(0)
    actor = vtk.vtkTextActor()
    actor.SetInput("ABC")
    style = actor.GetTextProperty()
    style.SetColor(1, 0, 0)
    style.SetFontSize(24)
    style.SetJustificationToRight()
    place = actor.GetPositionCoordinate()
    place.SetCoordinateSystemToNormalizedViewport()
    place.SetValue(1.0, 0.5)
    renderer.AddViewProp(actor)

    def red():
        y, x = np.nonzero((painted(view) == [255, 0, 0]).all(axis=2))
        height, width, _ = painted(view).shape
        return np.stack([x / width, y / height], axis=1)

    try:
        found = red()
        assert len(found) > 20
        assert found[:, 0].min() > 0.4
        assert 0.2 < found[:, 1].min() < found[:, 1].max() <= 0.5
        actor.SetVisibility(False)
        assert len(red()) == 0
        actor.SetVisibility(True)
        place.SetCoordinateSystemToWorld()
        with pytest.raises(NotImplementedError):
            view._native_object()._draw_text_actors(None)
    finally:
        renderer.RemoveViewProp(actor)
