"""From an image to what a network sees, and from what it answers back to an image: grid, intensity, neighbouring
slices."""

from copy import copy

import numpy as np
import SimpleITK as sitk

from . import intensity
from .card import TranslationCard
from .geometry import ModelGrid
from .modality import modality
from .volume import check_volume, like, same_grid


def with_neighbours(array: np.ndarray, context: int, start: int, stop: int) -> np.ndarray:
    """Slices start..stop-1 of a volume (slices, rows, columns) with their neighbours as channels.

    Beyond the first and the last slice the outermost one is repeated.

    Returns:
        float32 (stop - start, context, rows, columns).
    """
    reach = context // 2
    index = np.arange(start, stop)[:, None] + np.arange(-reach, reach + 1)[None, :]
    return array[np.clip(index, 0, len(array) - 1)].astype(np.float32, copy=False)


class Preparation:
    """One image, prepared for the model of one card.

    Args:
        image: 3-D scalar image.
        card: The model's card.
        mask: Optional label image on the grid of `image`; intensity statistics are taken inside it only.

    Attributes:
        grid: The model's grid and the way back.
        array: float32 (slices, rows, columns), normalised, on the model's grid.
        slices: Number of slices.

    Raises:
        InputError: The image is not usable (see `check_volume`) or its tissue has no positive intensity.
    """

    def __init__(self, image: sitk.Image, card: TranslationCard, mask: sitk.Image | None = None) -> None:
        check_volume(image)
        self.card = card
        self.grid = ModelGrid(image, card.grid)
        values = sitk.GetArrayViewFromImage(image)
        if mask is not None:
            values = np.where(sitk.GetArrayViewFromImage(mask) != 0, values, modality(card.source).background)
        self.source = intensity.fit(card.intensity.source, values)
        self.target = intensity.unfitted(card.intensity.target)
        self._image = image
        background = modality(card.source).background
        self.array = self.source.apply(self.grid.forward(image, background=background))
        self.slices = self.array.shape[0]

    def batch(self, start: int, stop: int) -> np.ndarray:
        """Slices start..stop-1 with their neighbours as channels; see `with_neighbours`."""
        return with_neighbours(self.array, self.card.grid.context, start, stop)

    def with_array(self, array: np.ndarray) -> "Preparation":
        """The same preparation of other network values on the same grid (test-time augmentation)."""
        changed = copy(self)
        changed.array = np.ascontiguousarray(array, dtype=np.float32)
        return changed

    def restore_spread(self, array: np.ndarray) -> sitk.Image:
        """Bring standard deviations (slices, rows, columns) in network units to the input's grid and the target's
        unit."""
        image = self.grid.inverse(array, "linear")
        return image * self.target.scale

    def restore(self, array: np.ndarray, invert_intensity: bool = True, interpolator: str = "cubic") -> sitk.Image:
        """Bring network output (slices, rows, columns) to the input's grid, and to the target's unit unless told not
        to."""
        image = self.grid.inverse(array, interpolator)
        if not invert_intensity:
            return image
        return like(self.target.invert(sitk.GetArrayViewFromImage(image)), image)

    def restore_slice(self, array: np.ndarray, index: int) -> sitk.Image:
        """What `restore` does, for one slice (rows, columns) of a model of slices; see `ModelGrid.inverse_slice`."""
        image = self.grid.inverse_slice(array, index)
        return like(self.target.invert(sitk.GetArrayViewFromImage(image)), image)

    def bring(self, image: sitk.Image, interpolator: str = "cubic", background: float = 0.0) -> np.ndarray:
        """Bring another image on the input's grid (a mask, a reference) to the model's grid, intensities untouched."""
        if not same_grid(image, self._image):
            raise ValueError("the image does not lie on the input's grid")
        return self.grid.forward(image, interpolator, background)
