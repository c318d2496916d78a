"""Building blocks that the architectures share.

No activation works in place: Grad-CAM hooks the activation maps, and an in-place ReLU would overwrite what it hooked.
"""

from collections.abc import Callable

import torch
from torch import nn

NORMS = ("instance", "batch", "none")


def conv(
    dimensions: int,
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
) -> nn.Module:
    """A convolution over slices (2 dimensions) or volumes (3)."""
    cls = _of(dimensions, nn.Conv2d, nn.Conv3d)
    return cls(in_channels, out_channels, kernel, stride, padding, padding_mode=padding_mode)


def max_pool(dimensions: int) -> nn.Module:
    """Halves every axis by the largest value of each pair."""
    return _of(dimensions, nn.MaxPool2d, nn.MaxPool3d)(2)


def norm(kind: str, channels: int, dimensions: int = 2) -> nn.Module:
    """A normalisation layer.

    Instance normalisation (Ulyanov et al. 2016) is written as GroupNorm with one channel a group: the same function,
    and it keeps the channels_last memory format.
    """
    if kind == "instance":
        return nn.GroupNorm(channels, channels)
    if kind == "batch":
        return _of(dimensions, nn.BatchNorm2d, nn.BatchNorm3d)(channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(NORMS)}")


def _of(dimensions: int, flat: type[nn.Module], deep: type[nn.Module]) -> Callable[..., nn.Module]:
    if dimensions not in (2, 3):
        raise ValueError("dimensions must be 2 or 3")
    return flat if dimensions == 2 else deep


def output_activation(kind: str) -> nn.Module:
    """tanh for a target within [-1, 1]; linear where values beyond the window occur (bright fluid in MRI)."""
    if kind == "tanh":
        return nn.Tanh()
    if kind == "linear":
        return nn.Identity()
    raise ValueError("output must be tanh or linear")


class ConvBlock(nn.Sequential):
    """Convolution, normalisation, activation; (N, in, H, W) to (N, out, H/stride, W/stride), or the same in 3-D."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        norm_kind: str = "instance",
        activation: Callable[[], nn.Module] = nn.ReLU,
        dimensions: int = 2,
    ) -> None:
        super().__init__(
            conv(
                dimensions,
                in_channels,
                out_channels,
                kernel,
                stride,
                padding=(kernel - 1) // 2,
                padding_mode="replicate" if kernel == 7 else "zeros",
            ),
            norm(norm_kind, out_channels, dimensions),
            activation(),
        )


class ResizeConv(nn.Module):
    """Up-sampling by 2: nearest-neighbour resize, then a 3x3 convolution block.

    Free of the checkerboard of transposed convolutions (Odena et al., Distill 2016).
    """

    def __init__(self, in_channels: int, out_channels: int, norm_kind: str = "instance", dimensions: int = 2) -> None:
        super().__init__()
        self.block = ConvBlock(in_channels, out_channels, norm_kind=norm_kind, dimensions=dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(nn.functional.interpolate(x, scale_factor=2, mode="nearest"))


class TransposedConv(nn.Sequential):
    """Up-sampling by 2 as many generators were published: transposed convolution, normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm_kind: str = "instance", dimensions: int = 2) -> None:
        cls = _of(dimensions, nn.ConvTranspose2d, nn.ConvTranspose3d)
        super().__init__(
            cls(in_channels, out_channels, 4, stride=2, padding=1), norm(norm_kind, out_channels, dimensions), nn.ReLU()
        )


_UP: dict[str, Callable[[int, int, str, int], nn.Module]] = {"resize": ResizeConv, "transposed": TransposedConv}


def up_sampling(kind: str) -> Callable[[int, int, str, int], nn.Module]:
    """The block that doubles every axis; called with channels in and out, norm and dimensions."""
    if kind not in _UP:
        raise ValueError(f"up must be {' or '.join(_UP)}")
    return _UP[kind]


def leaky_relu() -> nn.Module:
    """LeakyReLU with the slope of the GAN literature."""
    return nn.LeakyReLU(0.2)


def initialise(network: nn.Module) -> None:
    """He initialisation for every convolution, so that networks without normalisation train too."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
