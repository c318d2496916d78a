"""The module's own self test, as Slicer runs it: in a fresh application, without a main window and so without views."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MRITranslateLib.catalog import builtin_folder

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "import slicer, slicer.util\n"
    "import unittest, MRITranslate\n"
    "suite = unittest.TestLoader().loadTestsFromTestCase(MRITranslate.MRITranslateTest)\n"
    "result = unittest.TextTestRunner(verbosity=2).run(suite)\n"
    "done = result.wasSuccessful() and result.testsRun == 6 and not result.skipped\n"
    "slicer.util.exit(0 if done else 1)\n"
)


def test_self_test():
    if not (builtin_folder() / "t1_to_t2" / "model.json").is_file():
        pytest.skip("the built-in model t1_to_t2 is not in this copy of the repository")
    command = [sys.executable, "-m", "Testing.host", "--no-main-window", "--testing", "--no-splash"]
    command += ["--additional-module-paths", str(ROOT / "MRITranslate"), "--python-code", CODE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
