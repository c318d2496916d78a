"""Many predictions beside their references, of one method or two: the figures of each, and what they say together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from .. import __version__
from ..errors import Cancelled, InputError
from ..evaluate import check_request, evaluate
from ..scoring.scores import Measured, Scores, finite
from ..scoring.similarity import Cancel
from ..volume import read_volume
from .pairing import Pair
from .summary import CONFIDENCE, RESAMPLES, Difference, Summary, differences, summarise

_DIFFERS = "differs"

Progress = Callable[[float, str, int, int], None]


@dataclass(frozen=True)
class Case:
    """The figures of one pair.

    Attributes:
        name: Of the pair.
        scores: Of the prediction.
        other: Of the second method's, or None.
    """

    name: str
    scores: Scores
    other: Scores | None = None


@dataclass(frozen=True)
class Cohort:
    """What `evaluate_cohort` found.

    Attributes:
        cases: The figures of every pair that could be read and scored.
        figures: Of the predictions, by the figure's name.
        others: Of the second method's, empty without one.
        differences: Of the predictions and the second method's, paired; empty without one.
        facts: How all cases were measured; what differs from case to case is in `Case.scores`.
        measured: The same of each figure; "differs" stands for what differs from case to case.
        warnings: Sentences about what was left out beforehand, or resampled.
        failed: Name and sentence of every pair that could not.
    """

    cases: list[Case]
    figures: dict[str, Summary]
    others: dict[str, Summary]
    differences: dict[str, Difference]
    facts: dict[str, str]
    measured: dict[str, Measured]
    warnings: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything for JSON; None stands for what is not finite."""

        def plain(found: dict[str, Any]) -> dict[str, dict[str, float | None]]:
            return {name: {key: finite(value) for key, value in vars(one).items()} for name, one in found.items()}

        cases = [
            {"name": case.name, **case.scores.as_json()}
            | ({} if case.other is None else {"other": case.other.as_json()})
            for case in self.cases
        ]
        return {
            "facts": dict(self.facts),
            "figures": plain(self.figures),
            "others": plain(self.others),
            "differences": plain(self.differences),
            "measured": {name: vars(how) for name, how in self.measured.items()},
            "warnings": list(self.warnings),
            "cases": cases,
            "failed": [{"name": name, "why": why} for name, why in self.failed],
        }


def evaluate_cohort(
    pairs: Sequence[Pair],
    modality: str = "MR",
    protocol: str = "plain",
    resample: bool = False,
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Cohort:
    """Score every pair and summarise. A pair that cannot be read or scored is reported and left out.

    Args:
        pairs: Of `pair_by_name` or `read_pairs`.
        modality, protocol, resample: As for `evaluate`.
        warnings: Of `pair_by_name`, to go with the result.
        progress: Called with (fraction, name, done, total).
        cancel: Asked now and then whether to stop.

    Raises:
        InputError: There is no pair, or none could be scored; then the sentence is that of the first.
        Cancelled: `cancel` said so.
    """
    check_request(modality, protocol)
    if not pairs:
        raise InputError("There is no pair of volumes to evaluate; give at least one.")
    cases, failed = [], []
    for number, pair in enumerate(pairs):
        if progress is not None:
            progress(number / len(pairs), pair.name, number, len(pairs))
        try:
            cases.append(_case(pair, modality, protocol, resample, cancel))
        except Cancelled:
            raise
        except InputError as error:
            failed.append((pair.name, str(error)))
        except Exception as error:  # a fault of ours in one case is no reason to lose the others
            told = f"MRITranslate {__version__} failed inside ({type(error).__name__}); please report it."
            failed.append((pair.name, told))
    if not cases:
        raise InputError(f"None of {len(pairs)} pairs could be evaluated. {failed[0][0]}: {failed[0][1]}")
    values = _columns([case.scores for case in cases])
    others = _columns([case.other for case in cases if case.other is not None])
    return Cohort(
        cases,
        {name: summarise(column) for name, column in values.items()},
        {name: summarise(column) for name, column in others.items()},
        differences(values, others) if others else {},
        _common_facts(cases),
        _common_measures(cases),
        [*warnings, *_resampled(cases)],
        failed,
    )


def _case(pair: Pair, modality: str, protocol: str, resample: bool, cancel: Cancel | None) -> Case:
    reference = read_volume(pair.reference)
    mask = None if pair.mask is None else read_volume(pair.mask, labels=True)
    source = None if pair.source is None else read_volume(pair.source)

    def scored(file: Path) -> Scores:
        prediction: sitk.Image = read_volume(file)
        return evaluate(reference, prediction, modality, mask, protocol, source, resample, cancel)

    return Case(pair.name, scored(pair.prediction), None if pair.other is None else scored(pair.other))


def _columns(scores: Sequence[Scores]) -> dict[str, list[float]]:
    """Values by figure; NaN for a case that lacks it."""
    names = dict.fromkeys(name for one in scores for name in one.values)
    return {name: [one.values.get(name, float("nan")) for one in scores] for name in names}


def _common_measures(cases: Sequence[Case]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for case in cases:
        for scores in (case.scores, case.other):
            for name, how in () if scores is None else scores.measured.items():
                known = found.setdefault(name, how)
                if known != how:
                    same = {key: text if text == vars(how)[key] else _DIFFERS for key, text in vars(known).items()}
                    found[name] = Measured(**same)
    return found


def _resampled(cases: Sequence[Case]) -> list[str]:
    """What was resampled, told once for all cases of which the same is true."""
    said: dict[str, list[str]] = {}
    for case in cases:
        for prefix, scores in (("", case.scores), ("of the second method ", case.other)):
            if scores is not None and "resampled" in scores.facts:
                said.setdefault(prefix + scores.facts["resampled"], []).append(case.name)
    return [
        f"Resampled in {len(names)} of {len(cases)} cases ({_some(names)}): {text}." for text, names in said.items()
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _common_facts(cases: Sequence[Case]) -> dict[str, str]:
    """What holds for all, and how the summary was made."""
    first = cases[0].scores.facts
    facts = {key: text for key, text in first.items() if all(case.scores.facts.get(key) == text for case in cases)}
    facts.pop("resampled", None)  # that is a warning
    facts["cases"] = str(len(cases))
    facts["interval"] = f"{100 * CONFIDENCE:g} % of the mean, bootstrap (BCa, {RESAMPLES} resamples)"
    if cases[0].other is not None:
        facts["test"] = "Wilcoxon signed-rank, two-sided; p corrected over the figures by Holm's method"
    return facts
