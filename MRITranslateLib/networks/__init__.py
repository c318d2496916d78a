"""The networks, each by its registry name. Only what is listed here can be named by a model card.

Every network says in `explain_layer` the dotted name of the layer that Grad-CAM looks at by default. The rule: the
deepest layer whose maps still tell apart what the answer tells apart.

| network | layer | its maps have |
|---|---|---|
| pix2pix_unet, residual_unet | last decoder block but one (of a single level that one) | half the resolution |
| attention_unet | last decoder block | full resolution |
| resnet9 | last residual block | a quarter of the resolution |
| patchgan | last block before the logits | a place for every patch, 1 / 2**layers of the resolution |
| dcgan_discriminator, dcgan_generator | the block that ends in 16 x 16 maps | 16 x 16 (8 x 8 of 16 pixels) |
| report_discriminator, report_generator | the same | 16 x 16 (a quarter or half of a small size) |
| densenet121 | the activation after the last block | 1 / 2**(blocks + 1) of the resolution |
| resnet_classifier | last stage | 1 / 2**(stages + 1) of the resolution |

A translator answers at every pixel, so its maps have to be fine, and its decoder is where the answer is made. A
discriminator's and a classifier's deepest maps know most of what is seen and least of where: for the places themselves
add a layer before, their maps are averaged.
"""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from ..errors import PackageError
from .attention import AttentionUNet
from .classifiers import DenseNet121, ResNetClassifier
from .dcgan import DCGANDiscriminator, DCGANGenerator
from .patchgan import PatchGAN
from .pix2pix import Pix2PixUNet
from .report import ReportDiscriminator, ReportGenerator
from .resnet import ResidualUNet, ResNet9

_REGISTRY: dict[str, type[nn.Module]] = {
    "pix2pix_unet": Pix2PixUNet,
    "attention_unet": AttentionUNet,
    "residual_unet": ResidualUNet,
    "resnet9": ResNet9,
    "patchgan": PatchGAN,
    "dcgan_generator": DCGANGenerator,
    "dcgan_discriminator": DCGANDiscriminator,
    "densenet121": DenseNet121,
    "resnet_classifier": ResNetClassifier,
    "report_generator": ReportGenerator,
    "report_discriminator": ReportDiscriminator,
}
_MOST_PARAMETERS = 500_000_000
_WIDEST = 4096


def names() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(_REGISTRY)


def build(name: str, parameters: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: Registry name.
        parameters: Arguments of the class; every one is checked before anything is allocated.

    Raises:
        PackageError: The name is unknown, or a parameter is unknown, of the wrong type or absurd.
    """
    cls = _REGISTRY.get(name)
    if cls is None:
        near = get_close_matches(name, _REGISTRY, 1)
        hint = f' (did you mean "{near[0]}"?)' if near else ""
        raise PackageError(f'There is no network "{name}"{hint}; use one of {", ".join(names())}.')
    _check(cls, name, parameters)
    try:
        with torch.device("meta"):
            size = sum(parameter.numel() for parameter in cls(**parameters).parameters())
        if size > _MOST_PARAMETERS:
            raise ValueError(f"it would have {size:,} weights, more than {_MOST_PARAMETERS:,}")
        return cls(**parameters)
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise PackageError(f'The network "{name}" cannot be built with these parameters: {error}.') from None


def _check(cls: type[nn.Module], name: str, parameters: Mapping[str, Any]) -> None:
    known = {key: value.default for key, value in inspect.signature(cls).parameters.items()}
    for key, value in parameters.items():
        if key not in known:
            raise PackageError(f'The network "{name}" has no parameter "{key}"; it has {", ".join(known)}.')
        default = known[key]
        numbers = value if isinstance(value, list | tuple) else [value]
        if isinstance(default, tuple):
            fits = isinstance(value, list | tuple) and 1 <= len(value) <= 12 and all(type(n) is int for n in value)
        elif isinstance(default, float):
            fits = type(value) in (int, float)
        else:
            fits = type(value) is type(default)
        if not fits or any(isinstance(n, int | float) and not 0 <= n <= _WIDEST for n in numbers):
            raise PackageError(f'The parameter "{key}" of the network "{name}" cannot be {value!r}.')
