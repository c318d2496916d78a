"""Runs that are started while another one is under way wait in one line, whoever started them."""

import sys

import numpy as np
import pytest

from MRITranslateLib.errors import Cancelled, InputError

from .conftest import SLOW, TINY_T2, choose_model, click_and_wait, wait
from .test_panel import head, nodes_of_scene, start_slow_run


class Outcome:
    """What the callbacks of a job were told."""

    def __init__(self, log, name):
        self.log, self.name = log, name
        self.node = self.error = None

    def started(self):
        self.log.append(f"{self.name} started")

    def finished(self, node, warnings):
        self.node = node
        self.log.append(f"{self.name} finished")

    def failed(self, error):
        self.error = error
        self.log.append(f"{self.name} failed")

    def start(self, logic, node, model=TINY_T2):
        job = sys.modules["MRITranslatePanel.jobs"].TranslateJob(node, model)
        logic.start(job, None, self.finished, self.failed, self.started)
        return self


def test_two_jobs_at_once_run_one_after_the_other(panel, logic):
    """The panel's logic and a script's share the worker, so that they share the line."""
    log = []
    first = Outcome(log, "first").start(panel.logic, head(name="A"))
    second = Outcome(log, "second").start(logic, head(name="B"))
    third = Outcome(log, "third").start(panel.logic, head(name="C"))
    assert panel.logic.running
    assert logic.running
    assert (len(panel.logic.waiting), len(logic.waiting)) == (1, 1)
    wait(lambda: not panel.logic.running and not logic.running)
    assert log == [f"{name} {event}" for name in ("first", "second", "third") for event in ("started", "finished")]
    names = [outcome.node.GetName() for outcome in (first, second, third)]
    assert names == [f"{name} [synthetic T2]" for name in "ABC"]


def test_a_script_that_waits_joins_the_line(panel, logic):
    log = []
    Outcome(log, "first").start(panel.logic, head(name="A"))
    assert logic.translate(head(name="B"), TINY_T2).GetName() == "B [synthetic T2]"
    assert log == ["first started", "first finished"]


def test_cancel_stops_one_and_cancel_all_stops_all(slow_model, panel):
    log = []
    scan = head((64, 128, 128))
    one, two, three = (Outcome(log, name).start(panel.logic, scan, SLOW) for name in ("one", "two", "three"))
    panel.logic.cancel()
    wait(lambda: one.error is not None)
    assert "two started" in log
    assert "three started" not in log
    panel.logic.cancelAll()
    wait(lambda: not panel.logic.running)
    assert all(isinstance(outcome.error, Cancelled) for outcome in (one, two, three))
    assert "three started" not in log
    assert Outcome(log, "four").start(panel.logic, head(name="Again")).error is None
    wait(lambda: not panel.logic.running)
    assert log[-1] == "four finished"


def test_what_waits_is_refused_when_its_input_is_gone(slow_model, panel):
    """The others go on."""
    import slicer

    log = []
    one = Outcome(log, "one").start(panel.logic, head((64, 128, 128)), SLOW)
    gone = head(name="Gone")
    two = Outcome(log, "two").start(panel.logic, gone)
    three = Outcome(log, "three").start(panel.logic, head(name="Stays"))
    slicer.mrmlScene.RemoveNode(gone)
    panel.logic.cancel()
    wait(lambda: not panel.logic.running)
    assert isinstance(one.error, Cancelled)
    assert isinstance(two.error, InputError)
    assert "no longer in the scene" in str(two.error)
    assert three.node is not None


def test_closing_the_scene_ends_what_waits(slow_model, panel):
    import slicer

    log = []
    scan = head((64, 128, 128))
    both = [Outcome(log, name).start(panel.logic, scan, SLOW) for name in ("one", "two")]
    slicer.mrmlScene.Clear()
    wait(lambda: not panel.logic.running)
    for outcome in both:
        assert isinstance(outcome.error, Cancelled)
        assert "scene was closed" in str(outcome.error)
    assert "two started" not in log


def test_stopping_the_worker_starts_nothing_again(slow_model, panel):
    """As at the end of the application: what waits must not start another process."""
    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    log = []
    scan = head((64, 128, 128))
    both = [Outcome(log, name).start(panel.logic, scan, SLOW) for name in ("one", "two")]
    wait(lambda: worker.processId != 0)
    worker.stop()
    assert worker.processId == 0
    assert all(isinstance(outcome.error, Cancelled) for outcome in both)
    assert not panel.logic.running


def test_a_job_that_cannot_run_is_refused_at_once(slow_model, panel):
    log = []
    Outcome(log, "one").start(panel.logic, head((64, 128, 128)), SLOW)
    with pytest.raises(InputError, match="is missing"):
        Outcome(log, "two").start(panel.logic, None)
    assert panel.logic.waiting == []


def test_the_panel_says_how_many_wait_and_cancels_them(slow_model, panel):
    start_slow_run(panel)
    before = nodes_of_scene()
    assert not panel.ui.cancelAllButton.visible
    choose_model(panel, TINY_T2)
    panel.ui.runButton.click()
    assert panel.ui.waitingLabel.visible
    assert "1 run waits" in panel.ui.waitingLabel.text
    panel.ui.runButton.click()
    assert "2 runs wait" in panel.ui.waitingLabel.text
    assert "Translating" in panel.ui.stageLabel.text  # still of the one under way
    panel.ui.cancelAllButton.click()
    wait(lambda: not panel.logic.running)
    assert "cancelled" in panel.ui.statusLabel.text
    assert not panel.ui.waitingLabel.visible
    assert nodes_of_scene() == before
    click_and_wait(panel, panel.ui.runButton)
    assert "[synthetic T2]" in panel.ui.statusLabel.text


def test_the_panel_runs_what_waits(slow_model, panel):
    import slicer

    start_slow_run(panel)
    choose_model(panel, TINY_T2)
    scan = head(name="Next")
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.runButton.click()
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    made = slicer.mrmlScene.GetFirstNodeByName("Next [synthetic T2]")
    assert made is not None
    assert np.isfinite(slicer.util.arrayFromVolume(made)).all()
    assert 'Made "Next [synthetic T2]"' in panel.ui.statusLabel.text
