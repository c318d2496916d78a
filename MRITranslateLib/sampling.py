"""Pictures from random numbers: the numbers of a seed, and a generator's answers to them.

The numbers are drawn on the CPU, one picture after the other, so that every device makes the same pictures and the
first pictures of a seed do not depend on how many follow.
"""

import math

import numpy as np
import torch

from .errors import InputError
from .inference import Cancel, Generator, Progress, in_batches

_BATCH = {"cuda": 32, "mps": 8, "cpu": 8}
_SMALLEST_TRUNCATION = 0.01


def draw_noise(count: int, latent: int, seed: int, truncation: float | None = None) -> torch.Tensor:
    """Random numbers for pictures.

    Each number is the normal quantile of a uniform one, so a truncation moves every picture of a seed continuously
    towards the generator's average one.

    Args:
        count: Pictures.
        latent: Random numbers of each.
        seed: Decides.
        truncation: Largest absolute value (the truncation trick of Brock et al., ICLR 2019): the smaller, the more
            usual and the more alike the pictures. None draws from the whole standard normal distribution.

    Returns:
        float32 (count, latent).

    Raises:
        InputError: The truncation is not positive.
    """
    if truncation is not None and not truncation >= _SMALLEST_TRUNCATION:
        raise InputError(f"The truncation must be at least {_SMALLEST_TRUNCATION}; values from 0.5 to 2 are usual.")
    source = torch.Generator().manual_seed(seed)
    uniform = torch.stack([torch.rand(latent, dtype=torch.float64, generator=source) for _ in range(count)])
    below = 0.0 if truncation is None else 0.5 * math.erfc(truncation / math.sqrt(2))
    least = torch.finfo(torch.float64).eps
    return torch.special.ndtri((below + (1 - 2 * below) * uniform).clamp(least, 1 - least)).float()


def noise_between(first: torch.Tensor, last: torch.Tensor, count: int) -> torch.Tensor:
    """Numbers on the way from one picture to another, both included.

    The way is an arc (Shoemake, SIGGRAPH 1985), since the length of normal random numbers hardly varies and a straight
    line would pass through numbers that never occur.

    Args:
        first, last: float32 (latent,).
        count: Pictures, at least 2.

    Returns:
        float32 (count, latent).
    """
    shares = torch.linspace(0, 1, count)[:, None]
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = torch.acos(cosine)
    if angle < 1e-3 or angle > math.pi - 1e-3:
        return torch.lerp(first, last, shares)
    return (torch.sin((1 - shares) * angle) * first + torch.sin(shares * angle) * last) / torch.sin(angle)


def draw_pictures(
    generator: Generator,
    noise: torch.Tensor,
    condition: torch.Tensor | None = None,
    device: str = "cpu",
    warnings: list[str] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[np.ndarray, str]:
    """A generator's answers to random numbers.

    Args:
        generator: Gives the network on a device.
        noise: (count, latent).
        condition: (count, features), where the network takes a second argument.
        device: To begin with.
        warnings: Gets a sentence for every step down that memory forced.
        progress, cancel: As of `translate`.

    Returns:
        float32 (count, size, size) in [-1, 1]; and the device that did it.

    Raises:
        InputError: The network answered with values that are not finite.
        OutOfMemory: Not even one picture fits.
        Cancelled: `cancel` said so.
    """
    answers, device = _ask(generator, noise, condition, device, "Making pictures", warnings, progress, cancel)
    pictures = answers[:, 0].numpy()
    if not np.isfinite(pictures).all():
        raise InputError("The model answered with values that are not finite; verify the model package.")
    return pictures, device


def judge(
    discriminator: Generator,
    pictures: np.ndarray,
    condition: torch.Tensor | None = None,
    device: str = "cpu",
    warnings: list[str] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> np.ndarray:
    """A discriminator's logits for pictures.

    Args:
        discriminator: Gives the network on a device.
        pictures: float32 (count, size, size) in [-1, 1].
        condition: (count, features), where the network takes a second argument.
        device, warnings, progress, cancel: As of `draw_pictures`.

    Returns:
        float32 (count, logits): realism first, then the match with the condition.
    """
    shown = torch.from_numpy(pictures)[:, None]
    answers, _ = _ask(discriminator, shown, condition, device, "Judging pictures", warnings, progress, cancel)
    return answers.flatten(1).numpy()


def _ask(
    network: Generator,
    first: torch.Tensor,
    condition: torch.Tensor | None,
    device: str,
    stage: str,
    warnings: list[str] | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> tuple[torch.Tensor, str]:
    """All answers (count, ...) of a network to its first and, where it takes one, second argument, in float32 on the
    CPU; and the device that gave them."""
    given = (first,) if condition is None else (first, condition)
    parts: list[torch.Tensor] = []

    def step(start: int, stop: int, place: str) -> None:
        with torch.inference_mode():
            parts.append(network(place)(*(one[start:stop].to(place) for one in given)).float().cpu())

    size, notes = _BATCH[device.partition(":")[0]], [] if warnings is None else warnings
    device = in_batches(step, len(first), size, device, "pictures", stage, notes, progress, cancel)
    return torch.cat(parts), device


def resize_pictures(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Pictures (n, 1, rows, columns) with `size` rows and columns, by anti-aliased bilinear interpolation."""
    if pictures.shape[-1] == size:
        return pictures
    return torch.nn.functional.interpolate(pictures, (size, size), mode="bilinear", align_corners=False, antialias=True)
