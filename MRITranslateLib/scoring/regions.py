"""Where volumes are scored: the foreground, the patient's outline, and what a prediction reaches."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError

BODY_HU = -500.0
"""A CT shows the patient above this."""
BRIGHT = 99.8
"""Percentile of an MR image that counts as full scale."""
_FOREGROUND = 0.05
_GIVEN = "given mask"


@dataclass(frozen=True)
class Regions:
    """Where the parts of a protocol are measured.

    Attributes:
        scored: Boolean (slices, rows, columns): voxels of the errors and similarities.
        where: The same in words.
        whole: Boolean: where structures are compared, which may lie outside what is scored.
        whole_where: The same in words.
        mask: Boolean: the given mask, or None.
    """

    scored: np.ndarray
    where: str
    whole: np.ndarray
    whole_where: str
    mask: np.ndarray | None


def regions_of(
    truth: np.ndarray, kind: str, protocol: str, mask: np.ndarray | None, covered: np.ndarray | None = None
) -> Regions:
    """The regions for a protocol.

    Args:
        truth: The reference.
        kind: "MR" or "CT".
        protocol: See `evaluate`.
        mask: Boolean, or None.
        covered: Where the prediction reaches, or None for everywhere.

    Raises:
        InputError: There is nothing to score.
    """
    if mask is not None and not mask.any():
        raise InputError("The mask is empty; draw a region, or leave the mask out.")
    if mask is None or protocol == "brasyn":  # there the mask is the tumour
        scored, where = scored_where(truth, kind, protocol)
        whole, whole_where = np.ones(truth.shape, bool), "whole volume"
    else:
        scored, where, whole, whole_where = mask, _GIVEN, mask, _GIVEN
    if not scored.any():
        raise InputError("The reference has no foreground; check that it is the right volume, or give a mask.")
    if covered is not None:
        reach = ", where the prediction reaches"
        scored, where, whole, whole_where = scored & covered, where + reach, whole & covered, whole_where + reach
        if not scored.any():
            raise InputError("The prediction reaches nothing of what is scored; choose another mask or prediction.")
    return Regions(scored, where, whole, whole_where, mask)


def scored_where(truth: np.ndarray, kind: str, protocol: str) -> tuple[np.ndarray, str]:
    """Where a protocol scores when no mask is given: a boolean array, and the same in words.

    Raises:
        InputError: An MR image without positive values.
    """
    if kind != "CT":
        where = f"reference above {100 * _FOREGROUND:g} % of the {BRIGHT}th percentile of its positive values"
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
    if not positive.size:
        raise InputError("The reference has no foreground; check that it is the right volume, or give a mask.")
    return truth > _FOREGROUND * np.percentile(positive, BRIGHT)


def full_scale(array: np.ndarray, foreground: np.ndarray) -> float:
    """The value of an MR image that counts as 1: a high percentile, which a few bright voxels do not move."""
    return float(np.percentile(array[foreground], BRIGHT))


def outline(inside: np.ndarray) -> np.ndarray:
    """From the first to the last voxel of a mask (slices, rows, columns) along every row and column alike: with the
    cavities that it encloses."""
    hull = np.ones_like(inside)
    for axis in (1, 2):
        hull &= np.logical_or.accumulate(inside, axis)
        hull &= np.flip(np.logical_or.accumulate(np.flip(inside, axis), axis), axis)
    return hull
