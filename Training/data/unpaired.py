"""Random training windows of two contrasts that need not show the same people."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from MRITranslateLib.card import GridCard

from ..config.parts import AugmentConfig
from .pairs import PreparedVolume
from .slices import WindowSampler, shares


class RandomUnpaired(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """An augmented window of a random source and one of a random target; each a function of (seed, index) alone.

    Args:
        sources, targets: Prepared volumes of the two sides; several may be of one subject.
        grid: 2-D, 2.5-D or 3-D.
        crop: Rows and columns of a 2-D sample; smaller slices are padded with background.
        augment: Augmentation, drawn for the two sides apart.
        phantom_share: Probability of a digital head, where there are real subjects beside them.
        seed: Of the sequence of samples.
        length: Number of samples.

    Items:
        Source and target (2 context - 1, crop, crop), so that every slice that the middle one's way there and back
        depends on is among them; or both (1, *patch); float32 in network units.
    """

    def __init__(
        self,
        sources: Sequence[PreparedVolume],
        targets: Sequence[PreparedVolume],
        grid: GridCard,
        crop: int,
        augment: AugmentConfig,
        phantom_share: float,
        seed: int,
        length: int,
    ) -> None:
        self._sides = [
            (list(volumes), np.cumsum(shares([volume.subject for volume in volumes], phantom_share)))
            for volumes in (sources, targets)
        ]
        among_neighbours = grid.model_copy(update={"context": 2 * grid.context - 1})
        self._sampler = WindowSampler(among_neighbours, crop, augment)
        self._seed, self._length = seed, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self._seed, index))
        windows = []
        for volumes, cumulative in self._sides:
            volume = volumes[min(int(np.searchsorted(cumulative, rng.random(), "right")), len(volumes) - 1)]
            windows += self._sampler((volume.array,), volume.slices, rng)
        return windows[0], windows[1]
