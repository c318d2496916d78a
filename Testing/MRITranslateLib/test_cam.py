"""Class activation maps: the library's own, unscaled, in the right place, and nothing left behind in the network."""

import gc
import weakref

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import nn

from MRITranslateLib import cam, networks
from MRITranslateLib.errors import InputError
from MRITranslateLib.layout import Layout, enlarge


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def generator() -> nn.Module:
    return networks.build("attention_unet", {"channels": [4, 8, 8]}).eval()


def raw_maps(
    network: nn.Module, layer: str | None, method: str, inputs: torch.Tensor, scores: list[cam.Score]
) -> np.ndarray:
    return cam.ActivationMaps(network, layer, method, tuple(inputs.shape[1:]))(inputs, scores).values[:, 0]


def mean(output: torch.Tensor) -> torch.Tensor:
    return output[..., 4:9, 10:20].mean()


@pytest.mark.parametrize("method", [method for method in cam.METHODS if not method.startswith("eigen")])
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


@pytest.mark.parametrize("method", ["eigencam", "eigengradcam"])
def test_principal_components_are_the_librarys_up_to_sign(method: str) -> None:
    network, inputs = generator(), torch.randn(2, 1, 32, 32)
    raw = raw_maps(network, "decoder.0", method, inputs, [mean] * 2)
    features: list[torch.Tensor] = []
    hook = network.get_submodule("decoder.0").register_forward_hook(lambda m, i, o: features.append(o))
    answer = network(inputs)
    hook.remove()
    kept = features[0]
    if method == "eigengradcam":
        kept = kept * torch.autograd.grad(sum(mean(one) for one in answer), kept)[0]
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    for ours, theirs, place in zip(raw, get_2d_projection(kept.detach().numpy()), kept.detach().numpy(), strict=True):
        if method == "eigengradcam":
            sign = np.sign((theirs * place.sum(axis=0)).sum())
        else:
            sign = 1 if theirs.max() > -theirs.min() else -1
        expected = enlarge(np.maximum(sign * theirs, 0)[None], (32, 32), Layout((2.0, 2.0), (0.0, 0.0)))[0]
        np.testing.assert_allclose(ours, expected, atol=1e-4 * expected.max())
        assert ours.max() > 0


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


def test_several_layers_each_have_their_map() -> None:
    """In any order, also where one lies before the other: the gradient reaches the first through the second."""
    network, inputs = generator(), torch.randn(2, 1, 32, 48)
    names = ["decoder.1", "encoder.1", "decoder.0"]
    for method in cam.METHODS:
        together = cam.ActivationMaps(network, names, method, (1, 32, 48))(inputs, [mean] * 2)
        assert together.values.shape == (2, 3, 32, 48)
        for number, name in enumerate(names):
            alone = raw_maps(network, name, method, inputs, [mean] * 2)
            np.testing.assert_allclose(together.values[:, number], alone, atol=1e-4 * np.abs(alone).max())
    expected = [float(mean(network(one[None])[0]).detach()) for one in inputs]
    np.testing.assert_allclose(together.scores, expected, rtol=1e-4, atol=1e-6)
    for wrong in ((), ["decoder.1", "nonsense"]):
        with pytest.raises(InputError, match="layer"):
            cam.ActivationMaps(network, wrong, "gradcam", (1, 32, 48))


@pytest.mark.parametrize("method", cam.METHODS)
def test_only_a_signed_method_shows_what_lowers_the_target(method: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)).eval()
    for layer, weight in zip(network, (1.0, -1.0), strict=True):
        nn.init.constant_(layer.weight, weight)
        nn.init.zeros_(layer.bias)
    inputs = torch.zeros(1, 1, 8, 8)
    inputs[0, 0, 2, 3], inputs[0, 0, 6, 6] = 3, -1  # with a negative gradient: the first lowers, the second raises
    found = raw_maps(network, "0", method, inputs, [lambda y: y.sum()])[0]
    assert (found[2, 3] < 0) == (method in cam.SIGNED)
    assert found.min() >= 0 or method in cam.SIGNED


@pytest.mark.parametrize("method", cam.METHODS)
def test_a_network_that_ignores_a_layer_has_no_map_of_it(method: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)).eval()
    nn.init.zeros_(network[1].weight)
    assert not raw_maps(network, "0", method, torch.randn(2, 1, 8, 8), [mean_all] * 2).any()


def mean_all(output: torch.Tensor) -> torch.Tensor:
    return output.mean()


def test_a_second_argument_and_a_graph_that_is_freed() -> None:
    network = networks.build("report_discriminator", {"features": 8, "size": 32, "width": 4, "text_width": 8}).eval()
    report, picture = torch.randn(8), torch.randn(3, 1, 32, 32)
    maps = cam.ActivationMaps(network, None, "hirescam", (1, 32, 32), report)
    found = maps(picture, [lambda logits: logits[1]] * 3)
    assert maps.layers == [network.explain_layer]
    np.testing.assert_allclose(found.scores, network(picture, report.expand(3, -1))[:, 1].detach(), rtol=1e-4)
    other = cam.ActivationMaps(network, None, "hirescam", (1, 32, 32), -report)(picture, [lambda logits: logits[1]] * 3)
    assert np.abs(found.values - other.values).max() > 0
    gc.disable()
    try:
        graphs: list[weakref.ref[torch.Tensor]] = []
        maps(picture, [lambda logits: graphs.append(weakref.ref(logits)) or logits[1]] * 3)
        assert all(graph() is None for graph in graphs)
    finally:
        gc.enable()
