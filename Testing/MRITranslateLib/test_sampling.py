"""Random numbers of a seed, the way between two pictures, and a generator's answers in batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm, truncnorm

from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.sampling import draw_noise, draw_pictures, judge, noise_between, resize_pictures


class Picture(torch.nn.Module):
    """A picture of the first random number everywhere; counts the sizes of its batches."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, noise, condition=None):
        self.batches.append(len(noise))
        value = noise[:, :1] if condition is None else noise[:, :1] + condition[:, :1]
        return value.tanh()[:, :, None, None].expand(-1, 1, 4, 4)


def test_numbers_are_normal_and_start_the_same_however_many_follow():
    noise = draw_noise(200, 37, seed=5)
    assert kstest(noise.flatten().numpy(), norm.cdf).pvalue > 0.01
    assert torch.equal(draw_noise(3, 37, seed=5), noise[:3])
    assert not torch.equal(draw_noise(3, 37, seed=6), noise[:3])
    assert noise.dtype == torch.float32


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 4.0), st.integers(0, 2**32 - 1))
def test_truncation_bounds_the_numbers_and_keeps_their_order(limit, seed):
    whole, cut = draw_noise(4, 50, seed), draw_noise(4, 50, seed, limit)
    assert cut.abs().max() <= limit * (1 + 1e-6)
    assert torch.equal(whole.argsort(stable=True), cut.argsort(stable=True))


def test_truncated_numbers_have_the_truncated_distribution():
    noise = draw_noise(200, 40, seed=2, truncation=0.8).flatten().numpy()
    assert kstest(noise, truncnorm(-0.8, 0.8).cdf).pvalue > 0.01


@pytest.mark.parametrize("truncation", [0.0, -1.0, float("nan")])
def test_a_truncation_that_leaves_nothing_is_refused(truncation):
    with pytest.raises(InputError, match="at least"):
        draw_noise(1, 8, 1, truncation)


def test_the_caller_s_random_stream_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draw_noise(5, 8, 1)
    assert torch.equal(torch.rand(2), expected)


def test_the_way_keeps_the_ends_and_the_length():
    first, last = draw_noise(1, 512, 1)[0], draw_noise(1, 512, 2)[0]
    way = noise_between(first, last, 9)
    torch.testing.assert_close(way[[0, -1]], torch.stack([first, last]))
    steps = (way[1:] - way[:-1]).norm(dim=1)
    assert steps.max() < 1.1 * steps.min()
    lengths = way.norm(dim=1)
    assert lengths.min() > 0.97 * min(first.norm(), last.norm())
    torch.testing.assert_close(noise_between(first, first, 3), first.expand(3, -1))


def test_pictures_come_in_batches_with_progress():
    network, noise, seen = Picture(), draw_noise(20, 3, 1), []
    pictures, device = draw_pictures(lambda place: network, noise, progress=lambda *told: seen.append(told))
    assert (pictures.shape, pictures.dtype, device) == ((20, 4, 4), np.float32, "cpu")
    np.testing.assert_allclose(pictures[:, 0, 0], np.tanh(noise[:, 0].numpy()), rtol=1e-6)
    assert sum(network.batches) == 20
    assert [told[2:] for told in seen][-1] == (20, 20)
    conditioned, _ = draw_pictures(lambda place: network, noise, torch.full((20, 2), 0.5))
    np.testing.assert_allclose(conditioned[:, 0, 0], np.tanh(noise[:, 0].numpy() + 0.5), rtol=1e-6)


def test_memory_that_runs_out_costs_a_smaller_batch_and_no_picture():
    class Large(Picture):
        def forward(self, noise, condition=None):
            if len(noise) > 2:
                raise MemoryError
            return super().forward(noise)

    warnings = []
    noise = draw_noise(5, 3, 1)
    pictures, _ = draw_pictures(lambda place: Large(), noise, warnings=warnings)
    np.testing.assert_allclose(pictures[:, 0, 0], np.tanh(noise[:, 0].numpy()), rtol=1e-6)
    assert any("Memory ran out" in warning for warning in warnings)


def test_cancelling_and_answers_that_are_no_numbers():
    with pytest.raises(Cancelled):
        draw_pictures(lambda place: Picture(), draw_noise(2, 3, 1), cancel=lambda: True)
    with pytest.raises(InputError, match="not finite"):
        draw_pictures(lambda place: Picture(), torch.full((2, 3), float("nan")))


def test_judging_gives_a_row_of_logits_for_each_picture():
    class Judge(torch.nn.Module):
        def forward(self, pictures, condition=None):
            mean = pictures.mean((1, 2, 3))
            return mean[:, None] if condition is None else torch.stack([mean, condition[:, 0]], 1)

    pictures = np.linspace(-1, 1, 11, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(4, 2)
    assert judge(lambda place: Judge(), pictures).shape == (11, 1)
    both = judge(lambda place: Judge(), pictures, torch.arange(11.0)[:, None])
    np.testing.assert_allclose(both, np.stack([pictures[:, 0, 0], np.arange(11)], 1), atol=1e-6)


def test_resizing_keeps_the_mean():
    picture = torch.rand(2, 1, 32, 32)
    assert resize_pictures(picture, 32) is picture
    torch.testing.assert_close(resize_pictures(picture, 8).mean((1, 2, 3)), picture.mean((1, 2, 3)), atol=0.02, rtol=0)
