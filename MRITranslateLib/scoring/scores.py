"""What a comparison found: figures by name, and of each its unit and what it was measured with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TITLES = {
    "mae": ("MAE", "Mean absolute error (MAE)"),
    "me": ("Mean error", "Mean error, prediction minus reference"),
    "psnr": ("PSNR", "Peak signal-to-noise ratio (PSNR)"),
    "ssim": ("SSIM", "Structural similarity (SSIM)"),
    "ms_ssim": ("MS-SSIM", "Multi-scale structural similarity (MS-SSIM)"),
    "ncc": ("NCC", "Normalised cross-correlation (NCC)"),
    "dice": ("Dice", "Dice coefficient"),
    "hd95": ("HD95", "95 % Hausdorff distance (HD95)"),
    "psnr_oracle": ("PSNR, best map", "PSNR of the best intensity map of the input"),
    "psnr_gain": ("PSNR, gain", "PSNR above the best intensity map of the input"),
}
_AFFINE = "_affine"


@dataclass(frozen=True)
class Measured:
    """What a figure was measured with.

    Attributes:
        unit: "HU", "dB", "mm", "of full scale", or "" for a number.
        data_range: Difference of the largest and smallest possible value, in words; "" where none is used.
        mask: Where it was taken, in words.
        window: Of the similarity, in words; "" for figures of voxel against voxel.
    """

    unit: str
    data_range: str
    mask: str
    window: str


@dataclass(frozen=True)
class Scores:
    """What `evaluate` found.

    Attributes:
        values: Figures by name: mae (HU for CT, fraction of full scale for MR), psnr (dB, infinite if equal), ssim, ...
        facts: What they were measured with: protocol, modality, data_range, mask, voxels, window, ...
        measured: The same of each figure.
    """

    values: dict[str, float]
    facts: dict[str, str]
    measured: dict[str, Measured] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """{"scores", "facts", "measured"} for JSON, which has no infinity: None stands for what is not finite."""
        values = {name: finite(value) for name, value in self.values.items()}
        measured = {name: vars(how) for name, how in self.measured.items()}
        return {"scores": values, "facts": dict(self.facts), "measured": measured}


class Findings:
    """Figures as they are found, in the order in which people read them."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.measured: dict[str, Measured] = {}

    def add(
        self, values: Mapping[str, float], mask: str, unit: str = "", data_range: str = "", window: str = ""
    ) -> None:
        """Take figures that were measured alike; arguments as the attributes of `Measured`."""
        self.values |= values
        self.measured |= dict.fromkeys(values, Measured(unit, data_range, mask, window))


def finite(value: float) -> float | None:
    """The value, or None for what JSON and tables have no number for."""
    return value if math.isfinite(value) else None


def title_of(name: str, short: bool = False) -> str:
    """A figure's name for people: "dice_soft_tissue" is "Dice, soft tissue" in short.

    ``_affine`` stands for those after a fit of the intensities.
    """
    plain = name.removesuffix(_AFFINE)
    base = max((base for base in _TITLES if f"{plain}_".startswith(f"{base}_")), key=len, default=plain)
    title = _TITLES.get(base, (base, base))[0 if short else 1]
    part = plain[len(base) :].replace("_", " ").strip()
    words = [title, *([part] if part else [])]
    if plain != name:
        words.append("after a fit" if short else "after an affine fit")
    return ", ".join(words)
