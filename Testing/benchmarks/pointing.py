"""The pointing game (Zhang et al., IJCV 2018) on tumours: does the map of a picture's class point at the tumour, and
does it so more often than the map of the same network with shuffled weights?

The boxes were drawn by the developers, by eye. Only pictures that the classifier was not trained on count. A hit is a
map whose warmest pixel in the head lies in a box. The chance column is the boxes' share of the head.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_fill_holes
from torch import nn

from MRITranslateLib import cam, faithfulness
from MRITranslateLib.card import ClassificationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.picture import prepare_picture, read_picture

HELP = "how often the map of a picture's class points at the tumour"
BOXES = Path(__file__).parents[1] / "MRITranslateLib" / "tumour_boxes.csv"
BOX_GRID = 512
"""Pixels of the pictures in which the boxes were drawn."""
_BATCH = 16
_AIR = -0.85
"""Below this a prepared picture shows air."""


@dataclass(frozen=True)
class Pictures:
    """What is pointed at.

    Attributes:
        pictures: float32 (n, size, size) in [-1, 1].
        classes: int (n,), the class whose map is drawn.
        inside: bool (n, size, size): the lesion.
        body: bool (n, size, size): where there is signal.
    """

    pictures: np.ndarray
    classes: np.ndarray
    inside: np.ndarray
    body: np.ndarray


def hits(
    network: nn.Module, shown: Pictures, layer: str | None, method: str, margin: int = 0, against: bool = False
) -> np.ndarray:
    """For each picture whether the warmest pixel of its class's map, within the body, lies in the lesion.

    Args:
        network: The classifier.
        shown: The pictures.
        layer: As for `cam.ActivationMaps`.
        method: The same.
        margin: Pixels around the lesion that count as inside.
        against: Explain the class's logit less the mean of the others', not the logit alone.

    Returns:
        bool (n,).
    """
    size = shown.pictures.shape[-1]
    maps = cam.ActivationMaps(network, layer, method, (1, size, size))
    found = []
    for start in range(0, len(shown.pictures), _BATCH):
        chunk = slice(start, start + _BATCH)
        scores = [_score(int(number), against) for number in shown.classes[chunk]]
        found.append(maps(torch.from_numpy(shown.pictures[chunk])[:, None], scores).values[:, 0])
    values = np.where(shown.body, np.concatenate(found), -np.inf)
    around = np.ones((1, 2 * margin + 1, 2 * margin + 1), dtype=bool)
    inside = binary_dilation(shown.inside, around)
    warmest = values.reshape(len(values), -1).argmax(axis=1)
    return inside.reshape(len(inside), -1)[np.arange(len(inside)), warmest]


def _score(number: int, against: bool) -> cam.Score:
    def score(logits: torch.Tensor) -> torch.Tensor:
        logits = logits.flatten()
        own = logits[number]
        return own - (logits.sum() - own) / (len(logits) - 1) if against else own

    return score


def twin_rates(
    network: nn.Module, seeds: Sequence[int], shown: Pictures, layer: str | None, method: str, **options: object
) -> list[float]:
    """Share of hits of the network with shuffled weights, for each seed."""
    twins = [faithfulness.randomised(network, seed) for seed in seeds]
    return [float(hits(twin, shown, layer, method, **options).mean()) for twin in twins]  # type: ignore[arg-type]


def tumours(package: Package, data: Path) -> Pictures:
    """The pictures with boxes that the package's classifier was not trained on.

    Raises:
        InputError: There is none.
    """
    card = package.card
    if not isinstance(card, ClassificationCard):
        raise InputError(f'"{card.name}" makes images; give a package that classifies pictures.')
    size = card.picture.size
    boxes: dict[str, np.ndarray] = {}
    with BOXES.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            mask = boxes.setdefault(row["file"], np.zeros((BOX_GRID, BOX_GRID), dtype=np.float32))
            mask[int(row["y0"]) : int(row["y1"]), int(row["x0"]) : int(row["x1"])] = 1
    unseen = [name for name in boxes if name not in set(card.training.subjects) and (data / name).is_file()]
    if not unseen:
        raise InputError(f'"{data}" has no picture with a box that the classifier has not been trained on.')
    pictures = np.stack([prepare_picture(read_picture(data / name), size) for name in unseen])
    inside = np.stack([prepare_picture(boxes[name], size) > 0 for name in unseen])
    kinds = [name.split("/")[0] if "tumour" not in card.classes else "tumour" for name in unseen]
    classes = np.array([card.classes.index(kind) for kind in kinds])
    body = np.stack([binary_fill_holes(picture > _AIR) for picture in pictures])
    return Pictures(pictures, classes, inside, body)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--package", type=Path, required=True, help="folder of the classifier")
    parser.add_argument("--data", type=Path, required=True, help="folder brain_tumour_jpg")
    parser.add_argument("--layers", nargs="*", default=[None], help="dotted names; by default the network's own")
    parser.add_argument("--methods", nargs="*", default=["gradcam", "hirescam", "layercam"], help="of the map")
    parser.add_argument("--twins", type=int, default=5, help="networks with shuffled weights")


def main(options: argparse.Namespace) -> int:
    """Print the table; 0 if the map of the first layer and method points better than all its twins."""
    package = load_package(options.package)
    network, shown = package.classifier(), tumours(package, options.data)
    logits = torch.cat([network(batch) for batch in torch.from_numpy(shown.pictures)[:, None].split(_BATCH)])
    right = logits.argmax(dim=1).numpy() == shown.classes
    chance = (shown.inside & shown.body).sum(axis=(1, 2)) / shown.body.sum(axis=(1, 2))
    print(f"{len(shown.classes)} pictures, {right.mean():.0%} of them classified rightly; chance {chance.mean():.1%}")
    print(f"{'layer':14} {'method':12} {'score':8} {'hits':>6} {'of right':>9}  twins")
    seeds, verdicts = range(1, options.twins + 1), []
    for layer in options.layers:
        for method in options.methods:
            for against, name in ((False, "logit"), (True, "against")):
                hit = hits(network, shown, layer, method, against=against)
                twins = twin_rates(network, seeds, shown, layer, method, against=against)
                verdicts.append(hit.mean() > max(twins))
                rates = " ".join(f"{rate:.0%}" for rate in twins)
                print(f"{layer or 'own':14} {method:12} {name:8} {hit.mean():6.0%} {hit[right].mean():9.0%}  {rates}")
    return 0 if verdicts[0] else 1
