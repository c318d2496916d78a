"""A whole translation beside the bare forward pass of the same network on the same slices.

The bars: at most 1.25 times the bare network, and at most 3 GiB for 192 x 256 x 256 voxels.
"""

import argparse
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
from MRITranslateLib.phantom import phantom

from . import machine
from .sides import publish, start

HELP = "time and peak memory of a translation beside the bare network"
SIZE = (192, 256, 256)
MOST_TIMES = 1.25
MOST_GIB = 3.0
FINER = 0.95
"""Pixels of the test volume over the model's, so that it has to be resampled there and back."""


def test_volume(size: tuple[int, int, int], spacing: tuple[float, float]) -> sitk.Image:
    """A head of `size` (slices, rows, columns) with pixels a little smaller than the model's `spacing`.

    The speed does not depend on the anatomy: a small phantom is enlarged.
    """
    small = phantom(seed=1, shape=(48, 64, 64)).t1
    array = sitk.GetArrayViewFromImage(small)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(size, array.shape, strict=True)))
    image = sitk.GetImageFromArray(array[index].astype(np.int16))
    image.SetSpacing((FINER * spacing[1], FINER * spacing[0], 1.0))
    return image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("SLICES", "ROWS", "COLUMNS"))
    parser.add_argument("--model", default="t1_to_t2", help="name or folder of a model package")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions after the first, cold one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def main(options: argparse.Namespace) -> int:
    return compare(options, "translate", ("whole", "bare"), MOST_TIMES)


def compare(options: argparse.Namespace, benchmark: str, sides: tuple[str, str], most_times: float) -> int:
    """Let two sides of `worker` take turns on one volume, and publish their figures.

    Args:
        options: Of `add_arguments`.
        benchmark: Its name.
        sides: The product's side, which also says how many slices it takes at a time, and the bare network's.
        most_times: The bar for the ratio of their times.
    """
    package = load_package(options.model)
    device = pick_device(options.device)
    facts = machine.facts()
    threads = int(facts["cores"])
    with tempfile.TemporaryDirectory(prefix="mritranslate-benchmark-") as folder:
        volume = Path(folder) / "volume.mha"
        sitk.WriteImage(test_volume(tuple(options.size), package.card.grid.spacing_mm), volume)
        whole = start("worker", sides[0], volume, options.model, device, threads, 0)
        batch = whole.repeat()["batch"]
        bare = start("worker", sides[1], volume, options.model, device, threads, batch)
        bare.repeat()
        for _ in range(max(1, options.repeats)):
            bare.repeat()
            whole.repeat()
        whole.end()
        bare.end()
    report = {
        "benchmark": benchmark,
        "machine": facts,
        "model": package.card.name,
        "network": {"name": package.card.network.name, **package.card.network.parameters},
        "size": list(options.size),
        "device": device,
        "dtype": "float32" if device == "cpu" or benchmark == "explain" else "bfloat16 autocast",
        "threads": threads,
        "batch": batch,
        "whole": whole.summary(),
        "bare": bare.summary(),
        "ratio": round(statistics.median(whole.seconds()) / statistics.median(bare.seconds()), 3),
        "bars": {"ratio": most_times, "peak_gib": MOST_GIB},
    }
    report["met"] = report["ratio"] <= most_times and report["whole"]["peak_gib"] <= MOST_GIB
    show(report, most_times)
    return publish(report, options.json)


def show(report: dict[str, Any], most_times: float) -> None:
    console = Console()
    size = " x ".join(map(str, report["size"]))
    title = (
        f"{report['model']} on {size} voxels, {report['device']}, {report['dtype']}, {report['batch']} slices a batch"
    )
    table = Table("", "first s", "median s", "peak GiB", "of it before", title=title)
    for name, key in (("from image to image", "whole"), ("bare network", "bare")):
        side = report[key]
        cells = (side["first_s"], side["median_s"], side["peak_gib"], side["peak_before_gib"])
        table.add_row(name, *(f"{cell:.2f}" for cell in cells))
    console.print(table)
    console.print(f"{report['ratio']:.2f} times the bare network (bar {most_times}), ", end="")
    console.print(f"{report['whole']['peak_gib']:.2f} GiB (bar {MOST_GIB:g}): {'met' if report['met'] else 'MISSED'}")
