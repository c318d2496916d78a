"""Missing Python packages: asked for, refused, or impossible to install, the panel stays usable with a sentence."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest

from MRITranslateLib.errors import InputError

from .conftest import click_and_wait
from .test_panel import head


@pytest.fixture
def dependencies(app):
    return sys.modules["MRITranslatePanel.dependencies"]


@pytest.fixture
def hide(monkeypatch):
    """Let modules look as if they were not installed."""
    find_spec = importlib.util.find_spec

    def without(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find_spec(name))

    return without


def test_nothing_is_missing_here(dependencies):
    assert dependencies.missing() == []
    dependencies.ensure()


def test_every_package_that_would_be_installed_is_looked_for(dependencies):
    lines = Path(dependencies.REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    listed = [line.partition(">=")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(listed) == sorted(dependencies.MODULES.values())


def test_looking_imports_nothing():
    """Torch is looked for by its files; importing it would cost seconds and memory in Slicer's process."""
    import subprocess

    code = "import importlib.util, sys; importlib.util.find_spec('torch'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_refusing_to_install_leaves_a_sentence(panel, hide):
    import slicer

    hide("monai", "pytorch_grad_cam")
    head()
    count = slicer.mrmlScene.GetNumberOfNodes()
    click_and_wait(panel, panel.ui.runButton)  # in testing mode every question is answered with no
    assert "needs the Python packages monai, grad-cam" in panel.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert panel.ui.runButton.enabled


def test_agreeing_installs_what_is_listed_and_keeps_slicers_own_packages(dependencies, hide, monkeypatch):
    import slicer

    hide("monai", "slicer.packaging")
    seen = {}

    def install(arguments):
        seen["arguments"] = arguments
        with open(arguments[1], encoding="utf-8") as file:
            seen["constraints"] = file.read()
        hide()

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *args, **kwargs: True)
    monkeypatch.setattr(slicer.util, "pip_install", install)
    dependencies.ensure()
    assert seen["arguments"][2:] == ["-r", dependencies.REQUIREMENTS]
    assert "numpy==" in seen["constraints"]
    with open(dependencies.REQUIREMENTS, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith("#")]
    assert all(">=" in line and "==" not in line for line in lines)
    assert not {"numpy", "simpleitk", "vtk", "torch"} & {line.partition(">=")[0].lower() for line in lines}


def test_a_failing_installation_is_one_sentence(dependencies, hide, monkeypatch):
    import slicer

    def fail(arguments):
        raise OSError("no network")

    hide("monai")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *args, **kwargs: True)
    monkeypatch.setattr(slicer.util, "pip_install", fail)
    with pytest.raises(InputError, match="not installed \\(no network\\)"):
        dependencies.ensure()


def test_torch_comes_through_the_pytorch_extension(dependencies, hide, monkeypatch):
    hide("torch", "PyTorchUtils")
    with pytest.raises(InputError, match="PyTorch extension"):
        dependencies.ensure()
    asked = []

    class PyTorchUtilsLogic:  # what that extension offers, answering "no"
        def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
            asked.append((askConfirmation, torchVersionRequirement))

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    module.__spec__ = importlib.util.spec_from_loader("PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    hide("torch")
    with pytest.raises(InputError, match="needs PyTorch"):
        dependencies.ensure()
    assert asked == [(True, ">=2.6")]
