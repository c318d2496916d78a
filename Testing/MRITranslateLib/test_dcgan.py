"""The DCGAN pair: sizes, ranges, gradients, and a spectrally normalised judge that survives a package's float16."""

import copy

import pytest
import torch
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.errors import PackageError

JUDGES = [{"norm": "batch"}, {"norm": "instance"}, {"norm": "none", "spectral": True}]


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("up", ["resize", "transposed"])
def test_noise_becomes_pictures_and_pictures_become_logits(size, up):
    generator = networks.build("dcgan_generator", {"latent": 8, "size": size, "width": 2, "up": up})
    discriminator = networks.build("dcgan_discriminator", {"size": size, "width": 2})
    pictures = generator(torch.randn(3, 8))
    assert pictures.shape == (3, 1, size, size)
    assert pictures.abs().max() <= 1
    assert generator(torch.randn(3, 8, 1, 1)).shape == pictures.shape
    assert discriminator(pictures).shape == (3, 1)
    maps = [tuple(map_.shape[2:]) for map_ in discriminator.features(pictures)]
    assert maps[0] == (size // 2, size // 2)
    assert maps[-1] == (4, 4)


def test_the_layers_that_grad_cam_looks_at_have_maps_of_16_pixels_and_no_activation_is_in_place():
    generator = networks.build("dcgan_generator", {"latent": 8, "size": 128, "width": 2}).eval()
    discriminator = networks.build("dcgan_discriminator", {"size": 128, "width": 2}).eval()
    seen = []
    for network in (generator, discriminator):
        network.get_submodule(network.explain_layer).register_forward_hook(
            lambda _module, _input, output: seen.append(tuple(output.shape[2:]))
        )
        assert not any(getattr(module, "inplace", False) for module in network.modules())
    discriminator(generator(torch.randn(1, 8)))
    assert seen == [(16, 16), (16, 16)]


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("up", ["resize", "transposed"])
def test_the_judgement_reaches_every_weight_of_both(judge, up):
    generator = networks.build("dcgan_generator", {"latent": 8, "size": 32, "width": 4, "up": up})
    discriminator = networks.build("dcgan_discriminator", {"size": 32, "width": 4} | judge)
    discriminator(generator(torch.randn(4, 8))).square().mean().backward()
    for network in (generator, discriminator):
        assert [key for key, weight in network.named_parameters() if weight.grad is None] == []
    assert all(weight.grad.any() for weight in generator.parameters() if weight.ndim > 1)


@pytest.mark.parametrize("judge", JUDGES)
def test_a_picture_does_not_depend_on_its_batch(judge):
    generator = networks.build("dcgan_generator", {"latent": 8, "size": 32, "width": 4}).eval()
    discriminator = networks.build("dcgan_discriminator", {"size": 32, "width": 4} | judge).eval()
    noise = torch.randn(3, 8)
    with torch.inference_mode():
        pictures = generator(noise)
        torch.testing.assert_close(pictures[1:2], generator(noise[1:2]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(discriminator(pictures)[1:2], discriminator(pictures[1:2]), rtol=1e-4, atol=1e-5)


def test_spectral_normalisation_bounds_every_layer_and_survives_float16():
    torch.manual_seed(0)
    build = lambda: networks.build("dcgan_discriminator", {"size": 32, "width": 4, "norm": "none", "spectral": True})  # noqa: E731
    trained = build()
    optimizer = torch.optim.Adam(trained.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (-trained(torch.randn(8, 1, 32, 32)).mean()).backward()
        optimizer.step()
    trained.eval()
    for module in trained.modules():
        if isinstance(module, nn.Conv2d):
            assert (
                torch.linalg.matrix_norm(module.weight.flatten(1), 2) < 1.2
            )  # one step of the power method is an estimate
    rounded = {key: value.half().float() for key, value in trained.state_dict().items()}
    stored = build()
    stored.load_state_dict(rounded)
    stored.eval()
    copied = copy.deepcopy(trained)
    copied.load_state_dict(rounded)
    pictures = torch.randn(4, 1, 32, 32)
    with torch.inference_mode():
        assert stored(pictures).equal(stored(pictures))
        assert stored(pictures).equal(copied(pictures))
        torch.testing.assert_close(stored(pictures), trained(pictures), rtol=0.02, atol=0.02)


def test_the_size_of_the_paper():
    """Four transposed convolutions from 1024 maps of 4 x 4; its kernels of 5 x 5 are 4 x 4 here."""
    with torch.device("meta"):
        generator = networks.build("dcgan_generator", {"latent": 100, "size": 64, "width": 128, "up": "transposed"})
    assert [block[0].in_channels for block in generator.blocks] == [1024, 512, 256]
    assert generator.project.out_features == 1024 * 4 * 4


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("dcgan_generator", {"size": 100}, "power of 2"),
        ("dcgan_generator", {"up": "bilinear"}, "up must be"),
        ("dcgan_generator", {"width": 0}, "width must be"),
        ("dcgan_discriminator", {"size": 8}, "power of 2"),
        ("dcgan_discriminator", {"norm": "layer"}, "norm must be"),
    ],
)
def test_networks_that_cannot_be_built_say_why(name, parameters, says):
    with pytest.raises(PackageError, match=says):
        networks.build(name, parameters)
