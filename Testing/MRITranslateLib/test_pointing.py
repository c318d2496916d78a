"""The pointing game: the map of a lesion's class points at the lesion, that of a network with shuffled weights not."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import binary_fill_holes
from torch import nn
from torch.nn import functional

from MRITranslateLib import networks
from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.picture import prepare_picture
from Testing.benchmarks import pointing

DATA = Path(__file__).parents[3] / "shared" / "data" / "brain_tumour_jpg"
PACKAGE = os.environ.get("MRITRANSLATE_TUMOUR_PACKAGE", "")
SIZE, LAYER, STRIDE = 64, "stages.0", 4


def slices(seed: int, lesions: int) -> tuple[np.ndarray, np.ndarray]:
    """FLAIR slices of one head through the white matter, prepared, and the mask of the lesions."""
    head = phantom(seed, (7, SIZE, SIZE), lesions, spacing=(2.2, 2.2, 4.5), origin=(-69.3, -69.3, 2))
    pictures = [prepare_picture(picture, SIZE) for picture in sitk.GetArrayFromImage(head.flair)]
    return np.stack(pictures), sitk.GetArrayFromImage(head.lesions) > 0


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small classifier that tells slices with a lesion from slices without one: the same heads, with and without."""
    positive, negative = [], []
    for seed in range(6):
        pictures, masks = slices(seed, 12)
        positive.append(pictures[masks.sum(axis=(1, 2)) > 3])
        negative.append(slices(seed, 0)[0])
    data = [torch.from_numpy(np.concatenate(part)) for part in (negative, positive)]
    torch.manual_seed(0)
    network = networks.build("resnet_classifier", {"channels": [8, 16], "classes": 2})
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    labels = torch.tensor([0] * 8 + [1] * 8)
    for _ in range(250):
        batch = torch.cat([part[torch.randint(len(part), (8,))] for part in data])[:, None]
        shift = torch.randint(-6, 7, (2,)).tolist()
        batch = torch.roll(batch, shift, (2, 3)) * (0.8 + 0.4 * torch.rand(16, 1, 1, 1))
        loss = functional.cross_entropy(network(batch.flip(3) if torch.rand(()) < 0.5 else batch), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="module")
def unseen() -> pointing.Pictures:
    """Slices with lesions of other heads."""
    found = [slices(seed, 12) for seed in range(20, 24)]
    pictures, masks = (np.concatenate(part) for part in zip(*found, strict=True))
    chosen = masks.sum(axis=(1, 2)) > 3
    pictures, masks = pictures[chosen], masks[chosen]
    body = np.stack([binary_fill_holes(picture > -0.85) for picture in pictures])
    return pointing.Pictures(pictures, np.ones(len(pictures), dtype=int), masks, body)


@pytest.mark.parametrize("method", ["hirescam", "layercam"])
def test_the_map_points_at_lesions_and_the_twins_does_not(
    trained: nn.Module, unseen: pointing.Pictures, method: str
) -> None:
    rate = pointing.hits(trained, unseen, LAYER, method, margin=STRIDE).mean()
    twins = pointing.twin_rates(trained, (1, 2, 3), unseen, LAYER, method, margin=STRIDE)
    assert len(unseen.classes) >= 8
    assert rate > 0.6
    assert rate > 2 * max(twins)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared folder with the tumours is absent")
@pytest.mark.skipif(not Path(PACKAGE, "model.json").is_file(), reason="MRITRANSLATE_TUMOUR_PACKAGE names no package")
@pytest.mark.parametrize("method", ["hirescam", "layercam"])
def test_the_map_of_the_class_points_at_tumours_more_often_than_the_twins(method: str) -> None:
    """Of a package that `python -m Testing.benchmarks transplants` made, on slices that it has not seen."""
    package = load_package(PACKAGE)
    network, shown = package.classifier(), pointing.tumours(package, DATA)
    assert len(shown.classes) >= 40
    rate = pointing.hits(network, shown, LAYER, method).mean()
    assert rate > 2 * max(pointing.twin_rates(network, (1, 2, 3), shown, LAYER, method))


def test_the_boxes_are_boxes() -> None:
    with pointing.BOXES.open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if line[0] != "#"))
    for row in rows:
        left, top, right, bottom = (int(row[key]) for key in ("x0", "y0", "x1", "y1"))
        assert 0 <= left < right <= pointing.BOX_GRID
        assert 0 <= top < bottom <= pointing.BOX_GRID
        assert row["part"] in ("train", "test")
    parts = [{row["file"] for row in rows if row["part"] == part} for part in ("train", "test")]
    assert not parts[0] & parts[1]
    assert all(len(part) > 60 for part in parts)
