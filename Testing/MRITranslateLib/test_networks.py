"""Every architecture: shapes, registry, no in-place activation, one slice's result independent of its batch."""

import pytest
import torch
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.errors import PackageError

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
    assert networks.names() == ["attention_unet", "patchgan", "pix2pix_unet", "residual_unet", "resnet9"]
    with torch.device("meta"):
        count = {
            name: sum(p.numel() for p in networks.build(name, {}).parameters()) / 1e6
            for name in ("resnet9", "patchgan")
        }
    assert count["resnet9"] == pytest.approx(11.4, abs=0.1)
    assert count["patchgan"] == pytest.approx(2.8, abs=0.1)


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
        ("resnet9", {"width": 4096, "blocks": 64}, "more than 500,000,000"),
        ("pix2pix_unet", {"channels": []}, 'parameter "channels"'),
        ("pix2pix_unet", {"channels": [4096] * 12}, "more than 500,000,000"),
    ],
)
def test_bad_names_and_parameters(name, parameters, says):
    with pytest.raises(PackageError, match=says):
        networks.build(name, parameters)
