"""How close a synthetic volume is to the true one: MAE, PSNR, SSIM, and the SynthRAD challenges' own metrics for CT.

Protocols:

* ``plain``, MR. Intensities have no unit, so each volume is divided by the 99.8th percentile of its own values in the
  foreground; data range 1. The foreground is the mask, or else the reference above 5 % of the 99.8th percentile of its
  positive values.
  Each figure is given as it is and (``..._affine``) after one global least-squares fit ``a * prediction + b`` to the
  reference in the foreground. With the `source` image, ``psnr_oracle`` is the best that any intensity map of the source
  can reach: the mean reference for each of 256 levels of the source, fitted on this very volume; ``psnr_gain`` is what
  the prediction has above it.
* ``plain``, CT. Hounsfield units, clipped to [-1024, 3071] for PSNR and SSIM; data range 4095. The foreground is the
  mask, or else where the reference exceeds -500 HU.
* ``synthrad2023`` (doi 10.1002/mp.16529) and ``synthrad2025``, CT only. The challenges' evaluation code, figure for
  figure; the mask is the body outline, or else the whole volume.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .similarity import WINDOW, Cancel, inner, multiscale_ssim, ssim, window_of
from .volume import check_volume, same_grid

PROTOCOLS = ("plain", "synthrad2023", "synthrad2025")
KINDS = ("MR", "CT")
LEVELS = 256
_AIR_HU = -1024.0
BODY_HU = -500.0
"""A CT shows the patient above this."""
_BRIGHT = 99.8
_FOREGROUND = 0.05
RANGES = {"plain": (_AIR_HU, 3071.0), "synthrad2023": (_AIR_HU, 3000.0), "synthrad2025": (_AIR_HU, 3071.0)}
GIVEN_MASK = "given mask"
_CHUNK_VOXELS = 1 << 20


@dataclass(frozen=True)
class Scores:
    """What `evaluate` found.

    Attributes:
        values: Figures by name: mae (HU for CT, fraction of full scale for MR), psnr (dB, infinite if equal), ssim, ...
        facts: What they were measured with: protocol, modality, data_range, mask, voxels, window, ...
    """

    values: dict[str, float]
    facts: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """{"scores": ..., "facts": ...} for JSON, which has no infinity: None stands for a value that is not finite."""
        values = {name: value if math.isfinite(value) else None for name, value in self.values.items()}
        return {"scores": values, "facts": dict(self.facts)}


def evaluate(
    reference: sitk.Image,
    prediction: sitk.Image,
    modality: str = "MR",
    mask: sitk.Image | None = None,
    protocol: str = "plain",
    source: sitk.Image | None = None,
    cancel: Cancel | None = None,
) -> Scores:
    """Compare a prediction with the truth.

    Args:
        reference: The true volume, 3-D scalar; HU for CT.
        prediction: The synthetic volume on the same grid.
        modality: "MR" or "CT".
        mask: Label image on the same grid; its nonzero voxels count.
        protocol: "plain", "synthrad2023" or "synthrad2025", see above.
        source: What the prediction was made from, on the same grid; adds the best intensity map as a yardstick (MR).
        cancel: Asked now and then whether to stop.

    Raises:
        Cancelled: `cancel` said so.
        InputError: Volumes that no figure can be given for: other grids, constant, not finite, an empty mask, ...
    """
    if protocol not in PROTOCOLS:
        raise InputError(f'There is no protocol "{protocol}"; use one of {", ".join(PROTOCOLS)}.')
    if modality.upper() not in KINDS:
        raise InputError(f'"{modality}" cannot be evaluated; use modality MR or CT.')
    kind = modality.upper()
    if protocol != "plain" and kind != "CT":
        raise InputError(f"The protocol {protocol} scores CT; use modality CT, or the protocol plain for MR.")
    if source is not None and kind != "MR":
        raise InputError("The yardstick from the input image is defined for MR; leave the input image out for CT.")
    check_volume(reference, "The reference")
    others = {"The prediction": prediction, "The input image": source, "The mask": mask}
    for name, image in others.items():
        if image is not None and not same_grid(reference, image):
            raise InputError(
                f"{name} lies on another grid than the reference ({_grid(image)} against {_grid(reference)}); "
                "resample it to the reference first."
            )
    check_volume(prediction, "The prediction")
    if source is not None:
        check_volume(source, "The input image")

    truth, made = sitk.GetArrayViewFromImage(reference), sitk.GetArrayViewFromImage(prediction)
    region = None if mask is None else sitk.GetArrayViewFromImage(mask) > 0
    if region is not None and not region.any():
        raise InputError("The mask is empty; draw a region, or leave the mask out.")
    if kind == "CT":
        return _ct(truth, made, region, protocol, cancel)
    return _mr(truth, made, region, None if source is None else sitk.GetArrayViewFromImage(source), cancel)


def _mr(
    truth: np.ndarray, made: np.ndarray, mask: np.ndarray | None, source: np.ndarray | None, cancel: Cancel | None
) -> Scores:
    foreground, where = scored_where(truth, "MR", "plain") if mask is None else (mask, GIVEN_MASK)
    truth = _scaled(truth, foreground, "The reference")
    made = _scaled(made, foreground, "The prediction")
    values = plain_scores(truth, made, foreground, 1.0, cancel)
    slope, offset = affine_fit(truth, made, foreground)
    made *= np.float32(slope)
    made += np.float32(offset)
    values |= {f"{name}_affine": value for name, value in plain_scores(truth, made, foreground, 1.0, cancel).items()}
    facts = _facts("plain", "MR", "1", foreground)
    facts["mask"] = where
    facts["scaling"] = f"each volume divided by the {_BRIGHT}th percentile of its values in the mask"
    facts["affine"] = f"{slope:.6g} * prediction {offset:+.6g}"
    facts["window"] = _window(truth.shape)
    if source is not None:
        values["psnr_oracle"] = _intensity_map_psnr(truth, source, foreground)
        values["psnr_gain"] = values["psnr_affine"] - values["psnr_oracle"]
        facts["oracle"] = f"mean reference for each of {LEVELS} levels of the input image, fitted on this volume"
    return Scores(values, facts)


def _ct(truth: np.ndarray, made: np.ndarray, mask: np.ndarray | None, protocol: str, cancel: Cancel | None) -> Scores:
    low, high = RANGES[protocol]
    if protocol == "synthrad2023" and min(truth.shape) < WINDOW:
        raise InputError(f"synthrad2023 needs at least {WINDOW} voxels along each axis; use the protocol plain.")
    foreground, where = scored_where(truth, "CT", protocol) if mask is None else (mask, GIVEN_MASK)
    _refuse_empty(foreground)
    values = {"mae": _errors(truth, made, foreground)[0]}
    # From here on within the range and from 0 upwards, as SSIM wants it.
    truth, made = clipped(truth, low, high), clipped(made, low, high)
    values["psnr"] = _psnr(_errors(truth, made, foreground)[1], high - low)
    facts = _facts(protocol, "CT", f"{high - low:g} HU ({low:g} to {high:g})", foreground)
    facts["mask"] = where
    facts["window"] = _window(truth.shape)
    if protocol == "plain":
        values["ssim"] = ssim(truth, made, foreground, high - low, cancel)
        return Scores(values, facts)
    truth[~foreground] = 0.0
    made[~foreground] = 0.0
    if protocol == "synthrad2023":
        counted = inner(foreground)
        if not counted.any():
            raise InputError(
                "The mask lies within 3 voxels of the edge, where synthrad2023 counts nothing; draw it larger."
            )
        values["ssim"] = ssim(truth, made, counted, high - low, cancel)
    else:
        values["ms_ssim"] = multiscale_ssim(truth, made, foreground, high - low, cancel)
        facts["window"] = f"{WINDOW}x{WINDOW}x{WINDOW} uniform at five scales"
    return Scores(values, facts)


def scored_where(truth: np.ndarray, kind: str, protocol: str) -> tuple[np.ndarray, str]:
    """Where a protocol scores when no mask is given: a boolean array, and the same in words.

    Raises:
        InputError: An MR image without positive values.
    """
    if kind != "CT":
        where = f"reference above {100 * _FOREGROUND:g} % of the {_BRIGHT}th percentile of its positive values"
        return mr_foreground(truth), where
    if protocol == "plain":
        return truth > BODY_HU, f"reference above {BODY_HU:g} HU"
    return np.ones(truth.shape, bool), "whole volume"


def mr_foreground(truth: np.ndarray) -> np.ndarray:
    """Where a true MR image (values from 0 up) shows tissue: above 5 % of the 99.8th percentile of its positive values.

    Raises:
        InputError: Nowhere.
    """
    positive = truth[truth > 0]
    _refuse_empty(positive)
    return truth > _FOREGROUND * np.percentile(positive, _BRIGHT)


def full_scale(array: np.ndarray, foreground: np.ndarray) -> float:
    """The value of an MR image that counts as 1: a high percentile, which a few bright voxels do not move."""
    return float(np.percentile(array[foreground], _BRIGHT))


def plain_scores(
    truth: np.ndarray, made: np.ndarray, foreground: np.ndarray, data_range: float, cancel: Cancel | None = None
) -> dict[str, float]:
    """Mean absolute error, PSNR (dB) and SSIM in the foreground of two arrays in one unit, values from 0 up."""
    mae, mse = _errors(truth, made, foreground)
    return {"mae": mae, "psnr": _psnr(mse, data_range), "ssim": ssim(truth, made, foreground, data_range, cancel)}


def _chunks(foreground: np.ndarray, *arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The foreground's values of several volumes as float64, a few slices at a time."""
    step = max(1, _CHUNK_VOXELS // max(1, foreground[0].size))
    for start in range(0, foreground.shape[0], step):
        part = slice(start, start + step)
        chosen = foreground[part]
        yield [array[part][chosen].astype(np.float64) for array in arrays]


def _errors(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """Mean absolute and mean squared difference in the foreground."""
    absolute = squared = 0.0
    for a, b in _chunks(foreground, truth, made):
        difference = a - b
        absolute += float(np.abs(difference).sum())
        squared += float(np.dot(difference, difference))
    count = int(np.count_nonzero(foreground))
    return absolute / count, squared / count


def affine_fit(truth: np.ndarray, made: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """(a, b) that minimise the sum of (a * made + b - truth) squared in the foreground."""
    count = np.count_nonzero(foreground)
    sums = np.zeros(2)
    for a, b in _chunks(foreground, truth, made):
        sums += a.sum(), b.sum()
    mean_truth, mean_made = sums / count
    covariance = variance = 0.0
    for a, b in _chunks(foreground, truth, made):
        b -= mean_made
        covariance += float(np.dot(a - mean_truth, b))
        variance += float(np.dot(b, b))
    slope = covariance / variance if variance > 0.0 else 0.0
    return slope, float(mean_truth - slope * mean_made)


def _intensity_map_psnr(truth: np.ndarray, source: np.ndarray, foreground: np.ndarray) -> float:
    """PSNR of the mean truth per level of the source, the least-squares best map: an affine fit would add nothing."""
    extremes = [(float(a.min()), float(a.max())) for (a,) in _chunks(foreground, source) if a.size]
    low, high = min(pair[0] for pair in extremes), max(pair[1] for pair in extremes)
    width = (high - low) / LEVELS or 1.0
    count, total, squares = np.zeros(LEVELS), np.zeros(LEVELS), 0.0
    for a, s in _chunks(foreground, truth, source):
        level = np.minimum(((s - low) / width).astype(np.int64), LEVELS - 1)
        count += np.bincount(level, minlength=LEVELS)
        total += np.bincount(level, weights=a, minlength=LEVELS)
        squares += float(np.dot(a, a))
    explained = float((total[count > 0] ** 2 / count[count > 0]).sum())
    return _psnr(max(squares - explained, 0.0) / float(count.sum()), 1.0)


def _psnr(mse: float, data_range: float) -> float:
    return math.inf if mse == 0.0 else 10.0 * math.log10(data_range * data_range / mse)


def _scaled(array: np.ndarray, foreground: np.ndarray, what: str) -> np.ndarray:
    """float32 copy divided by its full scale."""
    full = full_scale(array, foreground)
    if full <= 0.0:
        raise InputError(f"{what} has no positive values in the foreground; check that it is an MR image.")
    scaled = array.astype(np.float32)
    scaled /= np.float32(full)
    return scaled


def clipped(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32 copy held to a range and counted from its lower end."""
    clipped = array.astype(np.float32)
    np.clip(clipped, low, high, out=clipped)
    clipped -= np.float32(low)
    return clipped


def _refuse_empty(foreground: np.ndarray) -> None:
    if not foreground.any():
        raise InputError("The reference has no foreground; check that it is the right volume, or give a mask.")


def _facts(protocol: str, kind: str, data_range: str, foreground: np.ndarray) -> dict[str, str]:
    voxels = str(np.count_nonzero(foreground))
    return {"protocol": protocol, "modality": kind, "data_range": data_range, "mask": "", "voxels": voxels}


def _window(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, window_of(shape))) + " uniform (slices x rows x columns)"


def _grid(image: sitk.Image) -> str:
    size = " x ".join(map(str, image.GetSize()))
    spacing = " x ".join(f"{value:.4g}" for value in image.GetSpacing())
    return f"{size} voxels of {spacing} mm"
