"""Differentiable augmentation: the changes are exact, the same for whatever is shown, and let the gradient through."""

import pytest
import torch

from Training.config.dcgan import DiffAugmentConfig
from Training.diffaugment import CHOICES, augment

NOTHING = {"brightness": 0, "contrast": 0, "translation": 0, "cutout": 0}
MIDDLE = 0.5


def only(**change: float) -> DiffAugmentConfig:
    return DiffAugmentConfig(**(NOTHING | change))


def choose(**positions: float) -> torch.Tensor:
    names = ["brightness", "contrast", "down", "right", "cutout_down", "cutout_right"]
    return torch.tensor([[positions.get(name, MIDDLE) for name in names]])


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_brightness_and_contrast(picture):
    brighter = augment(picture, choose(brightness=1.0), only(brightness=0.5))
    torch.testing.assert_close(brighter, picture + 0.5)
    harder = augment(picture, choose(contrast=1.0), only(contrast=0.5))
    torch.testing.assert_close(harder.mean(), picture.mean())
    torch.testing.assert_close(harder.std(), 1.5 * picture.std())


def test_a_shift_moves_whole_pixels_and_lets_black_in(picture):
    moved = augment(picture, choose(down=1.0, right=0.0), only(translation=0.125))  # 2 down, 2 left
    torch.testing.assert_close(moved[..., 2:, :-2], picture[..., :-2, 2:])
    assert (moved[..., :2, :] == -1).all()
    assert (moved[..., -2:] == -1).all()
    torch.testing.assert_close(augment(picture, choose(), only(translation=0.125)), picture)


def test_a_cutout_blanks_a_square_of_its_size(picture):
    blank = augment(picture + 3, choose(cutout_down=0.5, cutout_right=0.5), only(cutout=0.5)) == 0
    rows, columns = blank[0, 0].any(1).nonzero(), blank[0, 0].any(0).nonzero()
    assert blank.sum() == len(rows) * len(columns)
    assert 7 <= len(rows) <= 8
    assert 7 <= len(columns) <= 8
    corner = augment(picture + 3, choose(cutout_down=0.0, cutout_right=0.0), only(cutout=0.5))
    assert 9 <= (corner == 0).sum() <= 25


def test_real_and_generated_pictures_go_through_the_same_changes():
    pictures, choices = torch.randn(5, 1, 16, 16), torch.rand(5, CHOICES)
    whole = augment(pictures, choices, DiffAugmentConfig.model_validate({}))
    alone = augment(pictures[3:4].clone(), choices[3:4], DiffAugmentConfig.model_validate({}))
    torch.testing.assert_close(whole[3:4], alone)
    assert augment(pictures, choices, only()).equal(pictures)


def test_the_gradient_reaches_every_pixel_that_is_still_seen_and_can_be_taken_twice():
    pictures = torch.randn(4, 1, 16, 16, requires_grad=True)
    choices = torch.rand(4, CHOICES)
    seen = augment(torch.ones(4, 1, 16, 16), choices, only(translation=0.125, cutout=0.5))
    changed = augment(pictures, choices, DiffAugmentConfig.model_validate({}))
    (gradient,) = torch.autograd.grad(changed.square().sum(), pictures, create_graph=True)
    assert gradient.flatten(1).any(1).all()
    gradient.square().sum().backward()
    assert torch.isfinite(pictures.grad).all()
    (through,) = torch.autograd.grad(augment(pictures, choices, only(translation=0.125, cutout=0.5)).sum(), pictures)
    assert through.sum() == (seen == 1).sum()
