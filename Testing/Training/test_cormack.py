"""Cormack units and back."""

import numpy as np
import pytest

from Training.cormack import cormack, hounsfield, smooth


def test_units_of_known_tissues():
    np.testing.assert_allclose(cormack(np.array([-1024, -1000, -100, 0, 100, 1000])), [0, 0, 900, 2000, 3100, 4000])


def test_there_and_back():
    numbers = np.linspace(-1000, 3000, 401)
    np.testing.assert_allclose(hounsfield(cormack(numbers)), numbers, atol=1e-3)


def test_smoothing_has_its_width_in_mm():
    array = np.zeros((41, 41, 41), np.float32)
    array[20, 20, 20] = 1
    spread = smooth(array, 8.0, (2.0, 2.0, 1.0))
    assert spread.sum() == pytest.approx(1, abs=1e-3)
    assert spread[20, 20, 22] == pytest.approx(spread[20, 20, 20] / 2, rel=0.02)
    assert spread[24, 20, 20] == pytest.approx(spread[20, 20, 20] / 2, rel=0.02)
    np.testing.assert_array_equal(smooth(array, 0.0, (1.0, 1.0, 1.0)), array)
