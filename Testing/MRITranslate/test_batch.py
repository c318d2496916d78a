"""Many translations in one go: a study, a folder, a sequence; what fails, what is cancelled, what goes away."""

import sys

import numpy as np
import pytest

from MRITranslateLib.errors import Cancelled, InputError

from .conftest import SLOW, TINY_CT, TINY_T2, choose_model, click_and_wait, wait
from .test_explanations import by_name
from .test_panel import SHAPE, head, nodes_of_scene
from .test_scene import grid, matrix_of, place


def hierarchy():
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def study_of(*nodes):
    tree = hierarchy()
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "Patient"), "Study")
    for node in nodes:
        tree.SetItemParent(tree.GetItemByDataNode(node), study)
    return study


def constant(name):
    import slicer

    return slicer.util.addVolumeFromArray(np.full(SHAPE, 7.0, np.float32), name=name)


def batch():
    return sys.modules["MRITranslatePanel.batch"]


def names(nodes):
    return [node.GetName() for node in nodes]


def test_study_of_the_phantom(logic):
    """The CT is refused by name, what was made before is left out, label maps are not even looked at."""
    nodes = logic.loadPhantom(shape=(24, 64, 64))
    logic.translate(nodes["t1"], TINY_CT)
    made, left = logic.translateStudy(nodes["t1"], TINY_T2)
    assert names(made) == [f"Phantom 1 {name} [synthetic T2]" for name in ("T1", "T2", "FLAIR", "PD")]
    assert [name for name, __ in left] == ["Phantom 1 CT", "Phantom 1 T1 [synthetic CT]"]
    assert "looks like a CT" in left[0][1]
    assert "computed by MRITranslate" in left[1][1]
    study = hierarchy().GetItemParent(hierarchy().GetItemByDataNode(nodes["t1"]))
    for node, source in zip(made, ("t1", "t2", "flair", "pd"), strict=True):
        folder = hierarchy().GetItemParent(hierarchy().GetItemByDataNode(node))
        assert hierarchy().GetItemParent(folder) == study
        assert node.GetAttribute("MRITranslate.SourceNodeID") == nodes[source].GetID()


def test_other_studies_and_kinds_are_left_alone(logic):
    """Of volumes in no study, those; of a folder, those; never label maps and vector volumes."""
    import slicer

    inside, outside, loose = head(name="Inside"), head(name="Outside"), head(name="Loose")
    slicer.util.addVolumeFromArray(np.ones(SHAPE, np.uint8), None, "Labels", "vtkMRMLLabelMapVolumeNode")
    vector = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Vector")
    slicer.util.updateVolumeFromArray(vector, np.ones((*SHAPE, 3), np.float32))
    study_of(inside)
    folder = hierarchy().CreateFolderItem(hierarchy().GetSceneItemID(), "Folder")
    hierarchy().SetItemParent(hierarchy().GetItemByDataNode(loose), folder)
    for node, item in ((inside, None), (outside, None), (loose, folder)):
        found = batch().volumesOf(item or batch().studyOf(node))
        assert node in found
        assert (inside in found) == (node is inside)
    assert names(batch().volumesOf(batch().studyOf(loose))) == ["Loose"]
    assert names(batch().volumesOf(batch().studyOf(outside))) == ["Outside", "Loose"]
    with pytest.raises(InputError, match="no scalar volume"):
        logic.translateStudy(hierarchy().CreateFolderItem(hierarchy().GetSceneItemID(), "Empty"), TINY_T2)


def test_one_failure_does_not_stop_the_rest(logic):
    first, last = head(name="First"), head(name="Last")
    study = study_of(first, constant("Flat"), last)
    progress, outcome = [], {}
    job = batch().StudyJob(study, TINY_T2)

    def finished(made, warnings):
        outcome.update(made=made, warnings=warnings)

    logic.start(job, lambda *report: progress.append(report), finished, lambda error: outcome.update(error=error))
    wait(lambda: outcome)
    assert names(outcome["made"].nodes) == ["First [synthetic T2]", "Last [synthetic T2]"]
    assert any(text.startswith('Left out "Flat": ') and "everywhere" in text for text in outcome["warnings"])
    assert len(outcome["warnings"]) == len(set(outcome["warnings"])) > 1  # what was said of both is said once
    assert all(text.startswith(("Left out", "All: ")) for text in outcome["warnings"])
    stages = [stage for __, stage, *__ in progress]
    for number in (1, 2, 3):
        assert any(stage.startswith(f"Volume {number} of 3: ") for stage in stages)
    fractions = [report[0] for report in progress]
    assert fractions == sorted(fractions)
    assert 0.65 < fractions[-1] <= 1
    left = [report[4] for report in progress if report[4] is not None]
    assert all(seconds >= 0 for seconds in left)


def test_nothing_that_can_be_translated(logic):
    study = study_of(constant("Flat"), constant("Even"))
    before = nodes_of_scene()
    with pytest.raises(InputError, match=r"Nothing could be translated\. Flat: .*everywhere.*Even: "):
        logic.translateStudy(study, TINY_T2)
    assert nodes_of_scene() == before
    assert not logic.running


def start_slow_batch(panel, count=3):
    """A study whose first volume is done and whose second is being translated by a slow model."""
    scans = [head((12, 48, 48), "Quick"), *(head((96, 128, 128), f"Slow {number}") for number in range(1, count))]
    study_of(*scans)
    choose_model(panel, SLOW)
    panel.ui.inputSelector.setCurrentNode(scans[0])
    panel.ui.scopeCombo.currentIndex = 1
    assert panel.ui.runButton.enabled, panel.ui.runButton.toolTip
    assert not panel.ui.outputSelector.enabled
    panel.ui.runButton.click()
    wait(lambda: f"Volume 2 of {count}: Translating" in panel.ui.stageLabel.text)
    return scans


def test_cancelling_a_batch_keeps_what_is_complete(slow_model, panel):
    import slicer

    start_slow_batch(panel)
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    assert "1 of 3 are complete" in panel.ui.statusLabel.text
    assert by_name("Quick [synthetic T2]") is not None
    assert by_name("Slow 1 [synthetic T2]") is None
    wait(lambda: not panel.logic.running, 1)
    choose_model(panel, TINY_T2)
    click_and_wait(panel, panel.ui.runButton)
    assert by_name("Slow 2 [synthetic T2]") is not None, panel.ui.statusLabel.text
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetForegroundVolumeID() == by_name("Quick [synthetic T2]_1").GetID()
    assert 'Left out "Quick [synthetic T2]"' in panel.ui.warningsLabel.text


def test_what_is_removed_meanwhile_is_left_out(slow_model, panel):
    import slicer

    scans = start_slow_batch(panel, 4)
    slicer.mrmlScene.RemoveNode(scans[2])  # waits for its turn
    slicer.mrmlScene.RemoveNode(scans[1])  # is being translated
    wait(lambda: "Volume 4 of 4: Translating" in panel.ui.stageLabel.text)
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    assert "1 of 4 are complete" in panel.ui.statusLabel.text


def test_closing_the_scene_stops_a_batch(slow_model, panel):
    import slicer

    start_slow_batch(panel)
    slicer.mrmlScene.Clear()
    empty = nodes_of_scene()
    wait(lambda: not panel.logic.running)
    assert "scene was closed" in panel.ui.statusLabel.text
    assert "complete" not in panel.ui.statusLabel.text
    assert nodes_of_scene() == empty


def sequence(count=3, flat=(), browse=True):
    """Scans over time, each brighter than the one before; with a browser and the volume that it shows."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Dynamic")
    node.SetIndexName("trigger")
    node.SetIndexUnit("ms")
    for number in range(count):
        item = place(constant("Item") if number in flat else head(name="Item"), grid((1.0, 1.2, 3.0), True))
        slicer.util.arrayFromVolume(item)[:] += 50.0 * number * (slicer.util.arrayFromVolume(item) > 0)
        node.SetDataNodeAtValue(item, str(40 * number))
        slicer.mrmlScene.RemoveNode(item)
    if not browse:
        return node, None, None
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(node.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return node, browser, browser.GetProxyNode(node)


def show_item(browser, number):
    import slicer

    browser.SetSelectedItemNumber(number)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def test_sequence_plays_beside_its_source(logic):
    import slicer

    source, browser, shown = sequence()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), False)))
    shown.SetAndObserveTransformNodeID(transform.GetID())
    (node,), left = logic.translateSequence(shown, TINY_T2, uncertainty=True)
    assert left == []
    made = browser.GetSequenceNode(node)
    assert made is not None
    assert made is not source
    assert (made.GetIndexName(), made.GetIndexUnit()) == ("trigger", "ms")
    assert [made.GetNthIndexValue(number) for number in range(made.GetNumberOfDataNodes())] == ["0", "40", "80"]
    assert "[synthetic T2]" in node.GetName()
    assert "[synthetic T2]" in made.GetName()
    assert node.GetParentTransformNode() is transform
    assert node.GetVoxelValueQuantity().GetCodeValue() == "110852"
    assert not node.GetDisplayNode().GetAutoWindowLevel()
    window = node.GetDisplayNode().GetWindow()
    for number in (2, 0, 1):
        show_item(browser, number)
        np.testing.assert_array_equal(
            slicer.util.arrayFromVolume(node), slicer.util.arrayFromVolume(made.GetNthDataNode(number))
        )
        assert np.abs(matrix_of(node) - matrix_of(shown)).max() < 1e-6
        assert "[synthetic T2]" in node.GetName()
        assert node.GetAttribute("MRITranslate.Model") == TINY_T2
        assert node.GetDisplayNode().GetWindow() == window
        alone = slicer.mrmlScene.AddNode(copy_of(shown))
        single = logic.translate(alone, TINY_T2)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(single), slicer.util.arrayFromVolume(node))
        slicer.mrmlScene.RemoveNode(alone)
    spread = node.GetNodeReference("MRITranslate.uncertainty")
    assert browser.GetSequenceNode(spread).GetNumberOfDataNodes() == 3
    folders = {hierarchy().GetItemParent(hierarchy().GetItemByDataNode(one)) for one in (node, made, spread)}
    assert len(folders) == 1
    assert hierarchy().GetItemName(folders.pop()) == f"{shown.GetName()} [MRITranslate {TINY_T2}]"


def copy_of(node):
    import slicer

    made = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    made.UnRegister(None)
    made.CopyContent(node)
    return made


def test_sequence_without_a_browser_gets_one(logic):
    import slicer

    source, _, _ = sequence(browse=False)
    (node,), _ = logic.translateSequence(source, TINY_T2)
    browser = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    assert browser.GetMasterSequenceNode() is source
    assert browser.GetProxyNode(source) is not None
    assert browser.GetSequenceNode(node).GetNumberOfDataNodes() == 3


def test_sequence_is_saved_and_restored(logic, tmp_path):
    import slicer

    source, _, _ = sequence(2)
    (node,), _ = logic.translateSequence(source, TINY_T2)
    name = node.GetName()
    browser = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    made = browser.GetSequenceNode(node)
    arrays = [slicer.util.arrayFromVolume(made.GetNthDataNode(number)).copy() for number in range(2)]
    assert all("[synthetic T2]" in made.GetNthDataNode(number).GetName() for number in range(2))
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    browser = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    node = by_name(name)
    made = browser.GetSequenceNode(node)
    assert made.GetAttribute("MRITranslate.Model") == TINY_T2
    assert (made.GetIndexName(), made.GetNthIndexValue(1)) == ("trigger", "40")
    for number in (1, 0):
        show_item(browser, number)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), arrays[number])


def test_item_that_fails_is_missing_and_nothing_old_is_shown_for_it(logic):
    import slicer

    source, browser, _ = sequence(flat=(1,))
    before = nodes_of_scene()
    (node,), left = logic.translateSequence(source, TINY_T2)
    assert [name for name, __ in left] == ["trigger 40 ms"]
    made = browser.GetSequenceNode(node)
    assert [made.GetNthIndexValue(number) for number in range(made.GetNumberOfDataNodes())] == ["0", "80"]
    new = [slicer.mrmlScene.GetNodeByID(identity) for identity in nodes_of_scene() - before]
    assert sorted(one.GetClassName() for one in new) == [
        "vtkMRMLScalarVolumeDisplayNode",
        "vtkMRMLScalarVolumeNode",
        "vtkMRMLSequenceNode",
    ]  # nothing that was lent to the scene stays
    for number in (2, 1, 0, 1, 2):
        show_item(browser, number)
        assert (node.GetImageData() is None) == (number == 1)
        assert "[synthetic T2]" in node.GetName()
        assert node.GetDisplayNode() is not None


def test_sequences_that_cannot_be_translated(logic):
    import slicer

    scan = head()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Transforms")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    other.SetDataNodeAtValue(transform, "0")
    for node, sentence in ((None, "no item of a sequence"), (scan, "no item"), (other, "no sequence of scalar")):
        with pytest.raises(InputError, match=sentence):
            logic.translateSequence(node, TINY_T2)
    source, _, _ = sequence(flat=(0, 1, 2))
    before = nodes_of_scene()
    with pytest.raises(InputError, match="Nothing could be translated"):
        logic.translateSequence(source, TINY_T2)
    assert nodes_of_scene() == before


def test_cancelled_sequence_keeps_its_complete_items(logic):
    source, browser, _ = sequence(12)
    outcome = []

    def cancel_in_the_third(fraction, stage, done, total, remaining):
        if stage.startswith("Item 3 of 12"):
            logic.cancel()

    logic.start(
        sys.modules["MRITranslatePanel.sequences"].SequenceJob(source, TINY_T2),
        cancel_in_the_third,
        outcome.append,
        outcome.append,
    )
    wait(lambda: outcome)
    assert isinstance(outcome[0], Cancelled)
    assert "2 of 12 are complete" in str(outcome[0])
    made = [one for one in browser_sequences(browser) if one is not source]
    assert len(made) == 1
    assert [made[0].GetNthIndexValue(number) for number in range(made[0].GetNumberOfDataNodes())] == ["0", "40"]


def browser_sequences(browser):
    import vtk

    found = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(found, True)
    return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]


def test_panel_translates_the_sequence_of_its_input(panel):
    scan = head(name="Alone")
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.scopeCombo.currentIndex = 2
    assert not panel.ui.runButton.enabled
    assert "no item of a sequence" in panel.ui.runButton.toolTip
    _, browser, shown = sequence(2)
    panel.ui.inputSelector.setCurrentNode(shown)
    click_and_wait(panel, panel.ui.runButton)
    assert f'Made "{shown.GetName()} [synthetic T2]"' in panel.ui.statusLabel.text
    assert len(browser_sequences(browser)) == 2


def test_other_jobs_take_turns_with_a_batch(logic):
    """A job that is started during a batch waits for one translation, not for the whole batch; all can be cancelled."""
    jobs, ended = sys.modules["MRITranslatePanel.jobs"], []
    scans = [head(name=f"Scan {number}") for number in range(3)]
    logic.start(
        batch().StudyJob(study_of(*scans), TINY_T2),
        None,
        lambda made, warnings: ended.append(names(made.nodes)),
        ended.append,
    )
    other = head(name="Other")
    logic.start(jobs.TranslateJob(other, TINY_CT), None, lambda node, warnings: ended.append(node.GetName()))
    wait(lambda: len(ended) == 2)
    assert ended == ["Other [synthetic CT]", [f"Scan {number} [synthetic T2]" for number in range(3)]]
    logic.start(batch().StudyJob(batch().studyOf(scans[0]), TINY_T2), None, None, ended.append)
    logic.cancelAll()
    wait(lambda: len(ended) == 3)
    assert isinstance(ended[2], Cancelled)
    assert not logic.running
