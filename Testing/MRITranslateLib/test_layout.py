"""Where a feature is drawn: in the middle of the pixels that it depends on."""

import numpy as np
import pytest
import torch

from MRITranslateLib import networks
from MRITranslateLib.layout import Layout, enlarge, find_layout


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_enlarging_keeps_a_ramp_in_place(stride: int) -> None:
    rows = np.arange(64, dtype=np.float32)
    image = np.broadcast_to(rows[:, None], (64, 64))
    small = image.reshape(64 // stride, stride, 64 // stride, stride).mean(axis=(1, 3))
    large = enlarge(small[None], (64, 64), Layout((float(stride),) * 2, (0.0, 0.0)))[0]
    inner = slice(stride, 64 - stride)
    np.testing.assert_allclose(large[inner], image[inner], atol=1e-3)


def test_enlarging_transposes_nothing() -> None:
    small = np.zeros((1, 4, 8), np.float32)
    small[0, 1, 6] = 1
    large = enlarge(small, (16, 32), Layout((4.0, 4.0), (0.0, 0.0)))[0]
    total = large.sum()
    assert (large.sum(axis=1) @ np.arange(16)) / total == pytest.approx(1 * 4 + 1.5, abs=1e-3)
    assert (large.sum(axis=0) @ np.arange(32)) / total == pytest.approx(6 * 4 + 1.5, abs=0.6)  # near the border


def test_maps_of_volumes_are_enlarged_along_all_three_axes() -> None:
    network = networks.build("patchgan", {"width": 2, "layers": 2, "dimensions": 3}).eval()
    layout = find_layout(network, network.get_submodule("layers.1"), (2, 32, 48, 64))
    assert layout == ((4, 4, 4), (0, 0, 0))
    small = np.zeros((1, 8, 12, 16), np.float32)
    small[0, 3, 4, 10] = 1
    large = enlarge(small, (32, 48, 64), layout)[0]
    for axis, feature in enumerate((3, 4, 10)):
        profile = large.sum(axis=tuple({0, 1, 2} - {axis}))
        assert (profile @ np.arange(len(profile))) / profile.sum() == pytest.approx(feature * 4 + 1.5, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "parameters", "layer"),
    [
        ("patchgan", {"width": 4}, "layers.3"),
        ("patchgan", {"width": 4}, "layers.1"),
        ("residual_unet", {"channels": [4, 4, 4]}, "down.2"),
        ("pix2pix_unet", {"channels": [4, 4, 4, 4]}, "encoder.2"),
        ("attention_unet", {"channels": [4, 4, 4]}, "encoder.2"),
        ("resnet9", {"width": 4, "blocks": 1}, "blocks.0"),
        ("dcgan_discriminator", {"size": 128, "width": 4}, "layers.2"),
        ("densenet121", {"width": 8, "growth": 4, "blocks": [1, 1, 1, 1]}, "relu"),
        ("resnet_classifier", {"channels": [4, 8, 8, 8]}, "stages.3"),
        ("resnet_classifier", {"channels": [4, 8, 8, 8]}, "stages.1"),
    ],
)
def test_a_feature_is_drawn_where_the_network_looked(name: str, parameters: dict[str, object], layer: str) -> None:
    """The centre of the input pixels that a feature depends on is the centre of its spot in the enlarged map.

    The shortcuts of a residual network look elsewhere than its convolutions, by a small part of a feature.
    """
    plain = name not in ("densenet121", "resnet_classifier")  # which have no choice, but no statistics of a batch here
    network = networks.build(name, {**parameters, "norm": "none"} if plain else parameters).eval()
    with torch.no_grad():  # all weights positive: the gradient shows the receptive field without cancellation
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    module = network.get_submodule(layer)
    size = {"dcgan_discriminator": (128, 128), "densenet121": (256, 256)}.get(name, (128, 192))
    image = torch.rand(1, 2 if name == "patchgan" else 1, *size, requires_grad=True)
    found: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda m, i, o: found.append(o))
    network(image)
    hook.remove()
    height, width = found[0].shape[2:]
    row, column = height // 2, width // 2 - 1
    found[0][0, :, row, column].sum().backward()
    field = image.grad.abs().sum(dim=(0, 1)).numpy()
    spot = np.zeros((1, height, width), np.float32)
    spot[0, row, column] = 1
    layout = find_layout(network, module, tuple(image.shape[1:]))
    drawn = enlarge(spot, size, layout)[0]
    for axis, extent in ((1, size[0]), (0, size[1])):
        looked = field.sum(axis=axis) @ np.arange(extent) / field.sum()
        shown = drawn.sum(axis=axis) @ np.arange(extent) / drawn.sum()
        assert abs(looked - shown) < (0.51 if plain else 0.12 * layout.stride[0])
