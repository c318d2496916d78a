"""The pix2pix and CycleGAN recipes beside a plain textbook loop: eager, float32, one image at a time, with the same
networks and losses and its images ready in memory.

The networks and sizes are those of the shipped configurations, the data digital heads. The bars: at least 1.5 times the
textbook's images per second on a CPU and 4 times on an accelerator, and less than 5 % of the time waiting for data.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import yaml

import Training
from MRITranslateLib.inference import pick_device
from Training.config.load import load_config
from Training.config.run import RunConfig
from Training.recipes import RECIPES

from .report import begin, publish
from .sides import Side, start

HELP = "images per second of the recipes beside a plain loop"
CONFIGURATIONS = {"pix2pix": "flair_to_t1.yaml", "cyclegan": "t1_t2_cyclegan.yaml"}
LEAST_TIMES = {"cpu": 1.5, "accelerator": 4.0}
MOST_WAITING = 0.05
_ENDLESS = 10**6
"""Steps of an epoch: no period ends while it is measured."""
_HEADS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", choices=CONFIGURATIONS, help="only this one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side after the first, cold one")
    parser.add_argument("--images", type=int, help="images in a turn (32 on a CPU, 1024 elsewhere)")
    parser.add_argument("--batch", type=int, help="images in a step of the recipe, where not the configuration's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def main(options: argparse.Namespace) -> int:
    device = pick_device(options.device)
    kind = "cpu" if device == "cpu" else "accelerator"
    report = begin("train", device)
    recipes = [options.recipe] if options.recipe else list(CONFIGURATIONS)
    figures = {recipe: measure(recipe, device, int(report["machine"]["cores"]), options) for recipe in recipes}
    report |= {
        "recipes": figures,
        "bars": {"ratio": LEAST_TIMES[kind], "waiting": MOST_WAITING},
        "met": all(
            found["ratio"] >= LEAST_TIMES[kind] and found["recipe"]["waiting"] < MOST_WAITING
            for found in figures.values()
        ),
    }
    return publish(report, *_shown(report), options.json)


def measure(recipe: str, device: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides of one recipe in turns."""
    images = options.images or (32 if device == "cpu" else 1024)
    with tempfile.TemporaryDirectory(prefix="mritranslate-benchmark-") as folder:
        config = configure(recipe, device, options.batch, Path(folder) / "config.yaml")
        sides = [start("trainer", side, recipe, folder, device, threads, images) for side in ("recipe", "textbook")]
        for _ in range(1 + max(1, options.repeats)):
            for side in sides:
                side.repeat()
        for side in sides:
            side.end()
    fast, plain = (summary(side) for side in sides)
    ratios = [one / other for one, other in zip(fast["images_per_s"], plain["images_per_s"], strict=True)]
    return {
        "configuration": CONFIGURATIONS[recipe],
        "batch": config.batch_size,
        "precision": config.precision,
        "threads": threads,
        "recipe": fast,
        "textbook": plain,
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ratio": round(statistics.median(ratios), 2),
    }


def configure(recipe: str, device: str, batch: int | None, file: Path) -> RunConfig:
    """The shipped configuration on digital heads, with its discriminator at work from the first step."""
    model = RECIPES[recipe].config
    shipped = Path(Training.__file__).parent / "configs" / CONFIGURATIONS[recipe]
    data = f"{{phantoms: {_HEADS}, phantom_shape: [24, 256, 256]}}"
    options = ["--data", data, "--epochs", "1", "--steps_per_epoch", str(_ENDLESS), "--sample_epochs", "[]"]
    options += ["--accelerator", device.partition(":")[0]]
    if recipe == "pix2pix":
        options += ["--loss.adversarial_from_epoch", "0"]
    if batch is not None:
        options += ["--batch_size", str(batch)]
    config = load_config(model, shipped, options)
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    return config


def summary(side: Side) -> dict[str, Any]:
    """Images per second of every turn and their median; the share of waiting for data; peaks of memory."""
    turns = side.answers[1:]
    rates = [turn["images"] / turn["seconds"] for turn in turns]
    waiting = sum(turn["waited"] for turn in turns) / sum(turn["seconds"] for turn in turns)
    return {
        "images_per_s": [round(rate, 2) for rate in rates],
        "median_images_per_s": round(statistics.median(rates), 2),
        "waiting": round(waiting, 4),
        **side.peaks(),
    }


def _shown(report: dict[str, Any]) -> tuple[str, list[str], list[list[str]], str]:
    """Caption, headings, rows and verdict."""
    memory = "peak_gib" if report["device"] == "cpu" else "peak_gpu_gib"
    rows, ratios, waits = [], [], []
    for recipe, found in report["recipes"].items():
        own = f"{recipe} ({found['configuration']}), {found['precision']}, batches of {found['batch']}"
        for name, side in ((own, found["recipe"]), ("textbook, float32, one image a step", found["textbook"])):
            rows.append([name, f"{side['median_images_per_s']:.1f}", f"{side['waiting']:.1%}", f"{side[memory]:.2f}"])
        ratios.append(f"{recipe} {found['ratio']:.2f}")
        waits.append(found["recipe"]["waiting"])
    found = next(iter(report["recipes"].values()))
    caption = (
        f"Training on {report['device']}, threads: {found['threads']}; "
        f"medians of {len(found['recipe']['images_per_s'])} turns after a first"
    )
    bars = report["bars"]
    verdict = (
        f"Times the textbook: {', '.join(ratios)} (bar {bars['ratio']:g}); "
        f"waiting for data at most {max(waits):.1%} (bar {bars['waiting']:.0%})"
    )
    return caption, ["", "images/s", "waiting", "peak GiB"], rows, verdict
