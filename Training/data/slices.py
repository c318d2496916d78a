"""Random training slices. Each is a function of (seed, index) alone, so a resumed run sees the very slices it would
have seen."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
)
from torch.utils.data import Dataset

from ..config import AugmentConfig
from .pairs import PreparedPair, is_phantom

_ANYWHERE = 0.2
"""Share of samples cut anywhere in the volume: the air above and far beside the head must be learnt too."""


class RandomSlices(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented slices of many subjects; every real subject is drawn equally often, and so is every digital head.

    Args:
        pairs: Prepared subjects.
        context: Neighbouring slices as channels.
        crop: Rows and columns of a sample; smaller slices are padded with background.
        augment: Augmentation.
        phantom_share: Probability of a digital head, where there are real subjects beside them.
        seed: Of the sequence of samples.
        length: Number of samples.

    Items:
        source (context, crop, crop) and target (1, crop, crop), float32 in network units.
    """

    def __init__(
        self,
        pairs: Sequence[PreparedPair],
        context: int,
        crop: int,
        augment: AugmentConfig,
        phantom_share: float,
        seed: int,
        length: int,
    ) -> None:
        self._pairs, self._context, self._crop, self._seed, self._length = list(pairs), context, crop, seed, length
        heads = np.array([is_phantom(pair.subject) for pair in pairs])
        share = float(heads.all()) if heads.all() or not heads.any() else phantom_share
        self._probability = np.where(heads, share / max(1, heads.sum()), (1 - share) / max(1, (~heads).sum()))
        both, source = ["source", "target"], ["source"]
        a = augment
        self._transform = Compose(
            [
                RandFlipd(both, prob=a.flip, spatial_axis=1),
                RandAffined(
                    both,
                    prob=0.5,
                    rotate_range=np.deg2rad(a.rotate_degrees),
                    scale_range=(a.scale, a.scale),
                    mode="bicubic",  # linear would blur the truth, and the network would learn to blur
                    padding_mode="border",
                ),
                RandGaussianSmoothd(
                    source, sigma_x=(0, a.blur_mm), sigma_y=(0, a.blur_mm), prob=0.2 if a.blur_mm else 0.0
                ),
                RandBiasFieldd(
                    source, degree=2, coeff_range=(-a.bias_field, a.bias_field), prob=0.5 if a.bias_field else 0.0
                ),
                RandAdjustContrastd(source, prob=0.6 if a.gamma else 0.0, gamma=(1 / (1 + a.gamma), 1 + a.gamma)),
                RandScaleIntensityd(source, factors=a.brightness, prob=0.8 if a.brightness else 0.0),
                RandGaussianNoised(source, prob=0.3 if a.noise else 0.0, std=a.noise),
            ]
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self._seed, index))
        pair = self._pairs[rng.choice(len(self._pairs), p=self._probability)]
        everywhere = rng.random() < _ANYWHERE
        middle = int(rng.integers(len(pair.source)) if everywhere else rng.choice(pair.slices))
        reach = self._context // 2
        neighbours = np.clip(np.arange(middle - reach, middle + reach + 1), 0, len(pair.source) - 1)
        source, target = self._cut(pair.source[neighbours], pair.target[middle][None], everywhere, rng)
        self._transform.set_random_state(seed=int(rng.integers(2**31)))
        # Multiplicative changes need 0 where there is no signal; network units have -1 there.
        changed = self._transform({"source": source + 1, "target": target + 1})
        return (
            torch.as_tensor(np.asarray(changed["source"]) - 1, dtype=torch.float32).clamp(min=-1),
            torch.as_tensor(np.asarray(changed["target"]) - 1, dtype=torch.float32).clamp(min=-1),
        )

    def _cut(
        self, source: np.ndarray, target: np.ndarray, everywhere: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same random window of both: anywhere, or placed so that it holds as much of the patient as it can."""
        starts, pads = [], []
        for axis in (1, 2):
            extent = target.shape[axis]
            occupied = np.flatnonzero((target > -0.9).any(axis=(0, 3 - axis)))
            low, high = (int(occupied[0]), int(occupied[-1]) + 1) if occupied.size and not everywhere else (0, extent)
            slack = sorted((low, high - self._crop))
            start = int(rng.integers(slack[0], slack[1] + 1))
            starts.append(int(np.clip(start, 0, max(0, extent - self._crop))))
            pads.append(max(0, self._crop - extent))
        cut = []
        for array in (source, target):
            part = array[:, starts[0] : starts[0] + self._crop, starts[1] : starts[1] + self._crop].astype(np.float32)
            cut.append(np.pad(part, ((0, 0), (0, pads[0]), (0, pads[1])), constant_values=-1.0))
        return cut[0], cut[1]
