"""What can be explained of which package: classes, realism and match, with networks whose true attribution is known."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib import explainer
from MRITranslateLib.cam import METHODS, SIGNED
from MRITranslateLib.errors import InputError, PackageError
from MRITranslateLib.explain import explain
from MRITranslateLib.package import Package
from MRITranslateLib.pictures import PictureStack
from MRITranslateLib.text import load_text_encoder
from Testing.MRITranslateLib.packages import language_model, tiny_package
from Testing.MRITranslateLib.test_pictures import volume

SHAPE = (3, 45, 61)
BRIGHT, DARK = np.s_[:, 10:18, 40:48], np.s_[:, 30:38, 12:20]
NEAR_BRIGHT, NEAR_DARK = np.s_[:, 7:21, 37:51], np.s_[:, 27:41, 9:23]
"""A picture's pixel is almost two of the image's, a feature two of those."""
REPORT = "Heart normal. Small effusion on the left."


class Finder(nn.Module):
    """Its first logit rises with what is bright, its second with what is dark, wherever it lies; one feature for each
    2 x 2 pixels. What is dark is the weaker feature. With a report the second logit is multiplied by the length of
    its features."""

    explain_layer = "features"

    def __init__(self, logits: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 2, 2), nn.ReLU())
        with torch.no_grad():
            self.features[0].weight[0], self.features[0].weight[1] = 0.25, -0.02
            self.features[0].bias.copy_(torch.tensor([-0.5, -0.04]))
        self.logits, self.gain = logits, gain

    def forward(self, x: torch.Tensor, report: torch.Tensor | None = None) -> torch.Tensor:
        means = self.gain * self.features(x).mean((2, 3))
        if report is not None:
            means = torch.stack([means[:, 0], report.norm(dim=1) * means[:, 1]], dim=1)
        return means[:, : self.logits]


class Maker(nn.Module):
    """A dark disc on grey, whose place the first two random numbers say."""

    latent = 2

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.seen = size, []

    def forward(self, noise: torch.Tensor, report: torch.Tensor | None = None) -> torch.Tensor:
        self.seen.append(report)
        axis = torch.arange(self.size)
        rows, columns = ((torch.tanh(noise) * 0.2 + 0.5) * self.size).T[:, :, None, None]
        inside = (axis[:, None] - rows) ** 2 + (axis - columns) ** 2 < (self.size / 6) ** 2
        return torch.where(inside, 0.9, 0.0)[:, None]


class Known(Package):
    """A real package whose networks were exchanged for ones with known behaviour."""

    def __init__(self, folder: Path, network: nn.Module, maker: nn.Module | None = None) -> None:
        super().__init__(folder)
        self._known, self._maker = network.eval(), maker

    def classifier(self, device: str | torch.device = "cpu") -> nn.Module:
        return self._known

    def discriminator(self, device: str | torch.device = "cpu") -> nn.Module:
        return self._known

    def generator(self, device: str | torch.device = "cpu") -> nn.Module:
        assert self._maker is not None
        return self._maker


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(task: str) -> Path:
        if task not in made:
            place = tmp_path_factory.mktemp(task)
            extra = language_model(place / "text") if task == "radiograph" else None
            made[task] = tiny_package(place / "tiny", task=task, extra_files=extra)
        return made[task]

    return folder


def scan(direction: np.ndarray | None = None) -> sitk.Image:
    """Grey with a faint texture, a bright spot and a dark one."""
    array = 50 + np.random.default_rng(1).random(SHAPE)
    array[BRIGHT], array[DARK] = 100, 0
    return volume(array, (0.9, 1.1, 4.0), direction)


def mass(image: sitk.Image, where: Any) -> float:
    heat = sitk.GetArrayFromImage(image)
    return float(heat[where].sum() / heat.sum())


CLASSES: dict[str, Any] = {"classes": ["bright", "dark"], "multi_label": False}
"""Of the card; the exchanged network makes one logit for each."""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = {"name": "resnet_classifier", "parameters": {"classes": 2, "channels": [4, 8], "norm": "group"}}
    return tiny_package(tmp_path_factory.mktemp("c") / "tiny", task="classification", network=network, **CLASSES)


# -- classes


@pytest.mark.parametrize("direction", [None, np.diag([-1.0, -1.0, 1.0])])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_a_class_was_told_by(method: str, direction: np.ndarray | None, classes: Path) -> None:
    image = scan(direction)
    made = explain(image, Known(classes, Finder()), mt.ClassScore("bright"), method, device="cpu")
    assert made.heatmap.GetSize() == image.GetSize()
    assert made.heatmap.GetDirection() == image.GetDirection()
    assert mass(made.heatmap, NEAR_BRIGHT) > (0.8 if method == "eigencam" else 0.97)
    assert sitk.GetArrayFromImage(made.heatmap).max() == pytest.approx(1, abs=0.01)
    assert made.provenance["explained"] == "class bright"
    if method != "eigencam":  # which does not ask for the class
        dark = explain(image, Known(classes, Finder()), mt.ClassScore("dark"), method, device="cpu")
        heat = sitk.GetArrayFromImage(dark.heatmap)
        heat[:, :2], heat[:, -2:] = 0, 0  # beyond the border the picture is padded with black
        assert heat[NEAR_DARK].sum() > 0.9 * heat.sum()


def test_the_score_is_the_mean_logit(classes: Path) -> None:
    image, package = scan(), Known(classes, Finder())
    made = explain(image, package, mt.ClassScore("bright"), "hirescam", device="cpu")
    pictures = torch.from_numpy(PictureStack(image, 32).pictures)[:, None]
    with torch.no_grad():
        logits = package.classifier()(pictures)[:, 0]
    assert float(made.provenance["score"]) == pytest.approx(float(logits.mean()), rel=1e-3)
    one = explain(image[:, :, 1:2], package, mt.ClassScore("bright"), device="cpu")
    assert float(one.provenance["score"]) == pytest.approx(float(logits[1]), rel=1e-3)


def test_batches_of_pictures_change_nothing_nor_the_package(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, image = Package(classes), scan()
    network = package.classifier()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    maps = []
    for size in (1, 3):
        monkeypatch.setitem(explainer._BATCH, "cpu", size)
        made = explain(image, package, mt.ClassScore("dark"), "hirescam", ["stages.0", "stages.1"], device="cpu")
        maps.append(sitk.GetArrayFromImage(made.raw))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4 * np.abs(maps[0]).max())
    assert made.provenance["layer"] == "stages.0, stages.1"
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module.training or module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_layers_count_alike_when_they_are_averaged(classes: Path) -> None:
    """However large one's values are; and the sign stays."""
    package, image, target = Package(classes), scan(), mt.ClassScore("dark")
    alone = [
        sitk.GetArrayFromImage(explain(image, package, target, "hirescam", layer, device="cpu").raw)
        for layer in ("stages.0", "stages.1")
    ]
    both = explain(image, package, target, "hirescam", ("stages.0", "stages.1"), device="cpu")
    expected = sum(one / np.abs(one).max() for one in alone) / 2
    found = sitk.GetArrayFromImage(both.raw)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
    assert found.min() < 0
    assert np.abs(found).max() <= 1.001


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_networks_map_is_refused(method: str, classes: Path, folders: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="flat"):
        explain(scan(), Known(classes, Finder(gain=0.0)), mt.ClassScore("bright"), method, device="cpu")
    blind = Finder()
    nn.init.zeros_(blind.features[0].weight)
    nn.init.ones_(blind.features[0].bias)
    with pytest.raises(InputError, match="flat"):
        explain(scan(), Known(folders("generation"), blind, Maker(16)), mt.Realism(), method, device="cpu")


def test_a_right_map_passes_the_checks(classes: Path) -> None:
    made = explain(scan(), Known(classes, Finder()), mt.ClassScore("bright"), "hirescam", device="cpu", check=True)
    assert made.faithfulness is not None
    assert made.faithfulness.areas["gap"] > made.faithfulness.areas["gap chance"]
    assert made.faithfulness.areas["gap"] > made.faithfulness.areas["gap centre"]
    assert made.faithfulness.sentence


# -- realism and match


@pytest.mark.parametrize("method", METHODS)
def test_generated_pictures_beside_the_real_one(method: str, folders: Callable[[str], Path]) -> None:
    package, image = Known(folders("generation"), Finder(1), Maker(16)), scan()
    made = explain(image, package, mt.Realism(seed=3), method, device="cpu")
    assert mass(made.heatmap, np.s_[:, 4:24, 34:54]) > 0.75
    assert made.beside is not None
    assert made.beside.image.GetSize() == made.beside.heatmap.GetSize() == (16, 16, 3)
    assert made.beside.image.GetSpacing()[:2] == (8, 8)
    picture, heat = (sitk.GetArrayFromImage(part) for part in (made.beside.image, made.beside.heatmap))
    near = sitk.GetArrayFromImage(sitk.BinaryDilate(made.beside.image > 0.5, (2, 2, 0))) > 0
    assert heat[near].sum() > 0.75 * heat.sum()
    assert made.beside.title == "synthetic T1-weighted MRI"
    raw = [sitk.GetArrayFromImage(part).max() for part in (made.raw, made.beside.raw)]
    tops = [sitk.GetArrayFromImage(part).max() for part in (made.heatmap, made.beside.heatmap)]
    assert max(tops) == 1
    assert tops[0] / tops[1] == pytest.approx(raw[0] / raw[1], rel=1e-3)  # one scale
    assert float(made.provenance["score_beside"]) == pytest.approx(made.beside.score, rel=1e-3)
    again, other = (explain(image, package, mt.Realism(seed=seed), method, device="cpu").beside for seed in (3, 4))
    assert np.array_equal(sitk.GetArrayFromImage(again.image), picture)
    assert not np.array_equal(sitk.GetArrayFromImage(other.image), picture)


def test_a_radiograph_is_judged_with_its_report(folders: Callable[[str], Path]) -> None:
    package = Known(folders("radiograph"), Finder(), Maker(16))
    image = scan()[:, :, 1:2]
    realism = explain(image, package, mt.Realism(report=REPORT), "hirescam", device="cpu")
    match = explain(image, package, mt.Match(REPORT), "hirescam", device="cpu")
    assert [made.provenance["explained"] for made in (realism, match)] == ["realism", "match with the report"]
    features = load_text_encoder(package.text_folder()).encode([REPORT]).values
    seen = package.generator().seen
    assert all(np.allclose(one[0].numpy(), features[0], atol=1e-6) for one in seen)
    raw = sitk.GetArrayFromImage(match.raw)
    assert raw[0, 33:35, 15:17].min() > 0.5 * raw.max()
    assert mass(realism.heatmap, np.s_[0, 4:24, 34:54]) > 0.9
    assert abs(raw[0, 12:16, 42:46]).max() < 0.05 * abs(raw).max()
    with torch.no_grad():
        picture = torch.from_numpy(PictureStack(image, 16).pictures)[:, None]
        expected = float(package.discriminator()(picture, torch.from_numpy(features))[0, 1])
    assert float(match.provenance["score"]) == pytest.approx(expected, rel=1e-3)
    long = explain(image, package, mt.Match("effusion and nodule " * 300), device="cpu")
    assert any("the end was left out" in warning for warning in long.warnings)


def test_real_networks_of_every_kind(folders: Callable[[str], Path]) -> None:
    asked = {
        "generation": [mt.Realism()],
        "radiograph": [mt.Realism(report=REPORT), mt.Match(REPORT)],
        "classification": [mt.ClassScore("nodule")],
    }
    made = 0
    for task, targets in asked.items():
        package = Package(folders(task))
        for target, method in product(targets, METHODS):
            try:
                found = explain(scan(), package, target, method, device="cpu")
            except InputError:  # of random weights there may be no place that raises a logit
                continue
            made += 1
            heat = sitk.GetArrayFromImage(found.heatmap)
            assert 0 <= heat.min() <= heat.max() <= 1
            assert (sitk.GetArrayFromImage(found.raw).min() < 0) <= (method in SIGNED)
            assert (found.beside is not None) == (task != "classification")
            assert found.provenance["model"] == package.card.name
    assert made > 2 * 4 * len(METHODS) / 3


def test_a_real_image_beside_the_synthetic_one(folders: Callable[[str], Path]) -> None:
    package = Package(folders("translation"))
    image = scan()
    truth = sitk.Cast(150 - image, sitk.sitkFloat32)
    told: list[float] = []
    made = explain(image, package, mt.Realism(truth), device="cpu", progress=lambda fraction, *_: told.append(fraction))
    alone = explain(image, package, mt.Realism(), device="cpu")
    assert alone.beside is None
    assert made.beside is not None
    assert made.beside.heatmap.GetSize() == image.GetSize()
    assert np.array_equal(sitk.GetArrayFromImage(made.raw), sitk.GetArrayFromImage(alone.raw))
    assert not np.array_equal(sitk.GetArrayFromImage(made.raw), sitk.GetArrayFromImage(made.beside.raw))
    assert max(sitk.GetArrayFromImage(part).max() for part in (made.heatmap, made.beside.heatmap)) == 1
    assert told == sorted(told)
    assert told[-1] == 1


# -- what cannot be asked


def test_a_classifier_of_mri_is_not_asked_about_a_ct(classes: Path) -> None:
    package = Known(classes, Finder())
    package.card = package.card.model_copy(update={"source": "T1"})
    head = mt.phantom(seed=1, shape=(24, 48, 48), spacing=(5, 5, 6))
    with pytest.raises(InputError, match="looks like a CT"):
        explain(head.ct, package, mt.ClassScore("bright"), device="cpu")
    assert not explain(head.t1, package, mt.ClassScore("bright"), device="cpu").warnings[1:]
    assert any("T2" in text for text in explain(head.t2, package, mt.ClassScore("dark"), device="cpu").warnings)


def test_what_a_package_cannot_answer_is_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    image = scan()
    voxel, region = mt.Voxel(1, 1, 1), mt.Region(sitk.Cast(image > 60, sitk.sitkUInt8))
    for task, target, words in (
        ("classification", mt.ClassScore("nodules"), r'knows no class "nodules"; use one such as nodule'),
        ("classification", mt.Realism(), "model for classification; of it ClassScore can be explained, not Realism"),
        ("classification", region, "ClassScore can be explained, not Region"),
        ("generation", voxel, "of it Realism can be explained, not Voxel"),
        ("generation", mt.Realism(report=REPORT), "reads no reports"),
        ("generation", mt.Realism(reference=image), "leave the reference out"),
        ("radiograph", mt.Realism(), "give the report"),
        ("radiograph", mt.Match("  "), "report is empty"),
        ("radiograph", mt.ClassScore("nodule"), "Realism or Match can be explained"),
        ("translation", mt.ClassScore("nodule"), "Region, Voxel, Error or Realism can be explained"),
        ("translation", mt.Realism(reference=image[:, :, :2]), "does not lie on the input's grid"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            explain(image, Package(folders(task)), target, device="cpu")
        assert str(caught.value).endswith(".")
    blind = Package(tiny_package(tmp_path / "tiny", task="generation", discriminator=None))
    with pytest.raises(PackageError, match="no discriminator"):
        explain(image, blind, mt.Realism(), device="cpu")
