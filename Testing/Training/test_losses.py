"""The terms of the translators' loss: what each of them measures, and all of them together in a training."""

import pytest
import torch

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from Testing.MRITranslateLib.packages import tiny_package
from Training.config.load import load_config
from Training.config.pix2pix import LossConfig, Pix2PixConfig
from Training.losses import ReconstructionLoss, feature_matching
from Training.pix2pix import export, fit, setup

TERMS = ["--loss.l2", "0.5", "--loss.feature_matching", "2", "--loss.adversarial_from_epoch", "0"]


def test_absolute_and_squared_error_and_the_share_of_the_background() -> None:
    target = torch.tensor([[[[0.5, -1.0]]]])
    output = torch.tensor([[[[0.1, -0.8]]]])
    found = ReconstructionLoss(LossConfig(l1=2.0, l2=3.0, background=0.25))(output, target)
    assert float(found) == pytest.approx(2 * (0.4 + 0.25 * 0.2) / 2 + 3 * (0.16 + 0.25 * 0.04) / 2)
    assert ReconstructionLoss(LossConfig(l1=2.0, l2=3.0))(target, target) == 0


def test_feature_matching_is_the_mean_over_the_maps() -> None:
    ones = [torch.ones(1, 2, 4, 4, dtype=torch.bfloat16), torch.ones(1, 4, 2, 2)]
    assert feature_matching(ones, ones) == 0
    assert float(feature_matching(ones, [0 * ones[0], 3 * ones[1]])) == pytest.approx(1.5)


def test_a_training_with_all_terms_says_so_on_its_card(config_file, tmp_path) -> None:
    judge = tiny_package(tmp_path / "judge", task="classification", source="T2")
    terms = [*TERMS, "--loss.perceptual", "0.5", "--loss.perceptual_package", str(judge)]
    run = setup(load_config(Pix2PixConfig, config_file, [*terms, "--epochs", "2", "--output", str(tmp_path / "all")]))
    plain = setup(load_config(Pix2PixConfig, config_file, ["--epochs", "2", "--output", str(tmp_path / "plain")]))
    for one in (run, plain):
        fit(one)
    weights, others = run.generator.state_dict(), plain.generator.state_dict()
    assert all(value.isfinite().all() for value in weights.values())
    assert any(not value.equal(others[key]) for key, value in weights.items())
    assert run.perceptual is not None
    assert all(parameter.grad is None for parameter in run.perceptual.parameters())
    (folder,) = export(run)
    loss = mt.load_package(folder).card.training.loss
    for term in ("0.5 L2", "2 feature matching", "0.5 perceptual"):
        assert term in loss


def test_a_perceptual_term_needs_a_network(config_file) -> None:
    with pytest.raises(InputError, match=r"needs loss\.perceptual_package"):
        setup(load_config(Pix2PixConfig, config_file, ["--loss.perceptual", "1"]))
