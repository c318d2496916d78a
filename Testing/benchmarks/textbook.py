"""Training as textbooks write it: eager, float32, one image at a time. The plain side of the training benchmark.

The networks and the losses are those of the recipes. The images are given, ready on the device: nothing is waited for.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from MRITranslateLib.card import NetworkCard
from MRITranslateLib.networks import build
from Training.config.cyclegan import CycleGANConfig
from Training.config.pix2pix import Pix2PixConfig

Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]


def pix2pix(config: Pix2PixConfig, images: Pairs, device: str) -> Iterator[None]:
    """Trains for ever; yields after every image."""
    weight = config.loss
    generator, discriminator = make(config.network, device), make(config.discriminator, device)
    generator_adam, discriminator_adam = adam(generator), adam(discriminator)
    while True:
        for source, target in images:
            output = generator(source)
            important = torch.where(target > -0.95, 1.0, weight.background)
            pixel = (
                weight.l1 * (important * (output - target).abs()).mean()
                + weight.l2 * (important * (output - target) ** 2).mean()
            )
            loss = pixel + weight.adversarial * real_loss(discriminator(torch.cat([source, output], 1)))
            generator_adam.zero_grad()
            loss.backward()
            generator_adam.step()

            real = discriminator(torch.cat([source, target], 1))
            fake = discriminator(torch.cat([source, output.detach()], 1))
            loss = 0.5 * (real_loss(real) + fake_loss(fake))
            discriminator_adam.zero_grad()
            loss.backward()
            discriminator_adam.step()
            yield


def cyclegan(config: CycleGANConfig, images: Pairs, device: str) -> Iterator[None]:
    """Trains for ever; yields after every pair of images."""
    weight = config.loss
    there, back = make(config.network, device), make(config.network, device)
    judge_target, judge_source = make(config.discriminator, device), make(config.discriminator, device)
    generators = adam(there, back)
    discriminators = adam(judge_target, judge_source)
    pools: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    while True:
        for source, target in images:
            fake_target, fake_source = there(source), back(target)
            cycle = functional.l1_loss(back(fake_target), source) + functional.l1_loss(there(fake_source), target)
            identity = functional.l1_loss(there(target), target) + functional.l1_loss(back(source), source)
            fooled = real_loss(judge_target(fake_target)) + real_loss(judge_source(fake_source))
            loss = weight.adversarial * fooled + weight.cycle * cycle + weight.identity * identity
            generators.zero_grad()
            loss.backward()
            generators.step()

            target_loss = real_loss(judge_target(target)) + fake_loss(
                judge_target(remembered(pools[0], fake_target, config.pool))
            )
            source_loss = real_loss(judge_source(source)) + fake_loss(
                judge_source(remembered(pools[1], fake_source, config.pool))
            )
            discriminators.zero_grad()
            (0.5 * (target_loss + source_loss)).backward()
            discriminators.step()
            yield


def make(card: NetworkCard, device: str) -> nn.Module:
    return build(card.name, card.parameters).to(device).train()


def adam(*networks: nn.Module) -> torch.optim.Adam:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))


def real_loss(logits: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(logits, torch.ones_like(logits))


def fake_loss(logits: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(logits, torch.zeros_like(logits))


def remembered(pool: list[torch.Tensor], image: torch.Tensor, size: int) -> torch.Tensor:
    """The image, or one of those kept before."""
    image = image.detach()
    if len(pool) < size:
        pool.append(image)
    elif size and torch.rand(()) < 0.5:
        place = int(torch.randint(size, ()))
        image, pool[place] = pool[place], image
    return image
