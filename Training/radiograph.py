"""What surrounds the loop of the report recipe: its networks, its text encoder, its pictures, its package."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import LicenceCard, NetworkCard, PictureCard, RadiographCard, ScoreCard, TextCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks import build
from MRITranslateLib.networks.report import ReportDiscriminator, ReportGenerator
from MRITranslateLib.package import load_package
from MRITranslateLib.sampling import judge
from MRITranslateLib.text import FILES, TextEncoder, load_text_encoder

from .config.report_gan import ReportGANConfig
from .consistency import Consistency, measure_consistency
from .data.reports import ReportData
from .drawing import draw
from .export import after_training, training_card, write
from .language import pretrain
from .neighbours import save_neighbours
from .quality import held_back_quality
from .session import Report, Session

_LARGEST_PACKED = 16 << 20
"""A text encoder of more bytes stays out of the package."""
_MATCH = 1
"""Column of the discriminator's answer."""
_ROWS, _COLUMNS = 6, 5
"""Reports and pictures of each in a sample picture."""


@dataclass(frozen=True)
class FoundEncoder:
    """A text encoder and where it comes from.

    Attributes:
        encoder: Loaded.
        source: A sentence for the card.
        folder: Where its files can be copied from into the package; None where it has to stay outside.
    """

    encoder: TextEncoder
    source: str
    folder: Path | None


def check(config: ReportGANConfig) -> None:
    """Find mistakes that need no data.

    Raises:
        InputError: The networks cannot be built, or the configuration contradicts itself.
    """
    with torch.device("meta"):
        build_networks(config, 8)
    loss = config.loss
    if not loss.adversarial and not loss.match:
        raise InputError("Without loss.adversarial and loss.match the discriminator learns nothing; raise one of them.")
    if loss.perceptual and loss.perceptual_package is None:
        raise InputError("loss.perceptual needs a classifier; name a package in loss.perceptual_package.")


def build_networks(config: ReportGANConfig, features: int) -> tuple[ReportGenerator, ReportDiscriminator]:
    """Both networks with fresh weights that depend on the seed alone.

    Raises:
        InputError: They are of another family, or of another size than the pictures.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator, discriminator = (build(card.name, card.parameters) for card in _network_cards(config, features))
    if not isinstance(generator, ReportGenerator) or not isinstance(discriminator, ReportDiscriminator):
        raise InputError(
            "The networks of this recipe are report_generator and report_discriminator; correct network.name and "
            "discriminator.name."
        )
    return generator, discriminator


def _network_cards(config: ReportGANConfig, features: int) -> tuple[NetworkCard, NetworkCard]:
    """The networks' cards with the size of the pictures and the length of a report's features."""
    cards = []
    for key, card in (("network", config.network), ("discriminator", config.discriminator)):
        for name in ("size", "features"):
            if name in card.parameters:
                raise InputError(f"{key}.parameters.{name} follows from size and the text encoder; leave it out.")
        filled = {**card.parameters, "size": config.size, "features": features}
        cards.append(card.model_copy(update={"parameters": filled}))
    return cards[0], cards[1]


def find_text_encoder(
    config: ReportGANConfig, session: Session, texts: list[str], resume: bool, report: Report
) -> FoundEncoder:
    """The text encoder that the configuration names, that of the package to start from, or a small one that is
    pre-trained in the run's folder `text` (and found there by a run that is resumed).

    Raises:
        InputError: It cannot be used.
    """
    if config.text.encoder is not None:
        encoder = load_text_encoder(config.text.encoder)
        place = Path(config.text.encoder)
        name = place.resolve().name if place.is_dir() else config.text.encoder
        return FoundEncoder(encoder, f"{name}, a BERT that was not trained here", _packable(place))
    if config.init is not None:
        package = load_package(str(config.init))
        folder = package.text_folder()
        assert isinstance(package.card, RadiographCard)
        return FoundEncoder(load_text_encoder(folder), package.card.text.source, folder)
    folder, language = session.folder.path / "text", config.text.language
    if session.fabric.is_global_zero and not (resume and folder.is_dir()):
        pretrain(texts, folder, language, config.seed, report)
    session.fabric.barrier()
    source = (
        f"a BERT of {language.layers} layers and width {language.width}, pre-trained for {language.steps} steps by "
        f"masked-language modelling on the {len(set(texts))} different reports that this model was trained on"
    )
    return FoundEncoder(load_text_encoder(folder), source, folder)


def _packable(folder: Path) -> Path | None:
    """The folder, if all its files are there and small enough for a package."""
    files = [folder / name for name in FILES]
    if all(file.is_file() for file in files) and sum(file.stat().st_size for file in files) <= _LARGEST_PACKED:
        return folder
    return None


def draft_card(config: ReportGANConfig, data: ReportData, found: FoundEncoder) -> RadiographCard:
    """The card before training; the licences of the pictures, where the table gives them, are named in it.

    Raises:
        InputError: The configuration does not make a valid card.
    """
    about, loss, split, encoder = config.package, config.loss, data.split(), found.encoder
    network, discriminator = _network_cards(config, encoder.features)
    changes = ", ".join(f"{key} {value:g}" for key, value in config.diffaugment if value)
    sentence = (
        f"{loss.adversarial:g} realism + {loss.match:g} match (binary cross-entropy on logits, matching-aware) + "
        f"{loss.l1:g} L1"
        + (f" + {loss.perceptual:g} perceptual ({Path(str(loss.perceptual_package)).name})" if loss.perceptual else "")
        + (f", gradient penalty R1 {loss.r1:g}" if loss.r1 else "")
    )
    training = training_card(
        about, split["train"], split["validation"], f"{sentence}; differentiable augmentation: {changes or 'none'}"
    )
    software = training.software | {"transformers": version("transformers")}
    counted = f"; of the pictures: {licences}" if (licences := data.licences()) else ""
    try:
        return RadiographCard(
            name=about.name,
            version=about.version,
            title=about.title,
            picture=PictureCard(size=config.size),
            text=TextCard(
                encoder="external" if found.folder is None else "package",
                source=found.source,
                sha256=encoder.weights_sha256 if found.folder is None else None,
                max_tokens=encoder.max_tokens,
                features=encoder.features,
            ),
            network=network,
            discriminator=discriminator,
            licence=LicenceCard(weights=about.licence.weights, data=about.licence.data + counted),
            training=training.model_copy(update={"software": software}),
            intended_use=about.intended_use,
            limits=about.limits,
        )
    except ValueError as error:
        raise InputError(f"The configuration does not make a valid model card: {error}") from None


def compare(
    discriminator: nn.Module, pictures: np.ndarray, data: ReportData, features: np.ndarray, chosen: np.ndarray
) -> dict[str, float]:
    """Generated pictures beside the pictures of the same reports.

    Args:
        discriminator: Judges the match.
        pictures: From `draw` for the reports of the chosen cases.
        data: All cases.
        features: Of all cases.
        chosen: Indices of cases.

    Returns:
        "l1", the mean absolute difference of the first picture of each report to the real one (range -1 to 1), and
        "match", the share of the real pictures that the discriminator finds to match their own report better than
        another one: 0.5 is chance; "generated match" is the same for generated pictures.
    """
    count = min(len(chosen), len(pictures))
    chosen = chosen[:count]
    real = data.pictures[chosen].astype(np.float32)
    scores = {"l1": float(np.abs(pictures[:count] - real).mean())}
    texts = [data.cases[index].text for index in chosen]
    device = str(next(discriminator.parameters()).device)
    others = [next((o for o in (*range(i + 1, count), *range(i)) if texts[o] != texts[i]), i) for i in range(count)]
    for name, shown in (("match", real), ("generated match", pictures[:count])):
        own, other = (
            judge(discriminator.to, shown, torch.from_numpy(features[chosen[rows]]), device)[:, _MATCH]
            for rows in (range(count), others)
        )
        scores[name] = float(np.mean((own > other) + 0.5 * (own == other)))
    return scores


def sample_picture(
    generator: nn.Module, data: ReportData, features: np.ndarray, chosen: np.ndarray, seed: int
) -> np.ndarray:
    """A row for each of some reports: the real picture, then generated ones; each column has the same noise in every
    picture of the run. In 0..1."""
    shown = chosen[np.linspace(0, len(chosen) - 1, min(_ROWS, len(chosen))).round().astype(int)]
    columns = [data.pictures[shown].astype(np.float32)]
    columns += [
        np.concatenate([draw(generator, 1, seed + column, features[[index]]) for index in shown])
        for column in range(1, _COLUMNS)
    ]
    return (np.concatenate([column.reshape(-1, column.shape[-1]) for column in columns], axis=1) + 1) / 2


def export_radiographs(
    session: Session,
    config: ReportGANConfig,
    card: RadiographCard,
    data: ReportData,
    features: np.ndarray,
    text_folder: Path | None,
    consistency: Consistency | None,
    report: Report,
) -> Path:
    """The best weights as a package in the run's folder: written once, measured as it was written, and written again
    with the scores in its card."""
    weights = session.folder.load_best()
    card = after_training(card, config, session.step)
    extra = {f"text/{name}": text_folder / name for name in FILES} if text_folder is not None else {}
    folder = write(session.folder.export, card, weights, extra)
    package, scores = load_package(folder), []
    part = "test" if len(data.parts["test"]) else "validation"
    quality = held_back_quality(config.quality, data.pictures, data.parts, part)
    if quality is not None:
        report("Measuring the exported pictures", 0, 1, {})
        chosen = data.parts[part]
        pictures = draw(package.generator(), config.quality.count, config.seed + 1, features[chosen])
        save_neighbours(session.folder, quality, pictures)
        figures = compare(package.discriminator(), pictures, data, features, chosen) | quality.measure(pictures)
        chose = "" if part == "test" else "; these patients chose the weights, so the figures are optimistic"
        protocol = (
            "pictures of the reports of patients held back; l1 is the mean absolute difference to the report's picture "
            "(range -1 to 1); match is the share of real pictures that the discriminator finds to match their own "
            f"report better than another (chance 0.5), generated match the same of generated ones; {quality.protocol}"
            f"{chose}"
        )
        rounded = {key: round(value, 6) for key, value in figures.items()}
        patients = data.split()[part]
        scores.append(ScoreCard(family="held-back patients", subjects=patients, protocol=protocol, metrics=rounded))
        report("Measuring the exported pictures", 1, 1, {})
    if consistency is not None:
        scores.append(measure_consistency(consistency, package.generator(), data, features, config.seed + 1, report))
    if scores:
        folder = write(folder, card.model_copy(update={"scores": scores}), weights, extra)
    return folder
