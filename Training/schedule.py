"""How the learning rate and the averaged weights move over a run."""

import math
from collections.abc import Callable

import torch

from .config.run import RunConfig

_Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def learning_rate(config: RunConfig, step: int) -> float:
    """Linear warm-up, then the schedule: a cosine down to 1 %, linear to 0 over the second half, or constant."""
    done = step / (config.epochs * config.steps_per_epoch)
    warm = min(1.0, (step + 1) / max(1, config.warm_up_steps))
    if config.schedule == "cosine":
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
    elif config.schedule == "linear":
        fall = min(1.0, 2 * (1 - done))
    else:
        fall = 1.0
    return config.learning_rate * warm * fall


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, torch.Tensor | int], None]:
    """Exponential moving average whose decay warms up, so that a short run is not held back by its first weights."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: torch.Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return update
