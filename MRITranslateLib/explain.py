"""Which places of the input a synthetic image, or its realism, rests on: class activation maps on the input's grid.

Grad-CAM (Selvaraju et al., ICCV 2017) and its relatives answer for one number. For a translator that number must be a
chosen one: the mean over a region, a voxel, the error against a reference, or the discriminator's judgement. Maps are
kept unscaled over all slices and scaled once per volume, so that slices can be compared. Where the network is one of
volumes, the maps of its windows are joined with the weights that join its answers.
"""

from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk
import torch

from . import cam, intensity
from .domain import check_domain, check_intensity
from .errors import Cancelled, InputError, OutOfMemory
from .inference import Cancel, Progress, forward, in_pieces, out_of_memory, pick_device
from .levels import LevelRow, Levels, Segments, label_map, shares, table
from .modality import modality
from .package import Package
from .preparation import Preparation
from .targets import Error, Realism, Region, Target, Voxel
from .translate import provenance
from .volume import check_volume, same_grid
from .window import Place, batch_size

_BATCH = {"cuda": 16, "mps": 4, "cpu": 2}
_LEVELS = Levels()


@dataclass(frozen=True)
class Beside:
    """A second image that was judged by the same network, and its maps, on that image's own grid.

    Attributes:
        image: What was judged.
        heatmap, raw: As of `Explanation`; both heat maps have one scale, so that colours mean the same.
        score: The mean logit of this image; above 0 is "real".
        title: What it is, for people.
    """

    image: sitk.Image
    heatmap: sitk.Image
    raw: sitk.Image
    score: float
    title: str


@dataclass(frozen=True)
class Explanation:
    """What `explain` gives; all images lie on the input's grid.

    Attributes:
        heatmap: float32, 0..1; 1 is the volume's maximum of `raw`, and what lowers the target is 0.
        raw: float32, the signed map before that. Slices and windows that the target does not touch are 0.
        levels: uint8 labels, see `levels.label_map`.
        level_names: Names of the labels, that of 0 first.
        table: For each level its volume, heat and intensity.
        shares: The part of the heat in each segment, where segments were given; see `levels.share_sentence`.
        beside: With Realism and Match a second image and its maps, where there is one.
        warnings: Sentences for people.
        provenance: Model, method, layer, software, date, notice.
    """

    heatmap: sitk.Image
    raw: sitk.Image
    levels: sitk.Image
    level_names: list[str]
    table: list[LevelRow] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    beside: Beside | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)


def explain(
    image: sitk.Image,
    package: Package,
    target: Target,
    method: str = "gradcam",
    layer: str | None = None,
    device: str = "auto",
    levels: Levels = _LEVELS,
    segments: Segments | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Explanation:
    """Find the places that raise a number which depends on the synthetic image.

    "gradcam" averages the gradient over the slice: it shows all places with the features that matter for the target.
    "hirescam" and "layercam" keep the gradient at its place: they show from where the target itself is reached.
    A map belongs to the slice whose synthetic values are explained; with neighbouring slices as channels (2.5-D) it
    stands for that slice and its neighbours together.

    Args:
        image: 3-D scalar volume of the source contrast, any grid.
        package: From `load_package`.
        target: What is explained.
        method: "gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "eigencam" or "gradcamelementwise".
        layer: Dotted name of a layer of the generator (for Realism: of the discriminator); None is the network's own
            choice.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        levels: Where the levels of the label map begin.
        segments: Anatomy on the input's grid that the heat is to be divided over.
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: The image, target, method, layer or device cannot be used, or the map is flat.
        PackageError: Realism was asked of a package without discriminator.
        OutOfMemory: Not even one slice or window fits.
        Cancelled: `cancel` said so.
    """
    check_volume(image)
    chosen = pick_device(device)
    card = package.translation_card()
    warnings = check_domain(image, card)
    preparation = Preparation(image, card)
    warnings += check_intensity(preparation.array, preparation.source, card)
    question = _question(target, preparation, image)
    explainer = _Explainer(preparation, package, question, method, layer, chosen)
    if method == "eigencam":
        warnings.append("EigenCAM shows what dominates the layer, whatever the target; compare it with gradcam.")
    array = explainer.run(warnings, progress, cancel)
    raw = preparation.restore(array, invert_intensity=False, interpolator="linear")
    heatmap = _scaled(raw)
    facts = {
        **provenance(package, explainer.device),
        "method": method,
        "layer": explainer.layer,
        "explained": question.name,
        "grad_cam": version("grad-cam"),
    }
    if progress is not None:
        progress(1.0, "Done", explainer.total, explainer.total)
    labels, names = label_map(heatmap, levels)
    return Explanation(
        heatmap=heatmap,
        raw=raw,
        levels=labels,
        level_names=names,
        table=table(labels, names, heatmap, image),
        shares={} if segments is None else shares(heatmap, segments),
        warnings=warnings,
        provenance=facts,
    )


class _Question:
    """A target on the model's grid.

    Scores are sums, and the maps are divided by the number of terms at the end: so a slice counts by its share of the
    region, and the gradients keep a size that methods with an absolute threshold (Grad-CAM++) can use.

    Attributes:
        name: For the provenance.
        judged: Whether the discriminator answers, not the generator.
    """

    judged = False

    def __init__(self, name: str, where: np.ndarray) -> None:
        self.name = name
        self._where = where

    def touches(self, place: Place) -> bool:
        """Whether a slice or window has a part in the target."""
        return bool(self._where[place].any())

    def score(self, place: Place, output: torch.Tensor) -> torch.Tensor:
        """Sum for a slice or window from the network's output for it (1, ...)."""
        return output[0][torch.from_numpy(self._where[place]).to(output.device)].sum()

    def terms(self, pieces: int) -> int:
        """Number of terms of all sums together, of so many slices or windows."""
        return int(self._where.sum())


class _ErrorQuestion(_Question):
    def __init__(self, reference: np.ndarray, inside: np.ndarray) -> None:
        super().__init__("error against a reference", inside)
        self._reference = reference

    def score(self, place: Place, output: torch.Tensor) -> torch.Tensor:
        truth = torch.from_numpy(self._reference[place]).to(output.device)
        return super().score(place, (output - truth).abs())


class _RealismQuestion(_Question):
    judged = True

    def __init__(self) -> None:
        super().__init__("realism", np.ones(1, dtype=bool))
        self._patches = 1

    def touches(self, place: Place) -> bool:
        return True

    def score(self, place: Place, output: torch.Tensor) -> torch.Tensor:
        self._patches = output.numel()
        return output.sum()

    def terms(self, pieces: int) -> int:
        return self._patches * pieces


def _question(target: Target, preparation: Preparation, image: sitk.Image) -> _Question:
    if isinstance(target, Region):
        return _Question("region", _region(target.mask, preparation, image))
    if isinstance(target, Voxel):
        index = (target.i, target.j, target.k)
        if any(not 0 <= n < extent for n, extent in zip(index, image.GetSize(), strict=True)):
            raise InputError(
                f"The voxel {index} lies outside the image of {image.GetSize()} voxels; choose one inside."
            )
        where = np.zeros(preparation.array.shape, dtype=bool)
        where[preparation.grid.index(*index)] = True
        return _Question(f"voxel {index}", where)
    if isinstance(target, Realism):
        return _RealismQuestion()
    if isinstance(target, Error):
        return _error(target.reference, preparation, image)
    raise InputError("Only a Region, Voxel, Realism or Error can be explained; give one of these as the target.")


def _region(mask: sitk.Image, preparation: Preparation, image: sitk.Image) -> np.ndarray:
    if mask.GetNumberOfComponentsPerPixel() != 1 or not same_grid(mask, image):
        raise InputError(
            "The region does not lie on the input's grid; draw it on the input volume or resample it to that."
        )
    inside = sitk.GetArrayFromImage(mask) != 0
    if not inside.any():
        raise InputError("The region is empty; mark at least one voxel.")
    where = preparation.bring(_on_grid(inside.astype(np.uint8), image), "nearest") > 0.5
    if not where.any():
        # Thinner than the model's pixels: every voxel counts for the pixel that it lies in.
        for k, j, i in np.argwhere(inside):
            where[preparation.grid.index(int(i), int(j), int(k))] = True
    return where


def _error(reference: sitk.Image, preparation: Preparation, image: sitk.Image) -> _Question:
    card = preparation.card
    check_volume(reference, "The reference")
    if not same_grid(reference, image):
        raise InputError("The reference does not lie on the input's grid; resample it to the input volume first.")
    normaliser = intensity.fit(card.intensity.target, sitk.GetArrayViewFromImage(reference))
    truth = normaliser.apply(preparation.bring(reference, background=modality(card.target).background))
    everywhere = _on_grid(np.ones(image.GetSize()[::-1], dtype=np.uint8), image)
    return _ErrorQuestion(truth, preparation.bring(everywhere, "nearest") > 0.5)  # the padding has no truth


def _on_grid(array: np.ndarray, like: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(like)
    return image


class _Explainer:
    """One explanation at work: the slices or windows of a question through the maps of a layer, batch by batch.

    Attributes:
        device: Where it works; the CPU after other memory ran out.
        layer: Dotted name of the layer.
        total: Number of slices or windows that the target touches.
    """

    def __init__(
        self,
        preparation: Preparation,
        package: Package,
        question: _Question,
        method: str,
        layer: str | None,
        device: str,
    ) -> None:
        self._preparation, self._package, self._question = preparation, package, question
        self._choice = (layer, method)
        self._pieces = in_pieces(preparation.array, preparation.card.grid)
        self._touched = [index for index, place in enumerate(self._pieces.places) if question.touches(place)]
        self.total = len(self._touched)
        self._move(device)
        self.layer = ", ".join(self._maps.layers)

    def _move(self, device: str) -> None:
        self.device = device
        judged = self._question.judged
        network = self._package.discriminator(device) if judged else self._package.generator(device)
        card = self._preparation.card
        channels = card.judged_channels if judged else card.grid.context
        self._maps = cam.ActivationMaps(network, *self._choice, (channels, *self._pieces.batch(0, 1).shape[2:]))

    def run(self, warnings: list[str], progress: Progress | None, cancel: Cancel | None) -> np.ndarray:
        """Maps of the slices or windows that the target touches, 0 in the others: float32 (slices, rows, columns).

        Raises:
            InputError: No slice or window has places of its own (see `_check_contrast`).
        """
        array = np.zeros(self._preparation.array.shape, dtype=np.float32)
        patch = self._preparation.card.grid.patch
        size = _BATCH[self.device.partition(":")[0]] if patch is None else batch_size(self.device, patch)
        done, contrasts = 0, []
        while done < self.total:
            if cancel is not None and cancel():
                raise Cancelled()
            chunk = self._touched[done : done + size]
            try:
                maps = self._batch(chunk)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                size = self._step_down(size, warnings, error)
                continue
            for index, found in zip(chunk, maps, strict=True):
                array[self._pieces.places[index]] += self._pieces.weights(index) * found
                contrasts.append((float(np.abs(found).max()), float(np.ptp(found))))
            done += len(chunk)
            if progress is not None:
                progress(0.98 * done / self.total, f"Explaining {self._pieces.noun}", done, self.total)
        _check_contrast(contrasts)
        return array / np.float32(self._question.terms(self.total))

    def _batch(self, chunk: list[int]) -> np.ndarray:
        batch = np.concatenate([self._pieces.batch(index, index + 1) for index in chunk])
        if self._question.judged:
            made = forward(self._package.generator(self.device), batch, self.device)
            batch = np.concatenate([batch, made[:, None]], axis=1)[:, -self._preparation.card.judged_channels :]
        scores = [partial(self._question.score, self._pieces.places[index]) for index in chunk]
        return self._maps(torch.from_numpy(batch).to(self.device), scores).values[:, 0]

    def _step_down(self, size: int, warnings: list[str], error: BaseException) -> int:
        if size == 1 and self.device == "cpu":
            raise OutOfMemory(
                f"There is not enough memory to explain one {self._pieces.noun[:-1]}; "
                "close other programs or crop the volume."
            ) from error
        if size == 1:
            self._move("cpu")
        size = max(1, size // 2)
        warnings.append(f"Memory ran out; went on with {size} {self._pieces.noun[:-1]}(s) at a time on {self.device}.")
        return size


_FLAT = "The map is flat: at this layer no place raises the target; choose another layer, method or region."


def _check_contrast(contrasts: list[tuple[float, float]]) -> None:
    """Refuse maps with one value per slice or window, as of a network that ignores its input.

    Scaling would only blow rounding up to a pattern.

    Args:
        contrasts: For each map its largest absolute value, and its largest less its smallest.

    Raises:
        InputError: The map is flat, or the network answered with values that are not finite.
    """
    highest, contrast = np.max(contrasts, axis=0)
    if not np.isfinite(highest):
        raise InputError("The model answered with values that are not finite; verify the model package.")
    if contrast <= 1e-5 * highest:
        raise InputError(_FLAT)


def _scaled(raw: sitk.Image) -> sitk.Image:
    """The positive part over its maximum in the volume.

    Raises:
        InputError: There is no positive part.
    """
    array = sitk.GetArrayViewFromImage(raw)
    highest = float(array.max())
    if highest <= np.finfo(np.float32).tiny:
        raise InputError(_FLAT)
    return _on_grid(np.clip(array / np.float32(highest), 0, 1).astype(np.float32), raw)
