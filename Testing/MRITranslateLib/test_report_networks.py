"""The networks of the report -> radiograph family."""

import pytest
import torch
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.errors import PackageError

GENERATOR = {"latent": 6, "features": 5, "size": 32, "width": 4, "text_width": 8}
DISCRIMINATOR = {"features": 5, "size": 32, "width": 4, "text_width": 8}


@pytest.fixture
def generator():
    torch.manual_seed(1)
    return networks.build("report_generator", GENERATOR)


@pytest.fixture
def discriminator():
    torch.manual_seed(2)
    return networks.build("report_discriminator", DISCRIMINATOR)


@pytest.mark.parametrize("size", [16, 64, 128, 256])
def test_noise_and_text_become_a_picture_that_is_judged_twice(size):
    generator = networks.build("report_generator", GENERATOR | {"size": size})
    discriminator = networks.build("report_discriminator", DISCRIMINATOR | {"size": size}).eval()
    noise, text = torch.randn(2, 6), torch.randn(2, 5)
    picture = generator(noise, text)
    assert picture.shape == (2, 1, size, size)
    assert picture.abs().max() <= 1
    assert discriminator(picture, text).shape == (2, 2)
    maps = discriminator.features(picture)
    assert maps[0].shape[2:] == (size // 2, size // 2)
    assert maps[-1].shape[2:] == (4, 4)


def test_both_inputs_matter_and_the_text_moves_the_match_only(generator, discriminator):
    noise, text = torch.randn(2, 6), torch.randn(2, 5)
    picture = generator(noise, text)
    assert not torch.allclose(picture, generator(noise.flip(0), text))
    assert not torch.allclose(picture, generator(noise, text.flip(0)))
    discriminator.eval()
    verdict, other = discriminator(picture, text), discriminator(picture, text.flip(0))
    assert verdict[:, 0].equal(other[:, 0])
    assert not torch.allclose(verdict[:, 1], other[:, 1])


def test_a_picture_does_not_depend_on_its_batch(generator, discriminator):
    noise, text = torch.randn(3, 6), torch.randn(3, 5)
    discriminator.eval()
    with torch.inference_mode():
        pictures = generator(noise, text)
        torch.testing.assert_close(pictures[1:2], generator(noise[1:2], text[1:2]), rtol=1e-4, atol=1e-5)
        verdicts = discriminator(pictures, text)
        torch.testing.assert_close(verdicts[1:2], discriminator(pictures[1:2], text[1:2]), rtol=1e-4, atol=1e-5)


def test_features_are_standardised_by_those_of_the_training_reports(generator):
    features = 100 + torch.randn(50, 5) * torch.tensor([1.0, 1.2, 0.8, 0.0, 1.1])
    generator.text.standardise(features)
    white = (features - generator.text.mean) @ generator.text.whitening
    torch.testing.assert_close(white.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.std(0), torch.tensor([0.95, 0.95, 0.95, 0, 0.95]), atol=0.1, rtol=0)
    assert {"text.mean", "text.whitening"} <= generator.state_dict().keys()


@pytest.mark.parametrize("size", [16, 32, 64, 256])
def test_grad_cam_finds_its_layers_and_no_activation_is_in_place(size):
    for name, parameters in (("report_generator", GENERATOR), ("report_discriminator", DISCRIMINATOR)):
        network = networks.build(name, parameters | {"size": size})
        assert not any(getattr(module, "inplace", False) for module in network.modules())
        maps = []
        network.get_submodule(network.explain_layer).register_forward_hook(lambda *seen, to=maps: to.append(seen[2]))
        first = torch.randn(1, 6) if name == "report_generator" else torch.randn(1, 1, size, size)
        network(first, torch.randn(1, 5))
        assert maps[0].shape[2] == max(4, min(16, size // (2 if name == "report_generator" else 4)))


def test_every_weight_takes_part(generator, discriminator):
    text = torch.randn(2, 5)
    discriminator(generator(torch.randn(2, 6), text), text).square().sum().backward()
    for network in (generator, discriminator):
        assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_spectral_normalisation_bounds_every_layer_of_the_discriminator(discriminator):
    for _ in range(50):
        discriminator(torch.randn(2, 1, 32, 32), torch.randn(2, 5))
    layers = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.05)
    plain = networks.build("report_discriminator", DISCRIMINATOR | {"spectral": False})
    assert not any("parametrizations" in key for key in plain.state_dict())


@pytest.mark.parametrize("name", ["report_generator", "report_discriminator"])
@pytest.mark.parametrize("wrong", [{"size": 48}, {"size": 8}, {"size": 1024}, {"width": 0}])
def test_impossible_sizes_are_refused(name, wrong):
    with pytest.raises(PackageError, match="cannot be built"):
        networks.build(name, wrong)


def test_reports_are_whitened_so_that_no_style_of_writing_outweighs_the_rest():
    """Two groups of reports far from each other: more than half of all variance lies between the groups."""
    torch.manual_seed(3)
    features = torch.randn(400, 5) * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.02])
    features[:200] += torch.tensor([4.0, 0, 0, 0, 0])
    condition = networks.build("report_generator", GENERATOR).text
    condition.standardise(features)
    white = (features - condition.mean) @ condition.whitening
    spread = white.std(0)
    assert spread[:4].min() > 0.75
    assert spread[0] < 1.4 * spread[1:4].min()
    assert spread[4] < 0.1  # what hardly varies is not blown up
    assert (white.T @ white / 400)[0, 1:].abs().max() < 0.1


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_a_network_grows_from_one_of_half_the_size(kind):
    parameters = GENERATOR if kind == "generator" else DISCRIMINATOR | {"spectral": False}
    name = f"report_{kind}"
    small = networks.build(name, parameters | {"size": 32, "width": 4, "widest": 4})
    large = networks.build(name, parameters | {"size": 64, "width": 2, "widest": 8})
    fresh = {key: value.clone() for key, value in large.state_dict().items()}
    large.grow_from(small)
    state, theirs = large.state_dict(), small.state_dict()
    kept = {key for key in state if state[key].equal(fresh[key]) and not (fresh[key] == 0).all()}
    if kind == "generator":
        assert state["blocks.0.convolutions.0.weight"].equal(theirs["blocks.0.convolutions.0.weight"])
        assert {key.split(".")[0] for key in kept} <= {"blocks", "norm", "head", "text"}
        assert any(key.startswith("blocks.3.") for key in kept)
    else:
        assert state["blocks.1.skip.1.weight"].equal(theirs["blocks.0.skip.1.weight"])
        assert state["realism.weight"].equal(theirs["realism.weight"])
        assert any(key.startswith("blocks.0.") for key in kept)
        assert "stem.weight" in kept
    for wrong in ({"size": 64, "width": 4, "widest": 4}, {"size": 32, "width": 8, "widest": 4}):
        with pytest.raises(RuntimeError):
            large.grow_from(networks.build(name, parameters | wrong))


def test_widest_bounds_the_channels_of_the_coarse_end():
    parameters = {"width": 2, "size": 64}
    for widest, expected in ((1, 2), (4, 8), (16, 32)):
        generator = networks.build("report_generator", GENERATOR | parameters | {"widest": widest})
        assert generator.start.out_features == expected * 16
    with pytest.raises(PackageError, match="widest"):
        networks.build("report_generator", GENERATOR | {"widest": 0})
