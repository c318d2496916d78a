"""The model's grid and the way back, as properties over every kind of grid a scanner writes."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib.card import GridCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.geometry import ModelGrid, nearest_axes

VOLUMES = {"dimensions": 3, "slice_spacing_mm": 1.0, "patch": (32, 32, 32)}
DIMENSIONS = pytest.mark.parametrize("form", [{}, VOLUMES], ids=["slices", "volumes"])
PLANES = ("axial", "coronal", "sagittal")


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix of three Euler angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def smooth_image(size, spacing, direction, origin=(11.0, -7.5, 3.25)) -> sitk.Image:
    """A smooth, asymmetric function of physical space sampled on a grid, so that any grid of it can be predicted."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size[::-1]], indexing="ij"), -1)[..., ::-1]
    centred = (index - (np.asarray(size) - 1) / 2) * spacing
    x, y, z = np.moveaxis(centred, -1, 0)
    wave = np.sin(x / 9 + 0.3) + np.cos(y / 11 + x / 30) + 0.5 * np.sin(z / 13 + 0.5) + 0.01 * x
    image = sitk.GetImageFromArray(wave.astype(np.float32))
    image.SetSpacing([float(value) for value in spacing])
    image.SetDirection(np.asarray(direction, dtype=float).ravel())
    image.SetOrigin(origin)
    return image


def same_geometry(a: sitk.Image, b: sitk.Image) -> bool:
    return (
        a.GetSize() == b.GetSize()
        and a.GetSpacing() == b.GetSpacing()
        and a.GetOrigin() == b.GetOrigin()
        and a.GetDirection() == b.GetDirection()
    )


grids = st.fixed_dictionaries(
    {
        "size": st.tuples(*[st.integers(1, 41)] * 3),
        "spacing": st.tuples(*[st.sampled_from([0.5, 0.719, 0.9, 1.0, 1.3, 2.0, 4.0, 6.0])] * 3),
        "angles": st.tuples(*[st.floats(-3.1, 3.1)] * 3),
        "mirror": st.booleans(),
        "plane": st.sampled_from(PLANES),
    }
)


@DIMENSIONS
@settings(max_examples=60, deadline=None)
@given(case=grids)
def test_every_grid_comes_back_exactly(form, case):
    direction = rotation(case["angles"]) @ np.diag([-1 if case["mirror"] else 1, 1, 1])
    image = smooth_image(case["size"], case["spacing"], direction)
    grid = ModelGrid(image, GridCard(plane=case["plane"], spacing_mm=(1.0, 1.0), size_multiple=8, **form))
    array = grid.forward(image)
    assert array.shape == grid.shape
    assert array.dtype == np.float32
    assert array.shape[1] % 8 == array.shape[2] % 8 == 0
    if form:
        assert grid.spacing_mm == [1.0, 1.0, 1.0]
        assert array.shape[0] % 8 == 0
        assert min(array.shape) >= 32  # at least one window
    assert same_geometry(grid.inverse(array), image)


@DIMENSIONS
@settings(max_examples=60, deadline=None)
@given(case=grids)
def test_without_resampling_every_voxel_comes_back_untouched(form, case):
    direction = rotation(case["angles"]) @ np.diag([-1 if case["mirror"] else 1, 1, 1])
    image = smooth_image(case["size"], (1.0, 1.0, 1.0), direction)
    grid = ModelGrid(image, GridCard(plane=case["plane"], spacing_mm=(1.0, 1.0), size_multiple=32, **form))
    assert not grid.resamples
    back = grid.inverse(grid.forward(image))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


@settings(max_examples=60, deadline=None)
@given(case=grids, place=st.floats(0, 1, exclude_max=True))
def test_one_slice_comes_back_as_the_whole_volume_has_it(case, place):
    """Values and place, on oblique, mirrored, odd and single-slice grids, resampled or not."""
    direction = rotation(case["angles"]) @ np.diag([-1 if case["mirror"] else 1, 1, 1])
    image = smooth_image(case["size"], case["spacing"], direction)
    grid = ModelGrid(image, GridCard(plane=case["plane"], spacing_mm=(1.0, 1.0), size_multiple=8))
    index = int(place * image.GetSize()[grid.stack_axis])
    array = grid.forward(image)
    alone = grid.inverse_slice(array[grid.slice_number(index)], index)
    start, size = [0, 0, 0], list(image.GetSize())
    start[grid.stack_axis], size[grid.stack_axis] = index, 1
    cut = sitk.Extract(grid.inverse(array), size, start)
    np.testing.assert_allclose(sitk.GetArrayFromImage(alone), sitk.GetArrayFromImage(cut), atol=1e-5)
    np.testing.assert_allclose(alone.GetOrigin(), cut.GetOrigin(), atol=1e-9)
    assert alone.GetSpacing() == cut.GetSpacing()
    assert alone.GetDirection() == cut.GetDirection()


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 6.0), (0.719, 0.719, 4.0), (1.2, 0.94, 1.0), (6.0, 0.5, 0.5)])
@pytest.mark.parametrize("plane", PLANES)
@DIMENSIONS
def test_a_resampled_volume_comes_back_within_interpolation_error_and_unshifted(spacing, plane, form):
    size = [max(3, round(72 / value)) for value in spacing]
    image = smooth_image(size, spacing, rotation((0.2, -0.3, 0.15)))
    grid = ModelGrid(image, GridCard(plane=plane, spacing_mm=(1.0, 1.0), **form))
    before, after = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(grid.inverse(grid.forward(image)))
    inner = tuple(slice(2, -2) if n > 8 else slice(None) for n in before.shape)
    assert np.abs(after - before)[inner].max() < 0.08 * np.ptp(before)
    assert correlation_peak(before, after) == (0, 0, 0)


def correlation_peak(a: np.ndarray, b: np.ndarray) -> tuple[int, ...]:
    """Shift in voxels at which the circular cross-correlation of two arrays peaks."""
    product = np.fft.ifftn(np.fft.fftn(a - a.mean()) * np.conj(np.fft.fftn(b - b.mean()))).real
    peak = np.unravel_index(product.argmax(), product.shape)
    return tuple(int(p) if p <= n // 2 else int(p) - n for p, n in zip(peak, product.shape, strict=True))


@DIMENSIONS
@settings(max_examples=50, deadline=None)
@given(case=grids, seed=st.integers(0, 2**32 - 1))
def test_a_point_lands_where_index_says(form, case, seed):
    """An impulse, brought to the model's grid, is brightest at the index that `index` predicts."""
    image = smooth_image(case["size"], (1.0, 1.0, 1.0), rotation(case["angles"]))
    voxel = [int(np.random.default_rng(seed + axis).integers(n)) for axis, n in enumerate(case["size"])]
    impulse = image * 0
    impulse[voxel] = 1.0
    grid = ModelGrid(impulse, GridCard(plane=case["plane"], size_multiple=4, **form))
    array = grid.forward(impulse)
    assert np.unravel_index(array.argmax(), array.shape) == grid.index(*voxel)


def test_a_point_of_a_thick_slice_lands_in_the_middle_of_its_thin_ones():
    """6 mm slices at 1.5 mm: slice k covers the four model slices from 4 k on, and comes back as the only bright
    one."""
    array = np.zeros((7, 8, 8), dtype=np.float32)
    array[3] = 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 6.0))
    grid = ModelGrid(image, GridCard(dimensions=3, slice_spacing_mm=1.5, patch=(4, 4, 4), size_multiple=4))
    profile = grid.forward(image)[:, 4, 4]
    assert grid.shape == (28, 8, 8)
    np.testing.assert_allclose(profile, profile[::-1], atol=1e-6)
    assert set(np.argsort(profile)[-4:]) == {12, 13, 14, 15}
    assert grid.index(4, 4, 3)[0] in (13, 14)
    back = sitk.GetArrayFromImage(grid.inverse(grid.forward(image)))[:, 4, 4]
    assert back.argmax() == 3
    assert np.abs(np.delete(back, 3)).max() < 0.25 * back[3]


@pytest.mark.parametrize("plane", PLANES)
def test_the_patient_is_always_the_same_way_up(plane):
    """The same anatomy stored in two orders gives the same slices: axial with anterior up, the others with the head
    up."""
    size, spacing = (20, 24, 28), (1.0, 1.0, 1.0)
    image = smooth_image(size, spacing, np.eye(3))
    stored_otherwise = sitk.DICOMOrient(image, "RIA")
    card = GridCard(plane=plane, size_multiple=4)
    np.testing.assert_array_equal(
        ModelGrid(image, card).forward(image), ModelGrid(stored_otherwise, card).forward(stored_otherwise)
    )


def test_axial_rows_run_to_posterior_and_columns_to_the_left():
    image = smooth_image((8, 12, 16), (1, 1, 1), np.eye(3))  # LPS
    array = ModelGrid(image, GridCard(size_multiple=4)).forward(image)
    np.testing.assert_array_equal(array, sitk.GetArrayFromImage(image))


def test_nearest_axes_is_one_to_one_at_45_degrees():
    for angle in (np.pi / 4, np.pi / 4 + 1e-9, 3 * np.pi / 4):
        assert sorted(nearest_axes(smooth_image((3, 4, 5), (1, 1, 1), rotation((0, 0, angle))))) == [0, 1, 2]


@DIMENSIONS
def test_one_slice_and_one_voxel(form):
    for size in ((33, 47, 1), (1, 1, 1), (1, 50, 40)):
        image = smooth_image(size, (0.7, 0.7, 5.0), np.eye(3))
        grid = ModelGrid(image, GridCard(**form))
        assert same_geometry(grid.inverse(grid.forward(image)), image)


@DIMENSIONS
def test_masks_stay_binary_with_nearest(form):
    image = smooth_image((40, 44, 6), (0.7, 0.7, 4.0), rotation((0.1, 0.2, 0.3)))
    mask = sitk.Cast(image > 0.5, sitk.sitkUInt8)
    grid = ModelGrid(mask, GridCard(**form))
    assert set(np.unique(grid.forward(mask, "nearest"))) == {0.0, 1.0}
    back = grid.inverse(grid.forward(mask, "nearest"), "nearest")
    agreement = (sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(mask)).mean()
    assert agreement > 0.97


@DIMENSIONS
def test_constants_stay_constant(form):
    """Interpolation weights sum to one everywhere, borders included."""
    image = smooth_image((31, 17, 9), (0.61, 1.7, 3.0), rotation((0.4, 0.1, 0.0))) * 0 + 7.0
    for interpolator in ("nearest", "linear", "cubic"):
        grid = ModelGrid(image, GridCard(**form | {"size_multiple": 1} | ({"patch": (1, 1, 1)} if form else {})))
        if form:
            assert grid.shape == (27, 29, 19)
        np.testing.assert_allclose(grid.forward(image, interpolator), 7.0, rtol=1e-5)


def test_absurd_spacing_is_refused_before_memory_is_taken():
    image = smooth_image((60, 60, 3), (500.0, 500.0, 1.0), np.eye(3))
    with pytest.raises(InputError, match="voxel spacing"):
        ModelGrid(image, GridCard(spacing_mm=(1.0, 1.0)))
    deep = smooth_image((3, 3, 60), (1.0, 1.0, 500.0), np.eye(3))
    assert ModelGrid(deep, GridCard()).shape[0] == 60
    with pytest.raises(InputError, match="would need 30000 x 3 x 3 voxels"):
        ModelGrid(deep, GridCard(**VOLUMES))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_slices_of_zeros_are_left_out_and_nothing_else_changes(dimensions: int) -> None:
    """Resampling is linear: one slice and the others, each brought alone, make up the whole."""
    options = {"dimensions": 3, "slice_spacing_mm": 2.0, "patch": (8, 8, 8)} if dimensions == 3 else {}
    array = np.random.default_rng(1).random((6, 13, 17)).astype(np.float32) + 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.3, 0.8, 3.0))
    grid = ModelGrid(image, GridCard(spacing_mm=(1.0, 1.0), size_multiple=8, **options))
    whole, back = grid.forward(image), grid.inverse(np.ones(grid.shape, np.float32), "linear")
    sums = [np.zeros_like(whole), np.zeros_like(array)]
    for number in range(max(len(array), grid.shape[0])):
        if number < len(array):
            alone = np.zeros_like(array)
            alone[number] = array[number]
            one = sitk.GetImageFromArray(alone)
            one.CopyInformation(image)
            sums[0] += grid.forward(one)
        if number < grid.shape[0]:
            alone = np.zeros(grid.shape, np.float32)
            alone[number] = 1
            sums[1] += sitk.GetArrayFromImage(grid.inverse(alone, "linear"))
    np.testing.assert_allclose(sums[0], whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sums[1], sitk.GetArrayFromImage(back), rtol=1e-4, atol=1e-4)
