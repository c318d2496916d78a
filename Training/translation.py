"""What the recipes that train a translator on pairs share: their data, their validation, their package."""

from dataclasses import dataclass
from pathlib import Path

import torch

from MRITranslateLib.card import NetworkCard, TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks import build
from MRITranslateLib.package import load_package

from .calibration import held_out_calibration, measure_calibration
from .config.translation import TranslationConfig
from .data.index import Index, read_index
from .data.pairs import PreparedPair, prepare_all
from .data.slices import RandomSlices
from .export import after_training, training_card, write
from .scoring import ANYWHERE, held_out_scores, measure_domain, measure_scores
from .session import Report, Session, States, Validation
from .validation import validate


@dataclass(frozen=True)
class PairedData:
    """Prepared subjects of a paired run.

    Attributes:
        index: All images and the split by subject.
        train, validation: Subjects.
        samples: Random training slices or patches, one batch after the other.
    """

    index: Index
    train: list[PreparedPair]
    validation: list[PreparedPair]
    samples: RandomSlices


def check(config: TranslationConfig, paired: bool = True) -> None:
    """Find mistakes before any image is opened.

    Raises:
        InputError: The configuration contradicts itself, or does not fit the data.
    """
    _refuse_seen(config, read_index(config.data, paired))
    if config.crop % config.grid.size_multiple:
        raise InputError(f"crop must be a multiple of grid.size_multiple ({config.grid.size_multiple}).")


def _refuse_seen(config: TranslationConfig, index: Index) -> None:
    """Nobody is tested whom the weights that the run starts from have been trained on."""
    if config.init is None:
        return
    before = load_package(str(config.init)).card
    seen = next((name for name in index.test if name in before.training.subjects), None)
    if seen is not None:
        raise InputError(
            f'"{seen}" is to be tested, but the package to start from, "{before.name}", was trained on this subject; '
            "start from another one, or test others."
        )


def prepare_data(session: Session, config: TranslationConfig, card: TranslationCard, report: Report) -> PairedData:
    """Check and prepare every subject of the run; the split goes to the run's folder.

    Raises:
        InputError: A subject cannot be used.
    """
    index = read_index(config.data)
    if session.fabric.is_global_zero:
        session.folder.save_split(index.split())
    figures = session.folder.path / "alignment" if session.fabric.is_global_zero else None
    counter, total = iter(range(1, 1 << 30)), len(index.train) + len(index.validation)
    tick = lambda _subject: report("Preparing data", next(counter), total, {})  # noqa: E731
    train = prepare_all(index, card, index.train, tick, figures)
    samples = RandomSlices(
        train,
        config.grid,
        config.crop,
        config.augment,
        config.data.phantom_share,
        config.seed,
        session.steps * config.batch_size,
    )
    return PairedData(index, train, prepare_all(index, card, index.validation, tick, figures), samples)


def build_network(network: NetworkCard) -> torch.nn.Module:
    """A network of the registry with fresh weights."""
    return build(network.name, network.parameters)


def validate_translator(session: Session, data: PairedData, card: TranslationCard, weights: States) -> Validation:
    """Scores of the weights that would be exported, on the validation subjects.

    Args:
        session: Its network "generator" is judged.
        data: Without validation subjects a training subject is drawn, and the last weights count as the best.
        card: Of the package.
        weights: State dictionaries beside the generator's.
    """
    generator = session.exportable("generator")
    scores, picture = validate(generator, data.validation or data.train[:1], card, session.fabric.device)
    better = scores["psnr"] if data.validation else float("inf")
    return Validation(scores, better, {"weights": generator.state_dict()} | weights, picture)


def draft_card(config: TranslationConfig, loss: str, discriminator: NetworkCard | None) -> TranslationCard:
    """The card before training: what prepares the data, without facts and scores.

    Raises:
        InputError: The configuration does not make a valid card.
    """
    package = config.package
    try:
        card = TranslationCard(
            name=package.name,
            version=package.version,
            title=package.title,
            source=package.source,
            target=package.target,
            inverse=package.inverse,
            network=config.network,
            discriminator=discriminator,
            grid=config.grid,
            intensity=config.intensity,
            licence=package.licence,
            training=training_card(package, config.data.training_subjects, config.data.validation, loss),
            domain=ANYWHERE,
            intended_use=package.intended_use,
            limits=package.limits,
        )
    except ValueError as error:
        raise InputError(f"The configuration does not make a valid model card: {error}") from None
    _check_networks(card, config.grid.patch or (config.crop, config.crop))
    return card


def _check_networks(card: TranslationCard, window: tuple[int, ...]) -> None:
    """Refuse networks that cannot take the training windows, before any memory is taken."""
    size = " x ".join(map(str, window))
    answer = _answer(card.network, (card.grid.context, *window))
    if answer != (1, 1, *window):
        raise InputError(
            f"The network {card.network.name} does not turn windows of {size} pixels into such windows; "
            f"grid.context {card.grid.context} needs in_channels {card.grid.context}, and grid.dimensions "
            f"{card.grid.dimensions} needs dimensions {card.grid.dimensions} in network.parameters."
        )
    if card.discriminator is not None and len(_answer(card.discriminator, (card.judged_channels, *window))) < 3:
        raise InputError(
            f"Windows of {size} pixels are too small for the discriminator, or its in_channels are not "
            f"{card.judged_channels}; enlarge crop or mend discriminator.parameters."
        )


def _answer(network: NetworkCard, sample: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a network's answer to one sample, without memory; () where it cannot take it."""
    with torch.device("meta"), torch.inference_mode():
        built = build_network(network)
        try:
            return tuple(built(torch.empty(1, *sample)).shape)
        except (RuntimeError, ValueError):
            return ()


def export_paired(session: Session, config: TranslationConfig, card: TranslationCard, data: PairedData) -> Path:
    """The best weights as a package in the run's folder; written once, measured as a user would get it, and written
    again with the scores and the calibration of its maps of doubt in its card."""
    weights = session.folder.load_best()
    subjects = {"subjects": list(data.index.train), "validation_subjects": list(data.index.validation)}
    card = card.model_copy(update={"training": card.training.model_copy(update=subjects)})
    update = {"domain": measure_domain(data.train)} | ({} if "discriminator" in weights else {"discriminator": None})
    card = after_training(card.model_copy(update=update), config, session.step)
    folder = session.folder.export
    package = load_package(write(folder, card, weights))
    measured = {
        "scores": [*held_out_scores(config), *measure_scores(data.index, package, data.index.test)],
        "calibration": held_out_calibration(config, data.index)
        or measure_calibration(data.index, package, data.index.validation),
    }
    return write(folder, card.model_copy(update=measured), weights)
