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

from MRITranslateLib.inference import pick_device
from MRITranslateLib.package import load_package

from .report import begin, publish
from .sides import GIB, Side, start
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
    report = begin("panel", device)
    threads = options.threads or int(report["machine"]["cores"])
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
    report |= {
        "model": package.card.name,
        "model_version": package.card.version,
        "size": list(options.size),
        "threads": threads,
        "panel": panel.summary() | _worker(panel),
        "in_process": inside.summary(),
        "ratio": round(statistics.median(panel.seconds()) / statistics.median(inside.seconds()), 3),
        "preview": {
            "first_s": round(scrolled.answers[0]["seconds"], 3),
            "median_ms": round(statistics.median(milliseconds), 1),
            "percentile_95_ms": round(float(np.percentile(milliseconds, 95)), 1),
            "slices": len(milliseconds),
            **scrolled.peaks(),
            **_worker(scrolled),
        },
        "stalls": {"translation": _stalls(panel), "preview": _stalls(scrolled)},
        "bars": {"ratio": MOST_TIMES, "stall_ms": MOST_STALL_MS},
    }
    worst = max(stall["longest_ms"] for stall in report["stalls"].values())
    report["met"] = report["ratio"] <= MOST_TIMES and worst <= MOST_STALL_MS
    return publish(report, *_shown(report, worst), options.json)


def _worker(side: Side) -> dict[str, float]:
    """Peak memory of the worker process that the panel had; `peak_gib` is the panel's own."""
    return {"peak_worker_gib": round(side.answers[-1]["peak_worker"] / GIB, 2)}


def _stalls(side: Side) -> dict[str, float]:
    """The longest ones, the first turn's among them: of the loop, and with the time in which it waited for a core."""
    return {
        "longest_ms": round(max(answer["stall_ms"] for answer in side.answers), 1),
        "by_the_clock_ms": round(max(answer["stall_by_the_clock_ms"] for answer in side.answers), 1),
    }


def _shown(report: dict[str, Any], worst: float) -> tuple[str, list[str], list[list[str]], str]:
    """Caption, headings, rows and verdict; a stall is the worst of its kind of turn."""
    size = " x ".join(map(str, report["size"]))
    caption = (
        f"{report['model']} {report['model_version']} on {size} voxels, {report['device']}, threads: "
        f"{report['threads']}; medians of {len(report['panel']['seconds'])} after a first"
    )
    headings = ["", "first s", "median s", "95th percentile s", "peak GiB", "of the worker", "longest stall ms"]
    preview, inside, stalls = report["preview"], report["in_process"], report["stalls"]
    turns = (("click to result, warm worker", report["panel"]), ("the same in process", inside))
    rows = [[name, f"{side['first_s']:.2f}", f"{side['median_s']:.2f}", ""] for name, side in turns]
    times = (f"{preview[key] / 1000:.3f}" for key in ("median_ms", "percentile_95_ms"))
    rows.append([f"live preview, one of {preview['slices']} slices", f"{preview['first_s']:.2f}", *times])
    for row, side, kind in zip(rows, (report["panel"], inside, preview), ("translation", "", "preview"), strict=True):
        row.append(f"{side['peak_gib']:.2f}")
        row += [f"{side['peak_worker_gib']:.2f}", f"{stalls[kind]['longest_ms']:.0f}"] if kind else ["", ""]
    verdict = (
        f"{report['ratio']:.2f} times the work in process (bar {MOST_TIMES}), "
        f"longest stall {worst:.0f} ms (bar {MOST_STALL_MS:.0f})"
    )
    return caption, headings, rows, verdict
