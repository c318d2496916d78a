"""Slices as pictures and back: what a picture shows at a pixel must land at the voxel it came from, on any grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib.picture import prepare_picture
from MRITranslateLib.pictures import PictureStack
from Testing.MRITranslateLib.test_geometry import rotation


def volume(
    array: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1), direction: np.ndarray | None = None
) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing([float(step) for step in spacing])
    image.SetOrigin((-31.0, 12.5, 7.25))
    if direction is not None:
        image.SetDirection(direction.ravel().tolist())
    return image


def blob(shape: tuple[int, ...], centre: tuple[int, ...], width: float = 2.0) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(extent) - n for extent, n in zip(shape, centre, strict=True)), indexing="ij")
    return np.exp(-sum(axis.astype(float) ** 2 for axis in axes) / (2 * width**2))


def test_a_slice_is_prepared_as_a_picture_of_it_would_be() -> None:
    array = np.random.default_rng(1).random((3, 37, 51))
    stack = PictureStack(volume(array), 32)
    assert stack.chosen.tolist() == [0, 1, 2]
    for made, slice_ in zip(stack.pictures, array.astype(np.float32), strict=True):
        assert np.array_equal(made, prepare_picture(slice_, 32))


def test_pictures_are_axial_and_as_lps_stores_them() -> None:
    """The same head, stored backwards and in another order, makes the same pictures."""
    array = np.random.default_rng(1).random((6, 20, 24))
    expected = PictureStack(volume(array), 32)
    turned = volume(array[::-1, :, ::-1], direction=np.diag([-1.0, 1.0, -1.0]))
    assert np.array_equal(PictureStack(turned, 32).pictures, expected.pictures)
    sagittal = volume(array.transpose(2, 0, 1), direction=np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]))
    assert np.array_equal(PictureStack(sagittal, 32).pictures, expected.pictures)


@pytest.mark.parametrize(("flat", "axis"), [(0, 2), (1, 1), (2, 0)])
def test_an_image_of_one_slice_is_that_slice(flat: int, axis: int) -> None:
    array = np.expand_dims(np.random.default_rng(1).random((19, 30)), flat)
    stack = PictureStack(volume(array), 16)
    assert stack.pictures.shape == (1, 16, 16)
    back = sitk.GetArrayFromImage(stack.restore(stack.pictures))
    assert back.shape == array.shape
    assert np.corrcoef(back.ravel(), array.ravel())[0, 1] > 0.3


def test_slices_that_show_little_become_no_pictures_and_their_map_is_0() -> None:
    array = np.zeros((5, 30, 40))
    array[1:4, 5:25, 5:35] = np.random.default_rng(1).random((3, 20, 30)) + 1
    array[4, 14:16, 14:16] = 1
    image = volume(array)
    stack = PictureStack(image, 16)
    assert (stack.slices, stack.chosen.tolist()) == (5, [1, 2, 3])
    back = stack.restore(np.ones((3, 16, 16), np.float32))
    assert back.GetSize() == image.GetSize()
    assert np.array_equal(sitk.GetArrayFromImage(back).any(axis=(1, 2)), [False, True, True, True, False])
    np.testing.assert_allclose(sitk.GetArrayFromImage(back)[1:4], 1, atol=1e-5)


def test_a_picture_may_have_pixels_of_any_size_and_any_number_of_them() -> None:
    array = np.random.default_rng(1).random((1, 7, 4500))
    assert PictureStack(volume(array, (0.01, 0.01, 1)), 64).pictures.shape == (1, 64, 64)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(11, 17), st.integers(25, 41), st.integers(25, 49)),
    spacing=st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.floats(0.8, 4.0)),
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    flips=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    order=st.permutations([0, 1, 2]),
    size=st.sampled_from([32, 47, 64]),
    where=st.tuples(*[st.floats(0.4, 0.6)] * 3),
)
def test_a_feature_lands_at_the_voxel_it_came_from(shape, spacing, angles, flips, order, size, where) -> None:
    centre = tuple(int(part * extent) for part, extent in zip(where, shape, strict=True))
    direction = rotation(angles) @ np.eye(3)[:, order] @ np.diag(flips)
    image = volume(blob(shape, centre), spacing, direction)
    stack = PictureStack(image, size)
    back = sitk.GetArrayFromImage(stack.restore(stack.pictures + 1)).astype(float)
    found = [(back.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(shape[axis])) / back.sum() for axis in range(3)]
    assert np.abs(np.subtract(found, centre)).max() < 0.3
