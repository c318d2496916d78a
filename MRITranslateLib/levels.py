"""From a heat map to a label map that can be counted: levels, their volumes, and how the heat divides over anatomy."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .errors import InputError, printable
from .volume import like, read_volume, same_grid, write_volume

FAINT = 0.01
"""Below this part of the maximum a voxel belongs to no level: interpolation leaves tails."""
NONE = "little or none"
ELSEWHERE = "elsewhere"
_MOST_LEVELS = 16
_MOST_SEGMENTS = 1000


@dataclass(frozen=True)
class Levels:
    """How a heat map (0..1 over the volume) is cut into levels.

    Attributes:
        quantiles: Of the voxels above 1 % of the maximum; one level begins at each.
        thresholds: Heat at which the levels begin, instead of quantiles; comparable between heat maps.
        min_ml: Connected specks of a level and what lies above it are lowered by a level if they are smaller than this
            (millilitres).

    Raises:
        InputError: The numbers do not rise, or lie outside 0..1; or a volume is negative.
    """

    quantiles: tuple[float, ...] = (0.50, 0.75, 0.90, 0.97)
    thresholds: tuple[float, ...] | None = None
    min_ml: float = 0.0

    def __post_init__(self) -> None:
        for name, cuts in (("quantiles", self.quantiles), ("thresholds", self.thresholds)):
            if cuts is None:
                continue
            inside = all(0 < cut < 1 for cut in cuts) if name == "quantiles" else all(0 < cut <= 1 for cut in cuts)
            if not 1 <= len(cuts) <= _MOST_LEVELS or not inside or any(b <= a for a, b in pairwise(cuts)):
                raise InputError(
                    f"The {name} of the levels must be 1 to {_MOST_LEVELS} rising numbers between 0 and 1, "
                    "such as 0.5 0.75 0.9."
                )
        if not 0 <= self.min_ml < np.inf:
            raise InputError("The smallest size of a speck must be 0 ml or more.")

    @property
    def names(self) -> list[str]:
        """Names of the labels, the one of 0 first."""
        if self.thresholds is not None:
            return [NONE, *(f"heat from {threshold:g}" for threshold in self.thresholds)]
        return [NONE, *(f"strongest {100 * (1 - quantile):.4g} %" for quantile in self.quantiles)]


@dataclass(frozen=True)
class LevelRow:
    """One level in figures: its volume, and means over its own voxels (a stronger level's voxels are not among them).

    Attributes:
        label, name: Of the label map.
        ml: Volume in millilitres.
        mean_heat: Of the heat map; NaN where the level has no voxel.
        mean_intensity: Of the explained image, in its own unit; NaN where the level has no voxel.
    """

    label: int
    name: str
    ml: float
    mean_heat: float
    mean_intensity: float

    def as_json(self) -> dict[str, Any]:
        """The row by name; None for the mean of nothing, since JSON has no NaN."""
        return {key: None if value != value else value for key, value in vars(self).items()}


@dataclass(frozen=True)
class Segments:
    """Anatomy to hold a heat map against.

    Attributes:
        labels: Label image on the grid of the explained image; 0 is no segment.
        names: Names by label; a label without one is called "label 3".
    """

    labels: sitk.Image
    names: Mapping[int, str] = field(default_factory=dict)


def label_map(heatmap: sitk.Image, options: Levels) -> tuple[sitk.Image, list[str]]:
    """Label n for the voxels that reach the n-th level and no higher one.

    Args:
        heatmap: float, 0..1.
        options: Where the levels begin.

    Returns:
        uint8 image on the same grid, and the names of its labels, the one of 0 first.
    """
    heat = sitk.GetArrayViewFromImage(heatmap)
    warm = heat > FAINT
    cuts: Sequence[float] | np.ndarray = options.thresholds or ()
    if options.thresholds is None and warm.any():
        cuts = np.quantile(heat[warm], options.quantiles)
    labels = np.zeros(heat.shape, dtype=np.uint8)
    for cut in cuts:
        labels += warm & (heat >= cut)
    if options.min_ml > 0:
        _lower_specks(labels, len(cuts), ceil(1000 * options.min_ml / prod(heatmap.GetSpacing())))
    return like(labels, heatmap), options.names


def _lower_specks(labels: np.ndarray, highest: int, voxels: int) -> None:
    """From the highest level down, so that what is left of a speck is judged again with what surrounds it."""
    for level in range(highest, 0, -1):
        above = sitk.GetImageFromArray((labels >= level).astype(np.uint8))
        parts = sitk.ConnectedComponent(above, True)
        kept = sitk.GetArrayFromImage(sitk.RelabelComponent(parts, minimumObjectSize=voxels)) > 0
        labels[(labels >= level) & ~kept] = level - 1


def table(labels: sitk.Image, names: Sequence[str], heatmap: sitk.Image, image: sitk.Image) -> list[LevelRow]:
    """Volume and means of every level; see `LevelRow`. All three images lie on one grid."""
    label, heat, values = (sitk.GetArrayViewFromImage(one).ravel() for one in (labels, heatmap, image))
    warm = np.flatnonzero(label)  # few: label 0 gets what is left of the whole
    count = np.bincount(label[warm], minlength=len(names))
    sums = [np.bincount(label[warm], weights=one[warm], minlength=len(names)) for one in (heat, values)]
    count[0] = label.size - warm.size
    for one, part in zip((heat, values), sums, strict=True):
        part[0] = one.sum(dtype=np.float64) - part.sum()
    ml = prod(labels.GetSpacing()) / 1000
    with np.errstate(invalid="ignore"):
        means = [one / count for one in sums]
    return [
        LevelRow(n, name, float(count[n] * ml), float(means[0][n]), float(means[1][n])) for n, name in enumerate(names)
    ]


def shares(heatmap: sitk.Image, segments: Segments) -> dict[str, float]:
    """The part of all heat that lies in each segment, the largest first, and last what lies outside all of them.

    The parts sum to 1. A large segment holds much of any map: compare a part with the segment's volume.

    Raises:
        InputError: The segments lie on another grid, or there are none.
    """
    if segments.labels.GetNumberOfComponentsPerPixel() != 1 or not same_grid(segments.labels, heatmap):
        raise InputError(
            "The segmentation does not lie on the input's grid; draw it on the input volume or resample it to that."
        )
    label = sitk.GetArrayFromImage(segments.labels).astype(np.int64)
    heat = sitk.GetArrayViewFromImage(heatmap)
    found = [int(value) for value in np.unique(label) if value != 0]
    if not found:
        raise InputError("The segmentation is empty; mark at least one segment.")
    whole = max(float(heat.sum(dtype=np.float64)), float(np.finfo(np.float32).tiny))
    parts: dict[str, float] = {}
    for value in found:
        name = segments.names.get(value, f"label {value}")
        parts[name] = parts.get(name, 0.0) + float(heat[label == value].sum(dtype=np.float64)) / whole
    ordered = dict(sorted(parts.items(), key=lambda part: -part[1]))
    return {**ordered, ELSEWHERE: max(0.0, 1.0 - sum(parts.values()))}


def read_segments(path: str | os.PathLike[str]) -> Segments:
    """A label map or segmentation from a file; of a .seg.nrrd as 3D Slicer writes it, the names too.

    Raises:
        InputError: As `read_volume`; a segmentation with overlapping segments holds several values per voxel.
    """
    labels = read_volume(path, labels=True)
    names: dict[int, str] = {}
    if Path(path).name.lower().endswith(".nrrd"):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        keys = set(reader.GetMetaDataKeys())
        for number in range(_MOST_SEGMENTS):
            value, name = f"Segment{number}_LabelValue", f"Segment{number}_Name"
            if {value, name} <= keys and reader.GetMetaData(value).isdecimal():
                names[int(reader.GetMetaData(value))] = printable(reader.GetMetaData(name), 80)
    return Segments(labels, names)


def share_sentence(parts: Mapping[str, float]) -> str:
    """Where the evidence lies, in words: "72 % of the evidence lies in ventricles, 11 % in white matter, 17 %
    elsewhere"."""
    named = [(name, part) for name, part in parts.items() if name != ELSEWHERE]
    (first, most), others = named[0], [f"{100 * part:.0f} % in {name}" for name, part in named[1:4] if part >= 0.005]
    rest = 1 - most - sum(part for _, part in named[1:4] if part >= 0.005)
    words = [
        f"{100 * most:.0f} % of the evidence lies in {first}",
        *others,
        f"{100 * max(0.0, rest):.0f} % {ELSEWHERE}",
    ]
    return ", ".join(words)


def write_levels(labels: sitk.Image, names: Sequence[str], path: str | os.PathLike[str]) -> Path:
    """Write a label map: as a plain label image (.nii.gz, .nrrd, ...), or as a segmentation with names and colours
    that 3D Slicer opens as such (.seg.nrrd).

    Raises:
        InputError: The path cannot be written, or the disk is full.
    """
    if not Path(path).name.lower().endswith(".seg.nrrd"):
        return write_volume(labels, path)
    image = sitk.Image(labels)
    for key, text in _segment_fields(labels, names).items():
        image.SetMetaData(key, text)
    return write_volume(image, path)


def colours(count: int) -> list[tuple[float, float, float]]:
    """Red, green and blue (0..1) of the levels 1 to `count`: matplotlib's Inferno, the strongest brightest."""
    from matplotlib import colormaps

    inferno = colormaps["inferno"]
    return [tuple(float(part) for part in inferno(level / count)[:3]) for level in range(1, count + 1)]  # type: ignore[misc]


def _segment_fields(labels: sitk.Image, names: Sequence[str]) -> dict[str, str]:
    """The key-value pairs by which Slicer knows segments in an NRRD file
    (slicer.readthedocs.io, Segmentations, file format)."""
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(labels)
    for number, colour in enumerate(colours(len(names) - 1)):
        label = number + 1
        extent = "0 -1 0 -1 0 -1"
        if statistics.HasLabel(label):
            *start, a, b, c = statistics.GetBoundingBox(label)
            extent = " ".join(f"{low} {low + size - 1}" for low, size in zip(start, (a, b, c), strict=True))
        fields |= {
            f"Segment{number}_ID": f"Level_{label}",
            f"Segment{number}_Name": names[label],
            f"Segment{number}_NameAutoGenerated": "0",
            f"Segment{number}_Color": " ".join(f"{part:.6f}" for part in colour),
            f"Segment{number}_ColorAutoGenerated": "0",
            f"Segment{number}_LabelValue": str(label),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Extent": extent,
            f"Segment{number}_Tags": "|",
        }
    return fields
