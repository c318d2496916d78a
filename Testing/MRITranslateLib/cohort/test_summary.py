"""Means, intervals and tests against numpy, scipy and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from MRITranslateLib.cohort.summary import differences, summarise

values = st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30)


@settings(max_examples=30, deadline=None)
@given(values)
@example([0.0, 1e-200])  # too near to each other for a skewness
def test_summaries_are_numpys(data: list[float]) -> None:
    found = summarise(data)
    assert found.n == len(data)
    assert found.mean == pytest.approx(np.mean(data))
    assert found.sd == pytest.approx(np.std(data, ddof=1), abs=1e-9)
    assert found.median == pytest.approx(np.median(data))
    slack = 1e-9 * (1.0 + max(map(abs, data)))
    assert min(data) - slack <= found.low <= found.high <= max(data) + slack


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    found = summarise([1.0, math.inf, 3.0, math.nan])
    assert (found.n, found.left_out, found.mean) == (2, 2, 2.0)
    nothing = summarise([math.nan])
    assert (nothing.n, nothing.left_out) == (0, 1)
    assert all(math.isnan(value) for value in (nothing.mean, nothing.sd, nothing.median, nothing.low))
    single = summarise([5.0])
    assert single.mean == single.median == 5.0
    assert math.isnan(single.sd)
    assert math.isnan(single.low)


def test_equal_values_have_an_interval_without_width() -> None:
    found = summarise([2.5] * 6)
    assert (found.low, found.high, found.sd) == (2.5, 2.5, 0.0)
    for value in np.random.default_rng(2).uniform(1.0, 9.0, 200).round(4).tolist():  # a mean of three may be rounded
        same = summarise([value] * 3)
        assert same.low == same.mean == same.high == value


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    intervals = [summarise(random.normal(7.0, 2.0, 25).tolist()) for _ in range(120)]
    covered = sum(one.low <= 7.0 <= one.high for one in intervals)
    assert 0.86 * 120 <= covered <= 120
    assert np.mean([one.high - one.low for one in intervals]) == pytest.approx(2 * 1.96 * 2.0 / 5.0, rel=0.15)


def test_the_same_data_has_the_same_interval() -> None:
    data = np.random.default_rng(1).random(15).tolist()
    assert summarise(data) == summarise(data)


def test_differences_are_paired() -> None:
    """A small but constant gain between cases that differ much: nothing for a test of means, clear for a paired one."""
    base = np.random.default_rng(5).normal(30.0, 8.0, 12)
    gain = base + 0.4 + 0.05 * np.sin(np.arange(12))
    found = differences({"psnr": gain.tolist()}, {"psnr": base.tolist()})["psnr"]
    assert found.mean == pytest.approx(np.mean(gain - base))
    assert 0.3 < found.low < found.high < 0.5
    assert found.p == pytest.approx(wilcoxon(gain, base).pvalue)
    assert found.p < 0.001


def test_cases_that_one_method_lacks_count_for_neither() -> None:
    found = differences({"mae": [1.0, math.nan, 3.0]}, {"mae": [2.0, 2.0, math.inf]})["mae"]
    assert (found.n, found.mean) == (1, -1.0)


def test_a_figure_of_one_method_alone_has_no_difference() -> None:
    assert set(differences({"mae": [1.0], "ssim": [0.5]}, {"mae": [2.0]})) == {"mae"}


def test_many_figures_are_corrected_by_holm() -> None:
    """p of 1/64, 1/64 and 1 (rank sums of seven cases): times 3, times 2 but no less than before, times 1."""
    zeros = [0.0] * 7
    rising = [float(n) for n in range(1, 8)]
    mixed = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 2.5]
    found = differences({"a": rising, "b": rising, "c": mixed, "d": zeros}, dict.fromkeys("abcd", zeros))
    assert found["a"].p == found["b"].p == pytest.approx(2 / 2**7)
    assert found["a"].p_holm == found["b"].p_holm == pytest.approx(3 * 2 / 2**7)
    assert found["c"].p_holm == pytest.approx(found["c"].p)
    assert math.isnan(found["d"].p)
    assert math.isnan(found["d"].p_holm)
    assert (found["d"].low, found["d"].high) == (0.0, 0.0)
