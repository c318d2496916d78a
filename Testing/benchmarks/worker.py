"""One side of the benchmarks of translation and explanation, in a process of its own: the whole way from image to
image, or the bare network.

Started by `translate.py`.
"""

import sys
from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
import torch

from MRITranslateLib.explain import explain
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.preparation import Preparation
from MRITranslateLib.targets import Region
from MRITranslateLib.translate import translate

from .sides import Turns


def whole(image: sitk.Image, package: Package, device: str, _: int) -> Callable[[], int]:
    """The translation from image to image; answers with the number of slices it took at a time."""

    def repeat() -> int:
        sizes: list[int] = []
        translate(image, package, device=device, progress=lambda _f, _s, done, _t: sizes.append(done))
        return next(size for size in sizes if size > 0)

    return repeat


def bare(image: sitk.Image, package: Package, device: str, batch: int) -> Callable[[], int]:
    """Nothing but the network, on the very slices that the translation gives it, ready on the device."""
    network = package.generator(device)
    slices = _slices(image, package, device, batch, device != "cpu")

    def repeat() -> int:
        with torch.inference_mode(), torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=device != "cpu"):
            for part in slices:
                network(part)
        return batch

    return repeat


def explained(image: sitk.Image, package: Package, device: str, _: int) -> Callable[[], int]:
    """The map of a region that has a part in every slice; answers with the number of slices it took at a time."""
    everywhere = sitk.GetImageFromArray(np.ones(image.GetSize()[::-1], dtype=np.uint8))
    everywhere.CopyInformation(image)

    def repeat() -> int:
        sizes: list[int] = []
        target = Region(everywhere)
        explain(image, package, target, device=device, progress=lambda _f, _s, done, _t: sizes.append(done))
        return next(size for size in sizes if size > 0)

    return repeat


def backward(image: sitk.Image, package: Package, device: str, batch: int) -> Callable[[], int]:
    """The network there, and from the mean of its output back to its input."""
    network = package.generator(device)
    slices = [part.requires_grad_(True) for part in _slices(image, package, device, batch, False)]

    def repeat() -> int:
        for part in slices:
            part.grad = None
            network(part).mean().backward()
        return batch

    return repeat


def _slices(image: sitk.Image, package: Package, device: str, batch: int, last: bool) -> list[torch.Tensor]:
    """The batches of slices that the product gives the network; `last`: with the channels last in memory."""
    preparation = Preparation(image, package.card)
    layout = torch.channels_last if last else torch.contiguous_format
    return [
        torch.from_numpy(preparation.batch(start, min(start + batch, preparation.slices))).to(
            device, memory_format=layout
        )
        for start in range(0, preparation.slices, batch)
    ]


SIDES = {"whole": whole, "bare": bare, "explained": explained, "backward": backward}


def main(side: str, volume: str, model: str, device: str, threads: int, batch: int) -> None:
    torch.set_num_threads(threads)
    image = sitk.ReadImage(volume)
    package = load_package(model)
    turns = Turns(device)
    repeat = SIDES[side](image, package, device, batch)
    while turns.wait():
        turns.tell(batch=repeat())


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:7]))
