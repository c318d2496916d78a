"""The attention U-Net recipe for real, on tiny volumes, supervised at several resolutions."""

import numpy as np
import pytest
import torch

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks.attention import AttentionUNet
from Training.attention_unet import export, fit, setup
from Training.config.attention_unet import AttentionUNetConfig
from Training.config.load import load_config
from Training.validation import translate_prepared


@pytest.fixture
def file(config_file):
    """The tiny configuration with an attention U-Net in place of the pix2pix networks."""
    lines = config_file.read_text(encoding="utf-8").splitlines()
    lines = [
        line
        for line in lines
        if not line.startswith(("discriminator", "loss", "network", "  name: pix2pix", "  parameters: {in"))
    ]
    lines += [
        "network:",
        "  name: attention_unet",
        "  parameters: {in_channels: 3, channels: [8, 8, 8], norm: none, output: linear, scales: 2}",
        "learning_rate: 0.005",
    ]
    config_file.write_text("\n".join(lines))
    return config_file


def test_it_learns_and_the_export_answers_as_the_trainer_did(file):
    run = setup(load_config(AttentionUNetConfig, file, ["--epochs", "60", "--validate_every", "60"]))

    def error() -> float:
        network = run.session.exportable("generator")
        output = translate_prepared(network, run.data.train[0].source, run.card, torch.device("cpu"))
        return float(np.abs(output - run.data.train[0].target).mean())

    before = error()
    coarse = run.network.coarse_heads[0][0].weight.detach().clone()
    fit(run)
    assert error() < 0.7 * before
    assert not run.network.coarse_heads[0][0].weight.equal(coarse)  # the coarser output learns too

    (folder,) = export(run)
    package = mt.load_package(folder)
    assert not package.has_discriminator
    source, cpu = run.data.train[0].source, torch.device("cpu")
    np.testing.assert_array_equal(
        translate_prepared(package.generator(), source, run.card, cpu),
        translate_prepared(run.session.exportable("generator"), source, run.card, cpu),
    )


def test_fine_tuning_leaves_frozen_layers_alone(file, tmp_path):
    first = setup(load_config(AttentionUNetConfig, file))
    fit(first)
    (folder,) = export(first)
    tuned = ["--init", str(folder), "--freeze", "[encoder, gates.0]", "--output", str(tmp_path / "tuned")]
    second = setup(load_config(AttentionUNetConfig, file, tuned))
    start = {key: value.clone() for key, value in second.network.state_dict().items()}
    fit(second)
    for key, value in second.network.state_dict().items():
        assert value.equal(start[key]) == key.startswith(("encoder.", "gates.0.")), key


def test_scales_give_outputs_of_halving_size():
    network = AttentionUNet(channels=(4, 8, 8, 8), scales=3)
    x = torch.rand(1, 1, 32, 32)
    sizes = [tuple(output.shape) for output in network.forward_scales(x)]
    assert sizes == [(1, 1, 32, 32), (1, 1, 16, 16), (1, 1, 8, 8)]
    assert network.forward_scales(x)[0].equal(network(x))


def test_another_network_is_refused(file):
    other = "{name: pix2pix_unet, parameters: {in_channels: 3, channels: [8, 8]}}"
    config = load_config(AttentionUNetConfig, file, ["--network", other])
    with pytest.raises(InputError, match=r"is an attention_unet"):
        setup(config)
