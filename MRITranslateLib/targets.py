"""What can be explained: each target names one number that a network answers with, or that is made of its answer."""

from dataclasses import dataclass

import SimpleITK as sitk


@dataclass(frozen=True)
class Region:
    """The mean of the synthetic image over the voxels of `mask` that are not 0; a label image on the input's grid."""

    mask: sitk.Image


@dataclass(frozen=True)
class Voxel:
    """The synthetic value at one voxel of the input's grid, index (i, j, k) in SimpleITK's order."""

    i: int
    j: int
    k: int


@dataclass(frozen=True)
class Error:
    """The mean absolute difference to `reference`, the true image on the input's grid, in network units."""

    reference: sitk.Image


@dataclass(frozen=True)
class Realism:
    """The mean answer of the package's discriminator over all slices: what makes an image look real to it.

    Of a translation the synthetic image is judged, and beside it `reference`. Of a generation or a radiograph the
    image given is judged, which is a real one, and beside it pictures that the package makes.

    Attributes:
        reference: Translation only: a real image of the target contrast on the input's grid.
        seed: Of the random numbers of the pictures made.
        report: Radiograph only: the report that goes with the image.
        text_encoder: Radiograph only: the user's own language model, where the package has none.
    """

    reference: sitk.Image | None = None
    seed: int = 1
    report: str | None = None
    text_encoder: str | None = None


@dataclass(frozen=True)
class ClassScore:
    """The mean logit of the class `name` of a classification package."""

    name: str


@dataclass(frozen=True)
class Match:
    """How well a radiograph shows what `report` says, the mean logit of the package's discriminator; beside it pictures
    that the package makes of the same report.

    Attributes:
        seed: Of the random numbers of the pictures made.
        text_encoder: The user's own language model, where the package has none.
    """

    report: str
    seed: int = 1
    text_encoder: str | None = None


Target = Region | Voxel | Error | Realism | ClassScore | Match
