"""Supervised translation by a U-Net with attention gates (Oktay et al., MIDL 2018), supervised at several resolutions
where the network has them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks.attention import AttentionUNet

from .config.attention_unet import AttentionUNetConfig, RegressionLossConfig
from .finetune import freeze, start_from
from .losses import ReconstructionLoss
from .session import Report, Session, silent
from .translation import PairedData, build_network, check, draft_card, export_paired, prepare_data, validate_translator


@dataclass
class Run:
    """All that a run consists of."""

    session: Session
    config: AttentionUNetConfig
    card: TranslationCard
    data: PairedData
    network: AttentionUNet


def setup(config: AttentionUNetConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    check(config)
    card = draft_card(config, _describe(config.loss), None)
    session = Session(config, resume)
    data = prepare_data(session, config, card, report)
    network = build_network(config.network)
    if not isinstance(network, AttentionUNet):
        raise InputError("The network of this recipe is an attention_unet; correct network.name.")
    start_from(config.init, network)
    freeze(network, config.freeze)
    session.add("generator", network, betas=(0.9, 0.999), averaged=True)
    session.restore()
    return Run(session, config, card, data, network)


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: The loss is not finite; the last good checkpoint is untouched.
    """
    session, weight = run.session, run.config.loss
    reconstruct = ReconstructionLoss(weight)
    for source, target in session.batches(run.data.samples):
        with session.autocast():
            outputs = run.network.forward_scales(source)
        finest = loss = reconstruct(outputs[0].float(), target)
        for level, output in enumerate(outputs[1:], 1):
            smaller = nn.functional.interpolate(target, output.shape[2:], mode="area")
            loss = loss + weight.coarse**level * reconstruct(output.float(), smaller)
        session.update("generator", loss)
        if session.end_step({"loss": finest}, report):
            session.end_period(lambda: validate_translator(session, run.data, run.card, {}), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as a package, scored on the test subjects."""
    return [export_paired(run.session, run.config, run.card, run.data)]


def _describe(loss: RegressionLossConfig) -> str:
    return f"{loss.l1:g} L1 + {loss.l2:g} L2 at every supervised resolution, background weight {loss.background:g}"
