"""The panel's benchmark measures what it says, on a small volume and a quick model."""

import json
import os
import subprocess
import sys

from .conftest import ROOT, TINY_T2


def test_panel_benchmark(models, models_folder, tmp_path):
    command = [sys.executable, "-m", "Testing.benchmarks", "panel", "--model", TINY_T2, "--size", "12", "48", "40"]
    options = [
        "--device",
        "cpu",
        "--repeats",
        "1",
        "--slices",
        "4",
        "--threads",
        "1",
        "--json",
        str(tmp_path / "f.json"),
    ]
    environment = {**os.environ, "MRITRANSLATE_MODELS": str(models_folder)}
    ended = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=500
    )
    assert ended.returncode in (0, 1), ended.stderr  # whether the bars are met is no matter of this volume
    report = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert len(report["panel"]["seconds"]) == len(report["in_process"]["seconds"]) == 1
    assert report["ratio"] > 0
    assert report["preview"]["slices"] == 4
    assert 0 < report["preview"]["median_ms"] <= report["preview"]["percentile_95_ms"]
    for stalls in report["stalls"].values():
        assert 0 < stalls["longest_ms"] <= stalls["by_the_clock_ms"]
    assert "times the work in process" in ended.stdout
