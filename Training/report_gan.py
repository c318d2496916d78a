"""Report -> chest X-ray: a conditional GAN on the features of a frozen BERT, with a matching-aware discriminator (Reed
et al., ICML 2016) that projects the report onto the picture (Miyato & Koyama, ICLR 2018).

The generator also learns each report's own picture by L1 and, with a feature network, by a perceptual loss.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import RadiographCard
from MRITranslateLib.networks.report import ReportDiscriminator, ReportGenerator

from .config.report_gan import ReportGANConfig
from .consistency import Consistency, find_consistency
from .data.pictures import RandomPictures
from .data.reports import RandomReports, ReportData, encode_reports, load_reports
from .dcgan import cross_entropy, gradient_penalty
from .diffaugment import augment
from .drawing import draw
from .finetune import freeze, start_from
from .perceptual import PerceptualLoss, load_feature_network
from .quality import Quality, held_back_quality
from .radiograph import (
    build_networks,
    check,
    compare,
    draft_card,
    export_radiographs,
    find_text_encoder,
    sample_picture,
)
from .session import Report, Session, Validation, silent

_REAL, _FAKE = 0, 1
"""Which random numbers change a picture before it is judged."""
_REALISM, _MATCH = 0, 1
"""Columns of the discriminator's answer."""


@dataclass
class Run:
    """All that a run consists of."""

    session: Session
    config: ReportGANConfig
    card: RadiographCard
    data: ReportData
    text_folder: Path | None
    features: np.ndarray
    samples: RandomReports
    generator: ReportGenerator
    discriminator: ReportDiscriminator
    perceptual: PerceptualLoss | None
    quality: Quality | None
    consistency: Consistency | None


def setup(config: ReportGANConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are; then the language model, if none is named.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    check(config)
    perceptual = _perceptual_loss(config)
    session = Session(config, resume)
    data = load_reports(config.data, config.size, lambda done, total: report("Reading pictures", done, total, {}))
    if data.skipped:
        warnings.warn(f"{len(data.skipped)} cases were left out; the first: {data.skipped[0]}", stacklevel=2)
    consistency = find_consistency(config.consistency, data)
    if session.fabric.is_global_zero:
        session.folder.save_split(data.split())

    found = find_text_encoder(config, session, data.texts("train"), resume, report)
    texts = [case.text for case in data.cases]
    features = encode_reports(
        texts, found.encoder, config.data.cache, lambda done, total: report("Encoding reports", done, total, {})
    )
    card = draft_card(config, data, found)

    generator, discriminator = build_networks(config, found.encoder.features)
    train = data.parts["train"]
    for condition in (generator.text, discriminator.text):
        condition.standardise(torch.from_numpy(features[train]))
    start_from(config.init, generator, discriminator)
    freeze(generator, config.freeze)
    pictures = RandomPictures(data.pictures, train, config.augment, config.seed, session.steps * config.batch_size)
    samples = RandomReports(pictures, texts, features, train, generator.latent, config.seed)
    session.add("generator", generator, betas=(0.0, 0.99), averaged=True)
    session.add("discriminator", discriminator, betas=(0.0, 0.99), rate=config.discriminator_rate)
    session.restore()
    if perceptual is not None:
        perceptual.to(session.fabric.device)
    quality = None
    if session.fabric.is_global_zero:
        quality = held_back_quality(config.quality, data.pictures, data.parts, "validation")
    return Run(
        session,
        config,
        card,
        data,
        found.folder,
        features,
        samples,
        generator,
        discriminator,
        perceptual,
        quality,
        consistency,
    )


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: A loss is not finite; the last good checkpoint is untouched.
    """
    session, config, weight, judge = run.session, run.config, run.config.loss, run.discriminator
    for picture, text, other, noise, choices in session.batches(run.samples):
        with session.autocast():
            made = run.generator(noise, text)
        real = augment(picture, choices[:, _REAL], config.diffaugment)
        fake = augment(made, choices[:, _FAKE], config.diffaugment)

        with session.autocast():
            seen = judge.features(real)[-1]
            matching, mismatching = judge.verdict(seen, text), judge.verdict(seen, other)
            of_fake = judge(fake.detach(), text)
        realism = 0.5 * (cross_entropy(matching[:, _REALISM], 1.0) + cross_entropy(of_fake[:, _REALISM], 0.0))
        match = 0.5 * cross_entropy(matching[:, _MATCH], 1.0) + 0.25 * (
            cross_entropy(mismatching[:, _MATCH], 0.0) + cross_entropy(of_fake[:, _MATCH], 0.0)
        )
        loss = weight.adversarial * realism + weight.match * match
        figures = {"discriminator": realism, "discriminator match": match}
        if weight.r1 and session.step % weight.r1_every == 0:
            figures["r1"] = weight.r1_every * gradient_penalty(_Realism(judge, text), real)
            loss = loss + 0.5 * weight.r1 * figures["r1"]
        session.update("discriminator", loss)

        judge.requires_grad_(False)  # its own step is done: only the way to the generator counts
        with session.autocast():
            fooled = judge(fake, text)
        adversarial = cross_entropy(fooled[:, _REALISM], 1.0)
        matched = cross_entropy(fooled[:, _MATCH], 1.0)
        pixel = nn.functional.l1_loss(made.float(), picture)
        loss = weight.adversarial * adversarial + weight.match * matched + weight.l1 * pixel
        figures |= {"l1": pixel, "generator": adversarial, "generator match": matched}
        if run.perceptual is not None:
            with session.autocast():
                figures["perceptual"] = run.perceptual(made, picture)
            loss = loss + weight.perceptual * figures["perceptual"]
        session.update("generator", loss)
        judge.requires_grad_(True)

        if session.end_step(figures, report):
            session.end_period(lambda: validate(run), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as a package, measured on the test patients (on those that chose them where there are none)."""
    facts = run.session, run.config, run.card, run.data, run.features, run.text_folder, run.consistency
    return [export_radiographs(*facts, report)]


def validate(run: Run) -> Validation:
    """Judge the weights that would be exported, by pictures of a fixed seed and the reports of held-back patients."""
    session, config, data = run.session, run.config, run.data
    generator, discriminator = session.exportable("generator"), session.exportable("discriminator")
    part = "validation" if len(data.parts["validation"]) else "train"
    chosen = data.parts[part]
    pictures = draw(generator, config.quality.count, config.seed, run.features[chosen])
    scores = compare(discriminator, pictures, data, run.features, chosen)
    if run.quality is not None:
        scores |= run.quality.measure(pictures)
    better = config.quality.better(scores)
    weights = {"weights": generator.state_dict(), "discriminator": discriminator.state_dict()}
    return Validation(scores, better, weights, sample_picture(generator, data, run.features, chosen, config.seed))


class _Realism(nn.Module):
    """The discriminator as a function of the picture alone."""

    def __init__(self, discriminator: ReportDiscriminator, text: torch.Tensor) -> None:
        super().__init__()
        self._discriminator, self._text = discriminator, text

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self._discriminator(picture, self._text)[:, _REALISM]


def _perceptual_loss(config: ReportGANConfig) -> PerceptualLoss | None:
    loss = config.loss
    if not loss.perceptual or loss.perceptual_package is None:
        return None
    return PerceptualLoss(load_feature_network(loss.perceptual_package))
