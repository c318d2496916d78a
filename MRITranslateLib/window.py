"""A volume through a network that sees windows of it: overlapping, weighted by a Gaussian, added up in float32.

Near the border of a window a network lacks context, so what it says there counts little (Isensee et al., Nature Methods
2021). The weights of all windows sum to one at every voxel, so no seam is left and a network that works voxel by voxel
answers as if it had seen the whole volume. Beside the volume itself 4 bytes a voxel are taken for the result, and what
a batch of windows needs.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from .intensity import NO_SIGNAL

Shape = tuple[int, int, int]
Place = int | tuple[slice, ...]
"""Where a piece of a volume lies: the number of a slice, or the slices, rows and columns of a window."""
_VOXELS = {"cuda": 2**22, "mps": 2**20, "cpu": 2**18}
_SHARPNESS = 8
"""Standard deviations of the Gaussian that fit in a window."""


def batch_size(device: str, patch: Shape) -> int:
    """How many windows a device takes at once; at least one."""
    return max(1, _VOXELS[device.partition(":")[0]] // int(np.prod(patch)))


def pad_to_patch(array: np.ndarray, patch: Shape) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Centre a volume (slices, rows, columns) in empty space where it is smaller than `patch`.

    Returns:
        The padded array, and where the volume lies in it.
    """
    extra = [max(0, wanted - extent) for wanted, extent in zip(patch, array.shape, strict=True)]
    inside = tuple(slice(n // 2, n // 2 + extent) for n, extent in zip(extra, array.shape, strict=True))
    if not any(extra):
        return array, inside
    return np.pad(array, [(n // 2, n - n // 2) for n in extra], constant_values=NO_SIGNAL), inside


class Windows:
    """The windows of one volume, and the sum of the answers to them.

    Args:
        array: (slices, rows, columns), network units.
        patch: Size of a window.
        overlap: Share of a window that the next one covers again, 0 to below 1. The last window ends with the volume,
            so windows may overlap more than that.

    Attributes:
        places: For each window its slices, rows and columns in the volume, once that is padded to at least one window.
        empty: bool, for each window whether it holds no signal at all. Such a window has nothing to translate: its
            answer is no signal.
    """

    noun = "windows"

    def __init__(self, array: np.ndarray, patch: Shape, overlap: float = 0.5) -> None:
        self._array, self._inside = pad_to_patch(array, patch)
        axes = [_shares(n, window, overlap) for n, window in zip(self._array.shape, patch, strict=True)]
        self._shares = [shares for _, shares in axes]
        self._cells = list(product(*(range(len(starts)) for starts, _ in axes)))
        self.places: Sequence[Place] = [
            tuple(
                slice(starts[n], starts[n] + extent) for n, (starts, _), extent in zip(cell, axes, patch, strict=True)
            )
            for cell in self._cells
        ]
        self.empty = np.array([self._array[place].max() <= NO_SIGNAL + 1e-3 for place in self.places])
        self._sum = np.full(self._array.shape, NO_SIGNAL, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, start: int, stop: int) -> np.ndarray:
        """Windows start..stop-1: float32 (stop - start, 1, *patch)."""
        return np.stack([self._array[place] for place in self.places[start:stop]]).astype(np.float32)[:, None]

    def weights(self, index: int) -> np.ndarray:
        """The share that one window has in the result: float32 (*patch), above 0; over all windows they sum to 1."""
        slices, rows, columns = (shares[n] for n, shares in zip(self._cells[index], self._shares, strict=True))
        return slices[:, None, None] * rows[:, None] * columns

    def keep(self, start: int, answers: np.ndarray) -> None:
        """Take the answers (n, *patch) to windows start..start+n-1; those to empty windows are passed over."""
        for index, answer in enumerate(answers, start):
            if not self.empty[index]:
                self._sum[self.places[index]] += self.weights(index) * (answer - np.float32(NO_SIGNAL))

    def result(self) -> np.ndarray:
        """The volume that all answers together make: float32 (slices, rows, columns)."""
        return self._sum[self._inside]


def _shares(extent: int, window: int, overlap: float) -> tuple[list[int], np.ndarray]:
    """Where windows start along one axis, evenly spread, and the share of each at its pixels: (windows, window)."""
    if not 0 <= overlap < 1:
        raise ValueError("overlap must be 0 to below 1")
    step = max(1, int(window * (1 - overlap)))
    count = -(-(extent - window) // step) + 1
    starts = [(extent - window) * n // max(1, count - 1) for n in range(count)]
    weights = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2) * _SHARPNESS / window) ** 2)
    total = np.zeros(extent)
    for start in starts:
        total[start : start + window] += weights
    return starts, np.stack([weights / total[start : start + window] for start in starts]).astype(np.float32)
