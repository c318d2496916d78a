"""No process and no file of a patient stays behind when the application ends in the middle of a job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT
from .test_worker import alive

JOB = """
import sys, slicer
{open}
told = []

def progress(fraction, stage, done, total, remaining):
    if stage == "Making a phantom head" and not told:  # work that hears of no cancelling
        told.append(stage)
        worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
        print("WORKER", worker.processId, worker.folder(), flush=True)
        {then}

logic = sys.modules["MRITranslate"].MRITranslateLogic()
logic.start(sys.modules["MRITranslatePanel.jobs"].PhantomJob(shape=(256, 256, 256)), progress)
"""
GONE_S = 20.0
"""The worker gives a job three seconds to notice that nobody listens; the rest is for a busy machine."""


def start(then, window=True):
    """The host with a job under way; its process, and the worker's id and folder."""
    options = ["--no-splash", *([] if window else ["--no-main-window"])]
    code = JOB.format(then=then, open='slicer.util.selectModule("MRITranslate")' if window else "")
    host = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "Testing.host",
            *options,
            "--additional-module-paths",
            str(ROOT / "MRITranslate"),
            "--python-code",
            code,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert host.stdout is not None
    for line in host.stdout:
        if line.startswith("WORKER"):
            _, pid, folder = line.split()
            return host, int(pid), Path(folder)
    raise AssertionError(f"the host ended with code {host.wait()}")


def assert_gone(pid, folder):
    end = time.monotonic() + GONE_S
    while (alive(pid) or folder.exists()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)
    assert not folder.exists()


@pytest.mark.parametrize("window", [True, False], ids=["with a panel", "without a main window"])
def test_quitting_during_a_job(window):
    host, pid, folder = start("slicer.util.exit(0)", window)
    host.communicate(timeout=60)
    assert host.returncode == 0
    assert not alive(pid)  # at once: the application does not leave before its worker
    assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_killing_the_application_during_a_job():
    host, pid, folder = start("pass")
    assert alive(pid)
    assert folder.is_dir()
    host.send_signal(signal.SIGKILL)
    host.communicate(timeout=60)
    assert_gone(pid, folder)
