"""The panel in the test host beside the same work in process: from the click on Run to the result in the views with a
warm worker, the live preview's time for a slice, and how long the application's event loop was held up.

The bars: at most 1.2 times the work in process, and no stall above 100 ms.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from rich.console import Console
from rich.table import Table

from MRITranslateLib.inference import pick_device
from MRITranslateLib.package import load_package

from . import machine
from .sides import Side, publish, start
from .translate import SIZE, test_volume

HELP = "time from click to result beside the same work in process, and of the live preview"
MOST_TIMES = 1.2
MOST_STALL_MS = 100.0
LEAST_SLICES = 8
"""Of a volume through whose middle half one can scroll."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("SLICES", "ROWS", "COLUMNS"))
    parser.add_argument("--model", default="t1_to_t2", help="name of a model that the panel lists")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="of the worker; by default as many as there are cores")
    parser.add_argument("--repeats", type=int, default=3, help="translations after the first, cold one")
    parser.add_argument("--slices", type=int, default=40, help="that the preview scrolls through")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def main(options: argparse.Namespace) -> int:
    if options.size[0] < LEAST_SLICES:
        raise SystemExit(f"--size needs {LEAST_SLICES} slices or more to scroll through")
    package = load_package(options.model)
    device = pick_device(options.device)
    facts = machine.facts()
    threads = options.threads or int(facts["cores"])
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of every process on either side, for numpy as for torch
    with tempfile.TemporaryDirectory(prefix="mritranslate-benchmark-") as folder:
        volume = Path(folder) / "volume.nrrd"
        image = test_volume(tuple(options.size), package.card.grid.spacing_mm)
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), volume)
        panel = start("panelside", "translation", volume, options.model, device)
        inside = start("worker", "whole", volume, options.model, device, threads, 0)
        for _ in range(1 + max(1, options.repeats)):
            panel.repeat()
            inside.repeat()
        panel.end()
        inside.end()
        scrolled = start("panelside", "preview", volume, options.model, device)
        for _ in range(1 + max(1, options.slices)):
            scrolled.repeat()
        scrolled.end()
    milliseconds = [1000 * seconds for seconds in scrolled.seconds()]
    report: dict[str, Any] = {
        "benchmark": "panel",
        "machine": facts,
        "model": package.card.name,
        "size": list(options.size),
        "device": device,
        "threads": threads,
        "panel": panel.summary(),
        "in_process": inside.summary(),
        "ratio": round(statistics.median(panel.seconds()) / statistics.median(inside.seconds()), 3),
        "preview": {
            "first_s": round(scrolled.answers[0]["seconds"], 3),
            "median_ms": round(statistics.median(milliseconds), 1),
            "percentile_95_ms": round(float(np.percentile(milliseconds, 95)), 1),
            "slices": len(milliseconds),
        },
        "stalls": {"translation": _stalls(panel), "preview": _stalls(scrolled)},
        "bars": {"ratio": MOST_TIMES, "stall_ms": MOST_STALL_MS},
    }
    worst = max(stall["longest_ms"] for stall in report["stalls"].values())
    report["met"] = report["ratio"] <= MOST_TIMES and worst <= MOST_STALL_MS
    _show(report, worst)
    return publish(report, options.json)


def _stalls(side: Side) -> dict[str, float]:
    """The longest ones, the first turn's among them: of the loop, and with the time in which it waited for a core."""
    return {
        "longest_ms": round(max(answer["stall_ms"] for answer in side.answers), 1),
        "by_the_clock_ms": round(max(answer["stall_by_the_clock_ms"] for answer in side.answers), 1),
    }


def _show(report: dict[str, Any], worst: float) -> None:
    console = Console()
    size = " x ".join(map(str, report["size"]))
    table = Table("", "first s", "median s", title=f"{report['model']} on {size} voxels, {report['device']}")
    for name, key in (("click to result, warm worker", "panel"), ("the same in process", "in_process")):
        table.add_row(name, f"{report[key]['first_s']:.2f}", f"{report[key]['median_s']:.2f}")
    console.print(table)
    preview = report["preview"]
    console.print(
        f"Preview: {preview['median_ms']:.0f} ms a slice (95th percentile {preview['percentile_95_ms']:.0f} ms), the "
        f"first after {preview['first_s']:.1f} s"
    )
    console.print(f"{report['ratio']:.2f} times the work in process (bar {MOST_TIMES}), ", end="")
    console.print(f"longest stall {worst:.0f} ms (bar {MOST_STALL_MS:.0f}): {'met' if report['met'] else 'MISSED'}")
