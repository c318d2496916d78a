"""The QProcess client: one warm process, a private folder, and an end in every case."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import wait


@pytest.fixture(scope="module")
def module(app):
    return sys.modules["MRITranslatePanel.worker"]


@pytest.fixture(scope="module")
def warm(module):
    """One client for all tests: its process stays warm, and a killed one is replaced, as in the panel."""
    client = module.Worker()
    yield client
    client.stop()


@pytest.fixture
def worker(warm, module):
    warm.graceMs = module.GRACE_MS
    yield warm
    warm.cancel()
    wait(lambda: not warm.busy)


class Answer:
    """What the callbacks of one request were given."""

    def __init__(self):
        self.progress, self.results, self.errors = [], [], []

    @property
    def ended(self):
        return bool(self.results or self.errors)

    def callbacks(self):
        def on_progress(*report):
            self.progress.append(report)

        def on_result(result, folder):
            self.results.append(result)

        return on_progress, on_result, self.errors.append


def ask(worker, method, params, quiet=False):
    answer = Answer()
    worker.request(method, params, *answer.callbacks(), quiet)
    return answer


def ask_slowly(worker):
    """A request that takes many seconds and hears of no cancelling, when it is in the middle of its work."""
    answer = ask(worker, "phantom", {"shape": [256, 256, 256]})
    wait(lambda: answer.progress and answer.progress[-1][1] == "Making a phantom head")
    return answer


def alive(pid):
    """Whether a process runs (and is not merely waiting for its parent to take note of its end)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def assert_usable(worker):
    answer = ask(worker, "phantom", {"shape": [16, 48, 48]})
    wait(lambda: answer.ended)
    assert answer.results, answer.errors


def test_process_is_started_on_first_use_and_kept(module):
    worker = module.Worker()
    assert worker.processId == 0
    folder = Path(worker.folder())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert_usable(worker)
    first = worker.processId
    assert_usable(worker)
    assert worker.processId == first
    worker.stop()
    assert not folder.exists()
    assert not alive(first)


def test_progress_comes_at_least_four_times_a_second(worker):
    answer = ask_slowly(worker)
    count, start = len(answer.progress), time.monotonic()
    wait(lambda: len(answer.progress) >= count + 8)
    assert time.monotonic() - start < 2
    worker.graceMs = 1
    worker.cancel()
    wait(lambda: answer.ended)
    assert [type(error).__name__ for error in answer.errors] == ["Cancelled"]


def test_one_request_at_a_time(worker, module):
    answer = ask(worker, "phantom", {"shape": [16, 48, 48]})
    with pytest.raises(module.InputError, match="under way"):
        ask(worker, "phantom", {})
    wait(lambda: answer.ended)
    with pytest.raises(module.InputError, match="seed"):
        ask(worker, "phantom", {"seed": "one"})
    assert not worker.busy


def test_quiet_request_gives_way_and_leaves_the_way_free(worker, module):
    quiet = ask(worker, "phantom", {"shape": [128, 128, 128]}, quiet=True)
    assert not worker.busy
    with pytest.raises(module.InputError, match="under way"):
        ask(worker, "phantom", {}, quiet=True)
    loud = ask(worker, "phantom", {"shape": [16, 48, 48]})
    wait(lambda: loud.ended and quiet.ended)
    assert loud.results, loud.errors
    assert [type(error).__name__ for error in quiet.errors] == ["Cancelled"]
    beside = ask(worker, "phantom", {"shape": [32, 64, 64]})
    quiet = ask(worker, "devices", {}, quiet=True)  # waits for its turn
    wait(lambda: quiet.ended)
    assert quiet.results
    assert beside.results
    assert not worker.busy


LARGE = {"shape": [32, 128, 128]}
"""Of a phantom whose arrays are read in pieces."""


def ask_and_wait_for_the_inbox(worker, quiet=False):
    """A large result that has come and is not read yet, and a function that lists what there is of its files."""
    folder = Path(worker.folder())
    before = set(folder.iterdir())
    answer = ask(worker, "phantom", LARGE, quiet)
    wait(lambda: any(request.inbox is not None for request in worker._requests()) or answer.ended)
    assert not answer.ended
    assert len(set(folder.iterdir()) - before) == 7
    return answer, lambda: set(folder.iterdir()) - before


def test_the_arrays_of_a_result_are_gone_after_its_callback(worker):
    answer, files = ask_and_wait_for_the_inbox(worker)
    wait(lambda: answer.ended)
    assert answer.results
    assert not files()


@pytest.mark.parametrize("quiet", [False, True])
def test_cancel_while_the_result_is_read_leaves_nothing(worker, quiet):
    answer, files = ask_and_wait_for_the_inbox(worker, quiet)
    worker.cancel(quiet)
    assert [type(error).__name__ for error in answer.errors] == ["Cancelled"]
    assert not files()
    assert_usable(worker)


def test_a_result_that_cannot_be_read_leaves_nothing(worker, monkeypatch):
    answer, files = ask_and_wait_for_the_inbox(worker)

    def fail(inbox):
        raise MemoryError

    monkeypatch.setattr(sys.modules["MRITranslatePanel.exchange"].Inbox, "step", fail)
    wait(lambda: answer.ended)
    assert [type(error).__name__ for error in answer.errors] == ["MemoryError"]
    assert not files()
    monkeypatch.undo()
    assert_usable(worker)


def test_a_callback_that_fails_leaves_nothing(worker):
    answer, files = ask_and_wait_for_the_inbox(worker)

    def fail(result, inbox):
        answer.results.append(result)
        raise RuntimeError("no such node")

    request = worker._current
    request.onResult = fail
    while not request.inbox.done:
        request.inbox.step()
    with pytest.raises(RuntimeError, match="no such node"):
        worker._proceed(request)
    assert not files()
    assert not worker.busy


def test_crash_ends_both_requests(worker):
    loud = ask_slowly(worker)
    quiet = ask(worker, "devices", {}, quiet=True)
    os.kill(worker.processId, signal.SIGKILL)
    wait(lambda: loud.ended and quiet.ended)
    assert [type(error).__name__ for error in (*loud.errors, *quiet.errors)] == ["WorkerError"] * 2
    assert_usable(worker)


def test_cancel_before_the_process_is_ready(worker):
    worker.stop()
    answer = ask(worker, "phantom", {})
    worker.cancel()
    assert [type(error).__name__ for error in answer.errors] == ["Cancelled"]
    assert_usable(worker)


def test_a_process_that_does_not_obey_is_killed(worker):
    answer = ask_slowly(worker)
    pid, worker.graceMs = worker.processId, 200
    os.kill(pid, signal.SIGSTOP)
    worker.cancel()
    wait(lambda: answer.ended)
    assert [type(error).__name__ for error in answer.errors] == ["Cancelled"]
    assert not alive(pid)
    assert_usable(worker)


def test_cancel_takes_a_second_even_if_the_process_does_not_obey(worker, module):
    """The limit here is for a machine that is busy with other things."""
    answer = ask_slowly(worker)
    os.kill(worker.processId, signal.SIGSTOP)
    start = time.monotonic()
    worker.cancel()
    wait(lambda: answer.ended)
    assert time.monotonic() - start < 2.5
    assert [type(error).__name__ for error in answer.errors] == ["Cancelled"]
    assert module.GRACE_MS <= 800


def test_crash_is_one_readable_error(worker, module):
    answer = ask_slowly(worker)
    folder = Path(worker.folder())
    os.kill(worker.processId, signal.SIGKILL)
    wait(lambda: answer.ended)
    assert len(answer.errors) == 1
    assert isinstance(answer.errors[0], module.WorkerError)
    assert "\n" not in str(answer.errors[0])
    wait(lambda: not folder.exists())


def test_process_that_cannot_start(worker, module, monkeypatch):
    worker.stop()
    monkeypatch.setattr(module.sys, "executable", "/nonexistent/python")
    answer = ask(worker, "phantom", {})
    wait(lambda: answer.ended)
    assert "could not be started" in str(answer.errors[0])
    monkeypatch.undo()
    assert_usable(worker)


def test_killing_a_tree_reaches_grandchildren(app):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8")
    grandchild = int(parent.stdout.readline())
    sys.modules["MRITranslatePanel.process_tree"].killTree(parent.pid)
    parent.wait(10)
    wait(lambda: not alive(grandchild))
