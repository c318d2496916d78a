"""Large arrays go to the worker and back in pieces: whole, unshared, and gone when nobody needs them."""

import os
import sys

import numpy as np
import pytest

from MRITranslateLib.errors import InputError
from MRITranslateLib.service import volumes

from .conftest import TINY_T2, nothing_left, wait
from .test_panel import head

GEOMETRY = {"spacing": [1, 2, 3], "origin": [4, 5, 6], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}


@pytest.fixture(scope="module")
def exchange(app):
    return sys.modules["MRITranslatePanel.exchange"]


def numbers(shape, dtype):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8", "float64", "bool", ">i2"])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_an_array_arrives_as_it_was_sent(exchange, tmp_path, dtype, order):
    array = numbers((70, 200, 211), dtype)
    array = np.asfortranarray(array) if order == "F" else array[::-1, :, ::2] if order == "strided" else array
    outbox = exchange.Outbox(str(tmp_path))
    sent = outbox.add(array, GEOMETRY)
    assert not outbox.done
    steps = 0
    while not outbox.done:
        assert not (tmp_path / sent["array"]).exists()  # never half of it under its name
        outbox.step()
        steps += 1
    assert steps == np.ceil(70 / max(1, exchange.PIECE // array[0].nbytes))
    inbox = exchange.Inbox(str(tmp_path), {"image": sent, "warnings": []})
    while not inbox.done:
        inbox.step()
    found = inbox.array(sent)
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(np.load(tmp_path / sent["array"]), array)
    outbox.remove()
    assert os.listdir(tmp_path) == []


def test_a_small_array_is_there_at_once_and_half_a_large_one_can_be_removed(exchange, tmp_path):
    outbox = exchange.Outbox(str(tmp_path))
    outbox.add(numbers((4, 5, 6), "float32"), GEOMETRY)
    assert outbox.done
    assert len(os.listdir(tmp_path)) == 1
    outbox.add(numbers((200, 256, 256), "float32"), GEOMETRY)
    outbox.step()
    outbox.remove()
    assert os.listdir(tmp_path) == []
    assert outbox.done


@pytest.mark.skipif(os.name == "nt", reason="limits as POSIX has them")
def test_a_full_disk_is_a_sentence_and_leaves_no_half_a_file(exchange, tmp_path):
    import resource
    import signal

    array = numbers((200, 256, 256), "float32")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    outbox = exchange.Outbox(str(tmp_path))
    outbox.add(array, GEOMETRY)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * exchange.PIECE, before[1]))  # the system refuses what goes beyond
    try:
        outbox.step()  # what there is room for
        with pytest.raises(InputError, match="make room there"):
            [outbox.step() for _ in range(2)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.listdir(tmp_path) == []


def test_a_node_takes_the_voxels_over_and_shares_them_with_nobody(exchange, tmp_path, app):
    import slicer

    results = sys.modules["MRITranslatePanel.results"]
    sent = volumes.write_array(tmp_path, numbers((40, 128, 128), "float32"), (1, 1, 1), (0, 0, 0), np.eye(3).ravel())
    inbox = exchange.Inbox(str(tmp_path), {"image": sent})
    while not inbox.done:
        inbox.step()
    grid = slicer.util.addVolumeFromArray(numbers((40, 128, 128), "float32"))
    array = inbox.array(sent)
    image = array.image
    first, second = results.newVolume(array, grid), results.newVolume(array, grid)
    assert first.GetImageData() is image
    assert second.GetImageData() is not image
    slicer.util.arrayFromVolume(first)[:] = -1
    assert slicer.util.arrayFromVolume(second).min() >= 0
    del array, inbox
    assert slicer.util.arrayFromVolume(first).max() == -1
    slicer.mrmlScene.RemoveNode(grid)


def test_a_run_can_be_cancelled_while_its_arrays_are_written(panel):
    import slicer

    scan = head((176, 256, 256))
    panel.ui.inputSelector.setCurrentNode(scan)
    panel._translate._domain._timer.stop()
    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    wait(lambda: not worker.busyQuietly)
    before = os.listdir(worker.folder())
    panel.ui.runButton.click()
    assert not worker._current.outbox.done  # the click did not wait for it
    assert not worker._current.sent
    slicer.app.processEvents()
    panel.ui.cancelButton.click()
    assert not panel.logic.running
    assert "cancelled" in panel.ui.statusLabel.text
    assert os.listdir(worker.folder()) == before


def test_scene_closed_while_the_result_arrives(logic, models):
    import slicer

    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    ended = []
    jobs = sys.modules["MRITranslatePanel.jobs"]
    job = jobs.TranslateJob(head((40, 128, 128)), TINY_T2)
    with nothing_left():
        logic.start(job, None, lambda *made: ended.append(made), ended.append)
        wait(lambda: (worker._current is not None and worker._current.inbox is not None) or ended)
        assert not ended
        slicer.mrmlScene.Clear()
        wait(lambda: ended)
    assert "scene was closed" in str(ended[0])
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_result_removed_before_it_is_shown(logic, models):
    """Between making the nodes and telling of them the event loop turns once."""
    import qt
    import slicer

    ended = []

    class Job(sys.modules["MRITranslatePanel.jobs"].TranslateJob):
        def deliver(self, *arguments):
            qt.QTimer.singleShot(0, slicer.mrmlScene.Clear)
            return super().deliver(*arguments)

    logic.start(Job(head(), TINY_T2), None, lambda *made: ended.append(made), ended.append)
    wait(lambda: ended)
    assert "was removed" in str(ended[0])
    assert not logic.running
