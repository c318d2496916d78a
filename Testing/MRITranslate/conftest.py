"""The module in the test host, once for all tests of this folder, with small models of random weights."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY_T2, TINY_T1, TINY_CT, SLOW, CLASSIFIER = "tiny_t2", "tiny_t1", "tiny_ct", "slow_t2", "tiny_classes"


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory):
    """The user's folder of model packages, empty."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def models(models_folder):
    """In the user's folder a quick T1 to T2 with its way back, a quick T1 to CT, and a classifier of T1 slices."""
    from Testing.MRITranslateLib.packages import tiny_package

    ct_intensity = {
        "source": {"name": "foreground_median"},
        "target": {"name": "window", "parameters": {"low": -1024.0, "high": 3071.0}},
    }
    tiny_package(models_folder / TINY_T2, name=TINY_T2, title="Tiny T1 to T2", inverse=TINY_T1)
    tiny_package(models_folder / TINY_T1, name=TINY_T1, title="Tiny T2 to T1", source="T2", target="T1")
    tiny_package(
        models_folder / CLASSIFIER, task="classification", source="T1", picture={"size": 32, "spacing_mm": 8.0}
    )
    tiny_package(models_folder / TINY_CT, name=TINY_CT, title="Tiny T1 to CT", target="CT", intensity=ct_intensity)


@pytest.fixture(scope="session")
def slow_model(models_folder):
    """A model that takes long, for disturbing a run in the middle."""
    from Testing.MRITranslateLib.packages import tiny_package

    network = {"name": "resnet9", "parameters": {"width": 32, "blocks": 9}}
    tiny_package(models_folder / SLOW, name=SLOW, title="Slow T1 to T2", network=network, discriminator=None)


@pytest.fixture(scope="session")
def app(models_folder):
    """The running host with the module loaded."""
    os.environ["MRITRANSLATE_MODELS"] = str(models_folder)
    os.environ["OMP_NUM_THREADS"] = "1"
    from Testing.host import application

    host = application.start(module_paths=[ROOT / "MRITranslate"], main_window=True)
    import slicer

    if "MRITranslate" not in getattr(slicer.modules, "sampleDataSources", {}):
        # Other tests of this process had started the host without the module; Slicer loads all before it says so.
        host.native.startupCompleted.emit()
    yield host
    sys.modules["MRITranslatePanel.worker"].sharedWorker().stop()


@pytest.fixture
def panel(app, models):
    """The module's widget, shown, in an empty scene, with nothing running; the quick T1 to T2 model is chosen."""
    import slicer

    slicer.mrmlScene.Clear()
    slicer.util.selectModule("Welcome")
    slicer.util.selectModule("MRITranslate")  # entering it looks for models
    widget = slicer.util.getModuleWidget("MRITranslate")
    choose_model(widget, TINY_T2)
    yield widget
    widget.logic.cancelAll()
    wait(lambda: not widget.logic.running)
    assert app.warnings == []
    assert app.slot_errors == []


@pytest.fixture
def logic(app, models):
    """The scripting interface in an empty scene."""
    import slicer

    slicer.mrmlScene.Clear()
    return sys.modules["MRITranslate"].MRITranslateLogic()


def wait(condition, seconds=120.0):
    """Let the application work until `condition()` holds; the limit is for a machine that is busy with other things."""
    import time

    import slicer

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the application did not get there in time"
        slicer.app.processEvents()
        time.sleep(0.002)


@contextlib.contextmanager
def nothing_left():
    """What is done inside leaves no file in the folder of the panel's worker. All tests of a process share it: what was
    there before does not count, and a look at the input may still have its own there for a while."""
    folder = Path(sys.modules["MRITranslatePanel.worker"].sharedWorker().folder())
    before = set(folder.iterdir())
    yield
    wait(lambda: set(folder.iterdir()) <= before)


def choose_model(widget, name):
    combo = widget.ui.modelCombo
    combo.currentIndex = combo.findData(name)


def choose_target(widget, name):
    """What to explain, by the worker's name for it."""
    targets = [target.value for target in sys.modules["MRITranslatePanel.parameters"].Target]
    widget.ui.targetCombo.currentIndex = targets.index(name)


def click_and_wait(widget, button):
    """Click a button that starts a run and wait for its end."""
    assert button.enabled, button.toolTip
    button.click()
    wait(lambda: not widget.logic.running)
