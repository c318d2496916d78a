"""Random training windows: slices, slices with their neighbours, or 3-D patches. Each is a function of (seed, index)
alone, so a resumed run sees the very windows it would have seen."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import Dataset

from MRITranslateLib.card import GridCard

from ..config.parts import AugmentConfig
from .augmentation import Geometry, Intensity, cut
from .index import is_phantom
from .pairs import PreparedPair

_ANYWHERE = 0.2
"""Share of samples cut anywhere in the volume: the air above and far beside the head must be learnt too."""
_TISSUE = -0.9
_T = TypeVar("_T")


class WindowSampler:
    """Cuts one random, augmented window out of volumes that lie on one grid.

    Args:
        grid: 2-D with its context, or 3-D with its patch.
        crop: Rows and columns of a 2-D window.
        augment: Augmentation.
    """

    def __init__(self, grid: GridCard, crop: int, augment: AugmentConfig) -> None:
        self._grid, self._flip = grid, augment.flip
        if grid.dimensions == 3:
            assert grid.patch is not None
            assert grid.slice_spacing_mm is not None
            self._size, spacing = grid.patch, (grid.slice_spacing_mm, *grid.spacing_mm)
            # A patch is turned and bent in one of its planes, chosen at random: the planes can then share one cubic
            # resampling, which in three dimensions would take a hundred times as long.
            self._planes = [
                Geometry(augment, _without(self._size, axis), _without(spacing, axis)) for axis in (0, 1, 2)
            ]
            self._intensity = Intensity(augment, spacing)
        else:
            self._size = (1, crop, crop)
            self._planes = [Geometry(augment, (crop, crop), grid.spacing_mm)]
            self._intensity = Intensity(augment, grid.spacing_mm)
        self._left_right = 0 if grid.plane == "sagittal" else 2

    def __call__(
        self, volumes: Sequence[np.ndarray], slices: np.ndarray, rng: np.random.Generator
    ) -> list[torch.Tensor]:
        """Draw a window.

        Args:
            volumes: (slices, rows, columns) each, in network units; the first is the network's input, the last decides
                where the patient is.
            slices: Indices of the slices worth learning from.
            rng: Decides everything.

        Returns:
            float32, of the input (context, crop, crop), of the others (1, crop, crop); in 3-D (1, *patch) of all.
        """
        everywhere = rng.random() < _ANYWHERE
        depth = len(volumes[0])
        middle = int(rng.integers(depth) if everywhere else slices[rng.integers(len(slices))])
        starts = self._place(volumes[-1][middle], everywhere, rng)
        flip = rng.random() < self._flip
        if self._grid.dimensions == 3:
            windows = self._patches(volumes, middle, starts, rng)
            if flip:
                windows = [window.flip(1 + self._left_right) for window in windows]
        else:
            placement = self._planes[0].draw(starts, rng)
            reach = self._grid.context // 2
            neighbours = np.clip(np.arange(middle - reach, middle + reach + 1), 0, depth - 1)
            windows = cut([volumes[0][neighbours], *(volume[middle][None] for volume in volumes[1:])], placement)
            if flip:  # sagittal neighbours lie to the left and to the right
                windows = [window.flip(self._left_right) for window in windows]
        return [self._intensity(windows[0], rng), *windows[1:]]

    def _place(self, plane: np.ndarray, everywhere: bool, rng: np.random.Generator) -> tuple[int, int]:
        """First row and column: anywhere, or such that the window holds as much of the patient as it can."""
        patient = plane[::4, ::4] > _TISSUE
        starts = []
        for axis, size in enumerate(self._size[1:]):
            extent = plane.shape[axis]
            occupied = np.flatnonzero(patient.any(axis=1 - axis))
            low, high = (
                (4 * int(occupied[0]), 4 * int(occupied[-1]) + 4) if occupied.size and not everywhere else (0, extent)
            )
            slack = sorted((low, high - size))
            start = int(rng.integers(slack[0], slack[1] + 1))
            starts.append(int(np.clip(start, 0, max(0, extent - size))))
        return starts[0], starts[1]

    def _patches(
        self, volumes: Sequence[np.ndarray], middle: int, starts: tuple[int, int], rng: np.random.Generator
    ) -> list[torch.Tensor]:
        room = max(0, len(volumes[0]) - self._size[0])
        corner = (int(np.clip(middle - rng.integers(self._size[0]), 0, room)), *starts)
        through = int(rng.integers(3))
        first, count = corner[through], self._size[through]
        placement = self._planes[through].draw(_without(corner, through), rng)
        windows = cut([np.moveaxis(volume, through, 0)[first : first + count] for volume in volumes], placement)
        missing = count - len(windows[0])
        if missing:
            windows = [functional.pad(window, (0, 0, 0, 0, 0, missing), value=-1.0) for window in windows]
        return [window.movedim(0, through)[None] for window in windows]


class RandomSlices(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented windows of many subjects; every real subject is drawn equally often, and so is every digital head.

    Args:
        pairs: Prepared pairs; several may be of one subject.
        grid: 2-D, 2.5-D or 3-D.
        crop: Rows and columns of a 2-D sample; smaller slices are padded with background.
        augment: Augmentation.
        phantom_share: Probability of a digital head, where there are real subjects beside them.
        seed: Of the sequence of samples.
        length: Number of samples.

    Items:
        source (context, crop, crop) and target (1, crop, crop), or both (1, *patch), float32 in network units.
    """

    def __init__(
        self,
        pairs: Sequence[PreparedPair],
        grid: GridCard,
        crop: int,
        augment: AugmentConfig,
        phantom_share: float,
        seed: int,
        length: int,
    ) -> None:
        self._pairs, self._seed, self._length = list(pairs), seed, length
        self._cumulative = np.cumsum(shares([pair.subject for pair in pairs], phantom_share))
        self._sampler = WindowSampler(grid, crop, augment)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self._seed, index))
        pair = self._pairs[min(int(np.searchsorted(self._cumulative, rng.random(), "right")), len(self._pairs) - 1)]
        source, target = self._sampler((pair.source, pair.target), pair.slices, rng)
        return source, target


def shares(subjects: Sequence[str], phantom_share: float) -> np.ndarray:
    """Probability of every pair or volume, given whom it shows: subjects alike, a subject's pairs alike, and digital
    heads together `phantom_share` where there is anybody else."""
    heads = np.array([is_phantom(subject) for subject in subjects])
    share = float(heads.all()) if heads.all() or not heads.any() else phantom_share
    _, which, count = np.unique(np.array(subjects), return_inverse=True, return_counts=True)
    weights = 1 / count[which]
    weights[heads] *= share / max(1e-9, weights[heads].sum())
    weights[~heads] *= (1 - share) / max(1e-9, weights[~heads].sum())
    return weights


def _without(values: tuple[_T, _T, _T], axis: int) -> tuple[_T, _T]:
    first, second = (value for number, value in enumerate(values) if number != axis)
    return first, second
