"""The DCGAN pair (Radford et al., ICLR 2016): pictures from random numbers, and the judge of their realism.

As in the paper: no pooling and no hidden dense layers, only strided convolutions; batch normalisation and ReLU in the
generator, which ends in tanh; LeakyReLU of slope 0.2 in the discriminator, whose first layer is not normalised. What
differs: one grey channel; 64, 128 and 256 pixels; kernels of 4 (3 after a resize) rather than 5; resize-convolutions by
default, which leave no checkerboard; spectral normalisation as an alternative for the discriminator; He's
initialisation rather than one fixed deviation of 0.02, so that narrow networks train too; the discriminator gives a
logit, its loss takes the sigmoid.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from .layers import ConvBlock, initialise, leaky_relu, norm, up_sampling

_SMALLEST = 4
"""Rows and columns of the deepest maps."""
_EXPLAINED = 16
"""Rows and columns of the maps that Grad-CAM looks at: fine enough to tell skull from brain, deep enough to mean it."""


class DCGANGenerator(nn.Module):
    """Random numbers to grey pictures in [-1, 1].

    Args:
        latent: Random numbers per picture, drawn from the standard normal distribution.
        size: Rows and columns of a picture: a power of 2 from 16, such as 64, 128 or 256.
        width: Channels of the last hidden layer; they double towards the coarse end, up to 8 times as many.
        up: "resize" (nearest neighbour, then a 3x3 convolution) or "transposed" (the paper's).

    Shapes:
        (N, latent) or (N, latent, 1, 1) to (N, 1, size, size).
    """

    def __init__(self, latent: int = 128, size: int = 128, width: int = 64, up: str = "resize") -> None:
        super().__init__()
        self.latent = latent
        channels = _channels(size, width)[::-1]
        self.project = nn.Linear(latent, channels[0] * _SMALLEST**2)
        self.start = nn.Sequential(norm("batch", channels[0]), nn.ReLU())
        layer = up_sampling(up)
        self.blocks = nn.ModuleList(layer(before, after, "batch", 2) for before, after in pairwise(channels))
        self.head = nn.Sequential(
            nn.Upsample(scale_factor=2) if up == "resize" else nn.Identity(),
            nn.Conv2d(width, 1, 3, padding=1) if up == "resize" else nn.ConvTranspose2d(width, 1, 4, 2, 1),
            nn.Tanh(),
        )
        self.explain_layer = f"blocks.{_depth(_EXPLAINED if size > _EXPLAINED else 8) - 1}"
        initialise(self)
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="linear")
        nn.init.zeros_(self.project.bias)

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        y = self.project(noise.flatten(1))
        y = self.start(y.unflatten(1, (-1, _SMALLEST, _SMALLEST)))
        for block in self.blocks:
            y = block(y)
        return self.head(y)


class DCGANDiscriminator(nn.Module):
    """Grey pictures to one logit each: above 0 is "real".

    Args:
        size: Rows and columns of a picture: a power of 2 from 16, such as 64, 128 or 256.
        width: Channels of the first layer; they double at every halving, up to 8 times as many.
        norm: "batch" (the paper's), "instance" or "none". Batch statistics let the judge see which pictures came
            together; where single pictures are explained, "none" with `spectral` is the better choice.
        spectral: Spectral normalisation of every convolution (Miyato et al., ICLR 2018). Its singular vectors are
            part of the state, so a stored discriminator judges as the trained one did.

    Shapes:
        (N, 1, size, size) to (N, 1).
    """

    def __init__(self, size: int = 128, width: int = 64, norm: str = "batch", spectral: bool = False) -> None:
        super().__init__()
        channels = [1, *_channels(size, width)]
        self.layers = nn.ModuleList(
            ConvBlock(before, after, 4, 2, norm if level else "none", leaky_relu)
            for level, (before, after) in enumerate(pairwise(channels))
        )
        self.head = nn.Conv2d(channels[-1], 1, _SMALLEST)
        self.explain_layer = f"layers.{_depth(size) - _depth(_EXPLAINED if size > _EXPLAINED else 8) - 1}"
        initialise(self)
        if spectral:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(pictures)[-1]).flatten(1)

    def features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The feature maps after every layer, fine to coarse: (N, channels, size / 2, size / 2) down to 4 x 4."""
        maps = []
        for layer in self.layers:
            pictures = layer(pictures)
            maps.append(pictures)
        return maps


def _depth(size: int) -> int:
    """Doublings from the deepest maps to this size."""
    return (size // _SMALLEST).bit_length() - 1


def _channels(size: int, width: int) -> list[int]:
    """Channels of the maps of size / 2, size / 4, ... 4 rows."""
    if size < 16 or size & (size - 1):
        raise ValueError("size must be a power of 2 from 16, such as 64, 128 or 256")
    if width < 1:
        raise ValueError("width must be at least 1")
    return [min(2**level, 8) * width for level in range(_depth(size))]
