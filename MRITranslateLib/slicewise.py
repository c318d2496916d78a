"""One volume prepared once, of which single slices are then translated: for looking at a model's work while scrolling.

Grid and intensity are those of the whole volume, so a slice equals that of the whole translation.
"""

import numpy as np
import SimpleITK as sitk

from .domain import check_domain, check_intensity
from .errors import InputError
from .inference import Cancel, forward, in_batches, pick_device, without_signal
from .intensity import NO_SIGNAL
from .package import Package
from .preparation import Preparation
from .provenance import provenance
from .volume import check_volume


class SliceTranslator:
    """Translates single slices of one volume.

    Args:
        image: 3-D scalar volume of the model's source contrast, any grid.
        package: From `load_package`; its network must be one of slices.
        device: As of `translate`.

    Attributes:
        package: The same.
        axis: The image's axis (0 to 2, SimpleITK's order) along which the model stacks its slices.
        count: Number of slices.
        warnings: For people, of the whole volume; a step down that memory forced is added when it happens.

    Raises:
        InputError: The image or the device cannot be used, or the model translates whole volumes only.
    """

    def __init__(self, image: sitk.Image, package: Package, device: str = "auto") -> None:
        check_volume(image)
        card = package.translation_card()
        if card.grid.dimensions == 3:
            raise InputError(f"{card.name} translates whole volumes, not slices; translate the volume.")
        self.package, self._device = package, pick_device(device)
        self.warnings = list(check_domain(image, card))
        self._preparation = Preparation(image, card)
        self.warnings += check_intensity(self._preparation.array, self._preparation.source, card)
        self.axis, self.count = self._preparation.grid.stack_axis, self._preparation.slices

    def __call__(self, index: int, cancel: Cancel | None = None) -> sitk.Image:
        """The synthetic image of one slice.

        Args:
            index: The slice's place along `axis` of the image.
            cancel: Asked before the network runs; True stops.

        Returns:
            float32 image on the input's grid, one voxel thick along `axis`, in the unit of `translate`'s image.

        Raises:
            InputError: There is no such slice, or the model's answer is not finite.
            OutOfMemory: The slice does not fit.
            Cancelled: `cancel` said so.
        """
        prepared = self._preparation
        number = prepared.grid.slice_number(index)
        answer = np.full(prepared.grid.shape[1:], NO_SIGNAL, dtype=np.float32)

        def step(start: int, stop: int, place: str) -> None:
            batch = prepared.batch(number, number + 1)
            answer[:] = forward(self.package.generator(place), batch, place)[0]

        if not without_signal(prepared.array[number : number + 1])[0]:
            stage = "Translating a slice"
            self._device = in_batches(step, 1, 1, self._device, "slices", stage, self.warnings, None, cancel)
        if not np.isfinite(answer).all():
            raise InputError("The model answered with values that are not finite; verify the model package.")
        return prepared.restore_slice(answer, index)

    def provenance(self) -> dict[str, str]:
        """As of `translate`."""
        return provenance(self.package, self._device)
