"""The classifiers: shapes, published size, features that the logits are made of, maps for Grad-CAM."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet121 as MonaiDenseNet121
from torch import nn

from MRITranslateLib import networks
from MRITranslateLib.cam import ActivationMaps
from MRITranslateLib.errors import PackageError
from MRITranslateLib.layout import enlarge

SMALL = {
    "densenet121": {"width": 8, "growth": 4, "blocks": [2, 2, 2]},
    "resnet_classifier": {"channels": [4, 8, 8]},
}


@pytest.mark.parametrize("name", SMALL)
def test_features_embedding_and_logits_belong_together(name):
    network = networks.build(name, SMALL[name] | {"classes": 5}).eval()
    pictures = torch.randn(3, 1, 64, 48)
    with torch.inference_mode():
        features, embedding, logits = network.features(pictures), network.embedding(pictures), network(pictures)
        torch.testing.assert_close(network(pictures[1:2]), logits[1:2], rtol=1e-4, atol=1e-5)
    assert logits.shape == (3, 5)
    assert [tuple(level.shape[2:]) for level in features][:2] == [(32, 24), (16, 12)]
    assert [level.shape[2] for level in features] == sorted((level.shape[2] for level in features), reverse=True)
    torch.testing.assert_close(embedding, features[-1].mean((2, 3)))
    with torch.inference_mode():
        torch.testing.assert_close(network.head(embedding), logits)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_takes_part_and_nothing_works_in_place(name):
    network = networks.build(name, SMALL[name])
    network(torch.randn(2, 1, 48, 48)).square().mean().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert isinstance(network.get_submodule(network.explain_layer), nn.Module)


@pytest.mark.parametrize("name", SMALL)
def test_grad_cam_of_a_class_is_where_its_features_are(name):
    """With a mean and one linear layer on top, HiResCAM is exactly what each place adds to the logit."""
    network = networks.build(name, SMALL[name]).eval()
    pictures = torch.randn(2, 1, 48, 48)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    maps = ActivationMaps(network, None, "hirescam", (1, 48, 48))
    assert maps.layers == [network.explain_layer]
    answer = maps(pictures, [lambda logits: logits[1]] * 2).values[:, 0]
    assert answer.shape == (2, 48, 48)
    assert np.isfinite(answer).all()
    with torch.inference_mode():
        deepest = network.features(pictures)[-1]
        expected = torch.einsum("nchw,c->nhw", deepest, network.head.weight[1]) / deepest[0, 0].numel()
    np.testing.assert_allclose(answer, enlarge(expected.numpy(), (48, 48), maps.layouts[0]), rtol=1e-3, atol=1e-6)
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())


def test_densenet121_is_monais_and_fits_a_package():
    network = networks.build("densenet121", {"classes": 3}).eval()
    monai = MonaiDenseNet121(2, 1, 3).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) * 2 < 16 * 2**20
    monai.features.load_state_dict(network.body.state_dict())
    monai.class_layers.out.load_state_dict(network.head.state_dict())
    picture = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), monai(picture))


def test_group_normalisation_does_not_look_at_the_batch():
    network = networks.build("resnet_classifier", SMALL["resnet_classifier"] | {"norm": "group", "blocks": 2})
    pictures = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(network(pictures)[:1], network(pictures[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("resnet_classifier", {"norm": "instance"}, "norm must be batch or group"),
        ("resnet_classifier", {"blocks": 0}, "blocks must be"),
        ("resnet_classifier", {"blocks": 4096}, "blocks must be"),
        ("densenet121", {"blocks": [4096, 4096]}, "blocks has more than"),
        ("densenet121", {"classes": -1}, 'parameter "classes"'),
    ],
)
def test_absurd_parameters_are_refused(name, parameters, says):
    with pytest.raises(PackageError, match=says):
        networks.build(name, parameters)


def test_monai_is_imported_by_the_one_network_that_needs_it():
    """It takes most of a command's start otherwise."""
    code = (
        "import sys; from MRITranslateLib.networks import build; import MRITranslateLib.radiograph, "
        "MRITranslateLib.generate, MRITranslateLib.translate; build('dcgan_generator', {'size': 16}); "
        "assert 'monai' not in sys.modules; build('densenet121', {'blocks': [1, 1]}); assert 'monai' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
