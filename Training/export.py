"""From a run to a package: the card's facts are collected here, its scores measured by the product's own translate and
evaluate."""

import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from MRITranslateLib.card import DomainCard, ScoreCard, TrainingCard, TranslationCard
from MRITranslateLib.domain import foreground_quantiles
from MRITranslateLib.errors import InputError
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.package import Package, load_package, write_package
from MRITranslateLib.translate import translate

from .config import Pix2PixConfig
from .data.pairs import PreparedPair, is_phantom, load_pair

_ANYWHERE = ((0.0, 1e4), (0.0, 1e4), (0.0, 1e4))
_PROTOCOL = ("protocol", "data_range", "mask", "scaling", "window")
"""Facts of `evaluate` that hold for every subject alike."""
_SOFTWARE = ("torch", "monai", "lightning", "SimpleITK", "numpy")


def draft_card(config: Pix2PixConfig) -> TranslationCard:
    """The card before training: what prepares the data, without facts and scores.

    Raises:
        InputError: The configuration does not make a valid card.
    """
    package = config.package
    loss = config.loss
    try:
        return TranslationCard(
            name=package.name,
            version=package.version,
            title=package.title,
            source=package.source,
            target=package.target,
            network=config.network,
            discriminator=config.discriminator,
            grid=config.grid,
            intensity=config.intensity,
            licence=package.licence,
            training=TrainingCard(
                data=package.data,
                subjects=config.data.training_subjects,
                validation_subjects=config.data.validation,
                epochs=0,
                steps=0,
                loss=(
                    f"{loss.l1:g} L1 + {loss.l2:g} L2 + {loss.adversarial:g} least-squares PatchGAN "
                    f"(from epoch {loss.adversarial_from_epoch}), background weight {loss.background:g}"
                ),
                software={name: version(name) for name in _SOFTWARE} | {"python": platform.python_version()},
                date=date.today().isoformat(),
            ),
            domain=DomainCard(field_of_view_mm=_ANYWHERE, spacing_mm=_ANYWHERE),
            intended_use=package.intended_use,
            limits=package.limits,
        )
    except ValueError as error:
        raise InputError(f"The configuration does not make a valid model card: {error}") from None


def measure_domain(pairs: Sequence[PreparedPair]) -> DomainCard:
    """Ranges over the training volumes, for the check of new inputs."""

    def ranges(values: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float], ...]:
        table = np.asarray(values)
        return tuple((float(low), float(high)) for low, high in zip(table.min(0), table.max(0), strict=True))

    quantiles = [foreground_quantiles(pair.source.astype(np.float32)) for pair in pairs]
    return DomainCard(
        field_of_view_mm=ranges([pair.extent_mm for pair in pairs]),  # type: ignore[arg-type]
        spacing_mm=ranges([pair.spacing_mm for pair in pairs]),  # type: ignore[arg-type]
        quantiles={key: (min(q[key] for q in quantiles), max(q[key] for q in quantiles)) for key in quantiles[0]},
    )


def measure_scores(config: Pix2PixConfig, package: Package) -> list[ScoreCard]:
    """Scores of the package on the test subjects, per family, through `translate` and `evaluate` on the original
    grids."""

    def family(subject: str) -> str:
        return "phantom" if is_phantom(subject) else subject.partition("_")[0]

    scores = []
    card = package.translation_card()
    for name, group in groupby(sorted(config.data.test, key=family), key=family):
        subjects = list(group)
        tables, protocol = [], ""
        for subject in subjects:
            pair = load_pair(config.data, card.source, card.target, subject)
            result = evaluate(
                pair.target,
                translate(pair.source, package, device="cpu").image,
                modality="CT" if card.target == "CT" else "MR",
                source=None if card.target == "CT" else pair.source,
            )
            tables.append(result.values)
            protocol = "; ".join(f"{key} {result.facts[key]}" for key in _PROTOCOL if key in result.facts)
        means = {key: round(float(np.mean([table[key] for table in tables])), 4) for key in tables[0]}
        scores.append(ScoreCard(family=name, subjects=subjects, protocol=protocol, metrics=means))
    return scores


def export(
    config: Pix2PixConfig,
    weights: Mapping[str, Mapping[str, torch.Tensor]],
    steps: int,
    train: Sequence[PreparedPair],
    folder: Path,
) -> Path:
    """Write the package, measure its scores as a user would get them, and write it again with the scores in its card.

    Args:
        config: Of the run.
        weights: State dictionaries "weights" (the generator) and, if it was trained, "discriminator".
        steps: Steps of this run; those of the package it started from are added.
        train: Prepared training subjects.
        folder: Of the package; replaced when it exists.
    """
    card = draft_card(config)
    if "discriminator" not in weights:
        card = card.model_copy(update={"discriminator": None})
    epochs = steps // config.steps_per_epoch
    if config.init is not None:
        before = load_package(config.init).card.training
        epochs, steps = epochs + before.epochs, steps + before.steps
    training = card.training.model_copy(update={"epochs": epochs, "steps": steps})
    card = card.model_copy(update={"training": training, "domain": measure_domain(train)})
    licence = f"Weights: {card.licence.weights}\n\nTraining data: {card.licence.data}\n"
    write_package(folder, card, weights, licence, _readme(card))
    scores = [*_held_out(config), *measure_scores(config, load_package(folder))]
    scored = card.model_copy(update={"scores": scores})
    return write_package(folder, scored, weights, licence, _readme(scored))


def _held_out(config: Pix2PixConfig) -> list[ScoreCard]:
    """Scores of a split run of the same recipe on subjects that these weights have since been trained on."""
    if config.package.held_out is None:
        return []
    split = load_package(config.package.held_out).card
    people = [name for name in split.training.subjects if not is_phantom(name)]
    heads = len(split.training.subjects) - len(people)
    trained = ", ".join([*people, f"{heads} digital heads"] if heads else people)
    note = f"measured on weights trained without these subjects (on {trained}); "
    return [score.model_copy(update={"protocol": note + score.protocol}) for score in split.scores]


def _readme(card: TranslationCard) -> str:
    lines = [f"# {card.title}", "", card.intended_use, "", "Research tool. Not for diagnosis.", "", "## Limits", ""]
    lines += [f"- {limit}" for limit in card.limits]
    lines += ["", "## Training", "", card.training.data, f"Subjects: {', '.join(card.training.subjects)}.", ""]
    lines += ["## Scores, each on subjects that the measured weights had never seen", ""]
    for score in card.scores:
        figures = ", ".join(f"{key} {value:.4g}" for key, value in score.metrics.items())
        lines += [f"- {score.family} ({', '.join(score.subjects)}): {figures}. Protocol: {score.protocol}."]
    return "\n".join(lines) + "\n"
