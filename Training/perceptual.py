"""The perceptual loss (Johnson et al., ECCV 2016): images are alike when a classifier's feature maps of them are.

The feature network is one of ours, from the disk; nothing is ever downloaded.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.card import NetworkCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

_SMALLEST = 32
"""Rows and columns below which the deeper maps of a classifier vanish."""


def load_feature_network(source: str | Path, network: NetworkCard | None = None) -> nn.Module:
    """A classifier to compare features by.

    Args:
        source: Name or folder of a classification package, or a safetensors file.
        network: What the weights of a file belong to; must be one of the registry that has `features`.

    Returns:
        The network on the CPU, in evaluation mode, frozen.

    Raises:
        InputError: The source cannot be used, or the weights are not those of the network.
        PackageError: The package is incomplete, altered, or no classifier.
    """
    file = Path(source)
    if file.suffix != ".safetensors":
        return load_package(str(source)).classifier()
    if network is None:
        raise InputError(f'Say which network the weights in "{file.name}" belong to: its name and parameters.')
    built = networks.build(network.name, network.parameters)
    if not hasattr(built, "features"):
        raise InputError(f'The network "{network.name}" gives no features; use densenet121 or resnet_classifier.')
    try:
        built.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise InputError(f'The weights "{file}" cannot be read ({error}); correct the path.') from None
    except RuntimeError:
        raise InputError(
            f'The weights in "{file.name}" are not those of a {network.name} with these parameters; correct them.'
        ) from None
    return built.eval().requires_grad_(False)


class PerceptualLoss(nn.Module):
    """Distance of two images in the features of a frozen network.

    At every place the vector of features is brought to length 1, as in LPIPS (Zhang et al., CVPR 2018), so that every
    resolution counts the same whatever its scale; the loss is the mean over resolutions and places of the squared
    difference of these vectors: 0 for equal images, 2 for features that have nothing in common.

    Args:
        network: Has `features(x)`, a list of maps (N, C, h, w); it is frozen here and stays in evaluation mode.

    Shapes:
        Two of (N, 1, H, W) or, slice by slice, (N, 1, D, H, W), to a scalar in float32; H and W at least 32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PerceptualLoss":
        return super().train(False)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if min(output.shape[-2:]) < _SMALLEST:
            raise InputError(f"A perceptual loss needs crops of {_SMALLEST} pixels or more; make them larger.")
        with torch.no_grad():
            wanted = self._features(target)
        levels = zip(self._features(output), wanted, strict=True)
        return torch.stack([(one - other).square().sum(1).mean() for one, other in levels]).mean()

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        if images.ndim == 5:
            images = images.transpose(1, 2).flatten(0, 1)
        return [_unit(level.float()) for level in self.network.features(images)]  # type: ignore[operator]


def _unit(maps: torch.Tensor) -> torch.Tensor:
    """The square root is taken of something positive, since its slope at 0 is infinite."""
    return maps * (maps.square().sum(1, keepdim=True) + 1e-8).rsqrt()
