"""Bad days: a worker that hangs, a disk that is full, volumes that are none, a graphics card that is not there.

What else can go wrong is tested where it belongs: killed workers in test_panel and test_worker, removed inputs and
closed scenes in test_panel, runs at once in test_jobqueue.
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

from .conftest import ROOT, TINY_T2, click_and_wait, nothing_left, wait
from .test_panel import SHAPE, head, nodes_of_scene, start_slow_run, translate_again
from .test_scene import OBLIQUE, matrix_of
from .test_worker import alive

LIMIT = 1 << 16
"""Bytes of a file; a volume of 12 x 40 x 36 voxels in float32 has 69,120 and a header."""


@pytest.fixture
def worker(app):
    """The panel's worker, which tells of its silence sooner than to people."""
    module = sys.modules["MRITranslatePanel.worker"]
    worker = module.sharedWorker()
    worker.silenceMs = 700
    yield worker
    worker.silenceMs = module.SILENCE_MS


@contextlib.contextmanager
def full_disk(pid=0):
    """Let a process write no file larger than LIMIT: its writes then fail as on a full disk."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_a_worker_that_hangs_is_told_and_cancelled_at_once(slow_model, panel, worker):
    _, before = start_slow_run(panel)
    pid = worker.processId
    os.kill(pid, signal.SIGSTOP)
    wait(lambda: "No sign of life" in panel.ui.stageLabel.text, 30)
    assert panel.ui.cancelButton.enabled
    worker.graceMs = 60_000  # it is not asked to stop, since it would not hear
    start = time.monotonic()
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    worker.graceMs = sys.modules["MRITranslatePanel.worker"].GRACE_MS
    assert time.monotonic() - start < 1.5
    assert not alive(pid)
    assert "cancelled" in panel.ui.statusLabel.text
    assert nodes_of_scene() == before
    translate_again(panel)


def test_a_worker_that_goes_on_after_a_while_is_no_fault(panel, worker):
    import slicer

    head()
    panel.ui.runButton.click()
    wait(lambda: worker.processId)
    os.kill(worker.processId, signal.SIGSTOP)
    wait(lambda: "No sign of life" in panel.ui.stageLabel.text, 30)
    os.kill(worker.processId, signal.SIGCONT)
    wait(lambda: not panel.logic.running)
    assert slicer.mrmlScene.GetFirstNodeByName("Scan [synthetic T2]") is not None, panel.ui.statusLabel.text


def test_a_worker_that_hangs_before_it_is_ready(panel, worker, monkeypatch, tmp_path):
    """Its Python never gets as far as to say that it is ready."""
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    worker.stop()
    monkeypatch.setattr(sys.modules["MRITranslatePanel.worker"].sys, "executable", str(hanging))
    head()
    panel.ui.runButton.click()
    wait(lambda: "No sign of life" in panel.ui.stageLabel.text, 30)
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    assert "cancelled" in panel.ui.statusLabel.text
    monkeypatch.undo()
    worker.silenceMs = 60_000
    translate_again(panel)


def test_a_cancelled_run_ends_within_a_second_whatever_the_worker_does(slow_model, panel):
    start_slow_run(panel)
    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    os.kill(worker.processId, signal.SIGSTOP)  # it cannot hear, and the panel does not know yet
    start = time.monotonic()
    panel.ui.cancelButton.click()
    wait(lambda: not panel.logic.running)
    assert time.monotonic() - start < 1.5


def test_no_room_for_the_input(panel, worker):
    head()
    wait(lambda: not panel.logic.running)
    folder = Path(worker.folder())
    before = nodes_of_scene()
    with nothing_left(), full_disk():
        click_and_wait(panel, panel.ui.runButton)
    assert f"temporary folder {folder.parent} cannot take a volume of 0.1 MB" in panel.ui.statusLabel.text
    assert "\n" not in panel.ui.statusLabel.text
    assert nodes_of_scene() == before
    translate_again(panel)


def test_no_room_for_the_mask_and_the_input(panel, worker):
    """The mask has been written when the input finds no room: it does not stay behind."""
    import slicer

    scan = head()
    region = slicer.util.addVolumeFromArray(np.ones(SHAPE, np.uint8), None, "Region", "vtkMRMLLabelMapVolumeNode")
    with nothing_left(), full_disk(), pytest.raises(InputError, match="cannot take"):
        panel.logic.explain(scan, TINY_T2, regionNode=region)


def test_no_room_for_the_result(panel, worker):
    """The disk fills up while the worker computes: what it would write is as large as what it was sent."""
    import slicer

    slicer.util.addVolumeFromArray(np.round(slicer.util.arrayFromVolume(head())).astype(np.int16), name="Small")
    panel.ui.inputSelector.setCurrentNode(slicer.mrmlScene.GetFirstNodeByName("Small"))
    panel.logic.check(head(name="Warm"), TINY_T2)
    before = nodes_of_scene()
    with nothing_left(), full_disk(worker.processId):
        click_and_wait(panel, panel.ui.runButton)
    assert "cannot take a volume of 0.1 MB" in panel.ui.statusLabel.text
    assert nodes_of_scene() == before
    translate_again(panel)


def test_a_temporary_folder_that_was_emptied(panel, worker):
    """Systems that run for weeks do that; the next run makes itself a new one."""
    translate_again(panel)
    shutil.rmtree(worker.folder())
    translate_again(panel)


def test_a_graphics_card_that_is_not_there(panel):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    scan = head()
    before = nodes_of_scene()
    with pytest.raises(InputError, match=r"(?i)cuda"):  # the panel offers none
        panel.logic.translate(scan, TINY_T2, device="cuda")
    assert nodes_of_scene() == before


def test_memory_that_does_not_suffice(slow_model, panel, worker):
    """The worker may take 64 MB more than it has; its answer is a sentence, and it goes on to serve."""
    import slicer

    translate_again(panel)
    pid = worker.processId
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (int(status["VmSize"].split()[0]) * 1024 + (1 << 26), before[1]))
    panel.ui.inputSelector.setCurrentNode(head((160, 256, 256), name="Large"))
    nodes = nodes_of_scene()
    click_and_wait(panel, panel.ui.runButton)
    assert "memory" in panel.ui.statusLabel.text
    assert "unexpected" not in panel.ui.statusLabel.text
    assert nodes_of_scene() == nodes
    assert worker.processId == pid
    resource.prlimit(pid, resource.RLIMIT_AS, before)
    slicer.mrmlScene.Clear()
    translate_again(panel)


def test_volumes_of_no_size(panel):
    """No image, an image of no voxels, and voxels that were never filled in."""
    import slicer
    import vtk

    for dimensions in (None, (0, 0, 0), (5, 5, 0), (5, 5, 5)):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
        if dimensions is not None:
            image = vtk.vtkImageData()
            image.SetDimensions(*dimensions)
            node.SetAndObserveImageData(image)
        panel.ui.inputSelector.setCurrentNode(node)
        click_and_wait(panel, panel.ui.runButton)
        assert '"Nothing' in panel.ui.statusLabel.text
        assert "has no voxels" in panel.ui.statusLabel.text, dimensions


def curved(name, shift):
    """A transform node that bends: the middle is moved by `shift` mm, the corners stay."""
    import slicer
    import vtk

    bend, points, moved = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(3, 3, 3):
        place = 60.0 * np.array(corner) - 60
        points.InsertNextPoint(place)
        moved.InsertNextPoint(place + (shift if corner == (1, 1, 1) else 0))
    bend.SetSourceLandmarks(points)
    bend.SetTargetLandmarks(moved)
    bend.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformToParent(bend)
    return node


@pytest.mark.parametrize("kind", ["linear", "curved", "curved below linear"])
def test_scan_and_region_under_transforms_of_their_own(logic, kind):
    """Results follow the scan's transform; the region is where it is seen, through both transforms."""
    import slicer

    scan = head((16, 40, 36))
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([2.0, 2.0, 4.0, 1.0])))
    linear = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    linear.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(OBLIQUE))
    transform = linear if kind == "linear" else curved("Bent", 8)
    if kind == "curved below linear":
        transform.SetAndObserveTransformNodeID(linear.GetID())
    scan.SetAndObserveTransformNodeID(transform.GetID())
    other = curved("Other", 5)
    region = slicer.util.addVolumeFromArray(np.ones((60, 60, 60), np.uint8), None, "Box", "vtkMRMLLabelMapVolumeNode")
    region.SetAndObserveTransformNodeID(other.GetID())
    node = logic.translate(scan, TINY_T2, maskNode=region)
    heat, levels = logic.explain(scan, TINY_T2, regionNode=region)
    for made in (node, heat, levels):
        assert made.GetParentTransformNode() is transform
        assert np.abs(matrix_of(made) - matrix_of(scan)).max() < 1e-6
        assert made.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    mask = sys.modules["MRITranslatePanel.regions"].maskArray(region, scan)
    for k, j, i in [tuple(index) for index in np.argwhere(mask >= 0)[::97]]:
        world = [0.0, 0.0, 0.0]
        scan.TransformPointToWorld([2.0 * i, 2.0 * j, 4.0 * k], world)
        local = [0.0, 0.0, 0.0]
        region.TransformPointFromWorld(world, local)
        inside = all(-0.5 <= value <= 59.5 for value in local)
        edge = any(min(abs(value + 0.5), abs(value - 59.5)) < 0.01 for value in local)
        assert edge or bool(mask[k, j, i]) == inside
    translated = slicer.util.arrayFromVolume(node)
    assert 0 < mask.sum() < mask.size
    assert len(np.unique(translated[mask == 0])) == 1  # background outside the mask


def test_files_in_the_current_folder_do_not_pass_for_libraries(app, tmp_path, monkeypatch):
    """Slicer is started from any folder; a numpy.py there must not become the worker's."""
    module = sys.modules["MRITranslatePanel.worker"]
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    worker, outcome = module.Worker(), []
    worker.request(
        "phantom", {"shape": [16, 48, 48]}, lambda *report: None, lambda *result: outcome.append(""), outcome.append
    )
    wait(lambda: outcome)
    worker.stop()
    assert outcome == [""]


SCRIPT = """
import sys
import slicer
from MRITranslate import MRITranslateLogic
assert slicer.util.mainWindow() is None
logic = MRITranslateLogic()
head = logic.loadPhantom(shape=(16, 48, 48))
synthetic = logic.translate(head["t1"], sys.argv[1])
heat, levels = logic.explain(head["t1"], sys.argv[1], regionNode=head["labels"])
print([node.GetName() for node in (synthetic, heat, levels)])
try:
    logic.translate(None, sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
slicer.util.exit(5)
"""


def run_script(tmp_path, text, *arguments):
    script = tmp_path / "script.py"
    script.write_text(text)
    command = [sys.executable, "-m", "Testing.host", "--no-main-window", "--testing", "--no-splash"]
    command += [
        "--python-script",
        str(script),
        "--additional-module-paths",
        str(ROOT / "MRITranslate"),
        "--",
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=240, check=False)


def test_script_without_main_window(models, tmp_path):
    done = run_script(tmp_path, SCRIPT, TINY_T2)
    assert done.returncode == 5, done.stderr
    assert f"'Phantom 1 T1 [synthetic T2]', 'Phantom 1 T1 [heat map of {TINY_T2}, region]'" in done.stdout
    assert "InputError The input volume is missing; choose a volume." in done.stdout


def test_error_of_a_script_is_its_exit_code(models, tmp_path):
    done = run_script(tmp_path, "from MRITranslate import MRITranslateLogic\nMRITranslateLogic().translate(None, 'x')")
    assert done.returncode == 1
    assert "The input volume is missing" in done.stderr
