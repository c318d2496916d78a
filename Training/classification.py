"""Losses and figures of classifiers. Labels are (n, classes): 1 has it, 0 has it not, NaN nobody knows; where classes
exclude each other a row is all NaN or holds a single 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import expit, softmax
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from .config.classifier import ClassificationLossConfig
from .samples import captioned

_PERCENTILES = (2.5, 97.5)
_SHOWN, _COLUMNS = 15, 5
_LETTERS = 26
"""Of a line above a picture."""


class ClassificationLoss(nn.Module):
    """Cross-entropy with the classes balanced as the configuration says.

    Args:
        config: Smoothing and balance.
        labels: Those of all training pictures, to count the classes.
        multi_label: Whether a picture may have several classes.
    """

    weight: torch.Tensor

    def __init__(self, config: ClassificationLossConfig, labels: np.ndarray, multi_label: bool) -> None:
        super().__init__()
        self._smoothing, self._multi_label = config.label_smoothing, multi_label
        weight = torch.ones(labels.shape[1])
        if config.balance == "weights":
            has, has_not = (np.maximum((labels == value).sum(0), 1) for value in (1, 0))
            rarity = has_not / has if multi_label else len(labels) / has / labels.shape[1]
            weight = torch.from_numpy(rarity.astype(np.float32))
        self.register_buffer("weight", weight)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the known labels of a batch; (N, classes) each, at least one of them known."""
        logits = logits.float()
        if not self._multi_label:
            return functional.cross_entropy(logits, labels, self.weight, label_smoothing=self._smoothing)
        known = ~labels.isnan()
        truth = torch.where(known, labels, 0.5) * (1 - self._smoothing) + 0.5 * self._smoothing
        each = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=self.weight, reduction="none")
        return each[known].mean()


def sampling_weights(labels: np.ndarray, multi_label: bool) -> np.ndarray:
    """How often each picture must be drawn that all classes are met equally often; (n,).

    Of several labels each counts by how rare its value, yes or no, is; the sum decides.
    """
    weights = np.zeros(len(labels))
    for value in (1, 0) if multi_label else (1,):
        found = labels == value
        weights += (found / np.maximum(found.sum(0), 1)).sum(1)
    return weights


def probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """Of logits (n, classes): independent ones, or such that add up to 1."""
    return expit(logits) if multi_label else softmax(logits, axis=1)


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, half for a tie.

    Args:
        scores: (n,).
        truth: (n,) of 1 and 0.

    Returns:
        0 to 1; NaN where one kind is missing.
    """
    positives = int(truth.sum())
    pairs = positives * (len(truth) - positives)
    if pairs == 0:
        return float("nan")
    return float((rankdata(scores)[truth == 1].sum() - positives * (positives + 1) / 2) / pairs)


@dataclass(frozen=True)
class Answers:
    """What a classifier said of pictures whose labels are known at least in part.

    Attributes:
        classes: Names.
        multi_label: Whether a picture may have several of them; then a probability of 0.5 or more is a yes.
        labels: (n, classes).
        shares: Probabilities (n, classes).
    """

    classes: Sequence[str]
    multi_label: bool
    labels: np.ndarray
    shares: np.ndarray

    def of(self, chosen: np.ndarray) -> "Answers":
        """Those of the pictures with these indices."""
        return replace(self, labels=self.labels[chosen], shares=self.shares[chosen])

    def figures(self) -> dict[str, float]:
        """How good they are.

        Returns:
            "accuracy", "balanced accuracy" (mean over classes of the share found; with several labels, of the mean of
            sensitivity and specificity), "auroc NAME" of every class that some pictures have and others have not, and
            their mean. What cannot be measured on these pictures is left out.
        """
        labels, shares, known = self.labels, self.shares, ~np.isnan(self.labels)
        found: dict[str, float] = {}
        if self.multi_label:
            right = (shares >= 0.5) == (labels == 1)
            found["accuracy"] = _mean(right[known])
            sides = [[_mean(right[labels[:, c] == value, c]) for value in (0, 1)] for c in range(len(self.classes))]
            found["balanced accuracy"] = _mean([(no + yes) / 2 for no, yes in sides])
        else:
            truth, answer = labels.argmax(1), shares.argmax(1)
            found["accuracy"] = _mean(truth == answer)
            found["balanced accuracy"] = _mean([_mean(answer[truth == c] == c) for c in np.unique(truth)])
        areas = {
            f"auroc {name}": auroc(shares[known[:, c], c], labels[known[:, c], c])
            for c, name in enumerate(self.classes)
        }
        found |= areas | {"mean auroc": _mean(list(areas.values()))}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def confusion(self) -> dict[str, float]:
        """Counts of what was taken for what; with several labels, of each class found, missed and seen in vain."""
        labels, shares = self.labels, self.shares
        if not self.multi_label:
            truth, answer = labels.argmax(1), shares.argmax(1)
            return {
                f"{one} taken for {other}": float(((truth == i) & (answer == j)).sum())
                for i, one in enumerate(self.classes)
                for j, other in enumerate(self.classes)
            }
        table = {}
        for c, name in enumerate(self.classes):
            yes, has, has_not = shares[:, c] >= 0.5, labels[:, c] == 1, labels[:, c] == 0
            table[f"{name} found"] = float((yes & has).sum())
            table[f"{name} missed"] = float((~yes & has).sum())
            table[f"{name} seen in vain"] = float((yes & has_not).sum())
            table[f"{name} rightly not seen"] = float((~yes & has_not).sum())
        return table


def card_figures(answers: Answers, groups: Sequence[str], resamples: int, seed: int) -> tuple[dict[str, float], str]:
    """Figures with their confidence intervals and the confusion table, for a model card, and the protocol.

    Args:
        answers: On pictures that were not trained on.
        groups: Patient or group of each picture.
        resamples, seed: Of the bootstrap.
    """
    found = answers.figures()
    limits = intervals(lambda chosen: answers.of(chosen).figures(), groups, resamples, seed)
    metrics = dict(found)
    for name in found.keys() & limits.keys():
        metrics[f"{name}, low"], metrics[f"{name}, high"] = limits[name]
    metrics = {name: round(metrics[name], 6) for name in sorted(metrics)} | answers.confusion()
    protocol = (
        f"{len(groups)} pictures of {len(set(groups))} patients or groups that were not trained on, unchanged, decided "
        f"by {'a probability of 0.5' if answers.multi_label else 'the likeliest class'}; low and high bound the 95 % "
        f"interval of {resamples} bootstrap resamples of the groups"
    )
    return metrics, protocol


def intervals(
    measure: Callable[[np.ndarray], dict[str, float]], groups: Sequence[str], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % confidence intervals by the bootstrap over groups, since pictures of one patient are no independent ones.

    Args:
        measure: Gives the figures of the pictures with these indices.
        groups: Of every picture.
        resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        Name of the figure -> percentiles 2.5 and 97.5.
    """
    patients = members(groups)
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = rng.integers(len(patients), size=len(patients))
        for name, value in measure(np.concatenate([patients[number] for number in drawn])).items():
            values.setdefault(name, []).append(value)
    limits = {name: np.percentile(found, _PERCENTILES) for name, found in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def members(groups: Sequence[str]) -> list[np.ndarray]:
    """Indices of the pictures of each group."""
    found: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        found.setdefault(group, []).append(index)
    return [np.array(indices) for indices in found.values()]


def draw_answers(pictures: np.ndarray, answers: Answers) -> np.ndarray:
    """Some of the pictures (n, size, size) with what they were taken for and what they are, as one in 0..1."""
    shown = np.unique(np.linspace(0, len(pictures) - 1, _SHOWN).astype(int))
    captions = []
    for index in shown:
        truth, answer = _in_words(answers, answers.labels[index]), _in_words(answers, answers.shares[index])
        captions.append(f"{answer[:_LETTERS]}\n{'right' if answer == truth else 'is ' + truth[:_LETTERS]}")
    return captioned([pictures[index] for index in shown], captions, _COLUMNS)


def _in_words(answers: Answers, values: np.ndarray) -> str:
    """Labels or probabilities."""
    if not answers.multi_label:
        return answers.classes[int(np.argmax(values))]
    return ", ".join(name for name, value in zip(answers.classes, values, strict=True) if value >= 0.5) or "nothing"


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are numbers; NaN of none."""
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers.mean()) if numbers.size else float("nan")
