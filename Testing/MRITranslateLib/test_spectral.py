"""Spectral normalisation against PyTorch's own."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from MRITranslateLib.networks.spectral import normalise


@pytest.mark.parametrize("layer", [nn.Linear(7, 5), nn.Conv2d(3, 6, 4, stride=2, padding=1)])
def test_weights_and_gradients_are_those_of_pytorch(layer):
    ours, theirs = deepcopy(layer), spectral_norm(deepcopy(layer), n_power_iterations=1)
    torch.manual_seed(1)
    normalise(ours)
    for _ in range(500):  # until both have found the singular vectors
        assert ours.weight.shape == theirs.weight.shape
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)
    assert float(torch.linalg.matrix_norm(ours.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-4)
    weights = [network.parametrizations.weight.original for network in (ours, theirs)]
    x = torch.randn(2, 7) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 8, 8)
    for network in (ours, theirs):
        (network(x).square().sum() + network(2 * x).sum()).backward()
    torch.testing.assert_close(weights[0].grad, weights[1].grad, rtol=1e-3, atol=1e-3)


def test_the_state_is_whole_and_evaluation_changes_nothing():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    normalise(network)
    network.train()(torch.randn(1, 1, 8, 8))
    copy = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    normalise(copy)
    copy.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 8, 8)
    first = network.eval()(x)
    assert first.equal(copy.eval()(x))
    assert first.equal(network(x))
    assert first.equal(deepcopy(network)(x))


def test_autocast_does_not_round_the_norm():
    network = nn.Linear(30, 30)
    normalise(network)
    network.eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert network.weight.dtype == torch.float32
        rounded = network.weight
    assert rounded.equal(network.weight)


def test_nothing_is_computed_without_memory():
    with torch.device("meta"):
        network = nn.Linear(4096, 4096)
        normalise(network)
        assert network(torch.empty(1, 4096)).shape == (1, 4096)
