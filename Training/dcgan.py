"""DCGAN: pictures from noise (Radford et al., ICLR 2016), made to work on a few hundred pictures by differentiable
augmentation (Zhao et al., NeurIPS 2020), spectral normalisation (Miyato et al., ICLR 2018) and averaged weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from MRITranslateLib.card import GenerationCard, NetworkCard, PictureCard, ScoreCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks import build
from MRITranslateLib.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from MRITranslateLib.package import load_package
from MRITranslateLib.sampling import draw_noise

from .config.dcgan import DCGANConfig
from .data.pictures import PictureData, RandomPictures, load_pictures
from .diffaugment import CHOICES, augment
from .drawing import draw
from .export import after_training, training_card, write
from .finetune import freeze, start_from
from .neighbours import save_neighbours
from .quality import Quality, held_back_quality
from .session import Report, Session, Validation, silent
from .standing import take_statistics

_BATCH = 50
_STANDING = 500
"""Pictures over which the statistics of the batch normalisation are taken."""
_SHOWN = (6, 8)
"""Rows and columns of generated pictures in a sample picture; a row of real ones stands above."""
_REAL, _FAKE = 0, 1


class AdversarialSamples(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """What a step needs of every sample, as a function of (seed, index): a real picture (1, size, size), noise (latent)
    and the random numbers (2, 6) by which the real and the generated picture are changed."""

    def __init__(self, pictures: RandomPictures, latent: int, seed: int) -> None:
        self._pictures, self._latent, self._seed = pictures, latent, seed

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        picture, _ = self._pictures[index]
        rng = np.random.default_rng((self._seed, 2, index))
        noise = rng.standard_normal(self._latent, dtype=np.float32)
        choices = rng.random((2, CHOICES), dtype=np.float32)
        return picture, torch.from_numpy(noise), torch.from_numpy(choices)


@dataclass
class Run:
    """All that a run consists of."""

    session: Session
    config: DCGANConfig
    card: GenerationCard
    data: PictureData
    samples: AdversarialSamples
    generator: DCGANGenerator
    discriminator: DCGANDiscriminator
    quality: Quality | None


def setup(config: DCGANConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    generator, discriminator = _networks(config)
    session = Session(config, resume)
    data = load_pictures(config.pictures, lambda done, total: report("Reading pictures", done, total, {}))
    if session.fabric.is_global_zero:
        session.folder.save_split(data.split())
    card = _draft_card(config, data)
    pictures = RandomPictures(
        data.pictures, data.parts["train"], config.augment, config.seed, session.steps * config.batch_size
    )
    samples = AdversarialSamples(pictures, generator.latent, config.seed)
    start_from(config.init, generator, discriminator)
    freeze(generator, config.freeze)
    session.add("generator", generator, averaged=True)
    session.add("discriminator", discriminator, rate=config.discriminator_rate)
    session.restore()
    quality = None
    if session.fabric.is_global_zero:
        quality = held_back_quality(config.quality, data.pictures, data.parts, "validation")
    return Run(session, config, card, data, samples, generator, discriminator, quality)


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: A loss is not finite; the last good checkpoint is untouched.
    """
    session, config = run.session, run.config
    for real, noise, choices in session.batches(run.samples):
        with session.autocast():
            made = run.generator(noise)
        real = augment(real, choices[:, _REAL], config.diffaugment)
        fake = augment(made, choices[:, _FAKE], config.diffaugment)

        with session.autocast():
            of_real, of_fake = run.discriminator(real), run.discriminator(fake.detach())
        judged = 0.5 * (cross_entropy(of_real, config.loss.real_label) + cross_entropy(of_fake, 0.0))
        loss, figures = judged, {"discriminator": judged, "real logit": of_real.mean(), "fake logit": of_fake.mean()}
        if config.loss.r1 and session.step % config.loss.r1_every == 0:
            figures["r1"] = config.loss.r1_every * gradient_penalty(run.discriminator, real)
            loss = judged + 0.5 * config.loss.r1 * figures["r1"]
        session.update("discriminator", loss)

        run.discriminator.requires_grad_(False)  # its own step is done: only the way to the generator counts
        with session.autocast():
            fooled = cross_entropy(run.discriminator(fake), 1.0)
        session.update("generator", fooled)
        run.discriminator.requires_grad_(True)

        if session.end_step(figures | {"generator": fooled}, report):
            session.end_period(lambda: validate(run), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as a package, measured on the test pictures (on those that chose them where there are none)."""
    session, data, config = run.session, run.data, run.config
    weights = session.folder.load_best()
    card = after_training(run.card, config, session.step)
    folder = session.folder.export
    write(folder, card, weights)
    report("Measuring the exported pictures", 0, 1, {})
    part = "test" if len(data.parts["test"]) else "validation"
    quality = held_back_quality(config.quality, data.pictures, data.parts, part)
    if quality is not None:
        pictures = draw(load_package(folder).generator(), config.quality.count, config.seed + 1)
        save_neighbours(session.folder, quality, pictures)
        figures = {key: round(value, 6) for key, value in quality.measure(pictures).items()}
        chose = "" if part == "test" else "; these held-back pictures chose the weights, so the figures are optimistic"
        score = ScoreCard(
            family="held-back pictures", subjects=data.listed(part), protocol=quality.protocol + chose, metrics=figures
        )
        write(folder, card.model_copy(update={"scores": [score]}), weights)
    report("Measuring the exported pictures", 1, 1, {})
    return [folder.resolve()]


def validate(run: Run) -> Validation:
    """Judge the weights that would be exported, by pictures of a fixed seed."""
    session, config = run.session, run.config
    generator = exportable_generator(session, config.seed)
    pictures = draw(generator, config.quality.count, config.seed)
    scores = run.quality.measure(pictures) if run.quality is not None else {}
    better = config.quality.better(scores)
    weights = {
        "weights": generator.state_dict(),
        "discriminator": session.exportable("discriminator").state_dict(),
    }
    return Validation(scores, better, weights, _sample_picture(run.data, pictures))


def exportable_generator(session: Session, seed: int) -> nn.Module:
    """The averaged generator with the batch statistics of its own activations, as a package will hold it."""
    network = session.exportable("generator")
    noise = draw_noise(_STANDING, int(network.latent), seed)  # type: ignore[arg-type]
    take_statistics(network, noise.to(next(network.parameters()).device).split(_BATCH))
    return network


def cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    """Mean binary cross-entropy of logits (N, 1) against one label for all."""
    logits = logits.float()
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def gradient_penalty(discriminator: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Mean squared norm of the logit's gradient at the pictures (R1 of Mescheder et al., ICML 2018), in float32."""
    pictures = pictures.detach().requires_grad_(True)
    with torch.autocast(pictures.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def _networks(config: DCGANConfig) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """Both networks with fresh weights.

    Raises:
        InputError: They are no DCGAN, or of another size than the pictures.
    """
    torch.manual_seed(config.seed)
    generator, discriminator = (build(card.name, card.parameters) for card in _network_cards(config))
    if not isinstance(generator, DCGANGenerator) or not isinstance(discriminator, DCGANDiscriminator):
        raise InputError(
            "The networks of this recipe are dcgan_generator and dcgan_discriminator; correct network.name and "
            "discriminator.name."
        )
    return generator, discriminator


def _network_cards(config: DCGANConfig) -> tuple[NetworkCard, NetworkCard]:
    """The networks' cards with the size of the pictures."""
    size = config.pictures.size
    cards = []
    for key, card in (("network", config.network), ("discriminator", config.discriminator)):
        if card.parameters.get("size", size) != size:
            raise InputError(f"{key}.parameters.size must be pictures.size ({size}); leave it out.")
        cards.append(card.model_copy(update={"parameters": {"size": size} | card.parameters}))
    return cards[0], cards[1]


def _draft_card(config: DCGANConfig, data: PictureData) -> GenerationCard:
    """The card before training.

    Raises:
        InputError: The configuration does not make a valid card.
    """
    about, loss = config.package, config.loss
    changes = ", ".join(f"{key} {value:g}" for key, value in config.diffaugment if value)
    sentence = (
        f"binary cross-entropy on logits (real {loss.real_label:g}), R1 weight {loss.r1:g}; "
        f"differentiable augmentation: {changes or 'none'}"
    )
    network, discriminator = _network_cards(config)
    try:
        return GenerationCard(
            name=about.name,
            version=about.version,
            title=about.title,
            target=about.target,
            picture=PictureCard(size=config.pictures.size),
            network=network,
            discriminator=discriminator,
            licence=about.licence,
            training=training_card(about, data.listed("train"), data.listed("validation"), sentence),
            intended_use=about.intended_use,
            limits=about.limits,
        )
    except ValueError as error:
        raise InputError(f"The configuration does not make a valid model card: {error}") from None


def _sample_picture(data: PictureData, pictures: np.ndarray) -> np.ndarray:
    """A row of real pictures above rows of generated ones, in 0..1."""
    rows, columns = _SHOWN
    real = data.pictures[data.parts["train"]][:columns].astype(np.float32)
    made = pictures[: min(rows, len(pictures) // columns) * columns]
    lines = [np.concatenate(list(row), axis=1) for row in (real, *made.reshape(-1, columns, *made.shape[1:]))]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1])), constant_values=-1) for line in lines]
    gap = np.ones((4, width), np.float32)
    return (np.concatenate([padded[0], gap, *padded[1:]]) + 1) / 2
