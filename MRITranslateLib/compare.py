"""A prediction beside the truth: on one grid, with scores, a difference, the error of each slice, a joint histogram.

The scores are those of `evaluate` under the protocol that is asked for.

Difference, errors and histogram are in the unit of the scores: HU for CT; for MR each volume is divided by the 99.8th
percentile of its values in the foreground, and 1 is full scale.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from . import __version__
from .errors import Cancelled
from .evaluate import check_request, on_reference, refuse_other_grids
from .resampling import uncovered
from .scoring.protocols import Volumes, score
from .scoring.regions import BODY_HU, full_scale, regions_of
from .scoring.scores import Scores
from .scoring.similarity import Cancel
from .volume import check_volume, like, same_grid

BINS = 64
"""Of the joint histogram, along each axis."""
UNITS = {"CT": "HU", "MR": "of full scale"}
_SAMPLES = 1_000_000
"""Voxels that percentiles are taken of, and that are counted at once."""
_REACH = 99.0
_HISTOGRAM_PERCENTILES = (0.1, 99.9)

Progress = Callable[[float, str, int, int], None]


@dataclass(frozen=True)
class JointHistogram:
    """How often which value of the prediction meets which value of the reference, within what was scored.

    Attributes:
        edges: float64 (BINS + 1), of the bins of both axes, in `Comparison.unit`; what lies beyond counts at the end.
        counts: int64 (BINS, BINS), [reference, prediction].
    """

    edges: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        scores: Figures and facts, see `evaluate`.
        unit: Of MAE, difference, errors and histogram, for people: "HU" or "of full scale".
        reference, prediction: float32, on the reference's grid, in `unit`.
        difference: float32, prediction minus reference in `unit`; 0 where the prediction does not reach.
        resampled: The prediction on the reference's grid in its own unit where it lay on another one, else None.
        errors: Mean absolute error in each slice of the reference, NaN where nothing of it was scored.
        voxels: How many voxels of each slice were scored.
        histogram: Of both volumes.
        reach: Half the width of a window that shows the difference: its 99th percentile where it was scored.
        warnings: Sentences for people.
    """

    scores: Scores
    unit: str
    reference: sitk.Image
    prediction: sitk.Image
    difference: sitk.Image
    resampled: sitk.Image | None
    errors: np.ndarray
    voxels: np.ndarray
    histogram: JointHistogram
    reach: float
    warnings: list[str] = field(default_factory=list)


def compare(
    reference: sitk.Image,
    prediction: sitk.Image,
    modality: str = "MR",
    mask: sitk.Image | None = None,
    protocol: str = "plain",
    shift: sitk.Image | None = None,
    scores: Scores | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Comparison:
    """Compare a prediction with the truth, on the grid of the truth.

    Args:
        reference: The true volume, 3-D scalar; HU for CT.
        prediction: The synthetic volume; on another grid it is resampled, linearly, with a warning.
        modality, mask, protocol: As for `evaluate`; the mask lies on the grid of the reference.
        shift: Where the prediction's space is not the reference's: a vector image of displacements (mm, LPS) from a
            point of the reference to the same point in the prediction's space, linear in between. It must reach over
            the whole reference.
        scores: Of `evaluate`, where it has measured these volumes already.
        progress: Called with (fraction, stage, done, total).
        cancel: Asked now and then whether to stop.

    Raises:
        InputError: As `evaluate`, or the prediction lies wholly outside the reference.
        Cancelled: `cancel` said so.
    """

    def step(fraction: float, stage: str) -> None:
        if cancel is not None and cancel():
            raise Cancelled
        if progress is not None:
            progress(fraction, stage, 0, 1)

    kind = check_request(modality, protocol)
    check_volume(reference, "The reference")
    check_volume(prediction, "The prediction")
    warnings: list[str] = []
    lowest = float(sitk.GetArrayViewFromImage(reference).min())
    if kind == "MR" and lowest < BODY_HU:
        warnings.append(f"The reference was scored as MR, but has values down to {lowest:g}; if it is a CT, say so.")
    resampled = covered = None
    if shift is not None or not same_grid(reference, prediction):
        step(0.0, "Resampling the prediction")
        resampled, covered = on_reference(prediction, reference, kind, shift)
        warnings.append(
            "The prediction was resampled to the grid of the reference (linear interpolation), which smooths it a "
            "little; compare on one grid where every decimal counts."
        )
        if covered is not None:
            warnings.append(
                f"The prediction does not reach {uncovered(covered)} of the reference's volume; that part is left out "
                "of all figures."
            )
        prediction = resampled
    step(0.2, "Scoring")
    refuse_other_grids(reference, {"The mask": mask})
    drawn = None if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    arrays = [sitk.GetArrayViewFromImage(image) for image in (reference, prediction)]
    regions = regions_of(arrays[0], kind, protocol, drawn, covered)
    region = regions.scored
    if scores is None:
        volumes = Volumes(arrays[0], arrays[1], regions, reference.GetSpacing(), cancel=cancel)
        scores = score(volumes, kind, protocol)
    versions = {"mritranslate": __version__, "numpy": np.__version__, "simpleitk": sitk.Version_VersionString()}
    facts = {**scores.facts, **versions, "python": platform.python_version()}
    step(0.7, "Subtracting")
    truth, made = _in_unit(reference, region, kind), _in_unit(prediction, region, kind)
    histogram = _joint_histogram(truth, made, region)
    difference = made - truth
    if covered is not None:
        difference[~covered] = 0.0
    errors, voxels = slice_errors(difference, region)
    return Comparison(
        Scores(scores.values, facts, scores.measured),
        UNITS[kind],
        like(truth, reference),
        like(made, reference),
        like(difference, reference),
        resampled,
        errors,
        voxels,
        histogram,
        _reach(difference, region),
        warnings,
    )


def slice_errors(difference: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference of each slice within a region, and how many voxels that is.

    Args:
        difference, region: (slices, rows, columns), the latter boolean.

    Returns:
        float64 (slices), NaN where a slice has no voxel in the region, and int64 (slices).
    """
    voxels = np.count_nonzero(region, axis=(1, 2)).astype(np.int64)
    sums = [
        float(np.abs(part[inside], dtype=np.float64).sum()) for part, inside in zip(difference, region, strict=True)
    ]
    with np.errstate(invalid="ignore"):
        return np.asarray(sums) / np.where(voxels > 0, voxels, np.nan), voxels


def _in_unit(image: sitk.Image, region: np.ndarray, kind: str) -> np.ndarray:
    """float32 copy in the unit of the scores; `evaluate` has made sure that there is a full scale."""
    array = sitk.GetArrayFromImage(image).astype(np.float32, copy=False)
    if kind != "CT":
        array /= np.float32(full_scale(array, region))
    return array


def _joint_histogram(truth: np.ndarray, made: np.ndarray, region: np.ndarray) -> JointHistogram:
    pair = truth[region], made[region]
    step = max(1, pair[0].size // _SAMPLES)
    ends = [np.percentile(values[::step], _HISTOGRAM_PERCENTILES) for values in pair]
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    scale = BINS / (edges[-1] - edges[0])
    counts = np.zeros(BINS * BINS, np.int64)
    for start in range(0, pair[0].size, _SAMPLES):
        parts = (values[start : start + _SAMPLES] for values in pair)
        first, second = (np.clip((part - low) * scale, 0, BINS - 1).astype(np.int64) for part in parts)
        counts += np.bincount(first * BINS + second, minlength=BINS * BINS)
    return JointHistogram(edges, counts.reshape(BINS, BINS))


def _reach(difference: np.ndarray, region: np.ndarray) -> float:
    values = np.abs(difference[region])
    reach = float(np.percentile(values[:: max(1, values.size // _SAMPLES)], _REACH))
    return reach or float(values.max()) or 1e-6
