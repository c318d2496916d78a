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

from MRITranslateLib.inference import pick_device
from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom

from .report import begin, publish
from .sides import start

HELP = "time and peak memory of a translation beside the bare network"
SIZE = (192, 256, 256)
SMALL = (48, 64, 64)
MOST_TIMES = 1.25
MOST_GIB = 3.0
FINER = 0.95
"""Pixels of the test volume over the model's, so that it has to be resampled there and back."""


def test_volume(size: tuple[int, int, int], spacing: tuple[float, float]) -> sitk.Image:
    """A head of `size` (slices, rows, columns) with pixels a little smaller than the model's `spacing`.

    The speed does not depend on the anatomy: a small phantom is enlarged.
    """
    image = sitk.GetImageFromArray(enlarged(phantom(seed=1, shape=SMALL).t1, size).astype(np.int16))
    image.SetSpacing((FINER * spacing[1], FINER * spacing[0], 1.0))
    return image


def enlarged(image: sitk.Image, size: tuple[int, int, int]) -> np.ndarray:
    """The array of a small image with its voxels repeated up to `size` (slices, rows, columns)."""
    array = sitk.GetArrayViewFromImage(image)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(size, array.shape, strict=True)))
    return array[index]


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
    report = begin(benchmark, device)
    threads = int(report["machine"]["cores"])
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
    report |= {
        "model": package.card.name,
        "model_version": package.card.version,
        "network": {"name": package.card.network.name, **package.card.network.parameters},
        "size": list(options.size),
        "dtype": "float32" if device == "cpu" or benchmark == "explain" else "bfloat16 autocast",
        "threads": threads,
        "batch": batch,
        "whole": whole.summary(),
        "bare": bare.summary(),
        "ratio": round(statistics.median(whole.seconds()) / statistics.median(bare.seconds()), 3),
        "bars": {"ratio": most_times, "peak_gib": MOST_GIB},
    }
    report["met"] = report["ratio"] <= most_times and report["whole"]["peak_gib"] <= MOST_GIB
    return publish(report, *_shown(report, most_times), options.json)


def _shown(report: dict[str, Any], most_times: float) -> tuple[str, list[str], list[list[str]], str]:
    """Caption, headings, rows and verdict."""
    size = " x ".join(map(str, report["size"]))
    caption = (
        f"{report['model']} {report['model_version']} on {size} voxels, {report['device']}, {report['dtype']}, "
        f"{report['batch']} slices a batch, threads: {report['threads']}; "
        f"medians of {len(report['whole']['seconds'])} after a first"
    )
    headings = ["", "first s", "median s", "peak GiB", "of it before"]
    keys = ["first_s", "median_s", "peak_gib", "peak_before_gib"]
    if report["device"] != "cpu":
        headings.append("peak GiB of the accelerator")
        keys.append("peak_gpu_gib")
    rows = [
        [name, *(f"{report[side][key]:.2f}" for key in keys)]
        for name, side in (("from image to image", "whole"), ("bare network", "bare"))
    ]
    verdict = (
        f"{report['ratio']:.2f} times the bare network (bar {most_times}), "
        f"{report['whole']['peak_gib']:.2f} GiB (bar {MOST_GIB:g})"
    )
    return caption, headings, rows, verdict
