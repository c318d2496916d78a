"""Classifiers of pictures: what Grad-CAM explains, what a perceptual loss compares, and what FID measures with.

Both give `features` (maps at falling resolution) and `embedding` (the pooled vector before the last layer) besides
their logits. The logits have no activation: softmax or sigmoid is the business of whoever reads them.
"""

from itertools import pairwise

import torch
from torch import nn

from .layers import initialise

_MOST_BLOCKS = 512


class _Classifier(nn.Module):
    """Logits from the embedding, and the embedding from the deepest maps."""

    explain_layer: str
    dropout: nn.Dropout
    head: nn.Module

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (N, C, h, w) from the finest to the deepest."""
        raise NotImplementedError

    def embedding(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of the deepest maps, (N, C)."""
        return self.features(x)[-1].mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.embedding(x)))


class DenseNet121(_Classifier):
    """DenseNet (Huang et al., CVPR 2017), MONAI's; by default the one with 121 layers.

    Args:
        in_channels: Channels of a picture.
        classes: Logits.
        width: Channels of the first convolution.
        growth: Channels that each layer adds.
        blocks: Layers of each dense block; a halving follows every block but the last.
        dropout: Of the embedding.

    Shapes:
        (N, in_channels, H, W) to (N, classes); H and W at least 4 * 2**(number of blocks).
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        width: int = 64,
        growth: int = 32,
        blocks: tuple[int, ...] | list[int] = (6, 12, 24, 16),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if sum(blocks) > _MOST_BLOCKS:
            raise ValueError(f"blocks has more than {_MOST_BLOCKS} layers")
        from monai.networks.nets import DenseNet  # here, since it takes longer than all other imports together

        # MONAI's own activations work in place, which Grad-CAM's hooks do not survive.
        whole = DenseNet(2, in_channels, classes, width, growth, list(blocks), act=("relu", {"inplace": False}))
        self.body = whole.features
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = whole.class_layers.get_submodule("out")
        self._taps = ["relu0", *(f"denseblock{number + 1}" for number in range(len(blocks) - 1))]
        self.explain_layer = "relu"

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for name, layer in self.body.named_children():
            x = layer(x)
            if name in self._taps:
                maps.append(x)
        return [*maps, self.relu(x)]


class ResNetClassifier(_Classifier):
    """A small residual network (He et al., CVPR 2016) for few pictures and few processors.

    Args:
        in_channels: Channels of a picture.
        classes: Logits.
        channels: Width of each stage; every stage begins with a halving, the stem is another.
        blocks: Residual blocks of a stage.
        norm: "batch" or "group" (Wu and He, ECCV 2018: independent of the batch).
        dropout: Of the embedding.

    Shapes:
        (N, in_channels, H, W) to (N, classes); H and W at least 2**(1 + number of stages).
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        channels: tuple[int, ...] | list[int] = (32, 64, 128, 256),
        blocks: int = 1,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if blocks < 1 or blocks * len(channels) > _MOST_BLOCKS:
            raise ValueError(f"blocks must be 1 or more, and at most {_MOST_BLOCKS} in all")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 5, stride=2, padding=2, bias=False), _norm(norm, channels[0]), nn.ReLU()
        )
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(before, after, 2, norm), *(_Block(after, after, 1, norm) for _ in range(blocks - 1)))
            for before, after in pairwise([channels[0], *channels])
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels[-1], classes)
        self.explain_layer = f"stages.{len(channels) - 1}"
        initialise(self)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps


class _Block(nn.Module):
    """Two 3x3 convolutions added to their input, which a 1x1 convolution fits where channels or resolution change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            _norm(norm, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            _norm(norm, out_channels),
        )
        same = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                _norm(norm, out_channels),
            )
        )
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.block(x) + self.shortcut(x))


def _norm(kind: str, channels: int) -> nn.Module:
    """Instance normalisation would take away how bright a feature is, which tells classes apart."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        groups = next(number for number in (8, 4, 2, 1) if channels % number == 0)
        return nn.GroupNorm(groups, channels)
    raise ValueError("norm must be batch or group")
