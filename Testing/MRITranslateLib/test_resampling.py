"""A volume on another grid keeps the place of every value."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib.errors import InputError
from MRITranslateLib.resampling import on_grid, uncovered

from .test_compare import oblique
from .test_evaluate import image


def ramp(grid: sitk.Image, slopes: tuple[float, float, float] = (3.0, -2.0, 5.0)) -> np.ndarray:
    """A function of the patient's own space that is linear, which linear interpolation reproduces exactly."""
    size = grid.GetSize()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1).reshape(-1, 3)
    matrix = np.reshape(grid.GetDirection(), (3, 3)) * np.asarray(grid.GetSpacing())
    points = index @ matrix.T + np.asarray(grid.GetOrigin())
    return (points @ np.asarray(slopes) + 1000.0).reshape(size).transpose(2, 1, 0)


@settings(max_examples=20, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.6, 3.0)] * 3),
    angle=st.floats(-1.5, 1.5),
    shift=st.tuples(*[st.floats(-6.0, 6.0)] * 3),
)
def test_resampling_keeps_places(spacing, angle, shift) -> None:
    """Whatever the two grids: where the image reaches, a linear function of space has its own values."""
    grid = oblique(np.zeros((6, 7, 8)))
    source = image(np.zeros((9, 10, 11)), spacing)
    c, s = math.cos(angle), math.sin(angle)
    source.SetDirection((1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c))
    centre = grid.TransformContinuousIndexToPhysicalPoint([3.5, 3.0, 2.5])
    own = source.TransformContinuousIndexToPhysicalPoint([5.0, 4.5, 4.0])
    source.SetOrigin([a - b + d for a, b, d in zip(centre, own, shift, strict=True)])
    filled = sitk.GetImageFromArray(ramp(source))
    filled.CopyInformation(source)
    try:
        moved, covered = on_grid(filled, grid, -7.0)
    except InputError:
        return  # shifted away altogether
    array = sitk.GetArrayFromImage(moved)
    # At the very edge, in the outer half of a voxel, the value of the voxel itself counts.
    inside = np.array(
        [
            [
                source.TransformPhysicalPointToContinuousIndex(grid.TransformIndexToPhysicalPoint((i, j, k)))
                for i in range(8)
            ]
            for k in range(6)
            for j in range(7)
        ]
    ).reshape(6, 7, 8, 3)
    within = ((inside >= 0) & (inside <= np.array(source.GetSize()) - 1)).all(axis=-1)
    assert covered[within].all()
    np.testing.assert_allclose(array[within], ramp(grid)[within], rtol=1e-4)
    np.testing.assert_array_equal(array[~covered], -7.0)


def test_displacements_follow_an_affine_transform_exactly() -> None:
    """Corners alone say an affine transform: a lattice of two points along each axis, linear in between."""
    grid = oblique(np.zeros((6, 7, 8)))
    matrix = np.array([[1.1, 0.1, 0.0], [-0.05, 0.95, 0.1], [0.02, 0.0, 1.05]])
    offset = np.array([2.0, -3.0, 1.0])
    lattice = image(np.zeros((2, 2, 2)), tuple(s * (n + 1) for s, n in zip(grid.GetSpacing(), (8, 7, 6), strict=True)))
    lattice.SetDirection(grid.GetDirection())
    lattice.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint([-1.0, -1.0, -1.0]))
    parts = np.zeros((2, 2, 2, 3))
    for k, j, i in np.ndindex(2, 2, 2):
        point = np.array(lattice.TransformIndexToPhysicalPoint((i, j, k)))
        parts[k, j, i] = matrix @ point + offset - point
    shift = sitk.GetImageFromArray(parts, isVector=True)
    shift.CopyInformation(lattice)
    source = image(np.zeros((60, 60, 60)))
    source.SetOrigin((-60.0, -30.0, -20.0))
    filled = sitk.GetImageFromArray(ramp(source, (1.0, 0.0, 0.0)))
    filled.CopyInformation(source)
    moved, covered = on_grid(filled, grid, 0.0, shift)
    assert covered.all()
    for index in ((0, 0, 0), (7, 6, 5), (3, 2, 4)):
        point = np.array(grid.TransformIndexToPhysicalPoint(index))
        assert moved[index] == pytest.approx((matrix @ point + offset)[0] + 1000.0, abs=1e-3)


def test_the_share_that_is_not_reached_in_words() -> None:
    covered = np.ones((10, 10, 10), bool)
    covered[:2] = False
    assert uncovered(covered) == "20 %"
    covered[:] = True
    covered[0, 0, 0] = False
    assert uncovered(covered) == "less than 1 %"
