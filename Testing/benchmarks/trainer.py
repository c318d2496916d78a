"""One side of the training benchmark, in a process of its own: either a recipe or the textbook's loop.

Started by `train.py`.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from Training.config.load import load_config
from Training.recipes import RECIPES

from . import textbook
from .sides import Turns

TEXTBOOK_IMAGES = 16
"""Different images that the textbook's loop goes through."""


def main(side: str, recipe: str, folder: str, device: str, threads: int, images: int) -> None:
    """Train `images` images a turn."""
    torch.set_num_threads(threads)
    turns = Turns(device)
    module = RECIPES[recipe].load()
    run = module.setup(
        load_config(RECIPES[recipe].config, Path(folder) / "config.yaml", ["--output", f"{folder}/{side}"])
    )
    if side == "recipe":
        train_recipe(module, run, turns, images)
    else:
        train_textbook(recipe, run, turns, images, device)


def train_recipe(module: Any, run: Any, turns: Turns, images: int) -> None:
    """The recipe as it is, halted between its steps."""
    session = run.session
    steps = max(1, images // session.config.batch_size)
    waited = 0.0

    def stop() -> bool:
        nonlocal waited
        if session.step % steps:
            return False
        turns.tell(images=steps * session.config.batch_size, waited=session.waited - waited)
        waited = session.waited
        return not turns.wait()

    if turns.wait():
        module.fit(run, stop=stop)


def train_textbook(recipe: str, run: Any, turns: Turns, images: int, device: str) -> None:
    samples = run.data.samples
    ready = [tuple(part[None].to(device) for part in samples[index]) for index in range(TEXTBOOK_IMAGES)]
    loop = {"pix2pix": textbook.pix2pix, "cyclegan": textbook.cyclegan}[recipe](run.config, ready, device)
    while turns.wait():
        for _ in islice(loop, images):
            pass
        turns.tell(images=images, waited=0.0)


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:7]))
