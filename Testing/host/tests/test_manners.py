"""The host prints what a real Slicer printed: every observation of the conformance suite, one by one."""

import json
import subprocess
import sys

import pytest

from .conftest import MANNERS, REPOSITORY

SUITES = {"MANNERS": ("observe.py", "expected.json"), "SCENE": ("observe_scene.py", "expected_scene.json")}


def expected(tag):
    path = MANNERS / SUITES[tag][1]
    return json.loads(path.read_text(encoding="utf-8"))["observations"] if path.is_file() else {}


@pytest.fixture(scope="module")
def seen():
    """What the host printed, by suite."""
    options = ["--testing", "--additional-module-paths", MANNERS / "Manners"]
    processes = {
        tag: subprocess.Popen(
            [sys.executable, "-m", "Testing.host", *options, "--python-script", MANNERS / script],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for tag, (script, _) in SUITES.items()
    }
    results = {}
    for tag, process in processes.items():
        output, errors = process.communicate(timeout=200)
        lines = [line for line in output.splitlines() if line.startswith(f"{tag} ")]
        assert process.returncode == 0, errors
        assert len(lines) == 1, output + errors
        results[tag] = json.loads(lines[0].removeprefix(f"{tag} "))
    return results


@pytest.mark.skipif(not MANNERS.is_dir(), reason="../shared/manners, the observations of a real Slicer, is not here")
@pytest.mark.parametrize(("tag", "name"), [(tag, name) for tag in SUITES for name in expected(tag)])
def test_host_behaves_as_slicer(seen, tag, name):
    assert seen[tag][name] == expected(tag)[name]


@pytest.mark.skipif(not MANNERS.is_dir(), reason="../shared/manners, the observations of a real Slicer, is not here")
@pytest.mark.parametrize("tag", SUITES)
def test_nothing_was_observed_that_slicer_did_not(seen, tag):
    assert set(seen[tag]) == set(expected(tag))
