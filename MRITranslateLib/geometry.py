"""A model's grid from an image's grid, and exactly back.

The model's grid keeps the image's own axes: they are only permuted and flipped to the nearest LPS order (an oblique
scan stays oblique), resampled in plane to the spacing the model was trained at, centred, and padded to a size the
network accepts. For a network of slices the slice axis stays as the scanner made it; for one of volumes it is treated
as the two others are. Every step is undone exactly, so a result lies on the input's grid, voxel for voxel. Array order
is (slice, row, column); index order is SimpleITK's (i, j, k); physical space is LPS, in millimetres.
"""

from itertools import permutations

import numpy as np
import SimpleITK as sitk

from .card import PLANE_AXES, GridCard
from .errors import InputError

_SAME_SPACING = 1e-3
"""Relative difference of spacings below which nothing is resampled, so that a matching image passes untouched."""
_LARGEST_EXTENT = 4096
"""More pixels along a resampled axis than this mean that the spacing in the file is wrong."""


def nearest_axes(image: sitk.Image) -> tuple[int, int, int]:
    """For each LPS axis (x, y, z) the image axis that runs most nearly along it.

    The assignment maximises the sum of the absolute direction cosines over all permutations, so it is one-to-one even
    for scans turned by 45 degrees.
    """
    cosines = np.abs(np.asarray(image.GetDirection()).reshape(3, 3))
    choices: list[tuple[int, int, int]] = [(a, b, c) for a, b, c in permutations((0, 1, 2))]
    return max(choices, key=lambda axes: sum(cosines[lps, axis] for lps, axis in enumerate(axes)))


def patient_extent(image: sitk.Image) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Field of view and voxel spacing of an image along the patient's x, y and z, in mm, however it is stored."""
    x, y, z = nearest_axes(image)
    size, spacing = image.GetSize(), image.GetSpacing()
    return (size[x] * spacing[x], size[y] * spacing[y], size[z] * spacing[z]), (spacing[x], spacing[y], spacing[z])


class ModelGrid:
    """The grid on which a model sees one image, and the way back.

    Args:
        image: 3-D; only its geometry is used.
        grid: Dimensions, plane, spacing and size multiple, from the model's card.

    Attributes:
        shape: (slices, rows, columns) of the model's grid, padding included.
        spacing_mm: (slice, row, column) spacing on it.
        stack_axis: The image's axis (0 to 2, SimpleITK's order) along which the model stacks its slices.

    Raises:
        InputError: The spacing makes the grid absurdly large.
    """

    def __init__(self, image: sitk.Image, grid: GridCard) -> None:
        axes = nearest_axes(image)
        stack = PLANE_AXES[grid.plane]
        lps = [stack, *sorted({0, 1, 2} - {stack}, reverse=True)]  # the patient's axis along slices, rows, columns
        order = [axes[axis] for axis in lps]  # the image's axis along slices, rows, columns
        direction = np.asarray(image.GetDirection()).reshape(3, 3)
        # Axial slices are shown as LPS stores them (rows to posterior, columns to the left). In the two other planes
        # rows run from head to foot, so that a network always sees a head the right way up.
        wanted = (1.0, 1.0, 1.0 if stack == 2 else -1.0)
        self.stack_axis = order[0]
        self._geometry = (image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        self._transpose = [2 - axis for axis in order]  # array axes are SimpleITK's, backwards
        self._flip = tuple(n for n in range(3) if direction[lps[n], order[n]] * wanted[lps[n]] < 0)
        self._size = [image.GetSize()[axis] for axis in order]
        old = [image.GetSpacing()[axis] for axis in order]
        new = [grid.slice_spacing_mm or old[0], *grid.spacing_mm]  # a card of slices has no slice spacing
        self.spacing_mm = [o if abs(o / n - 1) < _SAME_SPACING else n for o, n in zip(old, new, strict=True)]
        self._scale = [new / o for new, o in zip(self.spacing_mm, old, strict=True)]
        self._inner = [max(1, int(np.ceil(n / s - 1e-6))) for n, s in zip(self._size, self._scale, strict=True)]
        fitted = range(3) if grid.dimensions == 3 else range(1, 3)  # the axes that the card fixes
        if max((self._inner[axis] for axis in fitted if self._scale[axis] != 1.0), default=0) > _LARGEST_EXTENT:
            raise InputError(
                f"At {_by([new[axis] for axis in fitted])} mm this image would need "
                f"{_by([self._inner[axis] for axis in fitted])} {'voxels' if len(fitted) == 3 else 'pixels a slice'}; "
                f"check the voxel spacing in its file ({', '.join(f'{value:g}' for value in image.GetSpacing())} mm)."
            )
        least = grid.patch or (0, 0, 0)  # a volume holds at least one window
        extra = [
            max(-extent % grid.size_multiple, least[axis] - extent) if axis in fitted else 0
            for axis, extent in enumerate(self._inner)
        ]
        self._pad = [(n // 2, n - n // 2) for n in extra]
        self.shape = tuple(n + e for n, e in zip(self._inner, extra, strict=True))

    @property
    def resamples(self) -> bool:
        """Whether values are interpolated; otherwise they are only moved."""
        return any(scale != 1.0 for scale in self._scale)

    def forward(self, image: sitk.Image, interpolator: str = "cubic", background: float = 0.0) -> np.ndarray:
        """Bring an image on the original grid to the model's.

        Args:
            image: On the grid this was made for.
            interpolator: "nearest", "linear" or "cubic"; the last two are widened when down-sampling, against aliasing.
            background: Value of the padding.

        Returns:
            float32 array (slices, rows, columns) of `shape`.
        """
        array = np.transpose(sitk.GetArrayViewFromImage(image), self._transpose)
        array = np.flip(array, self._flip).astype(np.float32, order="C")
        array = _resample_slices(array, self._inner[1:], self._scale[1:], interpolator)
        array = resample(array, 0, self._inner[0], self._scale[0], interpolator)
        return np.pad(array, self._pad, constant_values=np.float32(background))

    def inverse(self, array: np.ndarray, interpolator: str = "cubic") -> sitk.Image:
        """Bring an array of `shape` on the model's grid to the image's own grid.

        Returns:
            float32 image with the original size, spacing, origin and direction.
        """
        if array.shape != self.shape:
            raise ValueError(f"an array of shape {array.shape} does not lie on a grid of shape {self.shape}")
        inside = tuple(slice(before, before + n) for (before, _), n in zip(self._pad, self._inner, strict=True))
        array = np.ascontiguousarray(array[inside], dtype=np.float32)
        scale = [1 / scale for scale in self._scale]
        array = resample(array, 0, self._size[0], scale[0], interpolator)
        return self._image(_resample_slices(array, self._size[1:], scale[1:], interpolator), self._geometry[1])

    def slice_number(self, index: int) -> int:
        """Which slice of the model's grid is voxel plane `index` along `stack_axis`; for a model of slices only.

        Raises:
            InputError: The image has no such plane.
        """
        if not 0 <= index < self._size[0]:
            raise InputError(f"The image has no slice number {index}; choose one from 0 to {self._size[0] - 1}.")
        return self._size[0] - 1 - index if 0 in self._flip else index

    def inverse_slice(self, array: np.ndarray, index: int, interpolator: str = "cubic") -> sitk.Image:
        """What `inverse` does, for one slice of a model of slices.

        Args:
            array: (rows, columns) of the model's grid.
            index: The plane's place along `stack_axis`.

        Returns:
            float32 image, one voxel thick along `stack_axis`, in its place.
        """
        if array.shape != self.shape[1:]:
            raise ValueError(f"a slice of shape {array.shape} does not lie on a grid of shape {self.shape}")
        inside = tuple(slice(before, before + n) for (before, _), n in zip(self._pad[1:], self._inner[1:], strict=True))
        part = np.ascontiguousarray(array[inside], dtype=np.float32)[None]
        part = _resample_slices(part, self._size[1:], [1 / scale for scale in self._scale[1:]], interpolator)
        spacing, origin, direction = (np.asarray(values) for values in self._geometry)
        step = direction.reshape(3, 3)[:, self.stack_axis] * spacing[self.stack_axis]
        return self._image(part, tuple(map(float, origin + index * step)))

    def _image(self, array: np.ndarray, origin: tuple[float, ...]) -> sitk.Image:
        """Slices, rows, columns in the model's order and the image's spacing as the image has them."""
        array = np.transpose(np.flip(array, self._flip), np.argsort(self._transpose))
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing(self._geometry[0])
        image.SetOrigin(origin)
        image.SetDirection(self._geometry[2])
        return image

    def index(self, i: int, j: int, k: int) -> tuple[int, int, int]:
        """The (slice, row, column) of the model's grid nearest to voxel (i, j, k) of the original image."""
        array_index = (k, j, i)
        found = []
        for axis in range(3):
            position = array_index[self._transpose[axis]]
            if axis in self._flip:
                position = self._size[axis] - 1 - position
            new = (position - (self._size[axis] - 1) / 2) / self._scale[axis] + (self._inner[axis] - 1) / 2
            found.append(int(np.clip(round(new), 0, self._inner[axis] - 1)) + self._pad[axis][0])
        return found[0], found[1], found[2]


def _by(numbers: list[float] | list[int]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _resample_slices(array: np.ndarray, size: list[int], scale: list[float], interpolator: str) -> np.ndarray:
    """Rows and columns of every slice; slices of zeros, as most of a mask's or a map's may be, cost nothing."""
    if scale == [1.0, 1.0]:
        return array
    filled = array.any(axis=(1, 2))
    part = array if filled.all() else array[filled]
    for axis in (1, 2):
        part = resample(part, axis, size[axis - 1], scale[axis - 1], interpolator)
    if len(part) == len(array):
        return part
    whole = np.zeros((len(array), *size), dtype=np.float32)
    whole[filled] = part
    return whole


def resample(array: np.ndarray, axis: int, size: int, scale: float, interpolator: str) -> np.ndarray:
    """Interpolate along one axis about the common centre; `scale` is the new spacing over the old one.

    Each axis has a product of its own whose operands lie in memory as BLAS wants them: ten times as fast as moving the
    axis to the end. The array must be C-contiguous; the result is.
    """
    if scale == 1.0:
        return array
    weights = _weights(array.shape[axis], size, scale, interpolator)
    if axis == 0:
        return (weights @ array.reshape(len(array), -1)).reshape(size, *array.shape[1:])
    return weights @ array if axis == 1 else array @ weights.T


def _weights(old: int, new: int, scale: float, interpolator: str) -> np.ndarray:
    """Interpolation as a matrix (new, old): resampling is separable, so a small product an axis does a whole volume.

    The cubic kernel is Keys' (1981) with a = -1/2. Beyond the border the edge value counts.
    """
    centre = (np.arange(new) - (new - 1) / 2) * scale + (old - 1) / 2
    if interpolator == "nearest":
        width, kernel = 1.0, _nearest
        offsets = np.array([0])
        first = np.round(centre).astype(int)
    else:
        width = max(1.0, scale)
        reach, kernel = {"linear": (1, _linear), "cubic": (2, _cubic)}[interpolator]
        offsets = np.arange(-int(np.ceil(reach * width)), int(np.ceil(reach * width)) + 1)
        first = np.floor(centre).astype(int)
    taps = first[:, None] + offsets[None, :]
    values = kernel((taps - centre[:, None]) / width)
    values /= values.sum(axis=1, keepdims=True)
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new)[:, None], np.clip(taps, 0, old - 1)), values)
    return weights.astype(np.float32)


def _nearest(distance: np.ndarray) -> np.ndarray:
    return np.ones_like(distance)


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(distance), 0, None)


def _cubic(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
