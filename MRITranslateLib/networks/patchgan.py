"""The PatchGAN discriminator of pix2pix (Isola et al., CVPR 2017)."""

import torch
from torch import nn

from .layers import ConvBlock, conv, initialise, leaky_relu


class PatchGAN(nn.Module):
    """Judges overlapping patches; three strided layers see 70 x 70 pixels. No output activation: the values are logits.

    MONAI's PatchDiscriminator returns every feature map; this one answers with logits, since Grad-CAM hooks its layers
    itself, and gives the maps when asked for `features`.

    Args:
        in_channels: Channels of the condition plus those of the judged image.
        width: Channels of the first layer (64 in the paper).
        layers: Strided layers (3 gives the 70 x 70 receptive field).
        norm: "instance", "batch" or "none".
        dimensions: 2 for slices, 3 for volumes (N, C, D, H, W).

    Shapes:
        (N, in_channels, H, W) to (N, 1, H / 2**layers - 2, W / 2**layers - 2).
    """

    def __init__(
        self, in_channels: int = 2, width: int = 64, layers: int = 3, norm: str = "instance", dimensions: int = 2
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        blocks: list[nn.Module] = [ConvBlock(in_channels, width, 4, 2, "none", leaky_relu, dimensions)]
        channels = width
        for layer in range(1, layers + 1):
            wider = min(2 * channels, 8 * width)
            stride = 2 if layer < layers else 1
            blocks.append(ConvBlock(channels, wider, 4, stride, norm, leaky_relu, dimensions))
            channels = wider
        self.layers = nn.Sequential(*blocks)
        self.explain_layer = f"layers.{len(blocks) - 1}"
        self.head = conv(dimensions, channels, 1, 4, padding=1)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x))

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The map after every layer, the logits last, for a feature-matching loss (Wang et al., CVPR 2018)."""
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return [*maps, self.head(x)]
