"""Dice and the 95 % Hausdorff distance against closed forms and MONAI."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance

from MRITranslateLib.scoring.overlap import ct_tissues, dice, hausdorff95


def test_dice_of_known_sets() -> None:
    first = np.array([True, True, False, False])
    assert dice(first, np.array([True, False, True, False])) == 0.5
    assert dice(first, ~first) == 0.0
    assert math.isnan(dice(first & ~first, first & ~first))


def test_tissues_part_at_the_named_thresholds() -> None:
    parts = ct_tissues(np.array([-201.0, -200.0, 0.0, 250.0, 251.0]))
    assert [part.tolist() for part in parts.values()] == [
        [True, False, False, False, False],
        [False, True, True, True, False],
        [False, False, False, False, True],
    ]


def test_two_plates_have_their_distance_in_mm() -> None:
    """Two slices of 1 voxel's thickness, 3 slices of 2.5 mm apart."""
    first, second = np.zeros((9, 12, 10), bool), np.zeros((9, 12, 10), bool)
    first[2], second[5] = True, True
    assert hausdorff95(first, second, (0.7, 0.8, 2.5)) == pytest.approx(7.5)
    assert hausdorff95(first, first, (0.7, 0.8, 2.5)) == 0.0


def test_what_is_missing_in_one_is_infinitely_far() -> None:
    some, none = np.ones((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
    assert hausdorff95(some, none, (1, 1, 1)) == math.inf
    assert hausdorff95(none, some, (1, 1, 1)) == math.inf
    assert math.isnan(hausdorff95(none, none, (1, 1, 1)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share=st.floats(0.02, 0.9),
    shape=st.tuples(st.integers(1, 9), st.integers(2, 12), st.integers(2, 12)),
    spacing=st.tuples(*[st.floats(0.4, 5.0)] * 3),
)
def test_it_is_monais(seed, share, shape, spacing) -> None:
    """Sparse, dense, clumped and at the edge: as MONAI has it, whose spacing goes along the array's axes."""
    random = np.random.default_rng(seed)
    first, second = (random.random(shape) < share for _ in range(2))
    first[0, 0, 0] = second[-1, -1, -1] = True
    tensors = [torch.from_numpy(structure[None, None]) for structure in (second, first)]
    # MONAI crops to what both hold; the edge of that box is no edge of the volume.
    padded = [torch.nn.functional.pad(tensor.float(), [2] * 6) for tensor in tensors]
    expected = compute_hausdorff_distance(*padded, include_background=True, percentile=95, spacing=spacing[::-1])
    assert hausdorff95(first, second, spacing) == pytest.approx(float(expected), rel=1e-4, abs=1e-4)
