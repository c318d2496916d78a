"""What a translator's card says of its domain and its scores; the scores come from the product's own translate and
evaluate, on the original grids."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from MRITranslateLib.card import DomainCard, ScoreCard, TranslationCard
from MRITranslateLib.domain import foreground_quantiles
from MRITranslateLib.evaluate import evaluate
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.translate import translate

from .config.translation import TranslationConfig
from .data.index import Index, is_phantom, label_map_of
from .data.pairs import PreparedPair, PreparedVolume
from .data.scans import load_pairs

ANYWHERE = DomainCard(
    field_of_view_mm=((0.0, 1e4), (0.0, 1e4), (0.0, 1e4)), spacing_mm=((0.0, 1e4), (0.0, 1e4), (0.0, 1e4))
)
"""The domain of a card before the training."""
_PROTOCOL = ("protocol", "data_range", "mask", "scaling", "window")
"""Facts of `evaluate` that hold for every subject alike."""
_MOST_FAMILIES = 10


def measure_domain(inputs: Sequence[PreparedPair | PreparedVolume]) -> DomainCard:
    """Ranges over the inputs of the training, for the check of new ones."""

    def ranges(values: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float], ...]:
        table = np.asarray(values)
        return tuple((float(low), float(high)) for low, high in zip(table.min(0), table.max(0), strict=True))

    arrays = (image.source if isinstance(image, PreparedPair) else image.array for image in inputs)
    quantiles = [foreground_quantiles(array.astype(np.float32)) for array in arrays]
    return DomainCard(
        field_of_view_mm=ranges([image.extent_mm for image in inputs]),  # type: ignore[arg-type]
        spacing_mm=ranges([image.spacing_mm for image in inputs]),  # type: ignore[arg-type]
        quantiles={key: (min(q[key] for q in quantiles), max(q[key] for q in quantiles)) for key in quantiles[0]},
    )


def measure_scores(index: Index, package: Package, subjects: Sequence[str]) -> list[ScoreCard]:
    """Scores of the package on paired subjects, per family, as a user would get them.

    A subject's family is its name before the first underscore, where that makes few families; subjects with several
    examinations or pictures count once, by their mean.
    """
    families = {subject.partition("_")[0] for subject in subjects if not is_phantom(subject)}

    def family(subject: str) -> str:
        if is_phantom(subject):
            return "phantom" if label_map_of(subject) is None else "labels"
        return subject.partition("_")[0] if len(families) <= _MOST_FAMILIES else "all"

    scores = []
    card = package.card
    assert isinstance(card, TranslationCard)
    for name, group in groupby(sorted(subjects, key=family), key=family):
        members = list(group)
        tables, protocol = [], ""
        for subject in members:
            figures = []
            for pair in load_pairs(index, card.source, card.target, subject):
                result = evaluate(
                    pair.target,
                    translate(pair.source, package, device="cpu").image,
                    modality="CT" if card.target == "CT" else "MR",
                    source=None if card.target == "CT" else pair.source,
                )
                figures.append(result.values)
                protocol = "; ".join(f"{key} {result.facts[key]}" for key in _PROTOCOL if key in result.facts)
            tables.append({key: np.mean([values[key] for values in figures]) for key in figures[0]})
        means = {key: round(float(np.mean([table[key] for table in tables])), 4) for key in tables[0]}
        scores.append(ScoreCard(family=name, subjects=members, protocol=protocol, metrics=means))
    return scores


def held_out_scores(config: TranslationConfig) -> list[ScoreCard]:
    """Scores of a split run of the same recipe on subjects that these weights have since been trained on."""
    if config.package.held_out is None:
        return []
    split = load_package(config.package.held_out).card
    people = [name for name in split.training.subjects if not is_phantom(name)]
    heads = len(split.training.subjects) - len(people)
    trained = ", ".join([*people, f"{heads} digital heads"] if heads else people)
    note = f"measured on weights trained without these subjects (on {trained}); "
    return [score.model_copy(update={"protocol": note + score.protocol}) for score in split.scores]
