"""The Translate section: what it offers as input, as models and as devices, in which order, and what a mask does."""

import sys

import numpy as np
import pytest

from MRITranslateLib import list_models

from .conftest import TINY_CT, TINY_T1, TINY_T2, choose_model, click_and_wait, wait
from .test_explanations import by_name
from .test_panel import SHAPE, head
from .test_regions import box, segmentation_of
from .test_scene import grid, matrix_of, place


def made_for(contrast, fits=True):
    """Names of the installed translators from a contrast, or from all others, by title."""
    found = [model for model in list_models() if model.task == "translation" and (model.source == contrast) == fits]
    return [model.name for model in sorted(found, key=lambda model: model.title.casefold())]


def listed(combo):
    return [combo.itemData(index) for index in range(combo.count)]


def nodes_listed(selector):
    return {selector.nodeFromIndex(index).GetName() for index in range(selector.nodeCount())}


@pytest.fixture
def others(panel):
    """What is no scan, though of a class derived from that of scans."""
    import slicer

    slicer.util.addVolumeFromArray(np.ones(SHAPE, np.uint8), None, "Labels", "vtkMRMLLabelMapVolumeNode")
    for name in ("VectorVolume", "DiffusionWeightedVolume", "DiffusionTensorVolume"):
        slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{name}Node", name)


def test_only_scalar_volumes_are_offered(others, panel):
    assert panel.ui.inputSelector.currentNode() is None
    assert nodes_listed(panel.ui.inputSelector) == set()
    head()
    assert nodes_listed(panel.ui.inputSelector) == {"Scan"}


def test_first_input_is_a_scan(others, panel):
    """Entering the panel takes the first scan of the scene, and nothing of a derived class."""
    import slicer

    slicer.util.selectModule("Welcome")
    panel.logic.getParameterNode().inputVolume = None
    slicer.util.selectModule("MRITranslate")
    assert panel.logic.getParameterNode().inputVolume is None
    scan = head()
    panel.logic.getParameterNode().inputVolume = None
    panel.initializeParameterNode()
    assert panel.logic.getParameterNode().inputVolume is scan


def test_models_that_fit_come_first(panel):
    """By title until the contrast is known, then those made for it; the choice stays, and the line names what fits."""
    combo = panel.ui.modelCombo
    titles = [combo.itemText(index) for index in range(combo.count)]
    assert titles == sorted(titles, key=str.casefold)
    nodes = panel.logic.loadPhantom(shape=(24, 64, 64))
    panel.ui.inputSelector.setCurrentNode(nodes["t2"])
    wait(lambda: "looks like a T2" in panel.ui.domainLabel.text)
    assert combo.currentData == panel.logic.getParameterNode().model == TINY_T2
    made, others = made_for("T2"), made_for("T2", fits=False)
    assert {"t2_to_t1", TINY_T1} <= set(made)
    assert listed(combo) == [*made, None, *others]  # the line is an entry without a name
    titles = {model.name: model.title for model in list_models()}
    fitting = ", ".join(f'"{titles[name]}"' for name in made)
    assert f"Made for T2: {fitting}." in panel.ui.domainLabel.text
    choose_model(panel, TINY_T1)
    assert listed(combo) == [*made, None, *others]
    wait(lambda: "Looks like T2" in panel.ui.domainLabel.text)
    assert "Made for" not in panel.ui.domainLabel.text
    panel.ui.inputSelector.setCurrentNode(nodes["t1"])
    assert None not in listed(combo)
    wait(lambda: "looks like a T1" in panel.ui.domainLabel.text)
    assert listed(combo) == [*made_for("T1"), None, *made_for("T1", fits=False)]
    assert combo.currentData == TINY_T1
    panel.ui.inputSelector.setCurrentNode(nodes["ct"])
    wait(lambda: panel.ui.domainLabel.text)
    assert "No installed model is made for CT." in panel.ui.domainLabel.text
    assert None not in listed(combo)
    panel.enter()
    assert combo.currentData == TINY_T1


def test_list_of_models_keeps_still_while_it_is_open(panel):
    combo = panel.ui.modelCombo
    before = listed(combo)
    combo.showPopup()
    panel._translate._models.prefer("T2")
    assert listed(combo) == before
    combo.hidePopup()
    wait(lambda: listed(combo) != before, 5)
    assert listed(combo)[: len(made_for("T2"))] == made_for("T2")


def test_plane_is_said_of_a_model(panel):
    assert "Computes axial slices" in panel.ui.cardText.plainText


def fresh_devices(panel):
    """As in a panel that has asked for nothing yet."""
    section = panel._translate._devices
    section._found, section._unknown = None, ""
    section.show(panel.logic.getParameterNode())
    return section


def test_devices_with_their_free_memory(panel):
    """Known after a run, or when asked for; never asked for by opening the panel."""
    fresh_devices(panel)
    combo = panel.ui.deviceCombo
    assert listed(combo) == ["auto", "cpu", "?"]
    panel.enter()
    wait(lambda: not panel._translate._devices._timer.active)
    assert listed(combo) == ["auto", "cpu", "?"]
    combo.currentIndex = 2
    assert combo.currentData == "auto"
    assert panel.logic.getParameterNode().device == "auto"
    assert "Looking" in panel.ui.deviceNote.text
    wait(lambda: "?" not in listed(combo))
    assert "Looking" not in panel.ui.deviceNote.text
    assert listed(combo)[:2] == ["auto", "cpu"]
    assert "GB free" in combo.itemText(1)
    combo.currentIndex = 1
    assert panel.logic.getParameterNode().device == "cpu"
    assert panel.ui.deviceNote.text == ""


def test_devices_are_known_after_a_run(panel):
    fresh_devices(panel)
    head()
    click_and_wait(panel, panel.ui.runButton)
    wait(lambda: "?" not in listed(panel.ui.deviceCombo))
    assert panel.ui.deviceNote.text == ""


def test_device_of_another_computer_falls_back_with_a_sentence(panel):
    fresh_devices(panel)
    panel.logic.getParameterNode().device = "cuda:7"
    assert panel.ui.deviceCombo.currentData == "cuda:7"
    wait(lambda: panel.logic.getParameterNode().device == "auto")
    assert "no device cuda:7" in panel.ui.deviceNote.text
    assert panel.ui.deviceCombo.currentData == "auto"


def test_script_asks_for_devices(logic):
    devices = logic.devices()
    assert devices[0].name == "cpu"
    assert devices[0].freeBytes > 1 << 20


def mask_cases(scan):
    import slicer

    inside = np.zeros(SHAPE, np.uint8)
    inside[4:8, 12:30, 10:25] = 1
    labels = slicer.util.addVolumeFromArray(inside, None, "Mask", "vtkMRMLLabelMapVolumeNode")
    labels.CopyOrientation(scan)
    parts = segmentation_of(scan, {"Middle": np.s_[4:8, 12:30, 10:25]})
    region = box((matrix_of(scan) @ [18, 20, 6, 1])[:3], (14, 15, 12), name="Mask box")
    return labels, parts, region


@pytest.mark.parametrize("case", [0, 1, 2], ids=["label map", "segmentation", "box"])
def test_mask_limits_the_result(panel, case):
    """Under a transform that both share, with each kind of mask; outside it the image is background."""
    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), True))
    mask = mask_cases(scan)[case]
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), False)))
    for node in (scan, mask):
        node.SetAndObserveTransformNodeID(transform.GetID())
    inside = sys.modules["MRITranslatePanel.regions"].maskArray(mask, scan) != 0
    assert 0 < inside.sum() < inside.size / 4
    choose_model(panel, TINY_CT)
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.maskSelector.setCurrentNode(mask)
    assert panel.logic.getParameterNode().translateMask is mask
    click_and_wait(panel, panel.ui.runButton)
    made = by_name("Scan [synthetic CT]")
    assert made is not None, panel.ui.statusLabel.text
    array = slicer.util.arrayFromVolume(made)
    assert (array[~inside] == -1024).all()
    assert np.ptp(array[inside]) > 0
    assert '"masked": true' in made.GetAttribute("MRITranslate.Parameters")


def test_mask_on_another_grid_and_of_nothing(panel):
    import slicer

    scan = place(head(), grid((1.0, 1.2, 3.0), True))
    fine = np.diag([0.7, 0.7, 0.7, 1.0])
    fine[:3, 3] = (matrix_of(scan) @ [18, 20, 6, 1])[:3] - 0.7 * 15
    labels = slicer.util.addVolumeFromArray(np.ones((30, 30, 30), np.uint8), fine, "Fine", "vtkMRMLLabelMapVolumeNode")
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.maskSelector.setCurrentNode(labels)
    click_and_wait(panel, panel.ui.runButton)
    array = slicer.util.arrayFromVolume(by_name("Scan [synthetic T2]"))
    filled_ml = (array > 0).sum() * 1.0 * 1.2 * 3.0 / 1000
    assert filled_ml == pytest.approx((0.7 * 30) ** 3 / 1000, rel=0.15)
    labels.SetOrigin(900, 0, 0)
    click_and_wait(panel, panel.ui.runButton)
    assert '"Fine" covers no voxel' in panel.ui.statusLabel.text


def test_quiet_questions_take_turns(panel):
    """While a quiet request is under way, the look at the input and the question for devices wait."""
    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    answers = []
    section = fresh_devices(panel)
    wait(lambda: not worker.busyQuietly)  # what the test before has left
    head()
    shape = {"shape": [32, 96, 96]}
    worker.request("phantom", shape, lambda *report: None, lambda *result: answers.append(1), answers.append, True)
    panel._translate._domain._ask()
    section._ask()
    assert panel.ui.domainLabel.text == ""
    assert not answers
    wait(lambda: panel.ui.domainLabel.text)
    assert "under way" not in panel.ui.domainLabel.text
    wait(lambda: section._found is not None)
