"""Whether generated X-rays show what their reports ask for: the finding asked for against the finding seen.

A classifier looks at pictures of held-back patients' reports. Does it see a finding more often where the report's real
picture has it? Texts that are shuffled between the patients say what chance is, the real pictures what this classifier
could see at best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from MRITranslateLib.card import ClassificationCard, ScoreCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

from .classification import Answers, intervals, members, probabilities
from .config.report_gan import ConsistencyConfig
from .data.picture_files import findings_of, names_of
from .data.reports import ReportData
from .drawing import draw
from .quality import FeatureNetwork, name_of
from .session import Report, silent

_REPEATS = 1000
"""Resamples of the patients for an interval, and shuffles of their texts."""


@dataclass(frozen=True)
class Consistency:
    """What is asked for and who looks for it.

    Attributes:
        config: As it was told.
        card: Of the classifier.
        logits: The classifier, as a function of pictures.
        chosen: Indices of the held-back cases of which something is known.
        labels: float32 (n, classes) of these: 1 where the report's picture has the class, 0 where not, NaN where nobody
            knows.
        optimistic: Appended to the protocol where somebody has seen these patients before.
    """

    config: ConsistencyConfig
    card: ClassificationCard
    logits: FeatureNetwork
    chosen: np.ndarray
    labels: np.ndarray
    optimistic: str


def find_consistency(config: ConsistencyConfig | None, data: ReportData) -> Consistency | None:
    """Load the classifier and find what held-back reports ask for; None without a configuration.

    Raises:
        InputError: The package sees no findings of chest X-rays, the table lacks a column, or no class can be measured.
    """
    if config is None:
        return None
    package = load_package(config.package)
    card = package.card
    if not isinstance(card, ClassificationCard) or card.source != "CXR":
        raise InputError(f'"{config.package}" is no classifier of chest X-rays; name one in consistency.package.')
    columns = data.cases[0].cells.keys()
    for column in config.labels:
        if column not in columns:
            there = f"it has {', '.join(columns)}" if columns else "there is no table"
            raise InputError(f'The table of reports has no column "{column}" (consistency.labels); {there}.')
    part = "test" if len(data.parts["test"]) else "validation"
    labels = _labels(config, data, card.classes)
    chosen = np.array([index for index in data.parts[part] if not np.isnan(labels[index]).all()], dtype=int)
    labels = labels[chosen]
    if not ((labels == 1).any(0) & (labels == 0).any(0)).any():
        raise InputError(
            f'Of the classes of "{config.package}" ({", ".join(card.classes)}) the held-back reports ask for none, or '
            "for the same ones everywhere; correct consistency.labels, or hold back more patients."
        )
    logits = FeatureNetwork(name_of(package), card.picture.size, package.classifier())
    known = {*card.training.subjects, *card.training.validation_subjects}
    met = sum(data.cases[index].name in known for index in chosen)
    optimistic = f"; the classifier learnt from {met} of these real pictures, so real is optimistic" if met else ""
    optimistic += "" if part == "test" else "; these patients chose the weights, so the figures are optimistic"
    return Consistency(config, card, logits, chosen, labels, optimistic)


def measure_consistency(
    asked: Consistency,
    generator: nn.Module,
    data: ReportData,
    features: np.ndarray,
    seed: int,
    report: Report = silent,
) -> ScoreCard:
    """Generate pictures of the chosen reports, look at them, and say how what is seen follows what was asked for.

    Args:
        asked: From `find_consistency` for the same data.
        generator: Of the package.
        data: All cases.
        features: float32 (n, features) of all cases' reports.
        seed: Of the pictures: those of `mt.radiograph` of the report, the seed and the number of pictures.
        report: Told after every report.
    """
    config, chosen, card = asked.config, asked.chosen, asked.card
    groups = [data.cases[index].group for index in chosen]
    shares = np.zeros(asked.labels.shape)
    for row, index in enumerate(chosen):
        report("Looking for what was asked for", row, len(chosen), {})
        shares[row] = _seen(asked, draw(generator, config.pictures, seed, features[[index]])).mean(0)
    report("Looking for what was asked for", len(chosen), len(chosen), {})
    answers = Answers(card.classes, card.multi_label, asked.labels, shares)
    real = replace(answers, shares=_seen(asked, data.pictures[chosen]))
    limits = intervals(lambda rows: _areas(answers.of(rows)), groups, _REPEATS, seed)
    shuffled, possible = _shuffled(answers, groups, seed), _areas(real)
    metrics: dict[str, float] = {}
    for name, value in _areas(answers).items():
        metrics |= {name: value, f"{name}, low": limits[name][0], f"{name}, high": limits[name][1]}
        metrics |= {f"{name} shuffled": shuffled[name], f"{name} real": possible[name]}
    metrics = {name: round(value, 6) for name, value in metrics.items()}
    for column, name in enumerate(card.classes):
        metrics[f"{name} asked for"] = float((asked.labels[:, column] == 1).sum())
        metrics[f"{name} not asked for"] = float((asked.labels[:, column] == 0).sum())
    protocol = (
        f"{config.pictures} pictures of seed {seed} were generated of each of {len(chosen)} reports of "
        f"{len(set(groups))} patients held back, and the probabilities averaged that the {asked.logits.name} gives "
        "them; consistency auroc is the area under the ROC curve with which they tell the reports whose real picture "
        f"has the class from those whose picture has it not, by the table's {', '.join(config.labels)} (whether or not "
        "the text says so; asked for and not asked for are the numbers of reports), for classes with both kinds, and "
        f"the mean over these; low and high bound the 95 % interval of {_REPEATS} bootstrap resamples of the patients; "
        f"shuffled is the mean over {_REPEATS} shuffles of the texts between the patients (0.5: the text does not "
        f"matter); real is what the same classifier reaches on the reports' real pictures{asked.optimistic}"
    )
    return ScoreCard(
        family="finding asked for, finding seen", subjects=sorted(set(groups)), protocol=protocol, metrics=metrics
    )


def _labels(config: ConsistencyConfig, data: ReportData, classes: Sequence[str]) -> np.ndarray:
    """Of all cases, (n, classes)."""
    rows = [case.cells for case in data.cases]
    names = names_of(rows, config.labels, config.separator, config.normal)
    labels = np.full((len(rows), len(classes)), np.nan, dtype=np.float32)
    for number, row in enumerate(rows):
        found = findings_of(row, config.labels, config.separator, config.normal, names) or {}
        for column, name in enumerate(classes):
            labels[number, column] = found.get(name, np.nan)
    return labels


def _seen(asked: Consistency, pictures: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) of pictures (n, size, size)."""
    return probabilities(asked.logits(pictures), asked.card.multi_label)


def _areas(answers: Answers) -> dict[str, float]:
    """Of each class with both kinds, and their mean."""
    found = answers.figures()
    areas = {f"consistency {name}": value for name, value in found.items() if name.startswith("auroc ")}
    return {"mean consistency auroc": found["mean auroc"], **areas} if areas else {}


def _shuffled(answers: Answers, groups: Sequence[str], seed: int) -> dict[str, float]:
    """The figures with every patient's pictures made of another patient's texts, mean over shuffles.

    A patient may keep their own, as chance has it: else the mean would lie below 0.5 where nothing is seen.
    """
    patients = members(groups)
    rng = np.random.default_rng(seed)
    sums: dict[str, float] = {}
    for _ in range(_REPEATS):
        rows = np.zeros(len(groups), dtype=int)
        for mine, number in zip(patients, rng.permutation(len(patients)), strict=True):
            rows[mine] = np.resize(patients[number], len(mine))
        for name, value in _areas(replace(answers, shares=answers.shares[rows])).items():
            sums[name] = sums.get(name, 0.0) + value / _REPEATS
    return sums
