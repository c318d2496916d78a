"""The protocols of `evaluate`: which figures, where, with which range and window. What each is, says `evaluate`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.filters import threshold_multiotsu

from ..errors import InputError
from .overlap import BONE_HU, SOFT_TISSUE_HU, ct_tissues, dice, hausdorff95
from .regions import BRIGHT, Regions, full_scale, mr_foreground, outline
from .scores import Findings, Scores
from .similarity import GAUSSIAN, UNIFORM, WINDOW, Cancel, inner, multiscale_ssim, ssim
from .voxelwise import LEVELS, affine_fit, correlation, errors, intensity_map_psnr, psnr

KINDS_OF = {"plain": ("MR", "CT"), "brasyn": ("MR",), "synthrad2023": ("CT",), "synthrad2025": ("CT",)}
"""What each protocol scores."""
_AIR_HU = -1024.0
RANGES = {"plain": (_AIR_HU, 3071.0), "synthrad2023": (_AIR_HU, 3000.0), "synthrad2025": (_AIR_HU, 3071.0)}
TISSUES = ("dark", "middle", "bright")
"""Classes of an MR image by its brightness."""
_FULL_SCALE = "of full scale"
_CLIPPED = (0.5, 99.5)
_SCALES = f"{WINDOW}x{WINDOW}x{WINDOW} uniform at five scales"


@dataclass(frozen=True)
class Volumes:
    """What a protocol measures.

    Attributes:
        truth, made: Reference and prediction (slices, rows, columns).
        regions: Where to score.
        spacing: mm along columns, rows and slices.
        source: What the prediction was made from, or None.
        cancel: See `Cancel`.
    """

    truth: np.ndarray
    made: np.ndarray
    regions: Regions
    spacing: tuple[float, ...]
    source: np.ndarray | None = None
    cancel: Cancel | None = None


def score(volumes: Volumes, kind: str, protocol: str) -> Scores:
    """Measure by a protocol.

    Raises:
        InputError: Volumes that the protocol has no figures for.
        Cancelled: `cancel` said so.
    """
    if protocol == "brasyn":
        return _brasyn(volumes)
    if protocol == "plain":
        return _plain_ct(volumes) if kind == "CT" else _plain_mr(volumes)
    return _synthrad(volumes, protocol)


def plain_scores(
    truth: np.ndarray, made: np.ndarray, foreground: np.ndarray, data_range: float, cancel: Cancel | None = None
) -> dict[str, float]:
    """Mean absolute error, PSNR (dB) and SSIM in the foreground of two arrays in one unit, values from 0 up."""
    mae, mse, _ = errors(truth, made, foreground)
    return {"mae": mae, "psnr": psnr(mse, data_range), "ssim": ssim(truth, made, foreground, data_range, cancel)}


def mr_thresholds(truth: np.ndarray, inside: np.ndarray) -> list[float] | None:
    """What parts dark from middle and middle from bright tissue: multi-Otsu (Liao 2001) on the truth's foreground.

    Args:
        truth: In full scale.
        inside: Its foreground.

    Returns:
        Two values, or None where there are fewer than three different ones.
    """
    try:
        return [float(cut) for cut in threshold_multiotsu(np.minimum(truth[inside], 1.0), classes=3)]
    except ValueError:
        return None


def tissue_dice(truth: np.ndarray, made: np.ndarray, inside: np.ndarray, thresholds: Sequence[float]) -> list[float]:
    """Dice of the three classes that two rising thresholds part, in a boolean region of two volumes of one unit; NaN
    for a class that neither holds."""
    met = np.zeros(9, np.int64)
    for one, other, here in zip(truth, made, inside, strict=True):
        met += np.bincount(3 * np.digitize(one[here], thresholds) + np.digitize(other[here], thresholds), minlength=9)
    table = met.reshape(3, 3)
    sizes = table.sum(axis=0) + table.sum(axis=1)
    return [float(2 * table[n, n] / sizes[n]) if sizes[n] else math.nan for n in range(3)]


def clipped(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32 copy held to a range and counted from its lower end."""
    clipped = array.astype(np.float32)
    np.clip(clipped, low, high, out=clipped)
    clipped -= np.float32(low)
    return clipped


def _plain_mr(volumes: Volumes) -> Scores:
    inside, where = volumes.regions.scored, volumes.regions.where
    truth, made = (
        _scaled(array, inside, what)
        for array, what in ((volumes.truth, "The reference"), (volumes.made, "The prediction"))
    )
    head, made_head = (mr_foreground(array) & volumes.regions.whole for array in (volumes.truth, volumes.made))
    found = Findings()
    mae, mse, _ = errors(truth, made, inside)
    found.add({"mae": mae}, where, _FULL_SCALE)
    _similarities(found, volumes, truth, made, mse)
    found.add({"ncc": correlation(truth, made, inside)}, where)
    slope, offset = affine_fit(truth, made, inside)
    made *= np.float32(slope)
    made += np.float32(offset)
    mae, mse, _ = errors(truth, made, inside)
    found.add({"mae_affine": mae}, where, _FULL_SCALE)
    _similarities(found, volumes, truth, made, mse, "_affine")
    found.add({"dice_foreground": dice(head, made_head)}, volumes.regions.whole_where)
    told = f"foreground: each volume above 5 % of the {BRIGHT}th percentile of its own positive values"
    thresholds = mr_thresholds(truth, inside)
    if thresholds is not None:
        overlaps = tissue_dice(truth, made, inside, thresholds)
        found.add({f"dice_{name}": value for name, value in zip(TISSUES, overlaps, strict=True)}, where)
        told += "; {}, {} and {}: parted at {:.3g} and {:.3g} of full scale, prediction after the fit".format(
            *TISSUES, *thresholds
        )
    found.add({"hd95_foreground": hausdorff95(head, made_head, volumes.spacing)}, volumes.regions.whole_where, "mm")
    facts = _facts("plain", "MR", "1", volumes)
    facts["scaling"] = f"each volume divided by the {BRIGHT}th percentile of its values in the mask"
    facts["affine"] = f"{slope:.6g} * prediction {offset:+.6g}"
    facts["structures"] = told
    if volumes.source is not None:
        oracle = intensity_map_psnr(truth, volumes.source, inside)
        gain = found.values["psnr_affine"] - oracle
        found.add({"psnr_oracle": oracle, "psnr_gain": gain}, where, "dB", "1")
        facts["oracle"] = f"mean reference for each of {LEVELS} levels of the input image, fitted on this volume"
    return Scores(found.values, facts, found.measured)


def _plain_ct(volumes: Volumes) -> Scores:
    low, high = RANGES["plain"]
    regions, data_range = volumes.regions, _range_words(low, high)
    found = Findings()
    mae, _, mean = errors(volumes.truth, volumes.made, regions.scored)
    found.add({"mae": mae, "me": mean}, regions.where, "HU")
    truth, made = (clipped(array, low, high) for array in (volumes.truth, volumes.made))
    mse = errors(truth, made, regions.scored)[1]
    _similarities(found, volumes, truth, made, mse, "", high - low, data_range)
    del truth, made
    found.add({"ncc": correlation(volumes.truth, volumes.made, regions.scored)}, regions.where)
    body, body_where = regions.scored, regions.where
    if regions.mask is None:
        body, body_where = outline(body) & regions.whole, f"outline of: {regions.where}"
    tissues, made_tissues = ct_tissues(volumes.truth), ct_tissues(volumes.made)
    for name, tissue in tissues.items():
        mae, _, mean = errors(volumes.truth, volumes.made, tissue & body)
        found.add({f"mae_{name}": mae, f"me_{name}": mean}, f"{name.replace('_', ' ')} in {body_where}", "HU")
    for name in ("soft_tissue", "bone"):
        true, synthetic = tissues[name] & regions.whole, made_tissues[name] & regions.whole
        found.add({f"dice_{name}": dice(true, synthetic)}, regions.whole_where)
        found.add({f"hd95_{name}": hausdorff95(true, synthetic, volumes.spacing)}, regions.whole_where, "mm")
    facts = _facts("plain", "CT", data_range, volumes)
    facts["structures"] = (
        f"air below {SOFT_TISSUE_HU:g} HU, soft tissue from {SOFT_TISSUE_HU:g} to {BONE_HU:g} HU, bone above "
        f"{BONE_HU:g} HU; errors where the reference shows them"
    )
    return Scores(found.values, facts, found.measured)


def _similarities(
    found: Findings,
    volumes: Volumes,
    truth: np.ndarray,
    made: np.ndarray,
    mse: float,
    suffix: str = "",
    data_range: float = 1.0,
    range_words: str = "1",
) -> None:
    """PSNR, SSIM and MS-SSIM of two volumes with values from 0 up, and a known mean squared error."""
    inside, where, window = volumes.regions.scored, volumes.regions.where, UNIFORM.words(truth.shape)
    found.add({f"psnr{suffix}": psnr(mse, data_range)}, where, "dB", range_words)
    value = ssim(truth, made, inside, data_range, volumes.cancel)
    found.add({f"ssim{suffix}": value}, where, "", range_words, window)
    try:
        value = multiscale_ssim(truth, made, inside, data_range, volumes.cancel)
    except InputError:  # the mask is so small that it vanishes at the coarsest scale
        value = math.nan
    found.add({f"ms_ssim{suffix}": value}, where, "", range_words, _SCALES)


def _synthrad(volumes: Volumes, protocol: str) -> Scores:
    low, high = RANGES[protocol]
    truth, made, inside, where = volumes.truth, volumes.made, volumes.regions.scored, volumes.regions.where
    if protocol == "synthrad2023" and min(truth.shape) < WINDOW:
        raise InputError(f"synthrad2023 needs at least {WINDOW} voxels along each axis; use the protocol plain.")
    words = _range_words(low, high)
    found = Findings()
    found.add({"mae": errors(truth, made, inside)[0]}, where, "HU")
    # From here on within the range and from 0 upwards, as SSIM wants it.
    truth, made = clipped(truth, low, high), clipped(made, low, high)
    found.add({"psnr": psnr(errors(truth, made, inside)[1], high - low)}, where, "dB", words)
    truth[~inside] = 0.0
    made[~inside] = 0.0
    facts = _facts(protocol, "CT", words, volumes)
    if protocol == "synthrad2023":
        counted = inner(inside)
        if not counted.any():
            raise InputError(
                "The mask lies within 3 voxels of the edge, where synthrad2023 counts nothing; draw it larger."
            )
        value = ssim(truth, made, counted, high - low, volumes.cancel)
        found.add({"ssim": value}, f"{where}, 3 voxels from the edge", "", words, facts["window"])
    else:
        value = multiscale_ssim(truth, made, inside, high - low, volumes.cancel)
        facts["window"] = _SCALES
        found.add({"ms_ssim": value}, f"{where}, 3 voxels from the edge at each scale", "", words, _SCALES)
    return Scores(found.values, facts, found.measured)


def _brasyn(volumes: Volumes) -> Scores:
    """Tumour and the rest, each with the other part blanked, as the challenge's evaluation has it."""
    if min(volumes.truth.shape) < GAUSSIAN.extent:
        raise InputError(f"brasyn needs at least {GAUSSIAN.extent} voxels along each axis; use the protocol plain.")
    both = {"The reference": volumes.truth, "The prediction": volumes.made}
    truth, made = (_between_percentiles(array, what) for what, array in both.items())
    tumour = np.zeros(truth.shape, bool) if volumes.regions.mask is None else volumes.regions.mask
    reached = tumour & volumes.regions.whole
    everywhere = np.ones(truth.shape, bool)
    healthy, rest = ~tumour & volumes.regions.whole, "outside the tumour"
    # Of each: what is left of the volumes for its SSIM, where its PSNR is taken, and both in words.
    parts = {
        "healthy": (healthy, healthy & volumes.regions.scored, rest, f"{volumes.regions.where}, {rest}"),
    }
    if reached.any():
        parts = {"tumour": (reached, reached, "tumour", "tumour"), **parts}
    facts = _facts("brasyn", "MR", "1", volumes)
    facts["window"] = GAUSSIAN.words(truth.shape)
    found = Findings()
    for name, (part, counted, where, counted_where) in parts.items():
        first, second = truth * part, made * part
        data_range = float(max(np.ptp(first), np.ptp(second))) or 1.0
        value = ssim(first, second, everywhere, data_range, volumes.cancel, GAUSSIAN)
        blanked = f"whole volume, 0 but for: {where}"
        found.add({f"ssim_{name}": value}, blanked, "", f"{data_range:.4g}", facts["window"])
        found.add({f"psnr_{name}": psnr(errors(truth, made, counted)[1], 1.0)}, counted_where, "dB", "1")
    low, high = _CLIPPED
    facts["mask"] = "given mask: the tumour" if tumour.any() else "none: all counts as healthy"
    facts["scaling"] = f"each volume from its {low:g}th (at least 0) to its {high:g}th percentile to 0 to 1, cut there"
    facts["left out"] = "the challenge's Dice, which needs its segmentation network"
    return Scores(found.values, facts, found.measured)


def _between_percentiles(array: np.ndarray, what: str) -> np.ndarray:
    """float32 from 0 to 1."""
    low, high = (float(value) for value in np.percentile(array, _CLIPPED))
    low = max(low, 0.0)
    if high <= low:
        raise InputError(f"{what} has next to no positive values; check that it is an MR image.")
    scaled = clipped(array, low, high)
    scaled /= np.float32(high - low)
    return scaled


def _scaled(array: np.ndarray, foreground: np.ndarray, what: str) -> np.ndarray:
    """float32 copy divided by its full scale."""
    full = full_scale(array, foreground)
    if full <= 0.0:
        raise InputError(f"{what} has no positive values in the foreground; check that it is an MR image.")
    scaled = array.astype(np.float32)
    scaled /= np.float32(full)
    return scaled


def _range_words(low: float, high: float) -> str:
    return f"{high - low:g} HU ({low:g} to {high:g})"


def _facts(protocol: str, kind: str, data_range: str, volumes: Volumes) -> dict[str, str]:
    return {
        "protocol": protocol,
        "modality": kind,
        "data_range": data_range,
        "mask": volumes.regions.where,
        "voxels": str(np.count_nonzero(volumes.regions.scored)),
        "window": UNIFORM.words(volumes.truth.shape),
    }
