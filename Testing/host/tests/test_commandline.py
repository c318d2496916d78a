"""Slicer's command line: exit codes, script arguments, and life without a main window."""

import subprocess
import sys

import pytest

from Testing.host import commandline

from .conftest import REPOSITORY


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "Testing.host", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_several_module_paths_and_the_arguments_of_the_script():
    line = "--no-splash --testing --additional-module-paths a b --python-script s.py one --two -- --testing"
    options = commandline.parse(line.split())
    assert options.module_paths == ["a", "b"]
    assert (options.script, options.script_arguments) == ("s.py", ["one", "--two", "--testing"])
    assert options.testing
    assert options.main_window


@pytest.mark.parametrize(
    "line",
    [
        "--no-such-option",
        "--additional-module-paths a --additional-module-paths b",
        "--run",
        "--screenshot x.png --run",
    ],
)
def test_nonsense_is_refused(line, capsys):
    with pytest.raises(SystemExit) as stop:
        commandline.parse(line.split())
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err


def test_exception_in_the_script_is_a_failure_in_testing_mode(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise ValueError('no good')")
    result = run("--testing", "--no-main-window", "--python-script", script)
    assert result.returncode == 1
    assert "ValueError: no good" in result.stderr


def test_exit_code_is_the_scripts_and_the_last_one_counts(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import slicer, sys; print(sys.argv[1:]); slicer.util.exit(3); slicer.util.exit(7); print('on')")
    result = run("--testing", "--no-main-window", "--python-script", script, "a", "--b")
    assert result.returncode == 7
    assert result.stdout.splitlines() == ["['a', '--b']", "on"]


def test_error_in_a_slot_fails_a_run_in_testing_mode():
    code = "import qt; b = qt.QPushButton(); b.connect('clicked()', lambda: 1 / 0); b.click()"
    result = run("--testing", "--no-main-window", "--python-code", code)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_application_runs_on_until_it_is_told_to_exit():
    code = "import qt, slicer; qt.QTimer.singleShot(50, lambda: slicer.util.exit(4))"
    assert run("--no-main-window", "--python-code", code).returncode == 4


def test_module_path_that_is_not_there_is_named():
    result = run("--testing", "--no-main-window", "--additional-module-paths", "no-such-folder")
    assert result.returncode != 0
    assert "no-such-folder" in result.stderr


WITHOUT_WINDOW = """
import numpy as np, slicer
def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False
assert slicer.util.mainWindow() is None
assert slicer.app.layoutManager() is None
assert raises(RuntimeError, lambda: slicer.util.selectModule("Volumes"))
assert raises(AttributeError, slicer.util.resetSliceViews)
scan = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.float32), name="Scan")
slicer.util.setSliceViewerLayers(background=scan, fit=True)
assert slicer.modules.volumes.logic().GetClassName() == "vtkSlicerVolumesLogic"
assert slicer.modules.volumes.widgetRepresentation() is not None
slicer.util.errorDisplay("No.")
assert slicer.util.showStatusMessage("x") is False
assert slicer.app.commandOptions().noMainWindow is True
print("all as in Slicer")
"""


def test_without_a_main_window(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_WINDOW)
    result = run("--testing", "--no-main-window", "--python-script", script)
    assert result.returncode == 0, result.stderr
    assert "all as in Slicer" in result.stdout
