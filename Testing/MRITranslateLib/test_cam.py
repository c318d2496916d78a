"""Class activation maps: the library's own, unscaled, in the right place, and nothing left behind in the network."""

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import nn

from MRITranslateLib import cam, networks
from MRITranslateLib.errors import InputError


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def generator() -> nn.Module:
    return networks.build("attention_unet", {"channels": [4, 8, 8]}).eval()


def raw_maps(
    network: nn.Module, layer: str | None, method: str, inputs: torch.Tensor, scores: list[cam.Score]
) -> np.ndarray:
    _, channels, rows, columns = inputs.shape
    return cam.ActivationMaps(network, layer, method, (channels, rows, columns))(inputs, scores)


def mean(output: torch.Tensor) -> torch.Tensor:
    return output[..., 4:9, 10:20].mean()


@pytest.mark.parametrize("method", [method for method in cam.METHODS if method != "eigencam"])
def test_maps_are_the_librarys_without_its_scaling_per_slice(method: str) -> None:
    network, inputs = generator(), torch.randn(3, 1, 32, 48)
    raw = raw_maps(network, None, method, inputs, [mean] * 3)
    _, layer = cam.find_layer(network, None)
    theirs = getattr(pytorch_grad_cam, cam._METHODS[method].__name__)(network, [layer])
    theirs.compute_input_gradient = True
    expected = theirs(inputs, [mean] * 3)
    theirs.activations_and_grads.release()
    assert raw.shape == (3, 32, 48)
    np.testing.assert_allclose(scale_cam_image(np.maximum(raw, 0)), expected, atol=2e-4)


def test_eigencam_is_the_librarys_up_to_sign() -> None:
    network, inputs = generator(), torch.randn(2, 1, 32, 32)
    raw = raw_maps(network, "decoder.0", "eigencam", inputs, [mean] * 2)
    features: list[torch.Tensor] = []
    hook = network.get_submodule("decoder.0").register_forward_hook(lambda m, i, o: features.append(o.detach()))
    network(inputs)
    hook.remove()
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    theirs = get_2d_projection(features[0].numpy())
    for ours, other in zip(raw, theirs, strict=True):
        other = cam.enlarge(other[None], (32, 32), (2.0, 2.0))[0]
        sign = np.sign((ours * other).sum())
        np.testing.assert_allclose(ours, sign * other, atol=1e-4)
        assert ours.max() > -ours.min() * 0.5


@pytest.mark.parametrize("method", cam.METHODS)
def test_a_slices_map_does_not_depend_on_its_batch(method: str) -> None:
    network, inputs = generator(), torch.randn(4, 1, 32, 32)
    together = raw_maps(network, None, method, inputs, [mean] * 4)
    alone = np.concatenate([raw_maps(network, None, method, inputs[n : n + 1], [mean]) for n in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5 * np.abs(alone).max())


def test_the_network_is_left_as_it_was_found() -> None:
    network = generator().train()
    network.encoder[0].eval()
    next(network.parameters()).requires_grad_(False)
    network(torch.randn(1, 1, 32, 32)).mean().backward()
    flags = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in network.parameters()]

    def fails(output: torch.Tensor) -> torch.Tensor:
        raise KeyError("a fault in a score")

    raw_maps(network, None, "gradcam", torch.randn(2, 1, 32, 32), [mean] * 2)
    with pytest.raises(KeyError):
        raw_maps(network, None, "gradcam", torch.randn(2, 1, 32, 32), [fails] * 2)
    assert [module.training for module in network.modules()] == flags
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    for parameter, (flag, gradient) in zip(network.parameters(), gradients, strict=True):
        assert parameter.requires_grad == flag
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_it_works_inside_the_callers_inference_mode() -> None:
    network = generator()
    with torch.inference_mode():
        inputs = torch.randn(1, 1, 32, 32)
        maps = raw_maps(network, None, "gradcam", inputs, [mean])
        assert torch.is_inference_mode_enabled()
    assert np.abs(maps).max() > 0


def test_a_networks_layers_by_name() -> None:
    network = generator()
    assert cam.find_layer(network, None)[0] == "decoder.1"
    with pytest.raises(InputError, match=r"such as .*decoder\.1"):
        cam.find_layer(network, "decoder.11")
    for name in ("", "nonsense"):
        with pytest.raises(InputError, match="no layer"):
            cam.find_layer(network, name)
    with pytest.raises(InputError, match=r"did you mean gradcam\+\+"):
        cam.check_method("GradCAM++")
    with pytest.raises(InputError, match="gradcam, "):
        cam.check_method("scorecam")


class Odd(nn.Module):
    """Has one layer of each kind that has no map."""

    explain_layer = "used"

    def __init__(self) -> None:
        super().__init__()
        self.used, self.twice, self.aside = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Conv2d(1, 2, 1)
        self.flat, self.never = nn.Linear(2, 2), nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.aside(x)
        y = self.twice(self.twice(self.used(x)))
        return y.sum(dim=1, keepdim=True) + 0 * self.flat(y.mean(dim=(2, 3))).sum()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("twice", "several times"),
        ("aside", "does not influence"),
        ("flat", "no feature maps"),
        ("never", "does not run"),
    ],
)
def test_a_layer_without_a_map_is_refused(layer: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        raw_maps(Odd().eval(), layer, "gradcam", torch.randn(1, 1, 8, 8), [mean])


# -- where a feature lies


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_enlarging_keeps_a_ramp_in_place(stride: int) -> None:
    rows = np.arange(64, dtype=np.float32)
    image = np.broadcast_to(rows[:, None], (64, 64))
    small = image.reshape(64 // stride, stride, 64 // stride, stride).mean(axis=(1, 3))
    large = cam.enlarge(small[None], (64, 64), (float(stride), float(stride)))[0]
    inner = slice(stride, 64 - stride)
    np.testing.assert_allclose(large[inner], image[inner], atol=1e-3)


def test_enlarging_transposes_nothing() -> None:
    small = np.zeros((1, 4, 8), np.float32)
    small[0, 1, 6] = 1
    large = cam.enlarge(small, (16, 32), (4.0, 4.0))[0]
    total = large.sum()
    assert (large.sum(axis=1) @ np.arange(16)) / total == pytest.approx(1 * 4 + 1.5, abs=1e-3)
    assert (large.sum(axis=0) @ np.arange(32)) / total == pytest.approx(6 * 4 + 1.5, abs=0.6)  # near the border


def test_maps_of_volumes_are_enlarged_along_all_three_axes() -> None:
    network = networks.build("patchgan", {"width": 2, "layers": 2, "dimensions": 3}).eval()
    stride = cam._stride(network, network.get_submodule("layers.1"), (2, 32, 48, 64))
    assert stride == (4, 4, 4)
    small = np.zeros((1, 8, 12, 16), np.float32)
    small[0, 3, 4, 10] = 1
    large = cam.enlarge(small, (32, 48, 64), stride)[0]
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
    ],
)
def test_a_feature_is_drawn_where_the_network_looked(name: str, parameters: dict[str, object], layer: str) -> None:
    """The centre of the input pixels that a feature depends on is the centre of its spot in the enlarged map."""
    network = networks.build(name, {**parameters, "norm": "none"}).eval()
    with torch.no_grad():  # all weights positive: the gradient shows the receptive field without cancellation
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    module = network.get_submodule(layer)
    image = torch.rand(1, 2 if name == "patchgan" else 1, 128, 192, requires_grad=True)
    found: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda m, i, o: found.append(o))
    network(image)
    hook.remove()
    height, width = found[0].shape[2:]
    row, column = height // 2 + 1, width // 2 - 2
    found[0][0, :, row, column].sum().backward()
    field = image.grad.abs().sum(dim=(0, 1)).numpy()
    spot = np.zeros((1, height, width), np.float32)
    spot[0, row, column] = 1
    drawn = cam.enlarge(spot, (128, 192), cam._stride(network, module, (image.shape[1], 128, 192)))[0]
    for axis, extent in ((1, 128), (0, 192)):
        looked = field.sum(axis=axis) @ np.arange(extent) / field.sum()
        shown = drawn.sum(axis=axis) @ np.arange(extent) / drawn.sum()
        assert abs(looked - shown) < 0.51
