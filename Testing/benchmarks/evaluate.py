"""`mt.evaluate` of a synthetic CT by the rules of SynthRAD 2025, beside the same figures written plainly with
whole-volume arrays and scipy; and the protocol plain, for CT and MR.

The memory is what the call takes beyond its inputs: the peak of the resident size during the call, less the resident
size before it, over the bytes of the inputs as they lie in memory (reference and prediction as float32, mask as uint8).
The bars, for a pair of 192 x 256 x 256 voxels on 2 cores: 20 s, 4 times the inputs, and figures that agree to 1e-4.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.phantom import phantom

from .evaluator import FILES
from .report import begin, publish
from .sides import GIB, Side, start
from .translate import SIZE, SMALL, enlarged

HELP = "time and memory of the figures of a pair beside a plain reference"
MOST_S = 20.0
MOST_INPUTS = 4.0
AGREEMENT = 1e-4
MEASURES = ("mae", "psnr", "ms_ssim")
BYTES_A_VOXEL = 4 + 4 + 1
CASES = {
    "synthrad2025": ("product", "CT", "synthrad2025"),
    "reference": ("plain", "CT", "synthrad2025"),
    "plain CT": ("product", "CT", "plain"),
    "plain MR": ("product", "MR", "plain"),
}
BODY_HU, TISSUE = -500.0, 50.0
"""Above these the phantom's CT and T1 show the patient."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("SLICES", "ROWS", "COLUMNS"))
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side after the first, cold one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def write_pairs(folder: Path, size: tuple[int, int, int]) -> None:
    """A CT and a T1, each with a prediction and a mask, on one grid of `size` (slices, rows, columns).

    The speed does not depend on the anatomy: a small phantom is enlarged. The error is a smooth wave.
    """
    head = phantom(seed=1, shape=SMALL)
    down, across, along = np.ix_(*(np.sin(np.linspace(0.0, 7.0, extent, dtype=np.float32)) for extent in size))
    wave = down * across * along
    for modality, image, above, height in (("CT", head.ct, BODY_HU, 60.0), ("MR", head.t1, TISSUE, 40.0)):
        truth = enlarged(image, size).astype(np.float32)
        (folder / modality).mkdir()
        for name, array in zip(FILES, (truth, truth + height * wave, (truth > above).astype(np.uint8)), strict=True):
            sitk.WriteImage(sitk.GetImageFromArray(array), folder / modality / name)


def main(options: argparse.Namespace) -> int:
    report = begin("evaluate", "cpu")
    inputs = BYTES_A_VOXEL * int(np.prod(options.size))
    with tempfile.TemporaryDirectory(prefix="mritranslate-benchmark-") as folder:
        write_pairs(Path(folder), tuple(options.size))
        sides = {name: start("evaluator", side, folder, *case) for name, (side, *case) in CASES.items()}
        for _ in range(1 + max(1, options.repeats)):
            for side in sides.values():
                side.repeat()
        for side in sides.values():
            side.end()
    found = {name: _summary(side, inputs) for name, side in sides.items()}
    product, reference = (sides[name].answers[-1] for name in ("synthrad2025", "reference"))
    differences = {name: abs(product[name] / reference[name] - 1) for name in MEASURES}
    report |= {
        "size": list(options.size),
        "inputs_gib": round(inputs / GIB, 3),
        "sides": found,
        "scores": {name: product[name] for name in MEASURES},
        "reference_scores": {name: reference[name] for name in MEASURES},
        "relative_differences": differences,
        "ratio": round(found["synthrad2025"]["median_s"] / found["reference"]["median_s"], 3),
        "bars": {"seconds": MOST_S, "inputs": MOST_INPUTS, "agreement": AGREEMENT},
    }
    report["met"] = (
        found["synthrad2025"]["median_s"] < MOST_S
        and found["synthrad2025"]["memory_over_inputs"] < MOST_INPUTS
        and max(differences.values()) <= AGREEMENT
    )
    return publish(report, *_shown(report), options.json)


def _summary(side: Side, inputs: int) -> dict[str, Any]:
    """Seconds, peak memory, and the most that any call took beyond its inputs."""
    extra = max(answer["extra"] for answer in side.answers)
    seconds = side.seconds()
    return {
        "first_s": round(side.answers[0]["seconds"], 3),
        "seconds": [round(value, 3) for value in seconds],
        "median_s": round(statistics.median(seconds), 3),
        "peak_gib": round(max(answer["peak"] for answer in side.answers) / GIB, 2),
        "memory_over_inputs": round(extra / inputs, 2),
    }


def _shown(report: dict[str, Any]) -> tuple[str, list[str], list[list[str]], str]:
    """Caption, headings, rows and verdict."""
    size = " x ".join(map(str, report["size"]))
    count = len(report["sides"]["reference"]["seconds"])
    caption = (
        f"Scores of a pair of {size} voxels with a mask, inputs of {report['inputs_gib']:.2f} GiB; "
        f"medians of {count} after a first"
    )
    names = {
        "synthrad2025": "`mt.evaluate`, synthrad2025",
        "reference": "plain reference of synthrad2025",
        "plain CT": "`mt.evaluate`, plain, CT",
        "plain MR": "`mt.evaluate`, plain, MR",
    }
    rows = [
        [names[name], *(f"{side[key]:.2f}" for key in ("first_s", "median_s", "peak_gib", "memory_over_inputs"))]
        for name, side in report["sides"].items()
    ]
    side, worst = report["sides"]["synthrad2025"], max(report["relative_differences"].values())
    verdict = (
        f"synthrad2025 in {side['median_s']:.1f} s (bar {MOST_S:g}), {report['ratio']:.2f} times the reference; "
        f"{side['memory_over_inputs']:.2f} times the inputs of memory beyond them (bar {MOST_INPUTS:g}); "
        f"largest relative difference of {', '.join(MEASURES)}: {worst:.1e} (bar {AGREEMENT:.0e})"
    )
    return caption, ["", "first s", "median s", "peak GiB", "memory beyond the inputs, times them"], rows, verdict
