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
from rich.console import Console
from rich.table import Table

import Training
from MRITranslateLib.inference import pick_device
from Training.config.load import load_config
from Training.config.run import RunConfig
from Training.recipes import RECIPES

from . import machine
from .sides import Side, publish, start

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
    facts = machine.facts()
    recipes = [options.recipe] if options.recipe else list(CONFIGURATIONS)
    figures = {recipe: measure(recipe, device, int(facts["cores"]), options) for recipe in recipes}
    report = {
        "benchmark": "train",
        "machine": facts,
        "device": device,
        "recipes": figures,
        "bars": {"ratio": LEAST_TIMES[kind], "waiting": MOST_WAITING},
        "met": all(
            found["ratio"] >= LEAST_TIMES[kind] and found["recipe"]["waiting"] < MOST_WAITING
            for found in figures.values()
        ),
    }
    show(report)
    return publish(report, options.json)


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


def show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table("", "images/s", "times", "waiting", "peak GiB", title=f"Training on {report['device']}")
    for recipe, found in report["recipes"].items():
        for name, key in (
            (f"{recipe}, {found['precision']}, batches of {found['batch']}", "recipe"),
            ("textbook", "textbook"),
        ):
            side = found[key]
            times = f"{found['ratio']:.2f}" if key == "recipe" else "1"
            memory = side["peak_gib"] if report["device"] == "cpu" else side["peak_gpu_gib"]
            cells = (f"{side['median_images_per_s']:.1f}", times, f"{side['waiting']:.1%}", f"{memory:.2f}")
            table.add_row(name, *cells)
    console.print(table)
    bars = report["bars"]
    console.print(f"Bars: {bars['ratio']:g} times, waiting below {bars['waiting']:.0%}: ", end="")
    console.print("met" if report["met"] else "MISSED")
