"""Pictures of a generator as the engine makes them, so that what is validated is what the package will make."""

import numpy as np
import torch
from torch import nn

from MRITranslateLib.sampling import draw_noise, draw_pictures


def draw(generator: nn.Module, count: int, seed: int, features: np.ndarray | None = None) -> np.ndarray:
    """What `mt.generate` or, of the reports' features, `mt.radiograph` makes of a seed.

    Args:
        generator: On any device; its attribute `latent` is the number of random numbers.
        count: Pictures.
        seed: Of the random numbers. Picture k of a report is the k-th that `mt.radiograph` makes of it.
        features: float32 (n, features): of the first picture's report, the second's and so on, then from the beginning
            again. None where the generator reads no reports.

    Returns:
        float32 (count, size, size) in [-1, 1].
    """
    noise = draw_noise(count, int(generator.latent), seed)  # type: ignore[arg-type]
    condition = None if features is None else torch.from_numpy(features[np.arange(count) % len(features)])
    return draw_pictures(generator.to, noise, condition, str(next(generator.parameters()).device))[0]
