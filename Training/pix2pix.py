"""pix2pix: paired translation with a conditional PatchGAN (Isola et al., CVPR 2017), regression first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks.patchgan import PatchGAN
from MRITranslateLib.package import load_package

from .config.pix2pix import LossConfig, Pix2PixConfig
from .finetune import freeze, judge_for, start_from
from .losses import ReconstructionLoss, adversarial_loss, feature_matching
from .perceptual import PerceptualLoss, load_feature_network
from .session import Report, Session, Validation, silent
from .translation import (
    PairedData,
    build_network,
    check,
    draft_card,
    export_paired,
    prepare_data,
    validate_translator,
)


@dataclass
class Run:
    """All that a pix2pix run consists of."""

    session: Session
    config: Pix2PixConfig
    card: TranslationCard
    data: PairedData
    generator: nn.Module
    discriminator: PatchGAN
    perceptual: PerceptualLoss | None


def setup(config: Pix2PixConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    check(config)
    perceptual = _perceptual_loss(config.loss)
    card = draft_card(config, describe(config.loss), config.discriminator)
    session = Session(config, resume)
    data = prepare_data(session, config, card, report)

    generator, discriminator = build_network(config.network), build_network(config.discriminator)
    if not isinstance(discriminator, PatchGAN):
        raise InputError("The discriminator of pix2pix is a patchgan; correct discriminator.name.")
    start_from(config.init, generator, discriminator)
    freeze(generator, config.freeze)
    session.add("generator", generator, averaged=True)
    session.add("discriminator", discriminator)
    session.restore()
    perceptual = None if perceptual is None else perceptual.to(session.fabric.device)
    return Run(session, config, card, data, generator, discriminator, perceptual)


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: The loss is not finite; the last good checkpoint is untouched.
    """
    session, weight = run.session, run.config.loss
    reconstruct, adversarial = ReconstructionLoss(weight), adversarial_loss()
    for source, target in session.batches(run.data.samples):
        with_adversary = _joined(run, session.step)

        with session.autocast():
            output = run.generator(source)
        pixel = loss = reconstruct(output.float(), target)
        if run.perceptual is not None:
            with session.autocast():
                loss = loss + weight.perceptual * run.perceptual(output, target)
        if with_adversary:
            run.discriminator.requires_grad_(False)
            with session.autocast():
                judged = run.discriminator.features(torch.cat([source, output], 1))
            fooled = adversarial(judged[-1], target_is_real=True, for_discriminator=False)
            loss = loss + weight.adversarial * fooled
            if weight.feature_matching:
                with torch.no_grad(), session.autocast():
                    wanted = run.discriminator.features(torch.cat([source, target], 1))
                loss = loss + weight.feature_matching * feature_matching(judged[:-1], wanted[:-1])
            run.discriminator.requires_grad_(True)
        session.update("generator", loss)
        figures = {"loss": pixel}

        if with_adversary:
            with session.autocast():
                real = run.discriminator(torch.cat([source, target], 1))
                fake = run.discriminator(torch.cat([source, output.detach()], 1))
            told_apart = 0.5 * (
                adversarial(real, target_is_real=True, for_discriminator=True)
                + adversarial(fake, target_is_real=False, for_discriminator=True)
            )
            session.update("discriminator", told_apart)
            figures |= {"generator": fooled, "discriminator": told_apart}

        if session.end_step(figures, report):
            session.end_period(lambda: _validate(run), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as a package, scored on the test subjects."""
    return [export_paired(run.session, run.config, run.card, run.data)]


def _joined(run: Run, step: int) -> bool:
    """Whether the discriminator takes part in a step."""
    loss = run.config.loss
    return loss.adversarial > 0 and step >= loss.adversarial_from_epoch * run.config.steps_per_epoch


def _validate(run: Run) -> Validation:
    """A discriminator that was never trained stays out of the package."""
    judges = _joined(run, run.session.step - 1) or _came_trained(run)
    judge = {"discriminator": run.session.exportable("discriminator").state_dict()} if judges else {}
    return validate_translator(run.session, run.data, run.card, judge)


def _came_trained(run: Run) -> bool:
    """Whether the discriminator is that of the package which the run started from."""
    init = run.config.init
    return init is not None and judge_for(run.discriminator, load_package(str(init))) is not None


def _perceptual_loss(loss: LossConfig) -> PerceptualLoss | None:
    if not loss.perceptual:
        return None
    if loss.perceptual_package is None:
        raise InputError("loss.perceptual needs loss.perceptual_package, a classification package to take features of.")
    return PerceptualLoss(load_feature_network(loss.perceptual_package))


def describe(loss: LossConfig) -> str:
    """The loss as one sentence of the card."""
    parts = [
        f"{loss.l1:g} L1 + {loss.l2:g} L2 + {loss.adversarial:g} least-squares PatchGAN "
        f"(from epoch {loss.adversarial_from_epoch})"
    ]
    if loss.feature_matching:
        parts.append(f"{loss.feature_matching:g} feature matching")
    if loss.perceptual:
        parts.append(f"{loss.perceptual:g} perceptual ({loss.perceptual_package})")
    return " + ".join(parts) + f", background weight {loss.background:g}"
