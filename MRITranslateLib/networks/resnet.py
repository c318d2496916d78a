"""Generators built of residual blocks: ResNet-9 and the U-Net-form generator of the T1 <-> T2 CycleGAN."""

import torch
from torch import nn

from .layers import ConvBlock, ResizeConv, conv, initialise, leaky_relu, output_activation, up_sampling
from .layers import norm as norm_layer


def _two_convolutions(channels: int, norm: str, dimensions: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBlock(channels, channels, norm_kind=norm, dimensions=dimensions),
        conv(dimensions, channels, channels, 3, padding=1),
        norm_layer(norm, channels, dimensions),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; shape unchanged."""

    def __init__(self, channels: int, norm: str, dimensions: int = 2) -> None:
        super().__init__()
        self.block = _two_convolutions(channels, norm, dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x)


class ResNet9(nn.Module):
    """The CycleGAN generator of Johnson et al. (ECCV 2016): two halvings, residual blocks, two resize-convolutions.

    Args:
        in_channels, out_channels: Channels of input and output.
        width: Channels at full resolution (64 in the paper).
        blocks: Residual blocks (9 for 256 pixels).
        norm: "instance", "batch" or "none".
        output: "tanh" or "linear".
        dimensions: 2 for slices, 3 for volumes (N, C, D, H, W).

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H, W); H and W multiples of 4.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        output: str = "tanh",
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.down = nn.Sequential(
            ConvBlock(in_channels, width, 7, norm_kind=norm, dimensions=dimensions),
            ConvBlock(width, 2 * width, 3, 2, norm, dimensions=dimensions),
            ConvBlock(2 * width, 4 * width, 3, 2, norm, dimensions=dimensions),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width, norm, dimensions) for _ in range(blocks)))
        self.explain_layer = f"blocks.{blocks - 1}"
        self.up = nn.Sequential(
            ResizeConv(4 * width, 2 * width, norm, dimensions), ResizeConv(2 * width, width, norm, dimensions)
        )
        self.head = nn.Sequential(
            conv(dimensions, width, out_channels, 7, padding=3, padding_mode="replicate"), output_activation(output)
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(self.blocks(self.down(x))))


class ConcatenatingBlock(nn.Module):
    """Residual block whose second convolution is concatenated with its input: (N, C, ...) to (N, 2C, ...)."""

    def __init__(self, channels: int, norm: str, dimensions: int = 2) -> None:
        super().__init__()
        self.block = _two_convolutions(channels, norm, dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.block(x)], dim=1)


class ResidualUNet(nn.Module):
    """CycleGAN generator of U-Net form with concatenating residual blocks in its bottleneck and skips between its
    levels.

    With `up` "transposed" it is the generator published for T1 <-> T2: convolution, instance normalisation and
    LeakyReLU downwards, transposed convolution, instance normalisation and ReLU upwards, tanh at the end. Resizing
    upwards, the default, leaves no checkerboard.

    Args:
        in_channels, out_channels: Channels of input and output.
        channels: Width of each level; its length is the number of halvings.
        blocks: Residual blocks at the bottom; each doubles its channels and a 1x1 convolution halves them again.
        norm: "instance", "batch" or "none".
        output: "tanh" or "linear".
        dimensions: 2 for slices, 3 for volumes (N, C, D, H, W).
        up: "resize" for resize + 3x3 convolution, "transposed" for transposed convolutions.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H, W); H and W multiples of 2 ** len(channels).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: tuple[int, ...] | list[int] = (64, 128, 256, 512),
        blocks: int = 3,
        norm: str = "instance",
        output: str = "tanh",
        dimensions: int = 2,
        up: str = "resize",
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            ConvBlock(before, after, 4, 2, "none" if level == 0 else norm, leaky_relu, dimensions)
            for level, (before, after) in enumerate(zip([in_channels, *channels[:-1]], channels, strict=True))
        )
        deepest = channels[-1]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(ConcatenatingBlock(deepest, norm, dimensions), conv(dimensions, 2 * deepest, deepest, 1))
                for _ in range(blocks)
            )
        )
        self.up = nn.ModuleList()
        up_block = up_sampling(up)
        below = deepest
        for level in range(len(channels) - 2, -1, -1):
            self.up.append(up_block(below, channels[level], norm, dimensions))
            below = 2 * channels[level]
        self.up.append(up_block(below, channels[0], norm, dimensions))
        self.explain_layer = f"up.{max(0, len(self.up) - 2)}"
        self.head = nn.Sequential(
            conv(dimensions, channels[0] + in_channels, out_channels, 3, padding=1), output_activation(output)
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1]))
        y = self.blocks(skips.pop())
        for block in self.up:
            y = torch.cat([block(y), skips.pop()], dim=1)
        return self.head(y)
