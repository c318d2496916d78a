"""Translate a volume: one image in, one synthetic image of another contrast out, on the same grid; with it, where asked
for, how far to trust it where."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import SimpleITK as sitk

from .card import GridCard, TranslationCard
from .consistency import FULL_SCALE, cycle_map, find_inverse
from .domain import check_domain, check_intensity
from .errors import InputError
from .inference import Cancel, Generator, Progress, part, pick_device, run_network, tell
from .modality import modality
from .package import Package
from .preparation import Preparation
from .provenance import marked, provenance
from .uncertainty import METHODS, RUNS, Spread, check_ensemble, spread
from .unusual import lesion_warning
from .volume import check_volume, like, same_grid

_NETWORKS = 0.95
"""Share of the progress that the networks' runs take."""


@dataclass(frozen=True)
class TranslateResult:
    """What `translate` gives.

    Attributes:
        image: Synthetic volume, float32, on the input's grid; HU for CT, arbitrary units for MRI.
        warnings: Sentences for people: input outside the training domain, smaller batches, another device, a place
            where the model is less sure than validation ever saw it.
        provenance: Model, version, hash of the weights, device, software, date, notice; what the maps were made by.
        uncertainty: Voxel-wise standard deviation on the input's grid in the unit of `image`, or None when it was not
            asked for. Where the card has a calibration of the method, so scaled that 95 % of the errors in validation
            lay within 1.96 of it.
        cycle: Absolute difference between the input and its way there and back, on the input's grid, as a fraction of
            the input's full scale; or None when it was not asked for.
    """

    image: sitk.Image
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)
    uncertainty: sitk.Image | None = None
    cycle: sitk.Image | None = None


def translate(
    image: sitk.Image,
    package: Package,
    device: str = "auto",
    planes: Sequence[str] | None = None,
    mask: sitk.Image | None = None,
    uncertainty: bool | str | Sequence[Package] = False,
    cycle: bool | Package = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> TranslateResult:
    """Make a synthetic image of the package's target contrast.

    Args:
        image: 3-D scalar volume of the source contrast, any grid (oblique, flipped, anisotropic, one slice).
        package: From `load_package`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        planes: Planes to slice along; None takes the one that the model was trained on.
        mask: Label image on the grid of `image`; statistics are taken inside it, and outside the result is background.
        uncertainty: Also give a map of the standard deviation. "augmentation", or True: under harmless changes of the
            input, in four times the time. "dropout": under the network's own dropout, if it has some, in eleven times
            the time. The synthetic image is the same as without. Other packages for the same contrasts (an ensemble,
            the snapshots of a training): over these and `package`; the image is then the mean of all their images.
        cycle: Also give a map of what does not come back: True takes the way back that the card names, a package is
            the way back.
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Returns:
        The result, deterministic for one device.

    Raises:
        InputError: The image, mask or device cannot be used, the network has no dropout, a package does not fit the
            others, or there is no way back; the sentence says what to do.
        OutOfMemory: Not even one slice or window fits.
        Cancelled: `cancel` said so.
    """
    check_volume(image)
    card = package.translation_card()
    method, ensemble = _method(package, uncertainty)
    inverse = find_inverse(package, cycle if isinstance(cycle, Package) else None) if cycle else None
    if planes is not None and list(planes) != [card.grid.plane]:
        raise InputError(f"{card.name} was trained on {card.grid.plane} slices only; leave planes out.")
    runs = len(ensemble) + RUNS.get(method, 0) + (inverse is not None)
    run = _Runner(pick_device(device), runs, progress, cancel)
    preparation = _prepare(image, card, mask, run)
    output = run(card.grid, package.generator, preparation.array)
    synthetic = preparation.restore(output)
    deviation = None
    if method in METHODS:
        again = partial(run, card.grid)
        deviation = preparation.restore_spread(
            spread(method, card, preparation.array, output, package.generator, again)
        )
    elif method:
        synthetic, deviation = _average(synthetic, image, ensemble[1:], mask, run)
    tell(progress, _NETWORKS * (1 - (inverse is not None) / runs), "Restoring the grid", 0, 1)
    returned = None if inverse is None else cycle_map(preparation, synthetic, inverse, mask, run)
    facts = provenance(package, run.device)
    if deviation is not None:
        facts["uncertainty"] = _names(ensemble) if method == "ensemble" else method
        deviation = _inside(deviation, mask, 0.0)
        known = card.calibrated(method)
        if known is not None and known.scale is not None:
            run.warnings += lesion_warning(deviation, synthetic, preparation.target.scale, "uncertainty", known)
            deviation = deviation * known.scale
        facts["calibration"] = "none" if known is None else f"standard deviation x {known.scale:.4g}"
    if returned is not None and inverse is not None:
        facts["cycle"] = _names([inverse])
        returned = _inside(returned, mask, 0.0)
        known = card.calibrated("cycle")
        if known is not None:
            beneath = preparation.grid.inverse(preparation.array) / FULL_SCALE
            what = "difference after the way there and back"
            run.warnings += lesion_warning(returned, beneath, 1 / FULL_SCALE, what, known)
    synthetic = _inside(synthetic, mask, modality(card.target).background)
    tell(progress, 1.0, "Done", preparation.slices, preparation.slices)
    for made in (synthetic, deviation, returned):
        if made is not None:
            marked(made, facts)
    return TranslateResult(synthetic, list(dict.fromkeys(run.warnings)), facts, deviation, returned)


class _Runner:
    """The runs of networks over prepared volumes that one call consists of.

    Attributes:
        device: Where the last run ended.
        warnings: For people.
    """

    def __init__(self, device: str, runs: int, progress: Progress | None, cancel: Cancel | None) -> None:
        self.device, self.warnings = device, list[str]()
        self._progress, self._cancel = progress, cancel
        self._share, self._done = _NETWORKS / runs, 0
        tell(progress, 0.0, "Preparing", 0, 1)

    def __call__(self, grid: GridCard, generator: Generator, array: np.ndarray) -> np.ndarray:
        progress = part(self._progress, self._done * self._share, self._share)
        answer, self.device = run_network(generator, array, grid, self.device, self.warnings, progress, self._cancel)
        self._done += 1
        if not np.isfinite(answer).all():
            raise InputError("The model answered with values that are not finite; verify the model package.")
        return answer


def _method(package: Package, wanted: bool | str | Sequence[Package]) -> tuple[str, list[Package]]:
    """ "augmentation", "dropout", "ensemble" or nothing; and all packages whose images are averaged."""
    if isinstance(wanted, bool):
        return ("augmentation" if wanted else ""), [package]
    if isinstance(wanted, str):
        if wanted not in METHODS:
            raise InputError(f'There is no uncertainty by "{wanted}"; use {" or ".join(METHODS)}, or other packages.')
        return wanted, [package]
    check_ensemble(package.translation_card(), [one.translation_card() for one in wanted])
    others = {one.weights_sha256: one for one in wanted if one.weights_sha256 != package.weights_sha256}
    if not others:
        raise InputError("An ensemble needs at least one package with other weights beside the model; give one.")
    return "ensemble", [package, *others.values()]


def _prepare(image: sitk.Image, card: TranslationCard, mask: sitk.Image | None, run: _Runner) -> Preparation:
    run.warnings += check_domain(image, card)
    if mask is not None:
        _check_mask(mask, image)
    preparation = Preparation(image, card, mask)
    run.warnings += check_intensity(preparation.array, preparation.source, card)
    return preparation


def _average(
    first: sitk.Image, image: sitk.Image, others: Sequence[Package], mask: sitk.Image | None, run: _Runner
) -> tuple[sitk.Image, sitk.Image]:
    """Mean and standard deviation of the images of several packages, each through its own grid, on the input's."""
    answers = Spread()
    answers.add(sitk.GetArrayViewFromImage(first))
    for other in others:
        card = other.translation_card()
        preparation = _prepare(image, card, mask, run)
        made = preparation.restore(run(card.grid, other.generator, preparation.array))
        answers.add(sitk.GetArrayViewFromImage(made))
    return like(answers.mean, first), like(answers.deviation, first)


def _inside(image: sitk.Image, mask: sitk.Image | None, background: float) -> sitk.Image:
    """The image inside the mask, and `background` outside."""
    return image if mask is None else sitk.Mask(image, mask != 0, background)


def _names(packages: Sequence[Package]) -> str:
    return ", ".join(f"{one.card.name} {one.card.version} ({one.weights_sha256[:12]})" for one in packages)


def _check_mask(mask: sitk.Image, image: sitk.Image) -> None:
    if not same_grid(mask, image):
        raise InputError("The mask does not lie on the input's grid; resample it to the input volume first.")
    if not sitk.GetArrayViewFromImage(mask).any():
        raise InputError("The mask is empty; mark the region to translate, or leave the mask out.")
