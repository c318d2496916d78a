"""A whole translation beside the bare forward pass of the same network on the same slices.

Both sides run in processes of their own, so that each peak of memory is its own, and take turns, so that both meet the
same moods of the machine. The bars: at most 1.25 times the bare network, and at most 3 GiB for 192 x 256 x 256 voxels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from rich.console import Console
from rich.table import Table

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.translate import pick_device

from . import machine

HELP = "time and peak memory of a translation beside the bare network"
SIZE = (192, 256, 256)
MOST_TIMES = 1.25
MOST_GIB = 3.0
GIB = 2**30


@dataclass
class Side:
    """A process that repeats one side of the comparison on demand."""

    process: subprocess.Popen[str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def repeat(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise InputError(f"the benchmark's process ended with code {self.process.wait()}; its message is above.")
        self.answers.append(json.loads(line))
        return self.answers[-1]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def median(self) -> float:
        """Median seconds, the first (cold) repetition left out."""
        return statistics.median(answer["seconds"] for answer in self.answers[1:])


def start(side: str, volume: Path, model: str, device: str, threads: int, batch: int) -> Side:
    command = [sys.executable, "-m", "Testing.benchmarks.worker", side, str(volume), model, device]
    command += [str(threads), str(batch)]
    root = Path(__file__).resolve().parents[2]
    return Side(subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


def test_volume(size: tuple[int, int, int], spacing: tuple[float, float]) -> sitk.Image:
    """A head of `size` (slices, rows, columns) whose pixels the model takes as they are, without resampling.

    The speed does not depend on the anatomy: a small phantom is enlarged.
    """
    small = phantom(seed=1, shape=(48, 64, 64)).t1
    array = sitk.GetArrayViewFromImage(small)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(size, array.shape, strict=True)))
    image = sitk.GetImageFromArray(array[index].astype(np.int16))
    image.SetSpacing((spacing[1], spacing[0], 1.0))
    return image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("SLICES", "ROWS", "COLUMNS"))
    parser.add_argument("--model", default="t1_to_t2", help="name or folder of a model package")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions after the first, cold one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def main(options: argparse.Namespace) -> int:
    package = load_package(options.model)
    device = pick_device(options.device)
    facts = machine.facts()
    threads = int(facts["cores"])
    with tempfile.TemporaryDirectory(prefix="mritranslate-benchmark-") as folder:
        volume = Path(folder) / "volume.mha"
        sitk.WriteImage(test_volume(tuple(options.size), package.card.grid.spacing_mm), volume)
        whole = start("whole", volume, options.model, device, threads, 0)
        batch = whole.repeat()["batch"]
        bare = start("bare", volume, options.model, device, threads, batch)
        bare.repeat()
        for _ in range(max(1, options.repeats)):
            bare.repeat()
            whole.repeat()
        whole.end()
        bare.end()
    report = {
        "benchmark": "translate",
        "machine": facts,
        "model": package.card.name,
        "network": {"name": package.card.network.name, **package.card.network.parameters},
        "size": list(options.size),
        "device": device,
        "dtype": "float32" if device == "cpu" else "bfloat16 autocast",
        "threads": threads,
        "batch": batch,
        "whole": summary(whole),
        "bare": summary(bare),
        "ratio": round(whole.median() / bare.median(), 3),
        "bars": {"ratio": MOST_TIMES, "peak_gib": MOST_GIB},
    }
    report["met"] = report["ratio"] <= MOST_TIMES and report["whole"]["peak_gib"] <= MOST_GIB
    show(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["met"] else 1


def summary(side: Side) -> dict[str, Any]:
    """Seconds of every repetition and their median; peak memory of the process, and what of it was there before."""
    last = side.answers[-1]
    return {
        "first_s": round(side.answers[0]["seconds"], 3),
        "seconds": [round(answer["seconds"], 3) for answer in side.answers[1:]],
        "median_s": round(side.median(), 3),
        "peak_gib": round(last["peak"] / GIB, 2),
        "peak_before_gib": round(last["peak_before"] / GIB, 2),
        "peak_gpu_gib": round(last["peak_gpu"] / GIB, 2),
    }


def show(report: dict[str, Any]) -> None:
    console = Console()
    size = " x ".join(map(str, report["size"]))
    title = (
        f"{report['model']} on {size} voxels, {report['device']}, {report['dtype']}, {report['batch']} slices a batch"
    )
    table = Table("", "first s", "median s", "peak GiB", "of it before", title=title)
    for name, key in (("whole translation", "whole"), ("bare network", "bare")):
        side = report[key]
        cells = (side["first_s"], side["median_s"], side["peak_gib"], side["peak_before_gib"])
        table.add_row(name, *(f"{cell:.2f}" for cell in cells))
    console.print(table)
    console.print(f"{report['ratio']:.2f} times the bare network (bar {MOST_TIMES}), ", end="")
    console.print(f"{report['whole']['peak_gib']:.2f} GiB (bar {MOST_GIB:g}): {'met' if report['met'] else 'MISSED'}")
    console.print_json(data=report)
