"""Windows over a volume: they cover it, their weights sum to one, and no seam shows."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib import networks
from MRITranslateLib.window import Windows, batch_size, pad_to_patch

extents = st.tuples(*[st.integers(1, 40)] * 3)
patches = st.tuples(*[st.sampled_from([1, 4, 8, 16])] * 3)


def volume(*shape: int, seed: int = 0) -> np.ndarray:
    """Values all above no signal."""
    return np.random.default_rng(seed).uniform(-0.9, 1, shape).astype(np.float32)


def run_windows(network, array: np.ndarray, patch, overlap: float = 0.5, batch: int = 1) -> np.ndarray:
    """A volume through a function of windows (n, 1, *patch) to answers (n, *patch)."""
    windows = Windows(array, patch, overlap)
    for start in range(0, len(windows), batch):
        if not windows.empty[start : start + batch].all():
            windows.keep(start, network(windows.batch(start, start + batch)))
    return windows.result()


@settings(max_examples=60, deadline=None)
@given(extents, patches, st.sampled_from([0.0, 0.25, 0.5, 0.7]))
def test_a_network_that_works_voxel_by_voxel_sees_the_whole_volume(shape, patch, overlap):
    array = volume(*shape)
    answer = run_windows(lambda windows: np.tanh(2 * windows[:, 0]), array, patch, overlap, batch=3)
    assert answer.shape == array.shape
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, np.tanh(2 * array), rtol=0, atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(extents, patches, st.sampled_from([0.0, 0.5, 0.7]))
def test_the_weights_sum_to_one_and_windows_overlap_as_asked(shape, patch, overlap):
    windows = Windows(volume(*shape), patch, overlap)
    padded = tuple(map(max, shape, patch))
    total, seen = np.zeros(padded), np.zeros(padded, dtype=int)
    for index, window in enumerate(windows.places):
        assert windows.weights(index).shape == patch == total[window].shape
        assert windows.weights(index).min() > 0
        total[window] += windows.weights(index)
        seen[window] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert seen.min() >= 1
    starts = [sorted({window[axis].start for window in windows.places}) for axis in range(3)]
    for axis in range(3):
        step = max(1, int(patch[axis] * (1 - overlap)))
        assert max(np.diff(starts[axis]), default=0) <= step
        assert starts[axis][-1] == padded[axis] - patch[axis]


def test_no_seam_remains_where_windows_disagree():
    """Every window shifts its answer by its own amount: a plain tiling would jump by up to 2. The Gaussian passes from
    one window to the next at no more than 8 / patch of their difference a voxel."""
    rng = np.random.default_rng(1)
    array = np.zeros((2, 160, 192), dtype=np.float32)
    answer = run_windows(lambda windows: windows[:, 0] + rng.uniform(-1, 1), array, (2, 64, 64))
    assert np.ptp(answer) > 1
    assert max(np.abs(np.diff(answer, axis=axis)).max() for axis in (1, 2)) < 2 * 8 / 64


def test_a_network_of_small_reach_gives_what_it_gives_for_the_whole_volume():
    """A mean over 5x5x5 voxels errs at the border of a window, where it averages the padding in; there it hardly
    counts."""

    def call(windows: np.ndarray) -> np.ndarray:
        return torch.nn.functional.avg_pool3d(torch.from_numpy(windows), 5, 1, 2)[:, 0].numpy()

    array = np.abs(volume(32, 48, 16)) + 0.1
    whole = call(array[None, None])[0]
    error, tiled = (
        np.abs(run_windows(call, array, (16, 16, 16), overlap) - whole).max() / np.ptp(whole) for overlap in (0.5, 0)
    )
    assert tiled > 0.4
    assert error < 0.01
    corner = array[:16, :16]
    np.testing.assert_allclose(run_windows(call, corner, (16, 16, 16)), call(corner[None, None])[0], atol=2e-7)


def test_a_volume_smaller_than_the_window_is_padded_with_no_signal_about_its_centre():
    array = volume(5, 8, 30)
    padded, inside = pad_to_patch(array, (8, 8, 16))
    assert padded.shape == (8, 8, 30)
    np.testing.assert_array_equal(padded[inside], array)
    assert inside[0] == slice(1, 6)
    assert (padded[[0, 6, 7]] == -1).all()
    assert pad_to_patch(array, (4, 8, 16))[0] is array


def test_windows_without_signal_do_not_reach_the_network():
    array = np.full((8, 8, 64), -1, dtype=np.float32)
    array[..., :8] = 0.5
    seen = []

    def call(windows: np.ndarray) -> np.ndarray:
        seen.append(windows)
        return np.ones_like(windows[:, 0])

    answer = run_windows(call, array, (8, 8, 8), overlap=0)
    assert len(seen) == 1
    assert (answer[..., :8] == 1).all()
    assert (answer[..., 8:] == -1).all()
    batched = run_windows(call, array, (8, 8, 8), overlap=0, batch=8)
    np.testing.assert_array_equal(batched, answer)


def test_half_precision_volumes_are_read():
    array = volume(8, 12, 12).astype(np.float16)
    answer = run_windows(lambda windows: windows[:, 0], array, (8, 8, 8))
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, array.astype(np.float32), atol=2e-6)


def test_an_overlap_that_never_advances_is_refused():
    with pytest.raises(ValueError, match="overlap"):
        Windows(volume(8, 8, 8), (4, 4, 4), overlap=1.0)


def test_batches_fit_the_window():
    assert batch_size("cpu", (96, 96, 96)) == 1
    assert batch_size("cuda:1", (64, 64, 64)) == 16
    assert batch_size("cpu", (16, 16, 16)) == 64


def test_memory_stays_within_the_stated_bound():
    """4 bytes a voxel for the result, and a few windows."""
    array, patch = volume(64, 96, 96), (16, 16, 16)
    tracemalloc.start()
    run_windows(lambda windows: windows[:, 0], array, patch, batch=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * array.size + 16 * 4 * 16**3 + 2**20


@pytest.mark.parametrize("name", ["pix2pix_unet", "attention_unet", "residual_unet", "resnet9"])
def test_every_generator_runs_in_windows(name):
    small = {"width": 4, "blocks": 1} if name == "resnet9" else {"channels": [4, 8]}
    network = networks.build(name, small | {"dimensions": 3, "norm": "none"}).eval()

    def call(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(windows))[:, 0].numpy()

    one, many = (run_windows(call, volume(12, 20, 16), (8, 16, 16), batch=batch) for batch in (1, 8))
    np.testing.assert_allclose(one, many, atol=1e-5)
