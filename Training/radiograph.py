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
from MRITranslateLib.text import FILES, TextEncoder, load_text_encoder

from .config.report_gan import ReportGANConfig
from .data.reports import ReportData
from .export import after_training, training_card, write
from .language import pretrain
from .quality import Quality, feature_network
from .session import Report, Session

_BATCH = 16
_LARGEST_PACKED = 16 << 20
"""A text encoder of more bytes stays out of the package."""
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


def draw(generator: nn.Module, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Pictures of reports, one report after the other and from the beginning again, each with noise of its own.

    Args:
        generator: Its attribute `latent` is the number of random numbers.
        features: float32 (n, features).
        count: Pictures.
        seed: Of the noise, which is drawn on the CPU so that every device makes the same pictures.

    Returns:
        float32 (count, size, size) in [-1, 1].
    """
    device = next(generator.parameters()).device
    noise = torch.randn(count, int(generator.latent), generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    text = torch.from_numpy(features[np.arange(count) % len(features)])
    with torch.inference_mode():
        parts = [
            generator(z.to(device), t.to(device))[:, 0].float().cpu()
            for z, t in zip(noise.split(_BATCH), text.split(_BATCH), strict=True)
        ]
    return torch.cat(parts).numpy()


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
    others = [next((o for o in (*range(i + 1, count), *range(i)) if texts[o] != texts[i]), i) for i in range(count)]
    for name, shown in (("match", real), ("generated match", pictures[:count])):
        own, other = (_match(discriminator, shown, features[chosen[rows]]) for rows in (range(count), others))
        scores[name] = float(np.mean((own > other) + 0.5 * (own == other)))
    return scores


def _match(discriminator: nn.Module, pictures: np.ndarray, features: np.ndarray) -> np.ndarray:
    device = next(discriminator.parameters()).device
    with torch.inference_mode():
        parts = [
            discriminator(p[:, None].to(device), t.to(device))[:, 1].float().cpu()
            for p, t in zip(
                torch.from_numpy(pictures).split(_BATCH), torch.from_numpy(features).split(_BATCH), strict=True
            )
        ]
    return torch.cat(parts).numpy()


def sample_picture(
    generator: nn.Module, data: ReportData, features: np.ndarray, chosen: np.ndarray, seed: int
) -> np.ndarray:
    """A row for each of some reports: the real picture, then generated ones; each column has the same noise in every
    picture of the run. In 0..1."""
    shown = chosen[np.linspace(0, len(chosen) - 1, min(_ROWS, len(chosen))).round().astype(int)]
    columns = [data.pictures[shown].astype(np.float32)]
    columns += [
        np.concatenate([draw(generator, features[[index]], 1, seed + column) for index in shown])
        for column in range(1, _COLUMNS)
    ]
    return (np.concatenate([column.reshape(-1, column.shape[-1]) for column in columns], axis=1) + 1) / 2


def held_back_quality(config: ReportGANConfig, data: ReportData, part: str) -> Quality | None:
    """What measures against a held-back part of the pictures; None where nothing is held back."""
    held_back = data.pictures[data.parts[part]]
    if not len(held_back):
        return None
    quality = Quality(feature_network(config.quality.feature_package), data.pictures[data.parts["train"]], held_back)
    if config.quality.count < quality.count:
        raise InputError(
            f"quality.count must be at least half of the {part} pictures; make it {quality.count} or more."
        )
    return quality


def export_radiographs(
    session: Session,
    config: ReportGANConfig,
    card: RadiographCard,
    data: ReportData,
    features: np.ndarray,
    text_folder: Path | None,
    report: Report,
) -> Path:
    """The best weights as a package in the run's folder: written once, measured as it was written, and written again
    with the scores in its card."""
    weights = session.folder.load_best()
    card = after_training(card, config, session.step)
    extra = {f"text/{name}": text_folder / name for name in FILES} if text_folder is not None else {}
    folder = write(session.folder.export, card, weights, extra)
    part = "test" if len(data.parts["test"]) else "validation"
    quality = held_back_quality(config, data, part)
    if quality is None:
        return folder
    report("Measuring the exported pictures", 0, 1, {})
    package, chosen = load_package(folder), data.parts[part]
    pictures = draw(package.generator(), features[chosen], config.quality.count, config.seed + 1)
    figures = compare(package.discriminator(), pictures, data, features, chosen) | quality.measure(pictures)
    chose = "" if part == "test" else "; these patients chose the weights, so the figures are optimistic"
    protocol = (
        "pictures of the reports of patients held back; l1 is the mean absolute difference to the report's picture "
        "(range -1 to 1); match is the share of real pictures that the discriminator finds to match their own report "
        f"better than another (chance 0.5), generated match the same of generated ones; {quality.protocol}{chose}"
    )
    score = ScoreCard(
        family="held-back patients",
        subjects=data.split()[part],
        protocol=protocol,
        metrics={key: round(value, 6) for key, value in figures.items()},
    )
    folder = write(folder, card.model_copy(update={"scores": [score]}), weights, extra)
    report("Measuring the exported pictures", 1, 1, {})
    return folder
