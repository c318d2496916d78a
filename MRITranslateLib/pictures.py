"""The slices of a volume as the pictures that networks of pictures see, maps of them back on the volume's grid, and
pictures that were made as the slices of a volume."""

import numpy as np
import SimpleITK as sitk

from .card import PLANE_AXES, GridCard, PictureCard
from .geometry import ModelGrid, nearest_axes, patient_extent, resample
from .picture import placement, prepare_picture, telling_slices, to_grey


class PictureStack:
    """The axial slices of a volume that show enough of the patient, or the one slice of an image that has only one.

    They are stored as LPS does (rows to posterior, columns to the left) and get square pixels, the smaller of the two
    spacings; then the rule of `prepare_picture` makes a picture of each, as it did in training.

    Args:
        image: 3-D scalar image, any grid.
        size: Rows and columns of a picture.

    Attributes:
        slices: How many slices the image has.
        chosen: Numbers of those that became pictures.
        pictures: float32 (n, size, size) in [-1, 1].

    Raises:
        InputError: The spacing in the image's header makes the slices absurdly large.
    """

    def __init__(self, image: sitk.Image, size: int) -> None:
        plane = _plane(image)
        spacings = [step for axis, step in enumerate(patient_extent(image)[1]) if axis != PLANE_AXES[plane]]
        # Not validated: a picture may have pixels of any size.
        square = GridCard.model_construct(plane=plane, spacing_mm=(min(spacings),) * 2, size_multiple=1)
        self._grid, self._size = ModelGrid(image, square), size
        array = self._grid.forward(image, "linear")
        self.slices, self.chosen = len(array), telling_slices(array)
        self.pictures = np.stack([prepare_picture(array[number], size) for number in self.chosen])

    @property
    def warning(self) -> str | None:
        """A sentence about the slices that became no pictures, if any."""
        left_out = self.slices - len(self.chosen)
        if not left_out:
            return None
        return f"{left_out} of {self.slices} slices show too little of the patient and were left out."

    def restore(self, maps: np.ndarray) -> sitk.Image:
        """Bring maps of the pictures (n, size, size) to the image's own grid; the other slices are 0."""
        _, *shape = self._grid.shape
        inside = placement(tuple(shape), self._size)
        array = np.ascontiguousarray(maps[:, *inside], dtype=np.float32)
        for axis, extent in enumerate(shape, 1):
            array = resample(array, axis, extent, array.shape[axis] / extent, "linear")
        volume = np.zeros(self._grid.shape, np.float32)
        volume[self.chosen] = array
        return self._grid.inverse(volume, "linear")


def stacked(pictures: np.ndarray, card: PictureCard) -> sitk.Image:
    """Pictures (n, size, size) in [-1, 1] as the slices of a volume, float32 from 0 to 255; pixels of 1 mm where the
    training pictures had no size in common."""
    image = sitk.GetImageFromArray(to_grey(pictures))
    side = card.spacing_mm or 1.0
    image.SetSpacing([side, side, side])
    return image


def _plane(image: sitk.Image) -> str:
    """Axial, or the plane of the one slice."""
    thin = [axis for axis, extent in enumerate(image.GetSize()) if extent == 1]
    if len(thin) != 1:
        return "axial"
    across = nearest_axes(image).index(thin[0])
    return next(name for name, axis in PLANE_AXES.items() if axis == across)
