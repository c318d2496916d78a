"""Whether the input fits the model: the line of the panel, which never gets in the way, and the scripting interface."""

import pytest

from .conftest import TINY_T2, choose_model, click_and_wait, wait
from .test_explanations import by_name
from .test_panel import nodes_of_scene


def test_check_of_the_input_is_shown_and_never_in_the_way(panel):
    import slicer

    nodes = panel.logic.loadPhantom(shape=(24, 64, 64))
    panel.ui.inputSelector.setCurrentNode(nodes["t1"])
    choose_model(panel, TINY_T2)
    before = nodes_of_scene()
    wait(lambda: "Looks like T1" in panel.ui.domainLabel.text)
    assert "16702f" in panel.ui.domainLabel.styleSheet  # fits
    assert nodes_of_scene() == before
    panel.ui.inputSelector.setCurrentNode(nodes["ct"])
    assert panel.ui.domainLabel.text == ""
    wait(lambda: "looks like a CT" in panel.ui.domainLabel.text)
    assert "b3261e" in panel.ui.domainLabel.styleSheet  # refused
    panel.ui.inputSelector.setCurrentNode(nodes["t2"])
    wait(lambda: "looks like a T2" in panel.ui.domainLabel.text)
    assert "855600" in panel.ui.domainLabel.styleSheet  # warned
    panel.ui.inputSelector.setCurrentNode(nodes["t1"])
    wait(lambda: panel.logic._quietRun is not None)
    assert not panel.logic.running
    click_and_wait(panel, panel.ui.runButton)  # it does not have to wait for the look
    assert by_name("Phantom 1 T1 [synthetic T2]") is not None, panel.ui.statusLabel.text
    wait(lambda: "Looks like T1" in panel.ui.domainLabel.text)
    slicer.mrmlScene.Clear()
    assert not panel.ui.domainLabel.visible


def test_script_checks_an_input(logic):
    nodes = logic.loadPhantom(shape=(24, 64, 64))
    domain = logic.check(nodes["t1"], "t1_to_t2")
    assert domain.contrast == "T1"
    assert domain.outcome == "warn"
    assert all("voxel spacing" in reason for reason in domain.reasons)
    assert logic.check(nodes["t1"], TINY_T2)[:2] == ("ok", [])
    assert sum(domain.probabilities.values()) == pytest.approx(1, abs=1e-3)
    refused = logic.check(nodes["ct"], "t1_to_t2")
    assert refused.outcome == "refuse"
    assert refused.reasons
