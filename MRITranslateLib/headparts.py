"""The parts of a head in one axial slice of contrast-enhanced T1, by classical image processing: air, what surrounds
the brain, brain.

The head is the largest thing that is brighter than air. The brain ends where the picture turns dark on the way out
(liquor and the skull's inner table) and bright again (marrow, scalp), or where the fat of scalp and orbits begins. That
place is looked for on rays from the middle of the head, on all of them at once: the cheapest closed path through rays
times depths, by dynamic programming, which bridges what gaps the dark ring has. An estimate for sums over many
pictures, no segmentation for anything else: where a face or a skull base fills the slice, it is rough.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.filters import threshold_otsu

BACKGROUND, SKULL, BRAIN = 0, 1, 2
NAMES = ("background", "skull and scalp", "brain")
"""By label. "Skull and scalp" is all of the head outside the brain's surface, face and neck too; "brain" is what lies
inside, with ventricles and tumours."""

_SIZE = 128
"""Rows and columns of the pictures that the lengths in pixels were chosen for; others are scaled."""
_AIR = 0.35
"""Part of Otsu's threshold from which on a pixel is no air: brain is darker than what fat makes of that threshold."""
_RAYS, _STEPS = 180, 96
_MIDDLE, _OUTERMOST = 0.3, 0.97
"""Depths (0 in the middle, 1 at the skin) between which the brain may end."""
_CORE = 0.45
"""Depth up to which nearly all is brain, whose median is the unit of brightness."""
_INSIDE, _NEAR = 14, 4
"""Steps inside the brain's surface that are to be bright, and on both sides of it that are to differ."""
_FAT, _SATURATED, _RIM = 1.6, 0.85, 0.12
"""What is brighter than so many times the brain, or than the second, and touches this outer part of the head is fat."""
_FAT_EDGE = 0.7
"""How dark fat outside the surface counts as: a worse sign of the brain's end than bone."""
_DARK = 0.6
"""Brightness below which a place rather is liquor or bone than brain."""
_COST_DARK, _COST_FAT, _COST_DEEP, _COST_BEND = 0.015, 0.05, 0.6, 0.02
"""Of a step through what is dark, or fat, inside the surface; of depth below the usual one; of a bend."""
_USUAL, _SHRUNK = 0.9, 0.82
"""Depth at which the surface is no surprise; and where it is put if nothing marks it."""
_WEAK = 0.1
"""Mean change of brightness along the path below which there is no dark ring."""
_BEND = 2
"""Most steps from ray to ray."""


def label(picture: np.ndarray) -> np.ndarray:
    """The parts of the head in a picture.

    Args:
        picture: float (size, size) in [-1, 1], of `prepare_picture`.

    Returns:
        uint8 (size, size): BACKGROUND, SKULL or BRAIN. A picture without any contrast is all background.
    """
    values = (np.asarray(picture, dtype=np.float64) + 1) / 2
    scale = len(values) / _SIZE
    head = _head(ndimage.gaussian_filter(values, scale), scale)
    if not head.any():
        return np.zeros(values.shape, np.uint8)
    smooth = ndimage.gaussian_filter(values, 0.7 * scale)
    rays = _Rays(head)
    bright = rays.sample(smooth)
    unit = max(float(np.median(bright[:, rays.shares < _CORE])), 1e-3)
    fat = rays.sample(_fat(smooth, rays, unit, scale))
    inside = rays.fill(_surface(np.clip(bright / unit, 0, 1), fat, rays.shares))
    return np.where(head, np.where(inside, BRAIN, SKULL), BACKGROUND).astype(np.uint8)


def _head(smooth: np.ndarray, scale: float) -> np.ndarray:
    """The largest thing that is no air, without ears, with its holes and dents (ventricles, sinuses, orbits)."""
    if np.ptp(smooth) < 1e-3:
        return np.zeros(smooth.shape, bool)
    margin = _pixels(8, scale)  # so that closing does not stop at the picture's border
    tissue = np.pad(ndimage.binary_fill_holes(smooth > _AIR * threshold_otsu(smooth)), margin)
    parts, count = ndimage.label(ndimage.binary_opening(tissue, iterations=_pixels(3, scale)))
    if count == 0:
        return np.zeros(smooth.shape, bool)
    largest = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    closed = largest | ndimage.binary_closing(largest, iterations=_pixels(4, scale))
    filled: np.ndarray = ndimage.binary_fill_holes(closed)[margin:-margin, margin:-margin]
    return filled


def _pixels(length: float, scale: float) -> int:
    return max(1, round(length * scale))


class _Rays:
    """Rays from the middle of a head to its outermost pixels, with the same number of steps on each.

    Attributes:
        depth: For every pixel the distance to the next one outside the head.
        reach: float (rays,), lengths in pixels.
        shares: float (steps,), 0 in the middle, 1 at the skin.
    """

    def __init__(self, head: np.ndarray) -> None:
        self.depth = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1]
        # Weighted by depth, so that a nose does not draw the middle out of the brain.
        self._middle = [float((self.depth * index).sum() / self.depth.sum()) for index in np.indices(head.shape)]
        self._angles = 2 * np.pi * np.arange(_RAYS) / _RAYS
        lengths = np.arange(1, np.hypot(*head.shape), 0.5)
        within = self._along(head, lengths[None], "constant") > 0.5
        self.reach = lengths[len(lengths) - 1 - within[:, ::-1].argmax(axis=1)] * within.any(axis=1)
        self.shares = (np.arange(_STEPS) + 0.5) / _STEPS

    def _along(self, array: np.ndarray, lengths: np.ndarray, mode: str) -> np.ndarray:
        directions = np.stack([np.sin(self._angles), np.cos(self._angles)])[..., None]
        where = np.reshape(self._middle, (2, 1, 1)) + directions * lengths
        sampled: np.ndarray = ndimage.map_coordinates(array.astype(np.float64), where, order=1, mode=mode)
        return sampled

    def sample(self, array: np.ndarray) -> np.ndarray:
        """Values at all steps of all rays, float (rays, steps)."""
        return self._along(array, self.reach[:, None] * self.shares, "nearest")

    def fill(self, surface: np.ndarray) -> np.ndarray:
        """The pixels within a share of each ray (rays,)."""
        limit = ndimage.uniform_filter1d(surface * self.reach, 5, mode="wrap")
        down, across = (
            index - middle for index, middle in zip(np.indices(self.depth.shape), self._middle, strict=True)
        )
        angle = np.mod(np.arctan2(down, across), 2 * np.pi)
        return np.hypot(down, across) < np.interp(angle, self._angles, limit, period=2 * np.pi)


def _fat(smooth: np.ndarray, rays: _Rays, unit: float, scale: float) -> np.ndarray:
    """What is much brighter than brain and connected to the skin: fat of the scalp, the face and the orbits, with the
    pixels around it that hold a part of it. A tumour or a sinus deep inside is as bright, but not connected."""
    parts, _ = ndimage.label((smooth > min(_FAT * unit, _SATURATED)) & (rays.depth > 0))
    touching = np.unique(parts[rays.depth < _RIM * rays.reach.mean()])
    fat: np.ndarray = ndimage.binary_dilation(np.isin(parts, touching[touching > 0]), iterations=_pixels(2, scale))
    return fat


def _surface(bright: np.ndarray, fat: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Where on each ray the brain ends, float (rays,).

    Args:
        bright: (rays, steps), 1 for brain and what is brighter, 0 for air.
        fat: (rays, steps), 0..1.
        shares: (steps,), depths.
    """
    brain = bright * (1 - fat)
    inside = np.minimum(_mean(brain, -_INSIDE), _mean(brain, -_NEAR))
    outside = _mean(np.where(fat > 0.5, _FAT_EDGE, bright), _NEAR)
    # The skin is no such place: it turns dark there too, but nothing bright follows.
    beyond = np.maximum.accumulate(bright[:, ::-1], axis=1)[:, ::-1][
        :, np.minimum(np.arange(_STEPS) + _NEAR, _STEPS - 1)
    ]
    change = np.minimum(inside, beyond) - outside
    passed = _COST_DARK * np.clip(1 - brain / _DARK, 0, 1) + _COST_FAT * fat
    cost = np.cumsum(passed * (shares > _MIDDLE), axis=1) + _COST_DEEP * np.maximum(_USUAL - shares, 0) - change
    allowed = np.flatnonzero((shares > _MIDDLE) & (shares < _OUTERMOST))
    path = allowed[_closed_path(cost[:, allowed])]
    if change[np.arange(len(path)), path].mean() < _WEAK:
        return np.full(len(path), _SHRUNK)
    return shares[path]


def _mean(values: np.ndarray, steps: int) -> np.ndarray:
    """The mean of the next steps outwards from each, or of the last ones before it (steps below 0)."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    here = np.arange(values.shape[1])
    there = np.clip(here + steps, 0, values.shape[1])
    return (sums[:, there] - sums[:, here]) / np.sign(steps) / np.maximum(abs(there - here), 1)


def _closed_path(cost: np.ndarray) -> np.ndarray:
    """One step on each ray, int (rays,), with the least sum of costs and of bends from ray to ray.

    Two rounds are walked; what lies half a round from both ends knows of no beginning.
    """
    rays, steps = cost.shape
    bends = np.arange(-_BEND, _BEND + 1)
    total = np.pad(cost[0], _BEND, constant_values=np.inf)
    neighbours = sliding_window_view(total, len(bends))  # follows what is written to `total`
    every, came = np.arange(steps), []
    for ray in range(1, 2 * rays):
        ways = neighbours + _COST_BEND * bends**2
        best = ways.argmin(axis=1)
        came.append(every + bends[best])
        total[_BEND:-_BEND] = ways[every, best] + cost[ray % rays]
    path = [int(total[_BEND:-_BEND].argmin())]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    middle = np.array(path[::-1])[rays // 2 : rays // 2 + rays]
    return np.roll(middle, rays // 2)
