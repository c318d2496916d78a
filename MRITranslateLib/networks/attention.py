"""U-Net with additive attention gates (Oktay et al., MIDL 2018)."""

import torch
from torch import nn

from .layers import ConvBlock, ResizeConv, conv, initialise, max_pool, output_activation


class AttentionGate(nn.Module):
    """Weights a skip by how well it agrees with the coarser decoder signal; shape unchanged."""

    def __init__(self, skip: int, gate: int, dimensions: int = 2) -> None:
        super().__init__()
        inner = max(1, skip // 2)
        self.from_skip = conv(dimensions, skip, inner, 1)
        self.from_gate = conv(dimensions, gate, inner, 1)
        self.to_weight = nn.Sequential(nn.ReLU(), conv(dimensions, inner, 1, 1), nn.Sigmoid())

    def forward(self, skip: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return skip * self.to_weight(self.from_skip(skip) + self.from_gate(gate))


class AttentionUNet(nn.Module):
    """U-Net whose skips pass attention gates; two convolutions a level, resize-convolutions upwards.

    MONAI's AttentionUnet fixes BatchNorm, in-place ReLU and transposed convolutions, all of which this product avoids.

    Args:
        in_channels, out_channels: Channels of input and output.
        channels: Width of each level, full resolution first.
        norm: "instance", "batch" or "none".
        output: "tanh" or "linear".
        dimensions: 2 for slices, 3 for volumes (N, C, D, H, W).
        scales: Resolutions with an output of their own, for deep supervision (Dou et al., MICCAI 2016); 1 is the full
            one only. With more, the gates of every supervised level learn from an error at their own resolution.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H, W); H and W multiples of 2 ** (len(channels) - 1).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: tuple[int, ...] | list[int] = (32, 64, 128, 256, 512),
        norm: str = "instance",
        output: str = "tanh",
        dimensions: int = 2,
        scales: int = 1,
    ) -> None:
        super().__init__()
        if not 1 <= scales < len(channels):
            raise ValueError(f"scales must be 1 to {len(channels) - 1}, the decoder's levels")
        self.pool = max_pool(dimensions)
        self.encoder = nn.ModuleList()
        for before, after in zip([in_channels, *channels[:-1]], channels, strict=True):
            self.encoder.append(_double(before, after, norm, dimensions))
        self.up, self.gates, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(len(channels) - 2, -1, -1):
            self.up.append(ResizeConv(channels[level + 1], channels[level], norm, dimensions))
            self.gates.append(AttentionGate(channels[level], channels[level], dimensions))
            self.decoder.append(_double(2 * channels[level], channels[level], norm, dimensions))
        self.explain_layer = f"decoder.{len(self.decoder) - 1}"
        self.head = nn.Sequential(conv(dimensions, channels[0], out_channels, 1), output_activation(output))
        self.coarse_heads = nn.ModuleList(
            nn.Sequential(conv(dimensions, channels[scale], out_channels, 1), output_activation(output))
            for scale in range(1, scales)
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self._decode(x)[-1])

    def forward_scales(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Outputs at every supervised resolution, the full one first, each half the size of the one before."""
        levels = self._decode(x)[::-1]
        heads = [self.head, *self.coarse_heads]
        return [head(level) for head, level in zip(heads, levels, strict=False)]

    def _decode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of the decoder, the coarsest first."""
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            skips.append(block(x if level == 0 else self.pool(skips[-1])))
        y, levels = skips.pop(), []
        for up, gate, block in zip(self.up, self.gates, self.decoder, strict=True):
            y = up(y)
            y = block(torch.cat([gate(skips.pop(), y), y], dim=1))
            levels.append(y)
        return levels


def _double(before: int, after: int, norm: str, dimensions: int) -> nn.Module:
    return nn.Sequential(
        ConvBlock(before, after, norm_kind=norm, dimensions=dimensions),
        ConvBlock(after, after, norm_kind=norm, dimensions=dimensions),
    )
