"""Charts: round ticks, an axis that fits, nothing that breaks the page."""

from xml.etree import ElementTree

import pytest

from Training.chart import line_chart, linear_ticks, log_ticks
from Training.runlog import Curve


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.0, 1.0, [0, 0.25, 0.5, 0.75, 1]), (13.4, 16.2, [13, 14, 15, 16, 17]), (1, 30, [0, 10, 20, 30])],
)
def test_linear_ticks_are_round_and_hold_the_range(low, high, ticks):
    assert linear_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-12, 4e9])
def test_a_constant_has_ticks_around_it(value):
    ticks = linear_ticks(value, value)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= value <= ticks[-1]


def test_log_ticks_are_powers_of_ten():
    assert log_ticks(0.011, 900) == pytest.approx([0.1, 1, 10, 100])
    assert log_ticks(0.04, 0.6) == pytest.approx([0.05, 0.1, 0.2, 0.5])
    assert len(log_ticks(1e-20, 1e20)) < 10


def test_a_chart_is_well_formed_and_spoken():
    curve = Curve([1, 5, 10], [10.0, 1.0, 0.1])
    members = {'<b>"x"&': Curve([1, 10], [12.0, 0.2]), "none": Curve()}
    root = ElementTree.fromstring(line_chart("l<1>", curve, members, (1, 20), marked=5, may_be_log=True))
    assert root.get("aria-label") == "l<1> from 10 at epoch 1 to 0.1 at epoch 10"
    texts = [element.text for element in root.iter("text")]
    assert {"0.1", "1", "10"} <= set(texts)
    assert "20" in texts  # the axis goes on to where other figures end
    dots = [circle for circle in root.iter("circle") if circle.get("class") == "dot"]
    assert [dot.find("title").text for dot in dots] == ["epoch 5: 1, kept"]
    # On a logarithmic axis the three values lie evenly.
    heights = [float(circle.get("cy")) for circle in root.iter("circle")]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    plain = ElementTree.fromstring(line_chart("x", Curve([3], [-1.0]), {}, (3, 3)))
    assert len([c for c in plain.iter("circle") if c.get("class") == "dot"]) == 1


def test_a_long_run_keeps_the_page_small():
    epochs = list(range(1, 100_001))
    chart = line_chart("loss", Curve(epochs, [1 / e for e in epochs]), {}, (1, 100_000), may_be_log=True)
    assert len(chart) < 120_000
    assert "epoch 1:" in chart
