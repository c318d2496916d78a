"""Where the features of a network's layer lie in the image that it sees, and its maps drawn there."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .errors import InputError

_GROWTH = 256
"""Pixels, a multiple of every usual stride and of what most networks take."""


class Layout(NamedTuple):
    """Where the features of a layer lie in the slice, for each axis.

    Attributes:
        stride: Pixels from one feature to the next.
        shift: Pixels from the centre of the slice to the centre of the map.
    """

    stride: tuple[float, ...]
    shift: tuple[float, ...]


def find_layout(network: nn.Module, module: nn.Module, shape: tuple[int, ...]) -> Layout:
    """Where the features of a layer lie, from how their number depends on the size of the slice.

    Shapes only: the network runs on the meta device. The ratio of the two sizes is not the stride where kernels take
    some pixels off the border (PatchGAN: 256 pixels give 31, at a stride of 8). And features begin at the left: of all
    slices that give the same number, only the smallest has them in its middle. A halving by a kernel of 3 has its
    features on the pixels 0, 2, 4 ...; after five of them that is half a feature of 32 pixels.

    Raises:
        InputError: The layer does not run, runs more than once, or gives no feature maps.
    """
    values = [*network.named_parameters(), *network.named_buffers()]
    tensors = {key: torch.empty_like(value, device="meta") for key, value in values}

    def run(size: tuple[int, ...]) -> list[Any]:
        outputs: list[Any] = []
        hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        try:
            torch.func.functional_call(network, tensors, torch.empty((1, shape[0], *size), device="meta"))
        except (RuntimeError, ValueError):
            if size == extents:
                raise
        finally:
            hook.remove()
        return outputs

    extents = shape[1:]
    outputs = run(extents)
    if not outputs:
        raise InputError("The layer does not run when an image is made; choose another layer.")
    if len(outputs) > 1:
        raise InputError("The layer runs several times for one slice; choose a layer that runs once.")
    if not isinstance(outputs[0], torch.Tensor) or outputs[0].ndim != len(shape) + 1:
        raise InputError("The layer gives no feature maps; choose a convolution or a block.")

    def count(size: tuple[int, ...]) -> tuple[int, ...]:
        """Features along each axis; none where the network does not take this size."""
        outputs = run(size)
        return tuple(outputs[0].shape[2:]) if outputs else (0,) * len(size)

    usual = tuple(outputs[0].shape[2:])
    for larger in (tuple(n + _GROWTH for n in extents), tuple(2 * n for n in extents)):
        if any(grown := count(larger)):
            break
    growth = zip(extents, larger, usual, grown, strict=True)
    stride = tuple((b - a) / max(1, more - less) for a, b, less, more in growth)
    low = [max(0, n - max(1, round(step))) for n, step in zip(extents, stride, strict=True)]  # gives fewer
    high = list(extents)  # gives as many
    while any(b - a > 1 for a, b in zip(low, high, strict=True)):
        middle = tuple((a + b) // 2 if b - a > 1 else b for a, b in zip(low, high, strict=True))
        for axis, (size, found) in enumerate(zip(middle, count(middle), strict=True)):
            if found == usual[axis]:
                high[axis] = size
            else:
                low[axis] = size
    return Layout(stride, tuple((least - n) / 2 for least, n in zip(high, extents, strict=True)))


def enlarge(maps: np.ndarray, size: tuple[int, ...], layout: Layout) -> np.ndarray:
    """Linear interpolation of maps (n, h, w) to slices (n, *size), or (n, d, h, w) to windows.

    A feature's value is at the centre of its pixels. Beyond the outermost features their value is kept.
    """
    if maps.shape[1:] == size:
        return maps
    axes = []
    for extent, old, step, shift in zip(size, maps.shape[1:], *layout, strict=True):
        pixels = torch.arange(extent, dtype=torch.float32) - (extent - 1) / 2 - shift
        axes.append(pixels / step * 2 / old)  # grid_sample without corner alignment has the outer edges at -1 and 1
    positions = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack(positions[::-1], dim=-1).expand(len(maps), *size, len(size))
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    enlarged = functional.grid_sample(tensor, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return enlarged[:, 0].numpy()
