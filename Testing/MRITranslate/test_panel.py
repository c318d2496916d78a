"""The panel as a person uses it: clicks in the test host, the real worker process, the real MRML scene."""

import os
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from MRITranslateLib.errors import InputError
from Testing.MRITranslateLib.packages import CARDS, tiny_package

from .conftest import SLOW, TINY_CT, TINY_T2, choose_model, choose_target, click_and_wait, wait

SHAPE = (12, 40, 36)


def head(shape=SHAPE, name="Scan"):
    """A scalar volume node with a bright ellipsoid of smooth texture in the middle."""
    import slicer

    axes = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    texture = 500 + 200 * np.sin(6 * axes[1]) * np.cos(5 * axes[2])
    return slicer.util.addVolumeFromArray(np.where(inside, texture, 0).astype(np.float32), name=name)


def nodes_of_scene():
    import slicer

    scene = slicer.mrmlScene
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def start_slow_run(panel):
    """Begin a translation that takes long, and return when the worker is in the middle of it."""
    scan = head((64, 128, 128))
    choose_model(panel, SLOW)
    panel.ui.inputSelector.setCurrentNode(scan)
    before = nodes_of_scene()
    panel.ui.runButton.click()
    wait(lambda: "Translating" in panel.ui.stageLabel.text and panel.ui.progressBar.maximum == 100)
    return scan, before


def translate_again(panel):
    """The proof that the panel is usable: another run gives a result."""
    import slicer

    scan = head(name="Again")
    choose_model(panel, TINY_T2)
    panel.ui.inputSelector.setCurrentNode(scan)
    click_and_wait(panel, panel.ui.runButton)
    assert slicer.mrmlScene.GetFirstNodeByName("Again [synthetic T2]") is not None, panel.ui.statusLabel.text


def test_panel_is_narrow_enough_and_warns_of_its_limits(panel):
    assert panel.parent.minimumSizeHint.width() <= 350
    assert "Research use only" in panel.ui.disclaimerLabel.text
    assert panel.ui.disclaimerLabel.visible


def test_run_says_why_it_is_disabled(panel):
    assert not panel.ui.runButton.enabled
    assert "input volume" in panel.ui.runButton.toolTip
    head()
    assert panel.ui.runButton.enabled
    assert not panel.ui.explainButton.enabled
    assert "region" in panel.ui.explainButton.toolTip
    choose_target(panel, "realism")
    assert panel.ui.explainButton.enabled
    assert not panel.ui.explainSliceButton.enabled
    assert "slice by slice" in panel.ui.explainSliceButton.toolTip


def test_card_of_the_chosen_model_is_shown(panel):
    choose_model(panel, TINY_CT)
    assert "Tiny T1 to CT" in panel.ui.cardText.plainText
    assert panel.logic.getParameterNode().model == TINY_CT
    choose_model(panel, TINY_T2)
    assert "Tiny T1 to T2" in panel.ui.cardText.plainText


def test_phantom_button_gives_an_input_and_a_region(panel):
    import slicer

    click_and_wait(panel, panel.ui.phantomButton)
    assert panel.ui.inputSelector.currentNode().GetName() == "Phantom 1 T1"
    assert panel.ui.regionSelector.currentNode().GetName() == "Phantom 1 lesions"
    assert slicer.mrmlScene.GetFirstNodeByName("Phantom 1 CT").GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    assert panel.ui.explainButton.enabled


def test_translation_then_explanations(panel):
    import slicer

    nodes = panel.logic.loadPhantom(shape=(24, 64, 64))
    scan = nodes["t1"]
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.regionSelector.setCurrentNode(nodes["labels"])
    for name in ("Phantom 1 T1 [synthetic T2]", "Phantom 1 T1 [synthetic T2]_1"):
        click_and_wait(panel, panel.ui.runButton)
        assert name in panel.ui.statusLabel.text
        assert slicer.mrmlScene.GetFirstNodeByName(name) is not None
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    for target in ("region", "realism"):
        choose_target(panel, target)
        click_and_wait(panel, panel.ui.explainButton)
        heat = slicer.mrmlScene.GetFirstNodeByName(f"Phantom 1 T1 [heat map of {TINY_T2}, {target}]")
        assert heat is not None, panel.ui.statusLabel.text
        assert composite.GetBackgroundVolumeID() == scan.GetID()
        assert composite.GetForegroundVolumeID() == heat.GetID()
        assert composite.GetForegroundOpacity() == 0.5
    panel.ui.opacitySlider.value = 0.25
    assert composite.GetForegroundOpacity() == 0.25


def test_only_models_that_translate_are_offered(panel, models_folder):
    """Of a generator in the user's folder the panel says nothing, and a script that asks for it gets a sentence."""
    name = CARDS["generation"]["name"]
    folder = tiny_package(models_folder / name, task="generation")
    try:
        panel.enter()
        offered = [panel.ui.modelCombo.itemData(index) for index in range(panel.ui.modelCombo.count)]
        assert TINY_T2 in offered
        assert name not in offered
        with pytest.raises(InputError, match="choose a translation model"):
            panel.logic.translate(head(), name)
    finally:
        shutil.rmtree(folder)


def test_warnings_are_shown_until_the_next_run(panel):
    scan = sys.modules["MRITranslate"].MRITranslateLogic().loadPhantom(shape=(24, 64, 64))["t1"]
    spacing = scan.GetSpacing()
    scan.SetSpacing(30, *spacing[1:])
    panel.ui.inputSelector.setCurrentNode(scan)
    click_and_wait(panel, panel.ui.runButton)
    assert "Warning: The voxel spacing is 30 mm" in panel.ui.warningsLabel.text
    scan.SetSpacing(*spacing)
    click_and_wait(panel, panel.ui.runButton)
    assert panel.ui.warningsLabel.text == ""


def test_chosen_output_is_overwritten_and_named_synthetic(panel):
    import slicer

    scan, output = head(), head(name="T2")
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.outputSelector.setCurrentNode(output)
    before = nodes_of_scene()
    click_and_wait(panel, panel.ui.runButton)
    assert nodes_of_scene() == before
    assert output.GetName() == "T2 [synthetic T2]"
    assert output.GetAttribute("MRITranslate.SourceNodeName") == "Scan"
    panel.ui.outputSelector.setCurrentNode(scan)
    click_and_wait(panel, panel.ui.runButton)
    assert "input itself" in panel.ui.statusLabel.text
    assert slicer.util.arrayFromVolume(scan).max() > 600


def test_cancel(slow_model, panel):
    _, before = start_slow_run(panel)
    assert panel.ui.cancelButton.enabled
    start = time.monotonic()
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    assert time.monotonic() - start < 2.5  # it is one second, on a machine that is not busy with other things
    assert "cancelled" in panel.ui.statusLabel.text
    assert nodes_of_scene() == before
    translate_again(panel)


def test_closing_the_scene_stops_the_run(slow_model, panel):
    import slicer

    start_slow_run(panel)
    slicer.mrmlScene.Clear()
    empty = nodes_of_scene()
    wait(lambda: not panel.logic.running)
    assert "scene was closed" in panel.ui.statusLabel.text
    assert nodes_of_scene() == empty
    translate_again(panel)


def test_removing_the_input_stops_the_run(slow_model, panel):
    import slicer

    scan, before = start_slow_run(panel)
    removed = {scan.GetID(), scan.GetDisplayNodeID()}
    slicer.mrmlScene.RemoveNode(scan)
    wait(lambda: not panel.logic.running)
    assert "was removed" in panel.ui.statusLabel.text
    assert before - nodes_of_scene() <= removed
    assert nodes_of_scene() <= before
    translate_again(panel)


def test_killing_the_worker_is_survived(slow_model, panel):
    _, before = start_slow_run(panel)
    os.kill(sys.modules["MRITranslatePanel.worker"].sharedWorker().processId, signal.SIGKILL)
    wait(lambda: not panel.logic.running)
    assert "ended unexpectedly" in panel.ui.statusLabel.text
    assert nodes_of_scene() == before
    translate_again(panel)


@pytest.mark.parametrize(("value", "expected"), [(7.0, "everywhere"), (np.nan, "NaN")])
def test_volumes_that_cannot_be_translated(panel, value, expected):
    import slicer

    slicer.util.addVolumeFromArray(np.full(SHAPE, value, np.float32), name="Bad")
    before = nodes_of_scene()
    click_and_wait(panel, panel.ui.runButton)
    assert expected in panel.ui.statusLabel.text
    assert nodes_of_scene() == before


def test_leaving_and_coming_back_during_a_run(slow_model, panel):
    import slicer

    start_slow_run(panel)
    slicer.util.selectModule("SampleData")
    slicer.util.selectModule("MRITranslate")
    assert panel.ui.cancelButton.enabled
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    translate_again(panel)


def test_choices_are_kept_in_the_parameter_node(panel):
    parameters = panel.logic.getParameterNode()
    panel.ui.deviceCombo.currentIndex = 1
    panel.ui.methodCombo.currentIndex = 2
    panel.ui.opacitySlider.value = 0.7
    assert (parameters.device, parameters.method.value, parameters.opacity) == ("cpu", "hirescam", 0.7)
