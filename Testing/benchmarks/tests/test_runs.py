"""The benchmarks that are quick on a small size measure what they say. How fast this machine is is no matter here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.evaluate import evaluate
from Testing.benchmarks import memory
from Testing.benchmarks.evaluate import write_pairs
from Testing.benchmarks.synthrad import synthrad2025

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `all` writes of two benchmarks on a small size; only one of them has a size."""
    folder = tmp_path_factory.mktemp("figures")
    options = ["--only", "startup", "evaluate", "--size", "40", "50", "44", "--repeats", "1", "--output", str(folder)]
    ended = subprocess.run(
        [sys.executable, "-m", "Testing.benchmarks", "all", *options],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=250,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr
    assert "startup: " in ended.stdout
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir()}


def test_startup(reports: dict[str, Any]) -> None:
    report = reports["startup"]
    assert report["command"] == "python -m Testing.benchmarks startup --repeats 1"
    assert report["import_loads_torch"] is False
    sides = report["sides"]
    assert all(len(side["seconds"]) == 1 for side in sides.values())
    assert sides["worker: ready"]["median_s"] < sides["worker: first answer"]["median_s"]
    nothing, torch, answer = (
        sides[name]["peak_mib"] for name in ("`python -c pass`", "`import torch`", "worker: first answer")
    )
    assert 3 < nothing < 50  # the process's own, and not what the benchmark's process has with torch in memory
    assert 100 < torch <= answer + 50


def test_evaluate(reports: dict[str, Any]) -> None:
    report = reports["evaluate"]
    assert report["size"] == [40, 50, 44]
    assert max(report["relative_differences"].values()) < 1e-6
    assert all(side["memory_over_inputs"] > 0 for side in report["sides"].values())
    assert report["ratio"] > 0


def test_the_reference_notices_an_error(tmp_path: Path) -> None:
    """It is no echo of `mt.evaluate`: both change when the prediction does, and still agree."""
    write_pairs(tmp_path, (30, 40, 36))
    truth, made, mask = (
        sitk.ReadImage(tmp_path / "CT" / f"{name}.mha") for name in ("reference", "prediction", "mask")
    )
    arrays = [sitk.GetArrayFromImage(image) for image in (truth, made, mask)]
    first = synthrad2025(*arrays)
    second = synthrad2025(arrays[0], arrays[1] + 50.0, arrays[2])
    assert second["mae"] > first["mae"] + 10
    assert second["ms_ssim"] < first["ms_ssim"]
    own = evaluate(truth, made + 50.0, "CT", mask, "synthrad2025").values
    assert {name: own[name] for name in second} == pytest.approx(second, rel=1e-4)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a peak be reset")
def test_a_peak_begins_anew() -> None:
    large = np.ones(8_000_000)
    high = memory.peak_bytes()
    del large
    memory.reset_peak()
    assert memory.peak_bytes() <= high - 40_000_000
    assert memory.resident_bytes() <= memory.peak_bytes()
