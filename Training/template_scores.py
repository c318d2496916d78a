"""Scores of an MRI -> CT translator on real templates: the average T1 or T2 of some people to the average CT of others.

    python -m Training.template_scores PACKAGE TEMPLATE_FOLDER

No patient's pair of MRI and CT is free to use; the templates of the Clinical Toolbox and of SPM are the only real ones
in register. Their CT was smoothed by 8 mm in Cormack units (see `Training.template_labels`), so the answer is
scored as it is and smoothed alike. Both are averages of other people, whose ventricles and scalps differ: not even a
perfect translator could reach the CT.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk
import typer

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.scoring.overlap import BONE_HU, dice
from MRITranslateLib.scoring.regions import BODY_HU
from MRITranslateLib.translate import translate
from MRITranslateLib.volume import read_volume, same_grid

from .cormack import cormack, hounsfield, smooth

_INPUTS = {"T1": ("t1_smooth8mm", "t1_avg152"), "T2": ("t2_smooth8mm",)}
_TRUTH = "ct_hu_smooth8mm"
SMOOTHED_MM = 8.0
"""Full width at half maximum of the CT template's own smoothing."""


@dataclass(frozen=True)
class Row:
    """Scores of one answer.

    Attributes:
        source: Name of the template of the MRI.
        smoothed: Whether the answer was smoothed as the template of the CT was.
        mae: Mean absolute error in HU where the true CT exceeds -500 HU.
        dice: Of the bone, above 250 HU.
    """

    source: str
    smoothed: bool
    mae: float
    dice: float


def bone_dice(truth: np.ndarray, made: np.ndarray) -> float:
    """Dice coefficient of what exceeds 250 HU; 1 where neither does."""
    found = dice(truth > BONE_HU, made > BONE_HU)
    return 1.0 if math.isnan(found) else found


def template_scores(package: Package, folder: Path) -> Iterator[Row]:
    """Translate the templates of the package's contrast on the CPU and compare them with the template of the CT.

    Args:
        package: From T1 or T2 to CT.
        folder: With ct_hu_smooth8mm, and t1_smooth8mm and t1_avg152 or t2_smooth8mm, as .nii.gz.

    Raises:
        InputError: The package makes no CT or takes another contrast, a template is missing or unusable, or they lie on
            different grids.
    """
    card = package.translation_card()
    if card.target != "CT" or card.source not in _INPUTS:
        raise InputError(f"{card.name} makes no CT from T1 or T2; give a package that does.")
    reference = read_volume(folder / f"{_TRUTH}.nii.gz")
    truth = sitk.GetArrayFromImage(reference).astype(np.float32)
    head = truth > BODY_HU
    for name in _INPUTS[card.source]:
        source = read_volume(folder / f"{name}.nii.gz")
        if not same_grid(source, reference):
            raise InputError(f"{name} lies on another grid than {_TRUTH}; give the folder of one set of templates.")
        made = sitk.GetArrayFromImage(translate(source, package, device="cpu").image).astype(np.float32)
        alike = hounsfield(smooth(cormack(made), SMOOTHED_MM, source.GetSpacing()))
        for smoothed, answer in ((False, made), (True, alike)):
            yield Row(name, smoothed, float(np.abs(answer - truth)[head].mean()), bone_dice(truth, answer))


def main(
    package: Annotated[Path, typer.Argument(help="Name or folder of a package from T1 or T2 to CT.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the templates.")],
) -> None:
    """Print how well a package's CT of the templates of T1 or T2 agrees with the template of the CT."""
    try:
        typer.echo(f"{'input':<14} {'answer':<10} {'MAE HU':>7} {'bone Dice':>10}")
        for row in template_scores(load_package(package), folder):
            answer = "smoothed" if row.smoothed else "as it is"
            typer.echo(f"{row.source:<14} {answer:<10} {row.mae:>7.1f} {row.dice:>10.3f}")
    except InputError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
