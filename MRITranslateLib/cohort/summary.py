"""What a set of figures says: mean, spread, a confidence interval by bootstrap, and a paired test of two methods."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
_SEED = 0
_CHUNK = 500
"""Resamples that are held at once."""


@dataclass(frozen=True)
class Summary:
    """Of one figure over those cases in which it is finite.

    Attributes:
        n: How many these are.
        left_out: How many are not: infinite, or not defined.
        mean, sd, median: sd with n - 1; NaN where too few are there.
        low, high: 95 % confidence interval of the mean by bootstrap.
    """

    n: int
    left_out: int
    mean: float
    sd: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Of one figure between two methods, over the cases in which both are finite: first minus second.

    Attributes:
        n: How many these are.
        mean: Of the differences.
        low, high: 95 % confidence interval of the mean by bootstrap.
        p: Wilcoxon's signed-rank test, two-sided; NaN where all differences are 0.
        p_holm: The same, corrected for the number of figures that were tested (Holm 1979).
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float


def summarise(values: Sequence[float]) -> Summary:
    """Summarise a figure of several cases."""
    array = np.asarray(values, np.float64)
    known = array[np.isfinite(array)]
    low, high = mean_interval(known)
    return Summary(
        known.size,
        array.size - known.size,
        _mean(known),
        float(known.std(ddof=1)) if known.size > 1 else math.nan,
        float(np.median(known)) if known.size else math.nan,
        low,
        high,
    )


def differences(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> dict[str, Difference]:
    """Compare two methods on the same cases, figure by figure.

    Args:
        first, second: Values by figure, of the same cases in the same order; a figure of one alone is left out.
    """
    found: dict[str, tuple[np.ndarray, float]] = {}
    for name in [name for name in first if name in second]:
        pair = np.asarray([first[name], second[name]], np.float64)
        pair = pair[:, np.isfinite(pair).all(axis=0)]
        apart = pair[0] - pair[1]
        found[name] = apart, _signed_rank(apart)
    corrected = _holm({name: p for name, (_, p) in found.items()})
    return {
        name: Difference(
            apart.size,
            _mean(apart),
            *mean_interval(apart),
            p,
            corrected.get(name, math.nan),
        )
        for name, (apart, p) in found.items()
    }


def _mean(values: np.ndarray) -> float:
    """Of equal values exactly that value, as their interval has it."""
    if not values.size:
        return math.nan
    return float(values[0] if np.ptp(values) == 0.0 else values.mean())


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of a mean: bias-corrected and accelerated bootstrap (Efron 1987), the same at every run.

    NaN for fewer than two values.
    """
    if values.size < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0.0:
        return float(values[0]), float(values[0])
    low, high = _bootstrap(values, "BCa")
    # Values that differ by rounding alone have no skewness to correct for.
    return (low, high) if math.isfinite(low) and math.isfinite(high) else _bootstrap(values, "percentile")


def _bootstrap(values: np.ndarray, method: str) -> tuple[float, float]:
    random = np.random.default_rng(_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an interval that is not defined, which is NaN then
        found = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=_CHUNK,
            confidence_level=CONFIDENCE,
            method=method,
            rng=random,
        ).confidence_interval
    return float(found.low), float(found.high)


def _signed_rank(apart: np.ndarray) -> float:
    apart = apart[apart != 0.0]
    return float(stats.wilcoxon(apart).pvalue) if apart.size else math.nan


def _holm(chances: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction."""
    known = sorted((p, name) for name, p in chances.items() if not math.isnan(p))
    corrected, largest = {}, 0.0
    for rank, (p, name) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[name] = largest
    return corrected
