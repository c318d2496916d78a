"""Train a classifier, tumour or none, that has nothing but the tumour to go by.

A classifier of the kinds of tumours need not look at them: pituitary tumours come with eyes and cerebellum, meningiomas
with slices near the vertex, and a map that points there is right. A test of maps needs a classifier whose evidence is
known. So tumours are cut out by their boxes and put into other heads, at any place, with the heads' own tumours
replaced by the opposite side's tissue (cut, paste and learn: Dwibedi et al., ICCV 2017); and healthy tissue is put into
heads in the same way. Nothing but what was put there tells the two classes apart.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter
from torch.nn import functional

from MRITranslateLib import networks
from MRITranslateLib.card import parse_card
from MRITranslateLib.errors import InputError
from MRITranslateLib.picture import prepare_picture, read_picture
from Training.config.pictures import PictureAugmentConfig
from Training.data.pictures import augment_picture
from Training.export import write

from .pointing import BOX_GRID, BOXES

HELP = "train a classifier of tumours that were put into other heads, for `pointing`"
NETWORK = {"channels": [24, 48, 64], "classes": 2, "dropout": 0.1}
_SIZE, _BATCH = 64, 16
_AIR = 0.075
_AT_HOME = 0.15
"""Share of pictures as they are: a real tumour's edge is not that of a transplant."""
_AUGMENT = PictureAugmentConfig(
    flip=0.5, rotate_degrees=15, scale=0.15, shift=0.1, gamma=0.2, brightness=0.1, noise=0.01
)


@dataclass(frozen=True)
class Head:
    """A slice with one tumour.

    Attributes:
        name: File.
        picture: 0..1 (_SIZE, _SIZE).
        box: x0, y0, x1, y1 in its pixels.
        healthy: The picture without the tumour.
        depth: Pixels to the nearest air.
        tissue: Median of what lies deep.
    """

    name: str
    picture: np.ndarray
    box: tuple[int, int, int, int]
    healthy: np.ndarray
    depth: np.ndarray
    tissue: float


def heads(data: Path) -> list[Head]:
    """The slices with boxes of the part "train".

    Raises:
        InputError: They are not there.
    """
    with BOXES.open(newline="") as file:
        rows = [row for row in csv.DictReader(line for line in file if line[0] != "#") if row["part"] == "train"]
    if not all((data / row["file"]).is_file() for row in rows):
        raise InputError(f'"{data}" lacks slices that have boxes; give the folder brain_tumour_jpg.')
    found = []
    for row in rows:
        picture = (prepare_picture(read_picture(data / row["file"]), _SIZE) + 1) / 2
        low, high = ([float(row[key]) * _SIZE / BOX_GRID for key in keys] for keys in (("x0", "y0"), ("x1", "y1")))
        left, top, right, bottom = (*np.floor(low).astype(int), *np.ceil(high).astype(int))
        body = binary_fill_holes(picture > _AIR)
        depth = distance_transform_edt(body)
        tissue = float(np.median(picture[depth > 0.12 * np.sqrt(body.sum())]))
        box = (int(left), int(top), int(right), int(bottom))
        healthy = _without(picture, body, box, tissue)
        found.append(Head(row["file"], picture, box, healthy, depth, tissue))
    return found


def _without(picture: np.ndarray, body: np.ndarray, box: tuple[int, int, int, int], tissue: float) -> np.ndarray:
    """The picture with the opposite side's tissue in the box; where that is the box itself, with what lies around."""
    left, top, right, bottom = box
    left, top, right, bottom = max(0, left - 1), max(0, top - 1), min(_SIZE, right + 1), min(_SIZE, bottom + 1)
    opposite = round(2 * float(np.nonzero(body)[1].mean()) - right)
    width = right - left
    if (opposite + width <= left + 1 or opposite >= right - 1) and opposite >= 0 and opposite + width <= _SIZE:
        fill = picture[top:bottom, opposite : opposite + width][:, ::-1]
    else:
        weight = body.astype(np.float32)
        weight[top:bottom, left:right] = 0
        around = gaussian_filter(picture * weight, 5) / np.maximum(gaussian_filter(weight, 5), 1e-3)
        fill = np.minimum(around[top:bottom, left:right], 1.1 * tissue)
    healthy = picture.copy()
    _blend(healthy, fill, top, left)
    return healthy


def _blend(picture: np.ndarray, patch: np.ndarray, top: int, left: int) -> None:
    """Put an ellipse of the patch, soft at its edge, into the picture."""
    rows, columns = patch.shape
    down = (np.arange(rows) - (rows - 1) / 2) / (rows / 2)
    across = (np.arange(columns) - (columns - 1) / 2) / (columns / 2)
    share = np.clip((1.12 - np.hypot(down[:, None], across[None])) / 0.25, 0, 1)
    place = picture[top : top + rows, left : left + columns]
    place[:] = (1 - share) * place + share * patch


def transplant(donor: Head, host: Head, tumour: bool, random: np.random.Generator) -> np.ndarray:
    """The donor's tumour, or what replaces it, somewhere in the host's head, float32 (_SIZE, _SIZE) in 0..1."""
    left, top, right, bottom = donor.box
    source = donor.picture if tumour else donor.healthy
    patch = source[top:bottom, left:right] * np.float32(host.tissue / donor.tissue)
    scale = random.uniform(0.8, 1.3)
    extents = [max(3, int(extent * scale)) for extent in patch.shape[::-1]]
    patch = np.asarray(Image.fromarray(patch.astype(np.float32)).resize(extents, Image.Resampling.BILINEAR))
    if random.random() < 0.5:
        patch = patch.T
    patch = patch[:: random.choice((-1, 1)), :: random.choice((-1, 1))]
    rows, columns = patch.shape
    deep = np.argwhere(host.depth > min(0.25 * min(rows, columns) + 3, 0.7 * host.depth.max()))
    row, column = deep[random.integers(len(deep))]
    made = host.healthy.copy()
    place = (int(np.clip(row - rows // 2, 0, _SIZE - rows)), int(np.clip(column - columns // 2, 0, _SIZE - columns)))
    _blend(made, patch, *place)
    return np.clip(made, 0, 1)


def train(data: Path, folder: Path, steps: int, seed: int = 0) -> Path:
    """Train and write a package."""
    subjects = heads(data)
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = networks.build("resnet_classifier", NETWORK)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        pictures, labels = [], random.integers(2, size=_BATCH)
        for label in labels:
            donor, host = (subjects[index] for index in random.integers(len(subjects), size=2))
            picture = donor.picture if label else donor.healthy
            if random.random() > _AT_HOME:
                picture = transplant(donor, host, bool(label), random)
            pictures.append(augment_picture((2 * picture - 1).astype(np.float32), _AUGMENT, random))
        logits = network(torch.from_numpy(np.stack(pictures))[:, None])
        loss = functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            print(f"step {step + 1} of {steps}: loss {loss:.3f}", flush=True)
    return write(folder, parse_card(json.dumps(_card(subjects, steps)), str(folder)), {"weights": network.state_dict()})


def _card(subjects: list[Head], steps: int) -> dict[str, object]:
    rights = "as brain_tumour_jpg"
    return {
        "schema_version": 1,
        "name": "tumour_transplants",
        "version": "1.0.0",
        "title": "Tumours in other heads",
        "task": "classification",
        "source": "T1",
        "picture": {"size": _SIZE},
        "classes": ["healthy", "tumour"],
        "network": {"name": "resnet_classifier", "parameters": NETWORK},
        "licence": {"weights": rights, "data": rights},
        "training": {
            "data": "Slices of brain_tumour_jpg with the tumours moved to other heads.",
            "subjects": sorted({head.name for head in subjects}),
            "epochs": 0,
            "steps": steps,
            "loss": "cross-entropy",
            "date": date.today().isoformat(),
        },
        "intended_use": "Tests of explanations: its evidence is known to be the tumour.",
        "limits": ["Not for diagnosis, nor for anything but tests of explanations."],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the training."""
    parser.add_argument("--data", type=Path, required=True, help="folder brain_tumour_jpg")
    parser.add_argument("--output", type=Path, required=True, help="folder of the package")
    parser.add_argument("--steps", type=int, default=4000, help="of 16 pictures")


def main(options: argparse.Namespace) -> int:
    print(train(options.data, options.output, options.steps))
    return 0
