"""CycleGAN: translation both ways without pairs (Zhu et al., ICCV 2017).

Two generators, one for each direction, and two PatchGANs, each of which judges the images of one contrast. In place of
a truth stands the way there and back, which must end where it began.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from MRITranslateLib.card import TranslationCard

from .bothways import WAYS, UnpairedData, draft_cards, export_both, prepare_sides, validate_both
from .config.cyclegan import CycleGANConfig
from .finetune import freeze, start_from
from .imagepool import ImagePool
from .losses import adversarial_loss
from .session import Report, Session, silent
from .translation import build_network, check


@dataclass
class Run:
    """All that a CycleGAN run consists of; "there" is from source to target, "back" from target to source.

    Attributes:
        session, config, data: As in every recipe.
        cards: Of the package of each way.
        generators: Of each way.
        discriminators: What a way leads to: "there" judges targets, "back" judges sources.
        pools: What each discriminator is shown of the generated images.
    """

    session: Session
    config: CycleGANConfig
    cards: dict[str, TranslationCard]
    data: UnpairedData
    generators: nn.ModuleDict
    discriminators: nn.ModuleDict
    pools: dict[str, ImagePool]


def setup(config: CycleGANConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    check(config, paired=False)
    cards = draft_cards(config)
    session = Session(config, resume)
    data = prepare_sides(session, config, cards["there"], report)

    generators = nn.ModuleDict({way: build_network(config.network) for way in WAYS})
    discriminators = nn.ModuleDict({way: build_network(config.discriminator) for way in WAYS})
    for way, init in zip(WAYS, (config.init, config.reverse.init), strict=True):
        start_from(init, generators[way], discriminators[way])
        freeze(generators[way], config.freeze)
    session.add("generators", generators, averaged=True)
    session.add("discriminators", discriminators)
    pools = {way: ImagePool(config.pool) for way in WAYS}
    for way, pool in pools.items():
        session.keep(f"pool {way}", pool)
    session.restore()
    return Run(session, config, cards, data, generators, discriminators, pools)


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: The loss is not finite; the last good checkpoint is untouched.
    """
    session, weight = run.session, run.config.loss
    there, back = (partial(_slide, run.generators[way], run.config.grid.context) for way in WAYS)
    judge_target, judge_source = (run.discriminators[way] for way in WAYS)
    adversarial, distance = adversarial_loss(), nn.functional.l1_loss
    for sources, targets in session.batches(run.data.samples):  # slices among their neighbours
        source, target = _middle(sources), _middle(targets)

        with session.autocast():
            fake_targets, fake_sources = there(sources), back(targets)
            cycled_source, cycled_target = back(fake_targets), there(fake_sources)
        fake_target, fake_source = _middle(fake_targets), _middle(fake_sources)
        cycled = distance(cycled_source.float(), source) + distance(cycled_target.float(), target)
        loss = weight.cycle * cycled
        if weight.identity:
            with session.autocast():
                same_target, same_source = there(_inner(targets)), back(_inner(sources))
            kept = distance(same_target.float(), target) + distance(same_source.float(), source)
            loss = loss + weight.identity * kept
        run.discriminators.requires_grad_(False)
        with session.autocast():
            judged_target, judged_source = judge_target(fake_target), judge_source(fake_source)
        run.discriminators.requires_grad_(True)
        fooled = adversarial(judged_target.float(), target_is_real=True, for_discriminator=False) + adversarial(
            judged_source.float(), target_is_real=True, for_discriminator=False
        )
        session.update("generators", loss + weight.adversarial * fooled)

        told_apart = []
        for judge, real, fake, pool in (
            (judge_target, target, fake_target, run.pools["there"]),
            (judge_source, source, fake_source, run.pools["back"]),
        ):
            with session.autocast():
                judged_real, judged_fake = judge(real), judge(pool(fake))
            real_loss = adversarial(judged_real.float(), target_is_real=True, for_discriminator=True)
            fake_loss = adversarial(judged_fake.float(), target_is_real=False, for_discriminator=True)
            told_apart.append(0.5 * (real_loss + fake_loss))
        session.update("discriminators", torch.stack(told_apart).sum())

        figures = {"cycle": cycled, "generators": fooled, "discriminators": torch.stack(told_apart).sum()}
        if session.end_step(figures | ({"identity": kept} if weight.identity else {}), report):
            session.end_period(lambda: validate_both(session, run.data, run.cards), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as two packages, one for each way, scored on the test subjects that have both images."""
    return export_both(run.session, run.config, run.cards, run.data)


def _slide(network: nn.Module, context: int, slices: torch.Tensor) -> torch.Tensor:
    """Every window of neighbouring slices through a generator: (N, S, H, W) to (N, S - context + 1, H, W).

    Volumes (N, 1, D, H, W), whose network sees neighbours anyway, keep their shape.
    """
    if slices.shape[1] == context:
        return network(slices)
    windows = slices.unfold(1, context, 1).movedim(-1, 2)
    return network(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]).squeeze(2)


def _middle(slices: torch.Tensor) -> torch.Tensor:
    """The slice in the middle of (N, S, ...): (N, 1, ...)."""
    return slices.narrow(1, slices.shape[1] // 2, 1)


def _inner(slices: torch.Tensor) -> torch.Tensor:
    """The window around the middle one of (N, S, ...), S being 2 windows but the slice that they share."""
    return slices.narrow(1, slices.shape[1] // 4, (slices.shape[1] + 1) // 2)
