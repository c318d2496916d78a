"""The U-Net generator of pix2pix (Isola et al., CVPR 2017) with resize-convolutions."""

from itertools import pairwise

import torch
from torch import nn

from .layers import ConvBlock, ResizeConv, conv, initialise, leaky_relu, output_activation


class Pix2PixUNet(nn.Module):
    """Encoder of stride-2 convolutions, decoder of resize-convolutions, a skip at every level.

    Two differences from the paper, both for medical slices: up-sampling is resize + 3x3 convolution, which leaves no
    checkerboard; and there is a last skip at full resolution, so that single-pixel detail need not survive a stride.

    Args:
        in_channels, out_channels: Channels of input and output.
        channels: Width of each level below full resolution; its length is the number of halvings. The paper's
        U-Net-256 is
            [64, 128, 256, 512, 512, 512, 512, 512].
        head: Width of the layers at full resolution.
        norm: "instance", "batch" or "none".
        dropout: Probability in the two deepest decoder levels (0.5 in the paper).
        output: "tanh" or "linear".
        dimensions: 2 for slices, 3 for volumes (N, C, D, H, W).

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H, W); H and W multiples of 2 ** len(channels).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: tuple[int, ...] | list[int] = (64, 128, 256, 512, 512, 512, 512, 512),
        head: int = 16,
        norm: str = "instance",
        dropout: float = 0.0,
        output: str = "tanh",
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.stem = ConvBlock(in_channels, head, norm_kind="none", activation=leaky_relu, dimensions=dimensions)
        widths = [in_channels, *channels]
        self.encoder = nn.ModuleList()
        for level, (before, after) in enumerate(pairwise(widths)):
            outermost_or_deepest = level in (0, len(channels) - 1)  # 1x1 maps have no instance statistics
            kind = "none" if outermost_or_deepest else norm
            self.encoder.append(ConvBlock(before, after, 4, 2, kind, leaky_relu, dimensions))
        self.decoder = nn.ModuleList()
        below = channels[-1]
        for level in range(len(channels) - 2, -1, -1):
            self.decoder.append(ResizeConv(below, channels[level], norm, dimensions))
            below = 2 * channels[level]
        self.decoder.append(ResizeConv(below, head, "none", dimensions))
        self.explain_layer = f"decoder.{max(0, len(self.decoder) - 2)}"
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(
            ConvBlock(2 * head, head, norm_kind="none", activation=leaky_relu, dimensions=dimensions),
            conv(dimensions, head, out_channels, 3, padding=1),
            output_activation(output),
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips, y = [self.stem(x)], x
        for block in self.encoder:
            y = block(y)
            skips.append(y)
        y = skips.pop()
        for depth, block in enumerate(self.decoder):
            y = torch.cat([block(y), skips.pop()], dim=1)
            if depth < 2:
                y = self.dropout(y)
        return self.head(y)
