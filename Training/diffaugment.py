"""Differentiable augmentation for adversarial training on few pictures (Zhao et al., NeurIPS 2020).

The discriminator sees real and generated pictures only after the same family of random changes, so that it cannot learn
the few real ones by heart; the gradient passes through the changes, so that the generator learns the pictures before
them. Beside the paper's brightness, translation and cutout there is contrast in place of its saturation, since medical
pictures are grey.
"""

import torch

from .config.dcgan import DiffAugmentConfig

CHOICES = 6
"""Random numbers that decide how one picture is changed."""


def augment(pictures: torch.Tensor, choices: torch.Tensor, config: DiffAugmentConfig) -> torch.Tensor:
    """Change pictures at random; differentiable, twice too.

    Args:
        pictures: (N, 1, rows, columns) in [-1, 1].
        choices: (N, 6), uniform in 0..1. They come with the samples, so that a resumed run makes the same changes.
        config: How far the changes go; 0 leaves a change out.

    Returns:
        (N, 1, rows, columns), float32; brightness and contrast may leave [-1, 1].
    """
    pictures, signed = pictures.float(), 2 * choices.float() - 1
    if config.brightness:
        pictures = pictures + config.brightness * _each(signed[:, 0])
    if config.contrast:
        mean = pictures.mean((1, 2, 3), keepdim=True)
        pictures = (pictures - mean) * (1 + config.contrast * _each(signed[:, 1])) + mean
    if config.translation:
        pictures = _shift(pictures, config.translation * signed[:, 2], config.translation * signed[:, 3])
    if config.cutout:
        pictures = _cut_out(pictures, choices[:, 4], choices[:, 5], config.cutout)
    return pictures


def _each(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _shift(pictures: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shift by whole pixels, given as shares of the extent; what comes in is black.

    A product with two shifted unit matrices: exact, as fast as a copy at these sizes, and, unlike indexing, with a
    gradient that adds up in a fixed order on every device.
    """
    rows, columns = pictures.shape[-2:]
    vertical = _shifted_unit(rows, down).unsqueeze(1)
    horizontal = _shifted_unit(columns, right).unsqueeze(1).transpose(-1, -2)
    with torch.autocast(pictures.device.type, enabled=False):
        return vertical @ (pictures + 1) @ horizontal - 1


def _shifted_unit(length: int, share: torch.Tensor) -> torch.Tensor:
    """(N, length, length) that takes element i - shift to element i."""
    index = torch.arange(length, device=share.device)
    shift = torch.round(share * length)[:, None, None]
    return (index[None, :, None] - index[None, None, :] == shift).float()


def _cut_out(pictures: torch.Tensor, down: torch.Tensor, right: torch.Tensor, share: float) -> torch.Tensor:
    """Blank a rectangle of `share` of each extent in mid-grey, its centre anywhere in the picture."""
    rows, columns = (
        (torch.arange(length, device=centre.device)[None] - centre[:, None] * length).abs() < share * length / 2
        for length, centre in zip(pictures.shape[-2:], (down, right), strict=True)
    )
    blank = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(blank, 0.0, pictures)
