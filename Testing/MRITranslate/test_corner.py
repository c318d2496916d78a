"""The notice in the corner of the slice views: there while something of ours is shown, and only then."""

import sys

import numpy as np
import pytest

from .conftest import TINY_T2, click_and_wait
from .test_panel import head

NOTICE = "SYNTHETIC - not for diagnosis"


def noticed():
    """Names of the slice views that show the notice."""
    import slicer

    names = set()
    for name in slicer.app.layoutManager().sliceViewNames():
        window = slicer.app.layoutManager().sliceWidget(name).sliceView().renderWindow()
        actors = window.GetRenderers().GetItemAsObject(0).GetActors2D()
        found = [actors.GetItemAsObject(index) for index in range(actors.GetNumberOfItems())]
        if any(actor.GetVisibility() and actor.GetInput() == NOTICE for actor in found):
            names.add(name)
    return names


def layers(**shown):
    """Show these in all slice views, and nothing else."""
    import slicer

    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(None)
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
    slicer.util.setSliceViewerLayers(**shown)
    slicer.app.processEvents()


def views():
    """Names of all slice views, those of earlier layouts too."""
    import slicer

    return set(slicer.app.layoutManager().sliceViewNames())


def test_scripts_need_no_panel_for_it(logic):
    """In every layer in which it is shown, and in those views only."""
    import slicer

    scan = head()
    layers(background=scan)
    assert noticed() == set()
    node = logic.translate(scan, TINY_T2)
    layers(background=node)
    assert noticed() == views()
    layers(background=scan)
    assert noticed() == set()
    layers(background=scan, foreground=node, foregroundOpacity=0.5)
    assert noticed() == views()
    layers(background=scan, foreground=node, foregroundOpacity=0.0)
    assert noticed() == set()
    levels = logic.explain(scan, TINY_T2, "realism").levels
    layers(background=scan, label=levels, labelOpacity=1.0)
    assert noticed() == views()
    slicer.mrmlScene.RemoveNode(levels)
    slicer.app.processEvents()
    assert noticed() == set()
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    red.SetBackgroundVolumeID(node.GetID())
    assert noticed() == {"Red"}
    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    assert noticed() == set()


def test_a_volume_that_becomes_synthetic_while_it_is_shown(logic):
    scan, output = head(), head(name="Output")
    layers(background=output)
    assert noticed() == set()
    logic.translate(scan, TINY_T2, outputNode=output)
    assert noticed() == views()


def test_views_of_a_later_layout_have_it(logic):
    import slicer

    manager = slicer.app.layoutManager()
    node = logic.translate(head(), TINY_T2)
    layers(background=node)
    before, arranged = set(manager.sliceViewNames()), manager.layout
    try:
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView)
        slicer.app.processEvents()
        new = set(manager.sliceViewNames()) - before
        assert new
        layers(background=node)
        assert noticed() == views()
    finally:
        manager.setLayout(arranged)


def test_it_can_be_switched_off_and_the_choice_is_kept(panel):
    import qt
    import slicer

    ui = panel.ui
    ui.inputSelector.setCurrentNode(head())
    click_and_wait(panel, ui.runButton)
    assert noticed() == views()
    assert ui.cornerCheck.checked
    try:
        ui.cornerCheck.click()
        assert noticed() == set()
        assert slicer.util.settingsValue("MRITranslate/CornerNotice", True, converter=slicer.util.toBool) is False
        slicer.util.selectModule("Welcome")
        slicer.util.selectModule("MRITranslate")
        assert not ui.cornerCheck.checked
        ui.cornerCheck.click()
        assert noticed() == views()
    finally:
        qt.QSettings().remove("MRITranslate/CornerNotice")


def test_it_goes_with_the_module_and_is_painted_once(logic):
    import slicer

    corner = sys.modules["MRITranslatePanel.corner"].cornerNotice()
    node = logic.translate(head(), TINY_T2)
    layers(background=node)
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    renderer = view.renderWindow().GetRenderers().GetItemAsObject(0)
    try:
        with_notice = amber(view)
        assert with_notice > 200
        corner.start()  # a second start adds nothing
        assert renderer.GetViewProps().GetNumberOfItems() == 1
        corner.stop()
        assert renderer.GetViewProps().GetNumberOfItems() == 0
        assert amber(view) == 0
        layers(background=head(name="Other"))
        layers(background=node)
        assert noticed() == set()
        corner.stop()
    finally:
        corner.start()
    assert noticed() == views()


def amber(view):
    """Pixels of the notice's colour in a view."""
    from Testing.host.sliceview import painted

    return int((np.abs(painted(view).astype(int) - [255, 199, 51]).max(axis=2) < 40).sum())


@pytest.mark.usefixtures("logic")
def test_without_views_it_does_nothing(monkeypatch):
    import slicer

    corner = sys.modules["MRITranslatePanel.corner"].CornerNotice()
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda app: None)
    corner.start()
    corner.enabled = corner.enabled
    corner.stop()
