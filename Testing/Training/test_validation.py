"""Scores of a run: the evaluate command's own figures, Dice by hand, and pictures that show what was scored."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib import intensity
from MRITranslateLib.card import GridCard, IntensityCard, NormaliserCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.figure import main_scores
from MRITranslateLib.phantom import phantom
from MRITranslateLib.preparation import Preparation
from Testing.MRITranslateLib.packages import tiny_package
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.data.pairs import PreparedPair, prepare_pair
from Training.data.scans import Pair
from Training.translation import draft_card
from Training.validation import translate_prepared, validate

CPU = torch.device("cpu")


class Blurred(nn.Module):
    """The middle slice, blurred and with another contrast: an answer that is neither right nor hopeless."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x[:, x.shape[1] // 2][:, None]
        return 0.7 * nn.functional.avg_pool2d(middle, 3, 1, 1, count_include_pad=False) - 0.2


class Answer(nn.Module):
    """Gives what it was told to, slice by slice."""

    def __init__(self, volume: np.ndarray) -> None:
        super().__init__()
        self.volume, self.next = torch.from_numpy(volume.astype(np.float32)), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start, self.next = self.next, self.next + len(x)
        return self.volume[start : self.next][:, None]


def card_for(config_file, target="T2", **update):
    config = load_config(Pix2PixConfig, config_file, [])
    card = draft_card(config, "none", None)
    if target == "CT":
        window = NormaliserCard(name="window", parameters={"low": -1024.0, "high": 3071.0})
        update["intensity"] = IntensityCard(source=card.intensity.source, target=window)
    return card.model_copy(update={"target": target} | update)


@cache
def head():
    return phantom(seed=3, shape=(8, 48, 48), spacing=(4.0, 4.0, 16.0))


def prepared(card, subject="p1") -> PreparedPair:
    return prepare_pair(Pair(subject, head().t1, getattr(head(), card.target.lower())), card)


@pytest.mark.parametrize(("target", "kind"), [("T2", "MR"), ("CT", "CT")])
def test_the_figures_are_those_of_evaluate(config_file, target, kind):
    card = card_for(config_file, target)
    pair = prepared(card)
    output = translate_prepared(Blurred(), pair.source, card, CPU)
    back = intensity.unfitted(card.intensity.target)
    truth, made = (sitk.GetImageFromArray(back.invert(array)) for array in (pair.target, output))
    expected = main_scores(target, evaluate(truth, made, modality=kind).values)

    scores, _ = validate(Blurred(), [pair], card, CPU)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-5), name
        assert scores[f"{name} p1"] == scores[name]
    assert 0 < scores["ssim"] < 0.95


def test_dice_of_tissue_classes_by_hand(config_file):
    """A CT of 40 x 40: soft tissue with an air cell and a bone; the answer shifts the bone and loses the air."""
    card = card_for(config_file, "CT")
    truth = np.full((1, 48, 48), -1000.0)
    truth[0, 4:44, 4:44] = 40
    truth[0, 10:14, 10:14] = -900
    truth[0, 20:30, 20:30] = 800
    made = np.where(truth == 800, 40.0, truth)
    made[0, 20:30, 25:35] = 800
    made[0, 10:14, 10:14] = 40
    network_units = lambda values: ((values + 1024) / (4095 / 2) - 1).astype(np.float32)  # noqa: E731
    source = np.zeros((1, 48, 48), np.float16)
    pair = PreparedPair("p1", source, network_units(truth), np.array([0]), (1, 1, 1), (1, 1, 1), "p1")
    scores, _ = validate(Answer(network_units(made)), [pair], card, CPU)
    soft = 40 * 40 - 16 - 100
    assert scores["dice_air"] == 0.0
    assert scores["dice_bone"] == pytest.approx(2 * 50 / 200)
    assert scores["dice_soft"] == pytest.approx(2 * (soft - 50) / (soft + soft + 16))
    assert scores["dice"] == pytest.approx(np.mean([scores[f"dice_{name}"] for name in ("air", "soft", "bone")]))
    assert scores["mae"] == pytest.approx(100 * 760 / (40 * 40 - 16), rel=1e-3)

    narrow = NormaliserCard(name="window", parameters={"low": -160.0, "high": 240.0})
    card = card.model_copy(update={"intensity": IntensityCard(source=card.intensity.source, target=narrow)})
    soft_only = ((np.clip(truth, -160, 240) + 160) / 200 - 1).astype(np.float32)
    scores, _ = validate(Answer(soft_only), [dataclasses.replace(pair, target=soft_only)], card, CPU)
    assert scores["dice_soft"] == scores["dice_air"] == 1.0
    assert "dice_bone" not in scores  # the window ends below bone


def test_mr_tissue_is_told_apart_by_otsu_and_a_right_answer_scores_full(config_file):
    card = card_for(config_file)
    pair = prepared(card)
    scores, _ = validate(Answer(pair.target * 0.5 - 0.5), [pair], card, CPU)  # right but for the unit
    assert scores["psnr"] > 60
    assert scores["ssim"] == pytest.approx(1.0, abs=1e-3)
    assert {name for name in scores if name.startswith("dice_")} == {"dice_dark", "dice_middle", "dice_bright"}
    assert all(scores[name] > 0.99 for name in scores if name.startswith("dice"))
    worse, _ = validate(Blurred(), [pair], card, CPU)
    assert worse["dice"] < 0.9


def test_an_answer_of_one_value_or_nothing_is_scored_and_one_that_is_not_finite_named(config_file):
    card = card_for(config_file)
    pair = prepared(card)
    for value in (-1.0, 0.3):
        scores, samples = validate(Answer(np.full_like(pair.target, value)), [pair], card, CPU)
        assert np.isfinite(list(scores.values())).all()
        assert 0 < scores["psnr"] < 30
        assert all(np.isfinite(tile).all() for row in samples.tiles for tile in row)
    with pytest.raises(InputError, match="answer for p1 is not finite"):
        validate(Answer(np.full_like(pair.target, np.nan)), [pair], card, CPU)


def test_subjects_count_alike_however_many_examinations_they_have(config_file):
    card = card_for(config_file)
    easy = prepared(card, "easy")
    easy = dataclasses.replace(easy, target=easy.source)
    hard = [
        dataclasses.replace(easy, subject="hard", name=f"hard {shift}", target=np.roll(easy.target, shift + 1, axis=1))
        for shift in range(8)
    ]
    scores, samples = validate(Blurred(), [*hard, easy], card, CPU)
    singles = [validate(Blurred(), [pair], card, CPU)[0]["mae"] for pair in hard]
    assert scores["mae hard"] == pytest.approx(np.mean(singles))
    assert scores["mae"] == pytest.approx((scores["mae hard"] + scores["mae easy"]) / 2)
    assert list(samples.rows) == ["hard 0", "easy", "hard 1", "hard 2", "hard 3", "hard 4"]


def test_pictures_show_the_head_alone_in_one_scale(config_file):
    card = card_for(config_file)
    pair = prepared(card)
    _, samples = validate(Answer(pair.target), [pair], card, CPU)
    assert list(samples.columns) == ["T1, input", "T2, synthetic", "T2, truth", "difference, 0 to 50 %"]
    source, made, truth, difference = samples.tiles[0]
    assert source.shape == made.shape == truth.shape == difference.shape[:2]
    assert difference.shape[2] == 3
    np.testing.assert_allclose(made, truth, atol=1e-5)
    assert difference.max() < 0.05
    assert min(source.shape) < 48  # cut
    assert 0.8 < np.percentile(source, 99.5) <= 1.01


def test_the_exported_network_answers_as_the_engine_does_to_the_bit(config_file, tmp_path):
    """Neighbouring slices, and a volume with empty slices: they stay empty."""
    network = {"name": "resnet9", "parameters": {"width": 4, "blocks": 1, "in_channels": 3}}
    grid = {"plane": "axial", "spacing_mm": [4.0, 4.0], "context": 3, "size_multiple": 16}
    package = mt.load_package(tiny_package(tmp_path / "slices", network=network, grid=grid, discriminator=None))
    image = sitk.Image(head().t1)
    image[:, :, :3] = 0.0
    _same_answer(package, image)


def test_volumes_answer_as_the_engine_does_to_the_bit(config_file, tmp_path):
    network = {"name": "resnet9", "parameters": {"width": 4, "blocks": 1, "in_channels": 1, "dimensions": 3}}
    grid = {"dimensions": 3, "spacing_mm": [4.0, 4.0], "slice_spacing_mm": 8.0, "patch": [16, 16, 32]}
    grid |= {"size_multiple": 16}
    package = mt.load_package(tiny_package(tmp_path / "volumes", network=network, grid=grid, discriminator=None))
    _same_answer(package, head().t1)


def _same_answer(package, image: sitk.Image) -> None:
    preparation = Preparation(image, package.card)
    answer = translate_prepared(package.generator("cpu"), preparation.array, package.card, CPU)
    assert np.ptp(answer) > 0
    expected = sitk.GetArrayFromImage(mt.translate(image, package, device="cpu").image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(preparation.restore(answer)), expected)


def test_grids_of_volumes_are_scored_too(config_file):
    card = card_for(config_file)
    pair = prepared(card)
    grid = GridCard(dimensions=3, spacing_mm=(4.0, 4.0), slice_spacing_mm=16.0, patch=(8, 16, 16), size_multiple=8)

    class Shrunk(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.5 * x - 0.5

    card = card.model_copy(update={"grid": grid})
    scores, _ = validate(Shrunk(), [dataclasses.replace(pair, source=pair.target)], card, CPU)
    assert scores["psnr"] > 60
