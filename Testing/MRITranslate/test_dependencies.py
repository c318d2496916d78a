"""Missing Python packages: real pip installs them, with consent, into a Python of its own; bad days in one sentence."""

import functools
import importlib.metadata
import importlib.util
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import types

import pytest

from MRITranslateLib.errors import InputError

from .conftest import ROOT, click_and_wait, wait
from .test_panel import head
from .test_worker import alive
from .wheels import OwnPython, wheel

NUMPY = importlib.metadata.version("numpy")


@pytest.fixture
def dependencies(app):
    return sys.modules["MRITranslatePanel.dependencies"]


@pytest.fixture
def installing(app):
    return sys.modules["MRITranslatePanel.installing"]


@pytest.fixture
def hide(monkeypatch):
    """Let modules look as if they were not installed."""
    find_spec = importlib.util.find_spec

    def without(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find_spec(name))

    return without


@pytest.fixture
def answers(monkeypatch):
    """Questions that were asked; they are answered with yes."""
    import slicer

    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *more, **named: not asked.append(text))
    return asked


@pytest.fixture
def python(tmp_path, monkeypatch, dependencies, installing):
    """Slicer's Python has numpy and lacks the package dayone, of which wheels lie in a folder."""
    python = OwnPython(tmp_path / "slicer python")
    wheel(python.wheels, "numpy", NUMPY)
    wheel(python.wheels, "numpy", "99.0")
    python.install(f"numpy=={NUMPY}")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# one\ndayone>=1.4\n")
    monkeypatch.setattr(dependencies, "REQUIREMENTS", str(requirements))
    monkeypatch.setattr(dependencies, "MODULES", {"dayone": "dayone"})
    monkeypatch.setattr(installing, "sys", types.SimpleNamespace(executable=str(python.executable)))
    monkeypatch.setattr(sys, "path", [*sys.path, str(python.site)])  # Slicer and its Python share their packages
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", python.wheels.as_uri())
    (tmp_path / "temporary").mkdir()
    mkstemp = functools.partial(tempfile.mkstemp, dir=tmp_path / "temporary")
    monkeypatch.setattr(dependencies, "tempfile", types.SimpleNamespace(mkstemp=mkstemp))
    yield python
    assert list((tmp_path / "temporary").iterdir()) == []


def click_run_and_wait(panel):
    head()
    panel.ui.runButton.click()
    wait(lambda: not panel.logic.running and not panel._installation.running)


def synthetic_nodes():
    import slicer

    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "[" in node.GetName()]


def test_nothing_is_missing_here(dependencies):
    assert dependencies.missing() == []
    dependencies.check()


def test_every_package_that_would_be_installed_is_looked_for(dependencies):
    wanted = dependencies.wanted()
    assert list(wanted) == ["torch", *sorted(dependencies.MODULES.values(), key=list(wanted).index)]
    assert all(wanted.values())
    assert not {"numpy", "simpleitk", "vtk"} & {name.lower() for name in wanted}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for package, least in wanted.items():  # the engine states the same
        assert f'"{package}>={least}' in project


def test_looking_imports_nothing():
    """Torch is looked for by its files; importing it would cost seconds and memory in Slicer's process."""
    code = "import importlib.util, sys; importlib.util.find_spec('torch'); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout
        == "False\n"
    )


def test_looking_takes_no_time(dependencies):
    dependencies.lacking()
    start = time.monotonic()
    dependencies.lacking()
    assert time.monotonic() - start < 0.1


@pytest.mark.parametrize(
    ("installed", "least", "enough"),
    [
        ("2.6.0+cu124", "2.6", True),
        ("2.10", "2.6", True),
        ("2.5.1", "2.6", False),
        ("1.5.4", "1.5.5", False),
        ("5.0.0.dev0", "4.50", True),
        ("2", "2.0.0", True),
        ("", "0.1", False),
    ],
)
def test_versions_are_compared_as_numbers(dependencies, monkeypatch, installed, least, enough):
    monkeypatch.setattr(dependencies, "wanted", lambda: {"torch": least})
    monkeypatch.setattr(dependencies, "MODULES", {})
    monkeypatch.setattr(importlib.metadata, "version", lambda name: installed)
    assert (dependencies.lacking() == []) is enough


def test_refusing_to_install_leaves_a_sentence(panel, hide):
    import slicer

    hide("monai", "pytorch_grad_cam")
    head()
    count = slicer.mrmlScene.GetNumberOfNodes()
    click_and_wait(panel, panel.ui.runButton)  # in testing mode every question is answered with no
    assert "needs the Python packages monai 1.4, grad-cam 1.5.5; press Run again" in panel.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert panel.ui.runButton.enabled
    assert not panel.ui.cancelButton.enabled


def test_a_job_that_cannot_run_is_not_worth_an_installation(panel, hide, answers):
    import slicer

    hide("monai")
    panel.ui.inputSelector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))
    click_and_wait(panel, panel.ui.runButton)
    assert "has no voxels" in panel.ui.statusLabel.text
    assert answers == []


def test_agreeing_installs_and_the_run_goes_on(panel, python, answers):
    """One question, progress in the panel, nothing held up, and at the end the synthetic image."""
    import qt
    import slicer

    wheel(python.wheels, "dayone", "1.4.2", ["numpy"], {"dayone/data.txt": "x" * 1_000_000})
    said, gaps, last = set(), [], [time.monotonic()]

    def tick():
        said.add(panel.ui.stageLabel.text)
        gaps.append(time.monotonic() - last[0])
        last[0] = time.monotonic()

    head()
    panel.ui.runButton.click()
    assert panel.ui.cancelButton.enabled
    assert panel._installation.running
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", tick)
    last[0] = time.monotonic()
    timer.start()
    panel.ui.runButton.click()  # another run, which waits for the same installation
    wait(lambda: not panel._installation.running)
    timer.stop()
    wait(lambda: not panel.logic.running)
    assert python.packages() == {"numpy": NUMPY, "dayone": "1.4.2"}
    assert len(answers) == 1
    assert "dayone 1.4" in answers[0]
    assert any("dayone" in text for text in said), said
    assert max(gaps) < 0.5
    names = [f"Scan [synthetic T2]{more}" for more in ("", "_1")]
    assert all(slicer.mrmlScene.GetFirstNodeByName(name) for name in names), panel.ui.statusLabel.text


def test_slicers_own_numpy_is_never_replaced(panel, python, answers):
    wheel(python.wheels, "dayone", "1.4.2", ["numpy>=99"])
    click_run_and_wait(panel)
    assert python.packages() == {"numpy": NUMPY}
    assert "numpy, SimpleITK, vtk must stay as they are" in panel.ui.statusLabel.text
    assert "install a newer version of Slicer" in panel.ui.statusLabel.text
    assert "numpy>=99" in panel.ui.statusLabel.toolTip  # what pip said
    assert not synthetic_nodes()
    assert panel.ui.runButton.enabled


def test_what_is_built_into_slicer_and_unknown_to_pip_is_not_installed_over(
    panel, python, answers, monkeypatch, dependencies
):
    """As vtk is: importable, but pip knows of none and would fetch one."""
    (python.site / "builtin_one.py").write_text("")
    monkeypatch.setattr(dependencies, "KEPT", ("numpy", "builtin_one"))
    wheel(python.wheels, "builtin_one", "9.0")
    wheel(python.wheels, "dayone", "1.4.2", ["builtin_one"])
    click_run_and_wait(panel)
    assert python.packages() == {"numpy": NUMPY}
    assert "numpy, builtin_one must stay as they are" in panel.ui.statusLabel.text


@pytest.mark.parametrize("retries", ["0", "1"])
def test_no_network(panel, python, answers, monkeypatch, retries):
    with socket.socket() as closed:  # a port that nobody listens at
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{address[1]}/simple")
    monkeypatch.setenv("PIP_RETRIES", retries)
    click_run_and_wait(panel)
    assert "no source of packages can be reached" in panel.ui.statusLabel.text
    assert "\n" not in panel.ui.statusLabel.text


def test_cancel_stops_pip(panel, python, answers, monkeypatch):
    """A server that takes the request and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        head()
        panel.ui.runButton.click()
        silent.settimeout(60)
        connection, _ = silent.accept()
        pid = int(panel._installation._installation._process.processId())
        start = time.monotonic()
        panel.ui.cancelButton.click()
        wait(lambda: not panel._installation.running)
        connection.close()
    assert time.monotonic() - start < 1
    assert not alive(pid)
    assert "installation was cancelled" in panel.ui.statusLabel.text
    assert not panel.ui.cancelButton.enabled
    assert panel.ui.runButton.enabled
    assert len(answers) == 1


def test_broken_pip(panel, python, answers):
    (python.site / "pip").unlink()
    click_run_and_wait(panel)
    assert "no working pip; reinstall Slicer" in panel.ui.statusLabel.text


def test_python_that_does_not_start(panel, python, answers, installing):
    installing.sys.executable = "/nonexistent/python"
    click_run_and_wait(panel)
    assert "Slicer's Python could not be started" in panel.ui.statusLabel.text


def test_a_package_that_is_too_old_is_told_and_upgraded(panel, python, answers):
    import slicer

    wheel(python.wheels, "dayone", "1.3")
    python.install("dayone==1.3")
    wheel(python.wheels, "dayone", "1.4.2")
    click_run_and_wait(panel)
    assert "dayone 1.4 (instead of 1.3)" in answers[0]
    assert python.packages()["dayone"] == "1.4.2"
    assert slicer.mrmlScene.GetFirstNodeByName("Scan [synthetic T2]") is not None, panel.ui.statusLabel.text


def test_a_package_that_slicer_has_loaded_needs_a_restart(panel, python, answers, monkeypatch):
    wheel(python.wheels, "dayone", "1.3")
    python.install("dayone==1.3")
    wheel(python.wheels, "dayone", "1.4.2")
    loaded = types.ModuleType("dayone")
    loaded.__spec__ = importlib.util.find_spec("dayone")
    monkeypatch.setitem(sys.modules, "dayone", loaded)
    click_run_and_wait(panel)
    assert python.packages()["dayone"] == "1.4.2"
    assert "New versions of dayone are installed" in panel.ui.statusLabel.text
    assert "restart Slicer" in panel.ui.statusLabel.text
    assert not synthetic_nodes()  # the run does not go on


def test_what_an_interrupted_installation_left_is_put_right(panel, python, answers):
    """The files of the package lie there, but pip did not get as far as its metadata."""
    import slicer

    (python.site / "dayone").mkdir()
    (python.site / "dayone" / "__init__.py").write_text("half")
    wheel(python.wheels, "dayone", "1.4.2")
    click_run_and_wait(panel)
    assert python.packages()["dayone"] == "1.4.2"
    assert "1.4.2" in (python.site / "dayone" / "__init__.py").read_text(encoding="utf-8")
    assert slicer.mrmlScene.GetFirstNodeByName("Scan [synthetic T2]") is not None, panel.ui.statusLabel.text


def test_scripts_are_not_asked_but_told_how(logic, python, monkeypatch, capfd):
    import slicer

    monkeypatch.delattr(slicer.util, "confirmOkCancelDisplay")  # a question would fail
    wheel(python.wheels, "dayone", "1.4.2")
    scan = head()
    with pytest.raises(InputError, match=r"needs the Python packages dayone 1\.4; install them with .*installDep"):
        logic.translate(scan, "tiny_t2")
    logic.installDependencies()
    assert python.packages()["dayone"] == "1.4.2"
    assert "Successfully installed dayone-1.4.2" in capfd.readouterr().out
    assert logic.translate(scan, "tiny_t2").GetName() == "Scan [synthetic T2]"
    logic.installDependencies()
    assert capfd.readouterr().out == ""


def test_scripts_hear_of_a_failure(logic, python):
    wheel(python.wheels, "dayone", "1.3")
    with pytest.raises(InputError, match=r"not installed \(No matching distribution found for dayone>=1\.4\)"):
        logic.installDependencies()


def test_torch_needs_the_pytorch_extension(panel, hide, answers):
    hide("torch", "PyTorchUtils")
    click_run_and_wait(panel)
    assert "install it in the Extensions Manager and restart Slicer" in panel.ui.statusLabel.text


LIGHT_THE_TORCH = (
    "import sys\nfrom pip._internal.cli.main import main\nprint(sys.argv[1:])\nsys.exit(main(sys.argv[1:]))\n"
)


class PyTorchUtilsLogic:
    """What of the PyTorch extension says how its tool is to be called."""

    @staticmethod
    def _getPipInstallArguments(forceComputationBackend=None, torchVersionRequirement=None, torchvision=None):
        return ["install", "torch" + torchVersionRequirement, "torchvision"]


@pytest.fixture
def extension(monkeypatch):
    """The PyTorch extension is installed."""
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    module.__spec__ = importlib.util.spec_from_loader("PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return module


def test_torch_comes_with_the_tool_of_the_pytorch_extension(logic, python, extension, monkeypatch, capfd):
    """The extension's tool is installed first; it installs torch, with Slicer's numpy left alone, and then the rest."""
    find_spec = importlib.util.find_spec
    absent = lambda name: name in ("torch", "light_the_torch") and not (python.site / name).exists()  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if absent(name) else find_spec(name))
    wheel(python.wheels, "light-the-torch", "0.8", files={"light_the_torch/__main__.py": LIGHT_THE_TORCH})
    wheel(python.wheels, "torch", "2.7.1", ["numpy"])
    wheel(python.wheels, "torchvision", "0.22", ["torch", "numpy"])
    wheel(python.wheels, "dayone", "1.4.2")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    logic.installDependencies()
    printed = capfd.readouterr().out
    assert "['install', 'torch>=2.6', 'torchvision', '-c'" in printed
    packages = python.packages()
    assert packages.pop("numpy") == NUMPY
    assert packages == {"light-the-torch": "0.8", "torch": "2.7.1", "torchvision": "0.22", "dayone": "1.4.2"}


def test_another_version_of_the_pytorch_extension(panel, extension, hide, answers, monkeypatch):
    monkeypatch.setattr(extension, "PyTorchUtilsLogic", object)
    hide("torch")
    click_run_and_wait(panel)
    assert "Install PyTorch 2.6 or newer in the module PyTorch Utils" in panel.ui.statusLabel.text


def test_a_slicer_with_an_old_python_is_told_so(app, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 10))
    with pytest.raises(ImportError, match=r"needs Python 3\.11 or newer; install Slicer"):
        runpy.run_path(str(ROOT / "MRITranslate" / "MRITranslate.py"))
