"""From a run to a package: the facts of the training, the texts, and the writing."""

import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch

from MRITranslateLib.card import AnyCard, Card, TrainingCard, TranslationCard
from MRITranslateLib.package import load_package, write_package

from .config.parts import AboutConfig
from .config.run import RunConfig

Kind = TypeVar("Kind", bound=Card)
_SOFTWARE = ("torch", "monai", "lightning", "SimpleITK", "numpy")


def training_card(about: AboutConfig, train: Sequence[str], validation: Sequence[str], loss: str) -> TrainingCard:
    """Facts of a training that has not begun: no epochs, no steps.

    Args:
        about: What the package says of itself.
        train, validation: Subjects.
        loss: One sentence.
    """
    software = {name: version(name) for name in _SOFTWARE} | {"python": platform.python_version()}
    return TrainingCard(
        data=about.data,
        subjects=list(train),
        validation_subjects=list(validation),
        epochs=0,
        steps=0,
        loss=loss,
        software=software,
        date=date.today().isoformat(),
    )


def after_training(card: Kind, config: RunConfig, steps: int) -> Kind:
    """The card with the epochs and steps done and whom the weights have seen, the package that the run started from
    included."""
    facts: dict[str, Any] = {"epochs": steps // config.steps_per_epoch, "steps": steps}
    if config.init is not None:
        before = load_package(str(config.init)).card.training
        facts = {key: value + getattr(before, key) for key, value in facts.items()}
        facts["subjects"] = list(dict.fromkeys([*card.training.subjects, *before.subjects]))
    return card.model_copy(update={"training": card.training.model_copy(update=facts)})


def write(
    folder: Path,
    card: AnyCard,
    weights: Mapping[str, Mapping[str, torch.Tensor]],
    extra_files: Mapping[str, Path] | None = None,
) -> Path:
    """Write a package with the texts that its card gives.

    Args:
        folder: Of the package; a package there is replaced.
        card: Complete.
        weights: State dictionaries by the names of their files without suffix.
        extra_files: Files of a text encoder, by their name in the package.
    """
    licence = f"Weights: {card.licence.weights}\n\nTraining data: {card.licence.data}\n"
    return write_package(folder, card, weights, licence, readme(card), extra_files)


def readme(card: Card) -> str:
    """The text of README.md."""
    lines = [f"# {card.title}", "", card.intended_use, "", "Research tool. Not for diagnosis.", "", "## Limits", ""]
    lines += [f"- {limit}" for limit in card.limits]
    lines += ["", "## Training", "", card.training.data, f"Subjects: {', '.join(card.training.subjects)}.", ""]
    lines += ["## Scores, each on subjects that the measured weights had never seen", ""]
    for score in card.scores:
        figures = ", ".join(f"{key} {value:.4g}" for key, value in score.metrics.items())
        weights = f", weights {score.weights}" if score.weights else ""
        lines += [f"- {score.family} ({', '.join(score.subjects)}{weights}): {figures}. Protocol: {score.protocol}."]
    calibration = card.calibration if isinstance(card, TranslationCard) else []
    if calibration:
        lines += ["", "## Maps of doubt against the true error", ""]
    for entry in calibration:
        facts = [f"correlation {entry.correlation:.2f}"]
        if entry.scale is not None:
            facts.append(f"standard deviation to be multiplied by {entry.scale:.3g}")
        if entry.coverage_95 is not None:
            facts.append(f"95 % intervals then cover {100 * entry.coverage_95:.1f} % in other subjects")
        weights = f"; weights {entry.weights}" if entry.weights else ""
        lines += [f"- {entry.method} ({', '.join(entry.subjects)}{weights}): {', '.join(facts)}. Data: {entry.data}"]
    return "\n".join(lines) + "\n"
