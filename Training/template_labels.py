"""A label map of the head, derived from group templates in MNI space, to train on.

    python -m Training.template_labels TEMPLATE_FOLDER OUTPUT.nii.gz

The templates are those of the Clinical Toolbox (Rorden et al., NeuroImage 61:957, 2012; BSD-2-Clause): the average CT
of older adults, smoothed by 8 mm, and the tissue probabilities of their brains. The brain comes from the probabilities.
The rest comes from the CT, sharpened by Richardson and Lucy's deconvolution (Richardson, J Opt Soc Am 62:55, 1972), and
then from the map itself: what it lacks of the template, once it is smoothed as the template was, is added to the
sharpened CT, and its bone is made anew.

The template was averaged and smoothed in Cormack units, which stretch the soft tissues (-100 to 100 HU) eleven times,
so that is where it is compared. Those units tell fat from muscle in a scalp of 6 mm, and they make half a voxel of bone
count little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk
import typer
from scipy import ndimage

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import TISSUES
from MRITranslateLib.phantom.brain import PAIRED
from MRITranslateLib.phantom.tissue import (
    AIR,
    BLOOD,
    CORTICAL,
    CSF,
    DEEP_GREY,
    DURA,
    FAT,
    GREY,
    LENS,
    MARROW,
    MUCOSA,
    MUSCLE,
    SKIN,
    VITREOUS,
    WHITE,
)
from MRITranslateLib.volume import check_output_path, like, read_volume, same_grid, write_volume

from .cormack import cormack, hounsfield, smooth
from .template_scores import SMOOTHED_MM, bone_dice

CT = "ct_cormack_smooth8mm"
BRAIN = {GREY: "gm_prob_elderly", WHITE: "wm_prob_elderly", CSF: "csf_prob_elderly"}
_DENSEST_HU = 1600.0
"""The sharpened CT goes no higher."""
_SHARPENINGS, _CORRECTIONS, _GAIN = 60, 4, 0.3
_AIR_BELOW, _HEAD_FROM, _MUSCLE_FROM, _BONE_FROM, _DENSE_FROM = 450.0, 700.0, 1900.0, 3200.0, 3900.0
"""Cormack units of the sharpened CT: air in the head, the head's surface, fat and muscle, muscle and bone, the bone of
a diploe and the dense bone of the petrous ridge."""
_SKIN_MM, _FAT_MM, _TABLE_MM, _MUCOSA_MM, _MUSCLE_MM = 2.9, 4.9, 1.5, 1.1, 1.6
"""Depths of skin and of the fat below it, thickness of bone's surface and of mucosa; half of the thinnest muscle, for
edges between bone and fat are as bright."""
_THICK_TABLE_MM = 2.9
"""Of the vault where it is dense."""
_VAULT_ABOVE, _HOLE_MM = 0.0, 2.0
"""z in MNI space from which the skull has no holes, and half their width."""
_CLOSED_MM = 4.0
"""Openings up to twice as wide are no way in from outside."""
_GAP_MM = 4
"""Soft tissue this near the brain, inside the skull, is fluid and dura."""
_AIRY = (
    ((0, 17), (5, 78), (-99, -18)),
    ((0, 30), (60, 90), (-28, 12)),
    ((14, 36), (25, 60), (-99, -44)),
    ((40, 74), (-50, -8), (-66, -24)),
)
"""Boxes |x|, y, z in MNI space of nose and ethmoid, frontal sinus, maxillary sinus and mastoid cells. People differ so
much there that their average is as dense as fat; what is no denser is made air."""
_AIRY_DEPTH_MM = 6.0
"""It lies deeper below the skin."""
_EYES = (34.0, 59.0, -39.0)
"""Centre of an eye, mm right or left, to the front and up in MNI space."""

Array = np.ndarray


@dataclass(frozen=True)
class Templates:
    """The templates on a grid of 1 mm, axes x to the left, y to the back, z up (LPS).

    Attributes:
        ct: Average CT, smoothed by 8 mm, Cormack units.
        sharp: The same, sharpened.
        brain: Tissue -> its probability.
        grid: Image whose grid it is.
    """

    ct: Array
    sharp: Array
    brain: Mapping[int, Array]
    grid: sitk.Image


def read_templates(folder: Path) -> Templates:
    """Read the templates, bring them to 1 mm and sharpen the CT.

    Args:
        folder: With ct_cormack_smooth8mm, gm_prob_elderly, wm_prob_elderly and csf_prob_elderly as .nii.gz.

    Raises:
        InputError: A file is missing or unusable, or the templates lie on different grids.
    """
    images = {name: read_volume(folder / f"{name}.nii.gz") for name in (CT, *BRAIN.values())}
    for name, image in images.items():
        if not same_grid(image, images[CT]):
            raise InputError(f"{name} lies on another grid than {CT}; give the folder of one set of templates.")
    coarse = {name: sitk.Cast(sitk.DICOMOrient(image, "LPS"), sitk.sitkFloat32) for name, image in images.items()}
    spacing = coarse[CT].GetSpacing()
    if max(spacing) - min(spacing) > 0.01 * min(spacing):
        raise InputError(f"{CT} has voxels of {spacing} mm; give templates with cubic voxels.")
    ct = np.maximum(sitk.GetArrayFromImage(coarse[CT]), 1)
    sharp = sitk.GetImageFromArray(sharpen(ct, spacing))
    sharp.CopyInformation(coarse[CT])
    grid = _fine_grid(coarse[CT])

    def fine(image: sitk.Image) -> Array:
        return sitk.GetArrayFromImage(
            sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0, image.GetPixelID(), True)
        )

    brain = {tissue: fine(coarse[name]) for tissue, name in BRAIN.items()}
    return Templates(fine(coarse[CT]), fine(sharp), brain, grid)


def _fine_grid(image: sitk.Image) -> sitk.Image:
    """An empty image of 1 mm over the same box."""
    size = [round(count * mm) for count, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetOrigin([start - mm / 2 + 0.5 for start, mm in zip(image.GetOrigin(), image.GetSpacing(), strict=True)])
    return grid


def sharpen(array: Array, spacing_mm: Sequence[float]) -> Array:
    """Undo the template's smoothing of positive Cormack units by Richardson and Lucy's iteration."""
    sharp, most = array.astype(np.float32), np.float32(cormack(np.array(_DENSEST_HU)))
    for _ in range(_SHARPENINGS):
        lacking = array / np.maximum(smooth(sharp, SMOOTHED_MM, spacing_mm), 1)
        sharp = np.clip(sharp * smooth(lacking, SMOOTHED_MM, spacing_mm), 0, most)
    return sharp


def make_labels(templates: Templates) -> Array:
    """Tissue numbers (`MRITranslateLib.phantom.TISSUES`), uint8, on the grid of 1 mm."""
    brain, sharp = brain_labels(templates), templates.sharp
    labels = _paint(templates, sharp, brain)
    for _ in range(_CORRECTIONS):
        sharp = sharp + np.float32(_GAIN) * (templates.ct - smoothed_cormack(labels))
        labels = _paint(templates, sharp, brain)
    return labels


def smoothed_cormack(labels: Array) -> Array:
    """The CT of a label map, averaged and smoothed as the template was, in Cormack units."""
    table = cormack(np.array([tissue.hounsfield for tissue in TISSUES]))
    return smooth(table[labels], SMOOTHED_MM, (1.0, 1.0, 1.0))


def brain_labels(templates: Templates) -> Array:
    """Grey matter, white matter, fluid and the deep nuclei where the probabilities say brain; 0 elsewhere."""
    tissues = np.array(list(templates.brain), np.uint8)
    shares = np.stack(list(templates.brain.values()))
    x, y, z = _coordinates(templates.grid)
    # The fluid's template has some between the orbits, below the frontal lobes.
    ethmoid = (np.abs(x) < 17) & (y > 12) & (z < -26)
    inside = ndimage.binary_fill_holes(_largest((shares.sum(axis=0) > 0.5) & ~ethmoid))
    labels = np.where(inside, tissues[shares.argmax(axis=0)], AIR).astype(np.uint8)
    for _, tissue, solid in PAIRED:
        if tissue == DEEP_GREY:
            labels[(solid.distance(np.abs(x), y, z) < 0) & inside & (labels != CSF)] = DEEP_GREY
    return labels


def _paint(templates: Templates, corrected: Array, brain: Array) -> Array:
    """The map that a corrected sharp CT (Cormack units) and the labels of the brain make.

    The bone follows the correction. The head's surface and what is fat, muscle or air inside do not: the average of
    many people's scalps is none of them, and would swing from one to the other.
    """
    x, y, z = _coordinates(templates.grid)
    head = _largest(templates.sharp > _HEAD_FROM)
    filled = _filled(head)
    depth = ndimage.distance_transform_edt(filled)
    muscle = _opened((templates.sharp > _MUSCLE_FROM) & _has_muscle(x, y, z), _MUSCLE_MM) & (depth > _FAT_MM)
    labels = np.where(head, np.where(muscle, MUSCLE, FAT), AIR).astype(np.uint8)
    labels[templates.sharp < _AIR_BELOW] = AIR
    for (x_low, x_high), (y_low, y_high), (z_low, z_high) in _AIRY:
        across = (np.abs(x) >= x_low) & (np.abs(x) < x_high)
        box = across & (y >= y_low) & (y < y_high) & (z >= z_low) & (z < z_high)
        labels[box & (depth > _AIRY_DEPTH_MM) & (templates.sharp < _MUSCLE_FROM)] = AIR
    labels[(depth <= _SKIN_MM) & (labels != AIR)] = SKIN
    _eyes(labels, x, y, z)
    bone = (corrected > _BONE_FROM) & (brain == 0) & (depth > _SKIN_MM)
    bone |= _opened(~bone, _HOLE_MM, outside=True) & (z > _VAULT_ABOVE) & (brain == 0) & (depth > _SKIN_MM)
    bone = _without_specks(bone)
    labels[bone] = CORTICAL
    labels[brain > 0] = brain[brain > 0]
    _gap(labels, brain > 0, bone)
    _sinuses(labels, z)
    # In the base dense bone is dense throughout; in the vault its tables are thicker.
    vault = z > _VAULT_ABOVE
    spongy = vault | (corrected < _DENSE_FROM)
    table = np.where(vault & (ndimage.maximum_filter(corrected, 9) > _DENSE_FROM), _THICK_TABLE_MM, _TABLE_MM)
    labels[(ndimage.distance_transform_edt(bone) > table) & spongy] = MARROW
    soft = (labels == MUSCLE) | (labels == FAT)
    inner_air = filled & (labels == AIR)
    labels[soft & (ndimage.distance_transform_edt(~inner_air) <= _MUCOSA_MM)] = MUCOSA
    return labels


def _filled(head: Array) -> Array:
    """The head with its airways and sinuses: what is closed in a slice of any direction once it is larger."""
    filled = ndimage.distance_transform_edt(~head) <= _CLOSED_MM
    for axis in range(3):
        for plane in np.moveaxis(filled, axis, 0):
            plane |= ndimage.binary_fill_holes(plane)
    return ndimage.distance_transform_edt(filled) > _CLOSED_MM


def _has_muscle(x: Array, y: Array, z: Array) -> Array:
    """Where muscles are thick: on the temples, in neck and face."""
    return (z < -10) | ((z < 38) & (np.abs(x) > 48) & (y > -65) & (y < 45))


def _eyes(labels: Array, x: Array, y: Array, z: Array) -> None:
    """The probabilities know no eyes, and in the average CT they are hardly seen."""
    x, y, z = np.abs(x) - _EYES[0], y - _EYES[1], z - _EYES[2]
    radius = np.sqrt(x * x + y * y + z * z)
    head = labels != AIR
    labels[(radius < 12.5) & head] = DURA
    labels[(radius < 11.5) & head] = VITREOUS
    labels[(x / 4.8) ** 2 + ((y - 8) / 2.2) ** 2 + (z / 4.8) ** 2 < 1] = LENS


def _gap(labels: Array, brain: Array, bone: Array) -> None:
    """What lies between brain and skull: fluid, and dura along the bone."""
    soft = ~bone & (labels != AIR) & (labels != SKIN)
    grown = ndimage.binary_dilation(brain, iterations=_GAP_MM, mask=soft)
    gap = grown & ~brain
    labels[gap] = CSF
    labels[gap & ndimage.binary_dilation(bone)] = DURA


def _sinuses(labels: Array, z: Array) -> None:
    """In the vault, soft tissue that nothing connects with the scalp is the large veins."""
    vault = z > _VAULT_ABOVE
    soft = np.isin(labels, (FAT, MUSCLE, SKIN)) & vault
    labels[soft & ~_largest(soft)] = BLOOD


def _largest(mask: Array) -> Array:
    """The largest connected part of a mask."""
    parts, count = ndimage.label(mask)
    if count == 0:
        raise InputError("The templates show no head; give those of the Clinical Toolbox.")
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def _opened(mask: Array, radius_mm: float, outside: bool = False) -> Array:
    """A mask without what is thinner than twice the radius, or (`outside`) all that is not in it."""
    core = ndimage.distance_transform_edt(mask) > radius_mm
    kept = mask & (ndimage.distance_transform_edt(~core) <= radius_mm)
    return ~kept if outside else kept


def _without_specks(mask: Array, least: int = 200) -> Array:
    """A mask without its parts of fewer voxels."""
    parts, _ = ndimage.label(mask)
    large = np.bincount(parts.ravel()) >= least
    large[0] = False
    return large[parts]


def _coordinates(grid: sitk.Image) -> tuple[Array, Array, Array]:
    """MNI coordinates in mm of every voxel: x to the right, y to the front, z up."""
    left, back, up = (
        start + np.arange(count, dtype=np.float32)
        for start, count in zip(grid.GetOrigin(), grid.GetSize(), strict=True)
    )
    z, y, x = np.meshgrid(up, -back, -left, indexing="ij")
    return x, y, z


def compare(labels: Array, templates: Templates) -> dict[str, float]:
    """How well the map, smoothed as the template was, reproduces the template.

    Returns:
        "head", "bone": mean absolute difference in HU where the template exceeds -500 and 250 HU; "dice": of the bone,
        above 250 HU; "litres": of the tissues of the brain.
    """
    made, truth = hounsfield(smoothed_cormack(labels)), hounsfield(templates.ct)
    difference = np.abs(made - truth)
    brain = np.isin(labels, (GREY, WHITE, DEEP_GREY)).sum() / 1e6
    return {
        "head": float(difference[truth > -500].mean()),
        "bone": float(difference[truth > 250].mean()),
        "dice": bone_dice(truth, made),
        "litres": float(brain),
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the templates.")],
    output: Annotated[Path, typer.Argument(help="Label map to write, such as maps/mni.nii.gz.")],
) -> None:
    """Derive a label map of the head from group templates, and say how well it reproduces the average CT."""
    try:
        check_output_path(output)
        templates = read_templates(folder)
        labels = make_labels(templates)
        write_volume(like(labels, templates.grid), output)
    except InputError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    found = compare(labels, templates)
    typer.echo(
        f"Smoothed by {SMOOTHED_MM:g} mm as the template is: mean absolute difference {found['head']:.0f} HU in the "
        f"head, {found['bone']:.0f} HU in bone; Dice of bone (> 250 HU) {found['dice']:.3f}."
    )
    for number, count in enumerate(np.bincount(labels.ravel(), minlength=len(TISSUES))):
        if count:
            typer.echo(f"{TISSUES[number].name:>22} {count / 1e3:8.0f} ml")


if __name__ == "__main__":
    typer.run(main)
