"""Nothing blocks the application: the event loop turns during every kind of job, from the click to the result."""

import contextlib
import sys

import numpy as np
import pytest

from Testing.benchmarks.stalls import Stalls
from Testing.MRITranslateLib.packages import CARDS, tiny_package

from .conftest import TINY_T2, choose_model, choose_target, click_and_wait, wait

MOST_MS = 100.0
TRIES = 10
"""While another test process computes on the same core, a run of 65 ms took 104 to 154 ms three times in a row."""
SHAPE = (60, 256, 256)
LARGE = (176, 256, 256)


@pytest.fixture(scope="module")
def generator(models_folder):
    name = CARDS["generation"]["name"]
    tiny_package(models_folder / name, task="generation")
    return name


@pytest.fixture
def scan(panel):
    return volume(SHAPE)


def volume(shape, name="Scan"):
    """A float32 scan in the views."""
    import slicer

    from .test_panel import head

    node = head(shape, name)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    slicer.app.processEvents()
    return node


def settle(panel):
    """The quiet look at the input is over, and everything painted."""
    import slicer

    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    panel._translate._domain._timer.stop()
    wait(lambda: not worker.busyQuietly)
    for _ in range(5):
        slicer.app.processEvents()


@contextlib.contextmanager
def unpainted():
    """Slice views that draw nothing: the host takes 60 ms and more for a picture, without a graphics card.

    The benchmark of the panel has that in its figures.
    """
    import slicer

    manager = slicer.app.layoutManager()
    views = [manager.sliceWidget(name).sliceView() for name in manager.sliceViewNames()]
    for view in views:
        view.updatesEnabled = False
    try:
        yield
    finally:
        for view in views:
            view.updatesEnabled = True


def judge(what, once):
    """Let `once()` give the stalls of one run. Other processes share the disk and the caches too: what holds the loop
    up does so every time, so that one quiet run acquits."""
    for _ in range(TRIES):
        with unpainted():
            stalls = once()
        print(f"{what}: longest stall {stalls.longest:.0f} ms (by the clock {max(stalls.wall):.0f} ms)")
        if stalls.longest < MOST_MS:
            return
    pytest.fail(f"{what}: {stalls.longest:.0f} ms")


def run(panel, what, button):
    def once():
        settle(panel)
        with Stalls() as stalls:
            click_and_wait(panel, button)
            settle(panel)
        said = panel.ui.statusLabel.text
        assert "Made" in said or "Loaded" in said, said
        return stalls

    judge(what, once)


def wait_for(panel, what, job):
    """A job that the panel has no button for."""

    def once():
        ended = []
        settle(panel)
        with Stalls() as stalls:
            panel.logic.start(job, None, lambda nodes, warnings: ended.append(nodes), ended.append)
            wait(lambda: ended)
            settle(panel)
        assert not isinstance(ended[0], Exception), ended
        return stalls

    judge(what, once)


def test_measures_what_holds_the_loop_up(panel):
    """The proof that the other tests can fail: computing and waiting for a disk both count."""
    import time

    import qt

    for hold in (lambda: time.sleep(0.15), lambda: sum(range(20_000_000))):
        with Stalls() as stalls:
            qt.QTimer.singleShot(10, hold)
            end = time.monotonic() + 1.0
            wait(lambda end=end: time.monotonic() > end)
        assert stalls.longest > MOST_MS


def test_phantom(panel):
    run(panel, "phantom", panel.ui.phantomButton)


def test_translation(panel, scan):
    panel.ui.inputSelector.setCurrentNode(scan)
    choose_model(panel, TINY_T2)
    run(panel, "translate 256 x 256 x 60", panel.ui.runButton)


def test_translation_with_maps_and_mask(panel):
    import slicer

    jobs = sys.modules["MRITranslatePanel.jobs"]
    large = volume((120, 256, 256), "Large")
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mask")
    mask.CreateDefaultDisplayNodes()
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(labels, (slicer.util.arrayFromVolume(large) > 0).astype(np.uint8))
    labels.CopyOrientation(large)
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, mask)
    slicer.app.processEvents()
    job = jobs.TranslateJob(large, TINY_T2, maskNode=mask, cycle=True)
    wait_for(panel, "translate 256 x 256 x 120 there and back, within a segmentation", job)


def test_explanation(panel, scan):
    panel.ui.inputSelector.setCurrentNode(scan)
    choose_target(panel, "realism")
    run(panel, "explain 256 x 256 x 60", panel.ui.explainButton)


def test_evaluation_and_check_of_a_large_volume(panel):
    jobs = sys.modules["MRITranslatePanel.jobs"]
    large, other = volume(LARGE), volume(LARGE, "Other")
    wait_for(panel, "evaluate 256 x 256 x 176", jobs.EvaluateJob(large, other))
    wait_for(panel, "check 256 x 256 x 176", jobs.CheckJob(large, TINY_T2))


def test_export_of_a_large_volume(panel, tmp_path):
    large = volume(LARGE)
    for name, value in (("Kind", "synthetic image"), ("Target", "T2"), ("SourceNodeID", large.GetID())):
        large.SetAttribute(f"MRITranslate.{name}", value)
    job = sys.modules["MRITranslatePanel.dicomexport"].ExportJob(large, str(tmp_path))
    wait_for(panel, "export 256 x 256 x 176", job)
    assert len(list(tmp_path.rglob("*.dcm"))) == LARGE[0]


def test_generation(generator, panel):
    panel.enter()
    panel.ui.generatorCombo.currentIndex = panel.ui.generatorCombo.findData(generator)
    run(panel, "generate", panel.ui.generateButton)


def test_preview_of_a_large_volume(panel):
    import slicer

    large = volume(LARGE)
    panel.ui.inputSelector.setCurrentNode(large)
    settle(panel)
    (section,) = (part for part in panel._sections if type(part).__name__ == "PreviewSection")
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()

    def once():
        with Stalls() as stalls:
            panel.ui.previewCheck.checked = True
            wait(lambda: section._shown is not None)
            for _ in range(10):
                logic.SetSliceOffset(logic.GetSliceOffset() + 1)
                before = section._shown
                wait(lambda before=before: section._shown != before)
            panel.ui.previewCheck.checked = False
        return stalls

    judge("preview 256 x 256 x 176", once)
