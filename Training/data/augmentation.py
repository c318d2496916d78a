"""Random changes of training windows, fast enough for one core to feed a GPU.

Geometry (flip, affine, elastic) is one resampling of the window alone, with the same grid for every image and channel:
slices, neighbouring slices and 3-D patches take the same path. Intensity is changed by MONAI's transforms, on the input
only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import (
    RandAdjustContrast,
    RandBiasField,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandomizableTransform,
    RandScaleIntensity,
)
from monai.utils.enums import TransformBackends
from torch.nn import functional

from ..config.parts import AugmentConfig

_CONTROL_MM = 32.0
"""Spacing of the control points of the elastic deformation; it folds nothing up to 0.4 times this displacement
(Rueckert et al. 2006)."""
_AFFINE, _ELASTIC = 0.5, 0.3
"""Probabilities of a rotation and change of size, and of a deformation."""


@dataclass(frozen=True)
class Placement:
    """Where a window lies in a slice, and how it is turned and bent.

    Attributes:
        start: First row and column, before any change.
        size: Rows and columns of the window.
        grid: float32 (2, rows, columns), the row and column that every pixel takes its value from; None where nothing
            is resampled.
    """

    start: tuple[int, int]
    size: tuple[int, int]
    grid: np.ndarray | None


class Geometry:
    """Rotation, change of size and smooth deformation of a window in one plane.

    Args:
        augment: How much.
        size: Rows and columns of a window.
        spacing_mm: Of the pixels (row, column).
    """

    def __init__(self, augment: AugmentConfig, size: tuple[int, int], spacing_mm: tuple[float, float]) -> None:
        self._augment, self._size, self._spacing = augment, size, np.asarray(spacing_mm, np.float32)
        self._splines = [_spline_basis(n, _CONTROL_MM / mm) for n, mm in zip(size, spacing_mm, strict=True)]
        self._index = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in size]

    def draw(self, start: tuple[int, int], rng: np.random.Generator) -> Placement:
        """A random change of the window that begins at `start`."""
        augment = self._augment
        affine = (augment.rotate_degrees > 0 or augment.scale > 0) and rng.random() < _AFFINE
        elastic = augment.elastic_mm > 0 and rng.random() < _ELASTIC
        if not affine and not elastic:
            return Placement(start, self._size, None)
        angle = np.deg2rad(rng.uniform(-1, 1) * augment.rotate_degrees) if affine else 0.0
        scale = 1 + rng.uniform(-1, 1, 2) * augment.scale if affine else np.ones(2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # In millimetres, so that pixels need not be square.
        matrix = (np.diag(1 / self._spacing) @ turn @ np.diag(scale) @ np.diag(self._spacing)).astype(np.float32)
        grid = np.empty((2, *self._size), np.float32)
        for axis in (0, 1):
            centre = np.float32(start[axis] + (self._size[axis] - 1) / 2)
            np.add.outer(matrix[axis, 0] * self._index[0] + centre, matrix[axis, 1] * self._index[1], out=grid[axis])
            if elastic:
                rows, columns = self._splines
                points = rng.uniform(-1, 1, (rows.shape[1], columns.shape[1])).astype(np.float32)
                grid[axis] += rows @ (points * np.float32(augment.elastic_mm / self._spacing[axis])) @ columns.T
        return Placement(start, self._size, grid)


def cut(arrays: Sequence[np.ndarray], placement: Placement) -> list[torch.Tensor]:
    """The same window out of several arrays (channels, rows, columns) of one size; beyond them is air (-1).

    Returns:
        float32 (channels, *size) of each, as new tensors.
    """
    low, high = _reach(placement)
    first, last = np.maximum(low, 0), np.minimum(high, arrays[0].shape[1:])
    channels = [len(array) for array in arrays]
    if (last <= first).any():
        return [torch.full((count, *placement.size), -1.0) for count in channels]
    part = np.empty((sum(channels), *(last - first)), np.float32)
    filled = 0
    for array in arrays:
        part[filled : filled + len(array)] = array[:, first[0] : last[0], first[1] : last[1]]
        filled += len(array)
    if placement.grid is None:
        missing = ((0, 0), *zip(first - low, high - last, strict=True))
        window = torch.from_numpy(np.pad(part, missing, constant_values=-1.0) if np.any(missing) else part)
    else:
        window = _resample(part, placement.grid - first.astype(np.float32)[:, None, None])
    return list(window.split(channels))


def _reach(placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """First row and column that a window takes values from, and those after the last."""
    if placement.grid is None:
        return np.array(placement.start), np.array(placement.start) + placement.size
    low = [int(plane.min()) - 2 for plane in placement.grid]
    high = [int(plane.max()) + 4 for plane in placement.grid]
    return np.array(low), np.array(high)


def _resample(part: np.ndarray, grid: np.ndarray) -> torch.Tensor:
    """Values (channels, rows, columns) at the places of the grid (2, rows, columns).

    Cubic: linear interpolation would blur the truth, and the network would learn to blur.
    """
    places = np.empty((1, *grid.shape[1:], 2), np.float32)
    for axis, extent in enumerate(part.shape[1:]):
        np.multiply(grid[axis] + np.float32(0.5), np.float32(2 / extent), out=places[0, ..., 1 - axis])
    places -= 1
    part += 1  # 0 is air, and so is what lies beyond
    brightest = torch.from_numpy(part.max(axis=(1, 2)))[:, None, None]  # cubic interpolation overshoots
    window = functional.grid_sample(
        torch.from_numpy(part)[None],
        torch.from_numpy(places),
        mode="bicubic",
        padding_mode="zeros",
        align_corners=False,
    )
    return window[0].clamp_(min=0).minimum(brightest).sub_(1.0)


class Intensity:
    """What another scanner, protocol or patient would have changed in the input.

    Args:
        augment: How much.
        spacing_mm: Of the pixels, for the blur; slices, rows, columns in 3-D.
    """

    def __init__(self, augment: AugmentConfig, spacing_mm: Sequence[float]) -> None:
        a = augment
        x, y, z = ((0.0, a.blur_mm / mm) for mm in (*spacing_mm, 1.0)[:3])
        parts: list[tuple[float, RandomizableTransform]] = [
            (a.blur_mm, RandGaussianSmooth(sigma_x=x, sigma_y=y, sigma_z=z, prob=0.2)),
            (a.bias_field, RandBiasField(degree=2, coeff_range=(-a.bias_field, a.bias_field), prob=0.5)),
            (a.curve, RandCurve(prob=0.7, strength=a.curve)),
            (a.nulling, RandNulling(prob=0.5, strength=a.nulling)),
            (a.gamma, RandAdjustContrast(prob=0.6, gamma=(1 / (1 + a.gamma), 1 + a.gamma + 1e-6))),
            (a.brightness, RandScaleIntensity(factors=a.brightness, prob=0.8)),
            (a.ghosting, RandGhosting(prob=0.15, strength=a.ghosting)),
            (a.noise, RandGaussianNoise(prob=0.3, std=a.noise)),
        ]
        self._transforms = [transform for strength, transform in parts if strength > 0]

    def __call__(self, window: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Change a window (channels, ...) in network units, where air is -1.

        Where there is no signal at all (-1, as beyond a brain that was stripped of its skull) there is none afterwards:
        scanners blur and add noise before images are masked, and the network has to see where a mask ends.
        """
        if not self._transforms:
            return window
        state = np.random.RandomState(rng.bit_generator)  # what MONAI draws from, without a seed of its own
        changed = window + 1  # multiplicative changes need 0 where there is no signal
        with _plain_tensors():
            for transform in self._transforms:
                transform.set_random_state(state=state)
                changed = transform(changed)
        return changed.clamp_(min=0).mul_(window > -1).sub_(1)


class RandCurve(RandomizableTransform):
    """A random rising curve of intensities: what other relaxation and echo times would have made of the tissues.

    The curve is piecewise linear, 0 at 0 and 1 at 1; the slopes of its pieces are lognormal. A network that sees enough
    of them has to tell tissues by their place, shape and order of brightness, which the next scanner does not change.

    Args:
        prob: Of a change.
        strength: Standard deviation of the logarithm of the slopes.
        pieces: Number of pieces between 0 and 1, and as many between 1 and 2; beyond 2 the last slope goes on.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012 - MONAI's way to say it

    def __init__(self, prob: float = 0.1, strength: float = 0.3, pieces: int = 3) -> None:
        RandomizableTransform.__init__(self, prob)
        self._strength, self._pieces = strength, pieces

    def randomize(self, data: torch.Tensor) -> None:
        super().randomize(None)
        slopes = np.exp(self.R.normal(0, self._strength, 2 * self._pieces))
        self._heights = np.concatenate([[0.0], np.cumsum(slopes)]) / slopes[: self._pieces].sum()

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Change an image (channels, ...) that is 0 without signal."""
        if randomize:
            self.randomize(img)
        if not self._do_transform:
            return img
        knots, array = np.arange(2 * self._pieces + 1) / self._pieces, img.numpy()
        beyond = np.maximum(array - 2, 0) * (self._heights[-1] - self._heights[-2]) * self._pieces
        return torch.from_numpy((np.interp(array, knots, self._heights) + beyond).astype(np.float32))


class RandNulling(RandomizableTransform):
    """Dark signal sinks to nothing, as that of fluid does near the null point of an inversion-recovery T1.

    An image x becomes max(0, x - a) / (1 - a): 1 stays 1, and what is darker than a vanishes. How dark the fluid of a
    T1-weighted image is differs between scanners more than the order of its tissues does.

    Args:
        prob: Of a change.
        strength: Largest a.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012 - MONAI's way to say it

    def __init__(self, prob: float = 0.1, strength: float = 0.3) -> None:
        RandomizableTransform.__init__(self, prob)
        self._strength = strength

    def randomize(self, data: torch.Tensor) -> None:
        super().randomize(None)
        self._level = self.R.uniform(0, self._strength)

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Change an image (channels, ...) that is 0 without signal."""
        if randomize:
            self.randomize(img)
        if not self._do_transform:
            return img
        return (img - self._level).clamp(min=0) / (1 - self._level)


class RandGhosting(RandomizableTransform):
    """Ghosts of periodic motion (breathing, pulsation) along one axis.

    While the lines of k-space are acquired, the patient moves with a period of n lines, and the signal of the lines is
    modulated with it: k(y) becomes k(y) (1 + a cos(2 pi y / n + phase)). In the image that adds two faint copies, 1/n
    of the window away to either side (Wood and Henkelman, Med Phys 1985). The copies wrap around the window.

    Args:
        prob: Of ghosts.
        strength: Largest modulation a; the copies have half of it.
        periods: Smallest and largest n, in lines.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012 - MONAI's way to say it

    def __init__(self, prob: float = 0.1, strength: float = 0.3, periods: tuple[float, float] = (2.0, 8.0)) -> None:
        RandomizableTransform.__init__(self, prob)
        self._strength, self._periods = strength, periods

    def randomize(self, data: torch.Tensor) -> None:
        super().randomize(None)
        self._axis = int(self.R.randint(1, data.dim()))
        self._amplitude = self.R.uniform(0, self._strength)
        self._period = self.R.uniform(*self._periods)
        self._phase = self.R.uniform(0, 2 * np.pi)

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Add ghosts to a magnitude image (channels, ...) that is 0 without signal."""
        if randomize:
            self.randomize(img)
        if not self._do_transform:
            return img
        lines = torch.arange(img.shape[self._axis], dtype=torch.float32)
        modulation = 1 + self._amplitude * torch.cos(2 * torch.pi * lines / self._period + self._phase)
        shape = [1] * img.dim()
        shape[self._axis] = -1
        # Lines are numbered from the edge of k-space; fftfreq's order starts at the centre.
        modulation = torch.fft.ifftshift(modulation).reshape(shape)
        return torch.fft.ifft(torch.fft.fft(img, dim=self._axis) * modulation, dim=self._axis).abs()


def _spline_basis(size: int, spacing: float) -> np.ndarray:
    """Uniform cubic B-splines at every pixel: float32 (size, control points)."""
    spacing = max(2.0, spacing)
    position = np.arange(size) / spacing
    points = np.arange(-1, int(np.ceil(size / spacing)) + 2)
    distance = np.abs(position[:, None] - points[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Without MONAI's metadata, which cost more than the transforms."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
