"""The demonstration: a phantom patient is translated, the result explained, and both are held against the truth.

The phantom is the one patient whose T2 and CT are known exactly, so every score here is measured. But a phantom is no
person: the scores say that the software works, and nothing about clinical use.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .figure import Row, figure, main_scores
from .modality import modality

if TYPE_CHECKING:
    from .phantom import Phantom

SEED = 7
SHAPE = (96, 160, 160)
LESIONS = 3
TITLE = "Phantom patient {seed}: synthetic images, the truth, and what they rest on"
WHY_VENTRICLES = "What the ventricles rest on"
WHY_REAL = "What makes it look real"
MODELS = ("t1_to_t2", "t1_to_ct")
_VENTRICLE_DEPTH_MM = 25.0
"""So far below the inner table of the skull lie the ventricles, but not the fluid around the brain."""


@dataclass(frozen=True)
class Summary:
    """What a demonstration made: the files, the scores of each model, the warnings, and the seconds it took."""

    folder: Path
    files: list[Path]
    scores: dict[str, dict[str, float]]
    warnings: list[str]
    seconds: float = field(compare=False)


def patient(seed: int = SEED, shape: tuple[int, int, int] = SHAPE, lesions: int = LESIONS) -> "Phantom":
    """The demonstration's patient: a digital head with lesions; `shape` is (slices, rows, columns)."""
    from .phantom import phantom

    return phantom(seed=seed, shape=shape, lesions=lesions)


def ventricles(labels: sitk.Image) -> sitk.Image:
    """The lateral ventricles of a phantom: the two largest pools of fluid deep in the head that no cortex adjoins.

    Args:
        labels: The phantom's tissue labels.

    Returns:
        A uint8 mask on the same grid, 1 inside.
    """
    from .phantom.tissue import BLOOD, CALCIFICATION, CSF, DEEP_GREY, DURA, GREY, LESION, WHITE
    from .volume import like

    array = sitk.GetArrayViewFromImage(labels)
    cavity = np.isin(array, (CSF, GREY, WHITE, DEEP_GREY, LESION, CALCIFICATION, BLOOD, DURA)).astype(np.uint8)
    inside = like(cavity, labels)
    depth = sitk.SignedMaurerDistanceMap(inside, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    cortex = sitk.BinaryDilate(labels == GREY, (1, 1, 1), sitk.sitkBall)
    fluid = sitk.And(sitk.And(labels == CSF, depth > _VENTRICLE_DEPTH_MM), sitk.Not(cortex))
    pools = sitk.RelabelComponent(sitk.ConnectedComponent(fluid), sortByObjectSize=True)
    return sitk.And(pools > 0, pools <= 2)


def run(
    folder: str | Path,
    seed: int = SEED,
    shape: tuple[int, int, int] = SHAPE,
    models: Sequence[str] = MODELS,
    device: str = "auto",
    progress: Callable[[float, str], None] | None = None,
) -> Summary:
    """Make a phantom patient, translate and explain it, score it, and write volumes and `figure.png` into `folder`.

    Args:
        folder: Made if it does not exist; files of an earlier run are replaced.
        seed: Which patient.
        shape: (slices, rows, columns) of the patient.
        models: Names of packages that translate from T1.
        device: As for `translate`.
        progress: Told the fraction done, 0..1, and the stage in words.

    Raises:
        InputError: A model is not there, does not start from T1, or `folder` cannot be written.
    """
    from .evaluate import evaluate
    from .explain import explain
    from .package import load_package
    from .targets import Realism, Region
    from .translate import translate
    from .volume import write_volume

    started = time.perf_counter()
    packages = [load_package(name) for name in models]
    for package in packages:
        card = package.translation_card()
        if card.source != "T1":
            raise InputError(f'The demonstration starts from T1; "{card.name}" starts from {card.source}.')
    out = output_folder(folder)
    steps = 2 + 2 * len(packages)
    done = 0

    def stage(title: str) -> None:
        nonlocal done
        if progress is not None:
            progress(done / steps, title)
        done += 1

    files: list[Path] = []

    def save(image: sitk.Image, name: str) -> None:
        path = out / f"{name}.nii.gz"
        write_volume(image, path)
        files.append(path)

    stage("Making the phantom patient")
    head = patient(seed, shape)
    region = ventricles(head.labels)
    save(head.t1, "t1")
    rows, warnings = [], []
    for package in packages:
        name, target = package.card.name, package.translation_card().target
        stage(f"Translating T1 to {target}")
        result = translate(head.t1, package, device=device)
        truth = getattr(head, target.lower())
        stage(f"Explaining the {target}")
        asked: dict[str, Region | Realism] = {WHY_VENTRICLES: Region(region)}
        if package.has_discriminator:
            asked[WHY_REAL] = Realism()
        answers = {title: explain(head.t1, package, aim, device=device) for title, aim in asked.items()}
        scores = evaluate(truth, result.image, modality=modality(target).kind)
        heatmaps = {title: answer.heatmap for title, answer in answers.items()}
        rows.append(
            Row(name, target, head.t1, result.image, truth, heatmaps, region, main_scores(target, scores.values))
        )
        warnings += result.warnings
        save(result.image, f"{target.lower()}_synthetic")
        save(truth, f"{target.lower()}_truth")
        for name, heatmap in zip(("ventricles", "realism"), heatmaps.values(), strict=False):
            save(heatmap, f"{target.lower()}_heatmap_{name}")
    stage("Drawing the figure")
    figure(rows, out / "figure.png", title=TITLE.format(seed=seed))
    files.append(out / "figure.png")
    return Summary(out, files, {row.model: dict(row.scores) for row in rows}, warnings, time.perf_counter() - started)


def output_folder(folder: str | Path) -> Path:
    """Make the folder for the demonstration's files.

    Raises:
        InputError: It cannot be made or is not a folder.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'The folder "{path}" cannot be made ({error.strerror}); choose another one.') from None
    return path
