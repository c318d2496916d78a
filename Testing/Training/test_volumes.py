"""Training on volumes: the same recipes, chosen by the configuration's grid alone."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MRITranslateLib as mt
from Training.config.attention_unet import AttentionUNetConfig
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.validation import translate_prepared

GRID = "{dimensions: 3, spacing_mm: [4, 4], slice_spacing_mm: 10, patch: [8, 16, 24], size_multiple: 8}"
VOLUMES = ["--grid", GRID, "--network.parameters.dimensions", "3", "--network.parameters.in_channels", "1"]
JUDGE = ["--discriminator.parameters.dimensions", "3", "--discriminator.parameters.in_channels", "2"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def error(run) -> float:
    """Mean absolute error in the patient, over that of the best answer that is the same everywhere."""
    pair = run.data.train[0]
    output = translate_prepared(run.session.exportable("generator"), pair.source, run.card, torch.device("cpu"))
    inside = pair.target > -0.9
    truth = pair.target[inside].astype(np.float32)
    return float(np.abs(output[inside] - truth).mean() / np.abs(np.median(truth) - truth).mean())


def test_pix2pix_learns_on_windows_of_volumes(config_file, subjects):
    from Training.pix2pix import export, fit, setup

    few = ["--epochs", "20", "--learning_rate", "0.004", "--validate_every", "20"]
    run = setup(load_config(Pix2PixConfig, config_file, [*VOLUMES, *JUDGE, *few]))
    source, _ = run.data.samples[0]
    assert source.shape == (1, 8, 16, 24)
    assert error(run) > 1.1
    fit(run)
    assert error(run) < 0.95
    (folder,) = export(run)
    package = mt.load_package(folder)
    assert package.card.grid.patch == (8, 16, 24)
    image = sitk.ReadImage(str(subjects / "ms_a" / "t1.nii.gz"))
    assert mt.translate(image, package, "cpu").image.GetSize() == image.GetSize()
    assert mt.explain(image, package, mt.Realism(), device="cpu").heatmap.GetSize() == image.GetSize()


def test_deep_supervision_works_on_volumes(config_file):
    from Training.attention_unet import fit, setup

    text = config_file.read_text(encoding="utf-8")
    kept = [
        line
        for line in text.splitlines()
        if not line.startswith(("discriminator", "loss", "network", "  name: pix", "  parameters"))
    ]
    kept.append(
        "network: {name: attention_unet, parameters: {channels: [8, 8, 8], norm: none, output: linear, scales: 2}}"
    )
    config_file.write_text("\n".join(kept))
    # Enough steps that any seed learns: with few of them the rounding of another processor decides.
    few = ["--epochs", "80", "--learning_rate", "0.004", "--validate_every", "80"]
    run = setup(load_config(AttentionUNetConfig, config_file, [*VOLUMES, *few]))
    assert error(run) > 1.1
    fit(run)
    assert error(run) < 0.95
