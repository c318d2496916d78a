"""What a translator has to beat on a subject that it has not seen, each as a volume that one function scores.

* `constant`: the mean of the truth.
* `intensity_map`: the mean truth for each of 256 levels of the source, fitted on the tested volume itself: no map of
  intensities can do better.
* `neighbourhood`: least squares from the 3 x 3 pixels around each pixel, fitted on the other subjects of the family.
* `translated`: any package, such as the plain pix2pix of `configs/yardstick_pix2pix.yaml`.

Where neither truth nor source shows the patient, the first three are air: any translator knows that much.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.package import Package
from MRITranslateLib.scoring.protocols import plain_scores
from MRITranslateLib.scoring.regions import full_scale, mr_foreground, scored_where
from MRITranslateLib.scoring.voxelwise import LEVELS, affine_fit
from MRITranslateLib.translate import translate
from MRITranslateLib.volume import like

from .data.scans import Pair
from .measures import measure, stacked_along, through_plane

_AIR_HU = -1000.0
_BRIGHT = 99.5
_NEIGHBOURS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


def constant(pair: Pair, card: TranslationCard) -> sitk.Image:
    """The mean of the truth in its foreground; float32, in the truth's unit."""
    truth = _array(pair.target)
    return _painted(pair, card, np.full(truth.shape, truth[_foreground(truth, card.target)].mean()))


def intensity_map(pair: Pair, card: TranslationCard) -> sitk.Image:
    """The mean truth for each of 256 levels of the source in the truth's foreground; float32, in the truth's unit."""
    truth, source = _array(pair.target), _array(pair.source)
    inside = _foreground(truth, card.target)
    low, high = float(source[inside].min()), float(source[inside].max())
    width = (high - low) / LEVELS or 1.0
    level = np.clip((source - low) / width, 0, LEVELS - 1).astype(np.int64)
    count = np.bincount(level[inside], minlength=LEVELS)
    total = np.bincount(level[inside], weights=truth[inside], minlength=LEVELS)
    known = np.flatnonzero(count)
    table = np.interp(np.arange(LEVELS), known, total[known] / count[known])
    return _painted(pair, card, table[level])


@dataclass(frozen=True)
class Moments:
    """What least squares need to know of a subject; sums over its foreground, which add up over subjects.

    Attributes:
        features: (10, 10), products of the nine neighbours and 1 with each other.
        truth: (10), their products with the truth.
    """

    features: np.ndarray
    truth: np.ndarray


def moments(pair: Pair, card: TranslationCard) -> Moments:
    """One subject's part in the fit of `neighbourhood`."""
    truth = _array(pair.target)
    inside, scale = _foreground(truth, card.target), _scale(truth, card.target)
    features, products = np.zeros((10, 10)), np.zeros(10)
    for true, where, columns in _slices(pair, card, truth / scale, inside):
        chosen = columns[:, where]
        features += chosen @ chosen.T
        products += chosen @ true[where]
    return Moments(features, products)


def neighbourhood(pair: Pair, card: TranslationCard, others: Sequence[Moments]) -> sitk.Image:
    """Linear regression from the 3 x 3 pixels in the model's plane; MRI is scaled by its 99.5th percentile.

    Args:
        pair: The tested examination; of its truth only the scale is used.
        card: Contrasts and plane.
        others: Of the subjects to fit on, at least one.

    Returns:
        float32, in the truth's unit.
    """
    features, products = (sum(getattr(one, name) for one in others) for name in ("features", "truth"))
    weights = np.linalg.lstsq(features, products, rcond=None)[0]
    truth = _array(pair.target)
    made = np.empty(truth.shape)
    for out, _, columns in _slices(pair, card, made, np.ones(truth.shape, bool)):
        out[...] = np.tensordot(weights, columns, 1)
    return _painted(pair, card, made * _scale(truth, card.target))


def translated(pair: Pair, package: Package) -> sitk.Image:
    """What a package makes of the source; MRI is brought to the truth's unit by the full scale of both, as `evaluate`
    does."""
    made = translate(pair.source, package, device="cpu").image
    if package.translation_card().target == "CT":
        return made
    truth, array = _array(pair.target), _array(made)
    inside = mr_foreground(truth)
    return like((array * (full_scale(truth, inside) / full_scale(array, inside))).astype(np.float32), made)


def score(pair: Pair, prediction: sitk.Image, card: TranslationCard) -> dict[str, float]:
    """Figures of a prediction in the truth's unit, as a card states them for its own.

    Returns:
        MRI: psnr (as it is), psnr_affine and ssim_affine (after one global affine fit) and through_plane, where it is
        defined. CT: mae (HU), psnr, ssim and bone_dice.
    """
    if card.target == "CT":
        return measure(pair, prediction, card).values
    truth, made = _array(pair.target), _array(prediction)
    inside = mr_foreground(truth)
    full = full_scale(truth, inside)
    truth, made = (array / np.float32(full) for array in (truth, made))
    raw = plain_scores(truth, made, inside, 1.0)["psnr"]
    slope, offset = affine_fit(truth, made, inside)
    fitted = plain_scores(truth, made * np.float32(slope) + np.float32(offset), inside, 1.0)
    ratio = through_plane(truth, made, inside, stacked_along(pair.target, card))
    figures = {"psnr": raw, "psnr_affine": fitted["psnr"], "ssim_affine": fitted["ssim"]}
    return figures | ({"through_plane": ratio} if np.isfinite(ratio) else {})


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).astype(np.float32, copy=False)


def _foreground(array: np.ndarray, modality: str) -> np.ndarray:
    return scored_where(array, "CT" if modality == "CT" else "MR", "plain")[0]


def _scale(array: np.ndarray, modality: str) -> float:
    """What counts as 1."""
    return 1000.0 if modality == "CT" else float(np.percentile(array[mr_foreground(array)], _BRIGHT))


def _painted(pair: Pair, card: TranslationCard, values: np.ndarray) -> sitk.Image:
    """Values where truth or source shows the patient, and air elsewhere."""
    patient = _foreground(_array(pair.target), card.target) | _foreground(_array(pair.source), card.source)
    return like(np.where(patient, values, _AIR_HU if card.target == "CT" else 0.0).astype(np.float32), pair.target)


def _slices(
    pair: Pair, card: TranslationCard, *arrays: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Slice by slice of the model's plane: views of two arrays, and the features (10, rows, columns)."""
    axis = stacked_along(pair.target, card)
    source = _array(pair.source)
    source = np.moveaxis(source / _scale(source, card.source), axis, 0)
    first, second = (np.moveaxis(array, axis, 0) for array in arrays)
    rows, columns = source.shape[1:]
    for index, picture in enumerate(source):
        padded = np.pad(picture, 1, mode="edge").astype(np.float64)
        shifted = [padded[1 + y : 1 + y + rows, 1 + x : 1 + x + columns] for y, x in _NEIGHBOURS]
        yield first[index], second[index], np.stack([*shifted, np.ones_like(shifted[0])])
