"""What a translator's card states of one examination: MAE, PSNR and SSIM of `MRITranslateLib.evaluate`, of MRI as they
are, after an affine fit and beside the best intensity map; and with them

* of MRI ``through_plane``, how much neighbouring slices differ, as a multiple of what the truth's do: 1 is its
  smoothness, more is flicker from slice to slice, less is blur;
* of CT ``bone_dice``, twice the volume above 250 HU in both over the sum of the volumes above it in either.
"""

import math
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.card import PLANE_AXES, TranslationCard
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.geometry import nearest_axes
from MRITranslateLib.scoring.regions import mr_foreground
from MRITranslateLib.scoring.scores import Scores
from MRITranslateLib.scoring.voxelwise import affine_fit

from .data.scans import Pair

_STATED = ("mae", "psnr", "ssim", "mae_affine", "psnr_affine", "ssim_affine", "psnr_oracle", "psnr_gain")


def measure(pair: Pair, prediction: sitk.Image, card: TranslationCard) -> Scores:
    """Compare a synthetic volume with the truth, on the original grid.

    Args:
        pair: The examination.
        prediction: On its grid; HU for CT, any unit for MRI.
        card: Says the contrasts, and along which axis the slices are stacked.

    Returns:
        As `evaluate`; a figure that is not defined here, such as that of a single slice, is left out.

    Raises:
        InputError: As `evaluate`.
    """
    is_ct = card.target == "CT"
    found = evaluate(pair.target, prediction, modality="CT" if is_ct else "MR", source=None if is_ct else pair.source)
    stated = {name: found.values[name] for name in _STATED if name in found.values}
    if is_ct:
        more = {"bone_dice": found.values["dice_bone"]}
    else:
        truth, made = (sitk.GetArrayViewFromImage(image) for image in (pair.target, prediction))
        axis = stacked_along(pair.target, card)
        more = {"through_plane": through_plane(truth, made, mr_foreground(truth), axis)}
    return Scores(stated | {key: value for key, value in more.items() if math.isfinite(value)}, found.facts)


def through_plane(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray, axis: int = 0) -> float:
    """Difference of neighbouring slices of a synthetic volume, relative to the truth's.

    Args:
        truth, made: 3-D, in any unit each: `made` is first fitted to the truth by one global affine map.
        foreground: Where to look; two neighbouring voxels count where it holds both.
        axis: Along which the slices are stacked.

    Returns:
        The quotient of the mean absolute differences; NaN where the truth has none, as a single slice has.
    """
    slope, _ = affine_fit(truth, made, foreground)
    inside, true, synthetic = (np.moveaxis(array, axis, 0) for array in (foreground, truth, made))
    sums = np.zeros(2)
    for lower, upper in zip(range(len(inside) - 1), range(1, len(inside)), strict=True):
        both = inside[lower] & inside[upper]
        for number, array in enumerate((synthetic, true)):
            sums[number] += np.abs(array[upper][both].astype(np.float64) - array[lower][both]).sum()
    return float(abs(slope) * sums[0] / sums[1]) if sums[1] > 0 else math.nan


def stacked_along(image: sitk.Image, card: TranslationCard) -> int:
    """The axis of an image's array (slices, rows, columns as stored) along which the model stacks its slices."""
    return 2 - nearest_axes(image)[PLANE_AXES[card.grid.plane]]


def means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of every figure over those who have it."""
    names = dict.fromkeys(name for values in found for name in values)
    return {name: float(np.mean([values[name] for values in found if name in values])) for name in names}
