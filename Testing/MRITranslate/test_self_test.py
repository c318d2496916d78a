"""The module's own self test, as Slicer runs it: in a fresh application, without a main window and so without views."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MRITranslateLib.catalog import builtin_folder

ROOT = Path(__file__).resolve().parents[2]
UNITTEST = (
    "import slicer, slicer.util\n"
    "import unittest, MRITranslate\n"
    "suite = unittest.TestLoader().loadTestsFromTestCase(MRITranslate.MRITranslateTest)\n"
    "result = unittest.TextTestRunner(verbosity=2).run(suite)\n"
    "done = result.wasSuccessful() and result.testsRun == suite.countTestCases() > 5 and not result.skipped\n"
    "slicer.util.exit(0 if done else 1)\n"
)
RELOAD = """
import importlib.util, os, sys
import slicer

def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

# Slicer 5.8 runs a module's file again in the module that is there; newer ones make a new module.
fresh = importlib.util.module_from_spec
importlib.util.module_from_spec = lambda spec: sys.modules.get(spec.name) or fresh(spec)
slicer.util.selectModule("MRITranslate")
panel = slicer.util.getModuleWidget("MRITranslate")
panel.logic.loadPhantom(shape=(16, 48, 48))
worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
pid, folder = worker.processId, worker.folder()
assert alive(pid)
panel.onReload()
assert not alive(pid) and not os.path.exists(folder), "the old worker stays"
renewed = slicer.util.getModuleWidget("MRITranslate")
assert renewed is not panel
assert renewed.logic.loadPhantom(shape=(16, 48, 48))["t1"] is not None
assert sys.modules["MRITranslatePanel.worker"].sharedWorker() is not worker
"""
LEFT = """
import glob, os, tempfile
import slicer
import MRITranslate

class Short(MRITranslate.MRITranslateTest):
    def test_nothing(self):
        self.logic.loadPhantom(shape=(16, 48, 48))
    test_translate = test_explain = test_check = test_generate = test_problems = test_nothing

scene = slicer.mrmlScene
count = scene.GetNumberOfNodes()
Short().runTest()
assert scene.GetNumberOfNodes() <= count
assert scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode") is None
(folder,) = glob.glob(os.path.join(tempfile.gettempdir(), "MRITranslate-*"))
assert os.listdir(folder) == []
"""


def run(code, *options, **variables):
    command = [sys.executable, "-m", "Testing.host", *options, "--testing", "--no-splash"]
    command += ["--additional-module-paths", str(ROOT / "MRITranslate"), "--python-code", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT, env=environment, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "does not have observer" not in done.stderr


def test_self_test():
    if not (builtin_folder() / "t1_to_t2" / "model.json").is_file():
        pytest.skip("the built-in model t1_to_t2 is not in this copy of the repository")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(UNITTEST, "--no-main-window")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"self test: {seconds:.0f} s of processor time, {time.monotonic() - start:.0f} s in all")
    assert seconds < 180  # what it takes on a machine that has nothing else to do


def test_reloading_leaves_no_worker_behind():
    run(RELOAD)


def test_self_test_leaves_nothing_behind(tmp_path):
    """Neither in the scene, nor in the temporary folder more than the warm worker's empty one, which goes with it."""
    run(LEFT, "--no-main-window", TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("MRITranslate-*")) == []
