"""Every architecture: shapes, registry, no in-place activation, one slice's result independent of its batch."""

import pytest
import torch
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.errors import PackageError
from MRITranslateLib.package import load_package

SMALL = {
    "pix2pix_unet": {"channels": [8, 16, 16], "head": 8},
    "attention_unet": {"channels": [8, 16, 16]},
    "residual_unet": {"channels": [8, 16, 16], "blocks": 2},
    "resnet9": {"width": 4, "blocks": 2},
    "patchgan": {"width": 4},
}
GENERATORS = [name for name in SMALL if name != "patchgan"]


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    ("context", "norm", "output"), [(1, "instance", "tanh"), (3, "none", "linear"), (5, "batch", "linear")]
)
def test_a_generator_keeps_the_slice_size(name, context, norm, output):
    network = networks.build(name, SMALL[name] | {"in_channels": context, "norm": norm, "output": output}).eval()
    with torch.inference_mode():
        answer = network(torch.randn(2, context, 32, 48))
    assert answer.shape == (2, 1, 32, 48)
    assert output == "linear" or answer.abs().max() <= 1


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_every_architecture_has_a_form_for_volumes(name, norm):
    judge = name == "patchgan"
    network = networks.build(name, SMALL[name] | {"norm": norm, "dimensions": 3})
    answer = network(torch.randn(2, 2 if judge else 1, 24, 32, 40))
    assert answer.shape == ((2, 1, 1, 2, 3) if judge else (2, 1, 24, 32, 40))
    answer.square().mean().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []
    flat = networks.build(name, SMALL[name] | {"norm": norm}).state_dict()
    deep = network.state_dict()
    assert list(deep) == list(flat)
    assert all(deep[key].ndim == 5 for key in flat if flat[key].ndim == 4)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_for_volumes_mixes_slices(name):
    """What makes it 3-D: a change in one slice reaches its neighbours."""
    network = networks.build(name, SMALL[name] | {"norm": "none", "dimensions": 3}).eval()
    volume = torch.randn(1, 1, 16, 16, 16)
    other = volume.clone()
    other[0, 0, 8] += 1
    with torch.inference_mode():
        changed = (network(other) - network(volume)).abs().amax(dim=(0, 1, 3, 4))
    assert changed[7] > 0
    assert changed[9] > 0


def test_3d_convolutions_are_initialised_like_the_others():
    """He: the standard deviation of a kernel is sqrt(2 / (1 + 0.2 ** 2) / inputs); biases are 0."""
    block = networks.build("resnet9", {"width": 32, "blocks": 1, "dimensions": 3}).get_submodule("down.1.0")
    assert block.weight.std().item() == pytest.approx((2 / 1.04 / (32 * 27)) ** 0.5, rel=0.05)
    assert not block.bias.any()


@pytest.mark.parametrize(
    ("model", "file", "expected"),
    [
        ("t1_to_ct", "weights", [-0.47682, -0.85665, -0.51381, -0.48890, -0.49287]),
        ("t1_to_ct", "discriminator", [0.77105, 0.36764, 0.50388, 0.56370, 0.43535]),
        ("t1_to_t2", "weights", [0.13810, 0.02350, 1.23351, -0.15288, -0.24325]),
        ("t1_to_t2", "discriminator", [0.67657, -0.66589, -0.29708, 0.68216, -0.06737]),
    ],
)
def test_shipped_weights_keep_their_answers(model, file, expected):
    """The numbers of the versions that are shipped: changes of the layers must not change what is already trained."""
    package = load_package(model)
    wave = torch.linspace(-1, 1, 96)
    picture = torch.sin(7 * wave)[:, None] * torch.cos(5 * wave)
    judge = file == "discriminator"
    network = package.discriminator() if judge else package.generator()
    with torch.inference_mode():
        answer = network(picture.expand(1, package.card.grid.context + judge, -1, -1)).flatten()
    torch.testing.assert_close(answer[:: len(answer) // 5][:5], torch.tensor(expected), rtol=0, atol=1e-4)


def test_the_patchgan_of_three_layers_sees_70_pixels():
    network = networks.build("patchgan", {"in_channels": 2, "width": 4, "norm": "none"})
    image = torch.zeros(1, 2, 256, 256, requires_grad=True)
    logits = network(image)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize("name", SMALL)
def test_a_slice_does_not_depend_on_its_batch(name):
    """The fault of batch statistics at test time (pix2pix and its followers)."""
    torch.manual_seed(1)
    network = networks.build(name, SMALL[name]).eval()
    channels = 2 if name == "patchgan" else 1
    slices = torch.randn(3, channels, 48, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(slices)[1:2], network(slices[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_grad_cam_finds_its_layer_and_no_activation_is_in_place(name):
    network = networks.build(name, SMALL[name])
    assert isinstance(network.get_submodule(network.explain_layer), nn.Module)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_takes_part(name):
    network = networks.build(name, SMALL[name] | {"norm": "instance"})
    network(torch.randn(2, 2 if name == "patchgan" else 1, 48, 48)).square().mean().backward()
    idle = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert idle == []


def test_the_paper_sizes():
    """Parameters in millions as published or as computed for the references."""
    with torch.device("meta"):
        count = {
            name: sum(p.numel() for p in networks.build(name, {}).parameters()) / 1e6
            for name in ("resnet9", "patchgan")
        }
    assert count["resnet9"] == pytest.approx(11.4, abs=0.1)
    assert count["patchgan"] == pytest.approx(2.8, abs=0.1)


def test_the_published_generator_goes_up_by_transposed_convolutions():
    network = networks.build("residual_unet", SMALL["residual_unet"] | {"up": "transposed"})
    kinds = [[type(layer) for layer in block] for block in network.up]
    assert kinds == [[nn.ConvTranspose2d, nn.GroupNorm, nn.ReLU]] * 3
    assert network(torch.randn(1, 1, 32, 48)).shape == (1, 1, 32, 48)
    deep = networks.build("residual_unet", {"channels": [4, 8], "blocks": 1, "up": "transposed", "dimensions": 3})
    assert deep(torch.randn(1, 1, 8, 8, 16)).shape == (1, 1, 8, 8, 16)
    plain = networks.build("residual_unet", SMALL["residual_unet"])
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in plain.modules())


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("pix2pix_unt", {}, 'did you mean "pix2pix_unet"'),
        ("os.system", {}, "There is no network"),
        ("resnet9", {"widht": 8}, 'no parameter "widht"'),
        ("resnet9", {"width": "64"}, 'parameter "width"'),
        ("resnet9", {"width": 10**9}, 'parameter "width"'),
        ("resnet9", {"width": -4}, 'parameter "width"'),
        ("resnet9", {"width": True}, 'parameter "width"'),
        ("resnet9", {"norm": "layer"}, "norm must be one of"),
        ("residual_unet", {"up": "shuffle"}, "up must be resize or transposed"),
        ("resnet9", {"dimensions": 4}, "dimensions must be 2 or 3"),
        ("resnet9", {"width": 4096, "blocks": 64}, "more than 500,000,000"),
        ("pix2pix_unet", {"channels": []}, 'parameter "channels"'),
        ("pix2pix_unet", {"channels": [4096] * 12}, "more than 500,000,000"),
    ],
)
def test_bad_names_and_parameters(name, parameters, says):
    with pytest.raises(PackageError, match=says):
        networks.build(name, parameters)


EXPLAINED = [
    ("pix2pix_unet", {"channels": [4, 4, 4]}, [(1, 64, 64)], 32),
    ("pix2pix_unet", {"channels": [4]}, [(1, 64, 64)], 64),
    ("residual_unet", {"channels": [4, 4, 4]}, [(1, 64, 64)], 32),
    ("attention_unet", {"channels": [4, 4, 4]}, [(1, 64, 64)], 64),
    ("resnet9", {"width": 4, "blocks": 1}, [(1, 64, 64)], 16),
    ("patchgan", {"width": 4}, [(2, 64, 64)], 7),
    ("dcgan_discriminator", {"width": 4, "size": 64}, [(1, 64, 64)], 16),
    ("dcgan_discriminator", {"width": 4, "size": 16}, [(1, 16, 16)], 8),
    ("dcgan_generator", {"width": 4, "size": 64, "latent": 4}, [(4,)], 16),
    ("report_discriminator", {"width": 4, "size": 128, "features": 4}, [(1, 128, 128), (4,)], 16),
    ("report_discriminator", {"width": 4, "size": 32, "features": 4}, [(1, 32, 32), (4,)], 8),
    ("report_generator", {"width": 4, "size": 64, "features": 4, "latent": 4}, [(4,), (4,)], 16),
    ("densenet121", {"width": 4, "growth": 4, "blocks": [1, 1, 1]}, [(1, 64, 64)], 4),
    ("resnet_classifier", {"channels": [4, 4, 4]}, [(1, 64, 64)], 4),
]


@pytest.mark.parametrize(("name", "parameters", "shapes", "resolution"), EXPLAINED)
def test_the_layer_that_is_explained_follows_the_documented_rule(name, parameters, shapes, resolution) -> None:
    network, kept = networks.build(name, parameters).eval(), []
    network.get_submodule(network.explain_layer).register_forward_hook(lambda module, inputs, y: kept.append(y))
    network(*(torch.zeros(1, *shape) for shape in shapes))
    assert kept[0].shape[2:] == (resolution, resolution)
    assert {row[0] for row in EXPLAINED} == set(networks.names())
    assert name in networks.__doc__
