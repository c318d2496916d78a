"""Chest X-rays from a report: a residual generator conditioned on noise and text, and the judge of realism and match.

Both see a report as its feature vector (`MRITranslateLib.text`). The generator is that of conditional GANs (Miyato &
Koyama, ICLR 2018): residual blocks that double the size, each normalised with scales and shifts that the condition
gives; up-sampling is a bilinear resize, then a convolution, since nearest neighbours leave the edges of blocks for
long. The discriminator gives two logits: is the picture real, and does it show what the report says. The second is a
projection of the picture's features onto the report's, trained matching-aware (Reed et al., ICML 2016).
"""

from collections.abc import Callable
from itertools import pairwise
from math import gcd

import torch
from torch import nn

from . import spectral as spectral_norm
from .layers import initialise, leaky_relu

_SMALLEST = 4
"""Rows and columns of the deepest maps."""
_EXPLAINED = 16
"""Rows and columns of the maps that Grad-CAM looks at."""
_GROUPS = 8
_SHRINKAGE = 0.1


class TextCondition(nn.Module):
    """A report's features, whitened by those of the training reports, as a short vector: (N, features) to (N, width).

    The features of a language model hardly differ between reports against what they have in common, and where they
    differ it is mostly in whose style they are written. So the mean is taken out, and every direction in which the
    training reports differ counts the same, whatever its variance; then every report's vector is brought to one length,
    so that an unusual report is no stronger a condition than another. Mean and whitening are part of the state, so that
    a stored network needs nothing else.
    """

    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("whitening", torch.eye(features))
        self.project = nn.Sequential(nn.Linear(features, width), leaky_relu())

    def standardise(self, features: torch.Tensor) -> None:
        """Take mean and whitening from the features of the training reports (n, features).

        Directions with less than a tenth of the mean variance, which may be no more than chance, are not blown up.
        """
        centred = (features - features.mean(0)).double()
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(features))
        scales = (variances.clamp_min(0) + _SHRINKAGE * variances.mean() + 1e-6).rsqrt()
        self.mean.copy_(features.mean(0))
        self.whitening.copy_((directions * scales) @ directions.T)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        white = (features - self.mean) @ self.whitening
        return self.project(white * (white.square().mean(1, keepdim=True) + 1e-6).rsqrt())


class ReportGenerator(nn.Module):
    """Noise and a report's features to a picture in [-1, 1].

    Args:
        latent: Random numbers per picture, drawn from the standard normal distribution.
        features: Length of a report's vector.
        size: Rows and columns of a picture: a power of 2 from 16 to 512, such as 64, 128 or 256.
        width: Channels at full size; they double towards the coarse end.
        text_width: Length of the vector that the blocks see of the report.
        widest: Channels at the coarse end, as a multiple of `width`. Nearly all the work is done at full size, nearly
            all the weights lie at the coarse end.

    Shapes:
        (N, latent) and (N, features) to (N, 1, size, size).
    """

    def __init__(
        self,
        latent: int = 128,
        features: int = 256,
        size: int = 256,
        width: int = 32,
        text_width: int = 128,
        widest: int = 8,
    ) -> None:
        super().__init__()
        self.latent, self.size = latent, size
        self.text = TextCondition(features, text_width)
        channels = _channels(size, width, widest)[::-1]
        condition = latent + text_width
        self.start = nn.Linear(condition, channels[0] * _SMALLEST**2)
        self.blocks = nn.ModuleList(_UpBlock(before, after, condition) for before, after in pairwise(channels))
        self.norm = _ConditionalNorm(channels[-1], condition)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(channels[-1], 1, 3, padding=1), nn.Tanh())
        self.explain_layer = f"blocks.{max(0, _depth(min(_EXPLAINED, size // 2)) - 1)}"
        initialise(self)

    def forward(self, noise: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        condition = torch.cat([noise, self.text(text)], dim=1)
        y = self.start(condition).unflatten(1, (-1, _SMALLEST, _SMALLEST))
        for block in self.blocks:
            y = block(y, condition)
        return self.head(self.norm(y, condition))

    def grow_from(self, smaller: "ReportGenerator") -> None:
        """Take over a generator of half the size (progressive growing, Karras et al., ICLR 2018): all of it but what
        makes the last maps a picture. The last block keeps its fresh weights.

        Raises:
            RuntimeError: It is of another size, or has other channels: `width` and `widest` must be such that all maps
                that both have are equally wide.
        """
        _take_over(self, smaller, lambda name: None if name.startswith(("norm.", "head.")) else name)


class ReportDiscriminator(nn.Module):
    """A picture and a report's features to two logits: realism (above 0 is "real"), and match of the two.

    Args:
        features: Length of a report's vector.
        size: Rows and columns of a picture: a power of 2 from 16 to 512.
        width: Channels at half the size; they double at every halving.
        text_width: Length of the vector that the report is reduced to before the projection.
        spectral: Spectral normalisation of every layer (Miyato et al., ICLR 2018). Its singular vectors are part of
            the state, so a stored discriminator judges as the trained one did.
        widest: Channels of the deepest maps, as a multiple of `width`.

    Shapes:
        (N, 1, size, size) and (N, features) to (N, 2).
    """

    def __init__(
        self,
        features: int = 256,
        size: int = 256,
        width: int = 32,
        text_width: int = 128,
        spectral: bool = True,
        widest: int = 8,
    ) -> None:
        super().__init__()
        channels = _channels(size, width, widest)[:-1]
        self.size = size
        self.text = TextCondition(features, text_width)
        self.stem = nn.Conv2d(1, channels[0], 4, stride=2, padding=1)
        self.blocks = nn.ModuleList(_DownBlock(before, after) for before, after in pairwise(channels))
        self.last = leaky_relu()
        self.realism = nn.Conv2d(channels[-1], 1, _SMALLEST)
        self.match = nn.Linear(channels[-1], 1)
        self.projection = nn.Linear(text_width, channels[-1], bias=False)
        self.explain_layer = f"blocks.{max(0, _depth(size // 2) - _depth(min(_EXPLAINED, size // 4)) - 1)}"
        initialise(self)
        if spectral:
            spectral_norm.normalise(self)

    def forward(self, picture: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return self.verdict(self.features(picture)[-1], text)

    def verdict(self, deepest: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The two logits from the last of the feature maps, so that one picture can be held against several reports."""
        pooled = deepest.mean((2, 3))
        match = self.match(pooled) + (self.projection(self.text(text)) * pooled).sum(1, keepdim=True)
        return torch.cat([self.realism(deepest).flatten(1), match], dim=1)

    def features(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """The feature maps after every layer, fine to coarse: (N, channels, size / 2, size / 2) down to 4 x 4."""
        maps = [self.stem(picture)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        maps[-1] = self.last(maps[-1])
        return maps

    def grow_from(self, smaller: "ReportDiscriminator") -> None:
        """Take over a discriminator of half the size, as `ReportGenerator.grow_from`: all of it but the stem, with its
        blocks after a fresh one."""

        def new_name(name: str) -> str | None:
            part, _, rest = name.partition(".")
            if part == "blocks":
                number, _, rest = rest.partition(".")
                return f"blocks.{int(number) + 1}.{rest}"
            return None if part == "stem" else name

        _take_over(self, smaller, new_name)


def _take_over(larger: nn.Module, smaller: nn.Module, new_name: Callable[[str], str | None]) -> None:
    """Weights of one network into another, under names of their own; what has no name there is left out."""
    if larger.size != 2 * smaller.size:  # type: ignore[operator]
        raise RuntimeError("only a network of half the size can be grown from")
    named = {name: values for key, values in smaller.state_dict().items() if (name := new_name(key)) is not None}
    found = larger.load_state_dict(named, strict=False)
    if found.unexpected_keys:
        raise RuntimeError("the networks are of other kinds")


class _ConditionalNorm(nn.Module):
    """Group normalisation whose scale and shift are functions of the condition (Dumoulin et al., ICLR 2017)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(gcd(_GROUPS, channels), channels, affine=False)
        self.affine = nn.Linear(condition, 2 * channels)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + shift


class _UpBlock(nn.Module):
    """A residual block that doubles the size: (N, before, H, W) to (N, after, 2 H, 2 W)."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([_ConditionalNorm(before, condition), _ConditionalNorm(after, condition)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)]
        )
        self.skip = nn.Conv2d(before, after, 1)
        self.activation, self.up = nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        y = self.up(self.activation(self.norms[0](x, condition)))
        y = self.activation(self.norms[1](self.convolutions[0](y), condition))
        return self.convolutions[1](y) + self.up(self.skip(x))


class _DownBlock(nn.Module):
    """A residual block that halves the size: (N, before, H, W) to (N, after, H / 2, W / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            leaky_relu(),
            nn.Conv2d(before, after, 3, padding=1),
            leaky_relu(),
            nn.Conv2d(after, after, 4, stride=2, padding=1),
        )
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x) + self.skip(x)


def _depth(size: int) -> int:
    """Doublings from the deepest maps to this size."""
    return (size // _SMALLEST).bit_length() - 1


def _channels(size: int, width: int, widest: int) -> list[int]:
    """Channels of the maps of `size`, size / 2, ... 4 rows."""
    if not 16 <= size <= 512 or size & (size - 1):
        raise ValueError("size must be a power of 2 from 16 to 512, such as 64, 128 or 256")
    if width < 1:
        raise ValueError("width must be at least 1")
    if widest < 1:
        raise ValueError("widest must be at least 1")
    return [min(2**level, widest) * width for level in range(_depth(size) + 1)]
