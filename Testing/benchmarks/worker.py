"""One side of the translation benchmark, in a process of its own: either the whole translation or the bare network.

Started by `translate.py`.
"""

import sys
from collections.abc import Callable

import SimpleITK as sitk
import torch

from MRITranslateLib.package import Package, load_package
from MRITranslateLib.preparation import Preparation
from MRITranslateLib.translate import translate

from .sides import Turns


def whole(image: sitk.Image, package: Package, device: str) -> Callable[[], int]:
    """The translation from image to image; answers with the number of slices it took at a time."""

    def repeat() -> int:
        sizes: list[int] = []
        translate(image, package, device=device, progress=lambda _f, _s, done, _t: sizes.append(done))
        return next(size for size in sizes if size > 0)

    return repeat


def bare(image: sitk.Image, package: Package, device: str, batch: int) -> Callable[[], int]:
    """Nothing but the network, on the very slices that the translation gives it, ready on the device."""
    network = package.generator(device)
    preparation = Preparation(image, package.card)
    layout = torch.contiguous_format if device == "cpu" else torch.channels_last
    starts = range(0, preparation.slices, batch)
    slices = [
        torch.from_numpy(preparation.batch(start, min(start + batch, preparation.slices))).to(
            device, memory_format=layout
        )
        for start in starts
    ]

    def repeat() -> int:
        with torch.inference_mode(), torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=device != "cpu"):
            for part in slices:
                network(part)
        return batch

    return repeat


def main(side: str, volume: str, model: str, device: str, threads: int, batch: int) -> None:
    torch.set_num_threads(threads)
    image = sitk.ReadImage(volume)
    package = load_package(model)
    turns = Turns(device)
    repeat = whole(image, package, device) if side == "whole" else bare(image, package, device, batch)
    while turns.wait():
        turns.tell(batch=repeat())


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:7]))
