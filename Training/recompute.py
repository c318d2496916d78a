"""The scores on a translator's card, measured again from weights and images.

What a card says of subjects that the package's own weights have seen was measured on other weights, of the same
training without these subjects: `ScoreCard.weights` names their package, which lies in `Training/folds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from MRITranslateLib.card import ScoreCard, TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.translate import translate

from .config.data import DataConfig
from .data.index import Index, family_of, is_phantom, read_index
from .data.scans import Pair, load_pair
from .measures import means, measure
from .yardsticks import Moments, constant, intensity_map, moments, neighbourhood, score, translated

FOLDS = Path(__file__).resolve().parent / "folds"
"""The packages of the folds, by their names."""
_TOLERANCE = {"psnr": 0.05, "mae": 1.0, "bone_dice": 0.01}
"""How far a figure may lie from the card's, by the beginning of its name: dB, HU, and a share."""
_OTHERS = 0.01
"""The same for figures without a unit: SSIM, errors as a fraction of full scale, quotients."""


@dataclass(frozen=True)
class Case:
    """One subject, measured.

    Attributes:
        subject, family: Who, and the family that the card counts the subject to.
        weights: Name of the package that was measured.
        values: Its figures by name.
        yardsticks: Of each yardstick its figures by name; see `Training.yardsticks`.
    """

    subject: str
    family: str
    weights: str
    values: dict[str, float]
    yardsticks: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Check:
    """One entry of a card's scores and what was found.

    Attributes:
        stated: The entry.
        cases: Its subjects; none where the weights are not at hand.
        differences: Sentences on what does not agree.
    """

    stated: ScoreCard
    cases: list[Case]
    differences: list[str]


class Scans:
    """Pairs of images of subjects, and digital heads.

    Args:
        folder: A folder per subject with t1.nii.gz, t2.nii.gz, flair.nii.gz, ...; None where digital heads will do.
        phantom_shape: Slices, rows and columns of a digital head; None is the trainings' default.
    """

    def __init__(self, folder: Path | None = None, phantom_shape: tuple[int, int, int] | None = None) -> None:
        self._folder = folder
        self._more = {} if phantom_shape is None else {"phantom_shape": phantom_shape}
        self._indices: dict[tuple[str, str], Index] = {}
        self._moments: dict[tuple[str, str, str, str], Moments] = {}

    def pair(self, card: TranslationCard, subject: str) -> Pair:
        """The two images of a subject.

        Raises:
            InputError: They are not there, or cannot be used.
        """
        if self._folder is None and not is_phantom(subject):
            raise InputError(
                f'The images of "{subject}" are needed; give their folder with --data, or in MRITRANSLATE_DATA.'
            )
        return load_pair(self._index(card), card.source, card.target, subject)

    def relatives(self, card: TranslationCard, subject: str) -> list[Moments]:
        """What the neighbourhood regression of a subject is fitted on: the others of its family, of digital heads those
        on the card."""
        if is_phantom(subject):
            names = [name for entry in card.scores for name in entry.subjects if is_phantom(name)]
        else:
            scans = self._index(card).scans
            names = [
                name for name, found in scans.items() if found[0].source is not None and found[0].target is not None
            ]
        found = []
        for name in names:
            if name != subject and family_of(name) == family_of(subject):
                key = card.source, card.target, card.grid.plane, name
                if key not in self._moments:
                    self._moments[key] = moments(self.pair(card, name), card)
                found.append(self._moments[key])
        return found

    def _index(self, card: TranslationCard) -> Index:
        way = card.source, card.target
        if way not in self._indices:
            source, target = (f"{name.lower()}.nii.gz" for name in way)
            data = {"root": self._folder, "source_file": source, "target_file": target}
            config = DataConfig.model_validate(data | self._more)
            self._indices[way] = read_index(config, paired=False, trains=False)
        return self._indices[way]


def check_card(
    package: Package,
    scans: Scans,
    folds: Path = FOLDS,
    only: Sequence[ScoreCard] | None = None,
    compare: bool = True,
    rivals: Sequence[Package] = (),
) -> list[Check]:
    """Measure the scores on a card again.

    Args:
        package: A translator.
        scans: The images.
        folds: Where the packages of the folds are.
        only: Entries of the card; None takes all.
        compare: Measure the yardsticks as well.
        rivals: Further packages as yardsticks; each stands for the subjects that it has not seen.

    Raises:
        InputError: The images of a subject are not there.
    """
    card = package.translation_card()
    found = []
    for stated in card.scores if only is None else only:
        try:
            weights = weights_of(package, stated, folds)
        except InputError as error:
            found.append(Check(stated, [], [str(error)]))
            continue
        cases = [_case(package, weights, stated.family, subject, scans) for subject in stated.subjects]
        differences = [*leaks(weights, stated), *_differences(stated.metrics, cases, card.target == "CT")]
        if compare:
            cases = [replace(case, yardsticks=_yardsticks(card, case.subject, scans, rivals)) for case in cases]
        found.append(Check(stated, cases, differences))
    return found


def weights_of(package: Package, stated: ScoreCard, folds: Path = FOLDS) -> Package:
    """The package whose weights an entry of the card was measured on.

    Raises:
        InputError: It is not in `folds`, or is another one.
    """
    if stated.weights in ("", package.card.name):
        return package
    folder = folds / stated.weights
    if not folder.is_dir():
        raise InputError(f'the weights "{stated.weights}" are not in "{folds}"')
    found = load_package(folder)
    way, other = (one.translation_card() for one in (package, found))
    if (found.card.name, other.source, other.target) != (stated.weights, way.source, way.target):
        raise InputError(f'"{folder}" holds another model, {found.card.name} from {other.source} to {other.target}')
    return found


def leaks(weights: Package, stated: ScoreCard) -> list[str]:
    """A sentence for each subject of an entry whom the measured weights have seen, in training or in choosing them."""
    seen = _seen_by(weights)
    return [
        f"the weights of {weights.card.name} have seen {subject}, so this is no score on an unseen subject"
        for subject in stated.subjects
        if subject in seen
    ]


def _seen_by(weights: Package) -> set[str]:
    training = weights.card.training
    return {*training.subjects, *training.validation_subjects}


def _case(package: Package, weights: Package, family: str, subject: str, scans: Scans) -> Case:
    card = package.translation_card()
    pair = scans.pair(card, subject)
    made = translate(pair.source, weights, device="cpu").image
    return Case(subject, family, weights.card.name, measure(pair, made, card).values, {})


def _differences(stated: Mapping[str, float], cases: Sequence[Case], is_ct: bool) -> list[str]:
    measured = means([case.values for case in cases])
    sentences = []
    for name, value in stated.items():
        if name not in measured:
            sentences.append(f"{name} is {value:g} on the card, and cannot be measured")
        elif not abs(measured[name] - value) <= _tolerance(name, is_ct):
            sentences.append(f"{name} is {value:g} on the card, and {measured[name]:.4f} when measured again")
    return sentences


def _tolerance(name: str, is_ct: bool) -> float:
    if name.startswith("mae") and not is_ct:
        return _OTHERS
    return next((value for start, value in _TOLERANCE.items() if name.startswith(start)), _OTHERS)


def _yardsticks(
    card: TranslationCard, subject: str, scans: Scans, rivals: Sequence[Package]
) -> dict[str, dict[str, float]]:
    pair = scans.pair(card, subject)
    made = {"constant": constant(pair, card), "oracle map": intensity_map(pair, card)}
    relatives = scans.relatives(card, subject)
    if relatives:
        made["3 x 3 regression"] = neighbourhood(pair, card, relatives)
    for rival in rivals:
        other = rival.translation_card()
        if (other.source, other.target) == (card.source, card.target) and subject not in _seen_by(rival):
            made.setdefault(other.name.partition("_fold_")[0], translated(pair, rival))
    return {name: score(pair, image, card) for name, image in made.items()}
