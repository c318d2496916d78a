"""pix2pix: paired translation with a conditional PatchGAN (Isola et al., CVPR 2017), regression first.

`setup` builds everything a run needs from its configuration, `fit` is the loop. Both the samples and the schedule are
functions of the step alone, so a run that was killed goes on as if nothing had happened.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from MRITranslateLib import networks
from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

from .config import Pix2PixConfig
from .data.alignment import check_alignment
from .data.pairs import PreparedPair, is_phantom, load_pair, prepare_all
from .data.slices import RandomSlices
from .export import draft_card
from .losses import ReconstructionLoss, adversarial_loss
from .runfolder import RunFolder
from .validation import validate

Report = Callable[[str, int, int, dict[str, float]], None]
"""Called with (stage, done, total, figures)."""
_Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


@dataclass
class Run:
    """All that a pix2pix run consists of; `state` is what a checkpoint holds."""

    config: Pix2PixConfig
    card: TranslationCard
    fabric: Fabric
    folder: RunFolder
    train: list[PreparedPair]
    validation: list[PreparedPair]
    generator: nn.Module
    discriminator: nn.Module
    averaged: AveragedModel
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    step: int = 0
    best: float = -math.inf

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.config.steps_per_epoch


def setup(config: Pix2PixConfig, resume: bool = False, report: Report = lambda *_: None) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    _check(config)
    card = draft_card(config)
    folder = RunFolder(config.output, resume)
    folder.save_config(config)
    fabric = Fabric(accelerator=config.accelerator, devices=config.devices, precision=config.precision)
    fabric.launch()
    fabric.seed_everything(config.seed, verbose=False)

    real = [name for name in config.data.train + config.data.validation if not is_phantom(name)]
    for done, subject in enumerate(real if config.data.check_alignment else []):
        pair = load_pair(config.data, card.source, card.target, subject)
        report("Checking alignment", done + 1, len(real), check_alignment(pair))
    subjects = config.data.training_subjects + config.data.validation
    counter = iter(range(1, len(subjects) + 1))
    tick = lambda _subject: report("Preparing data", next(counter), len(subjects), {})  # noqa: E731
    train = prepare_all(config.data, card, config.data.training_subjects, tick)
    validation = prepare_all(config.data, card, config.data.validation, tick)

    build = lambda card: networks.build(card.name, card.parameters).to(memory_format=torch.channels_last)  # noqa: E731
    generator, discriminator = build(config.network), build(config.discriminator)
    if config.init is not None:
        _start_from(config.init, generator, discriminator)
    averaged = AveragedModel(generator, multi_avg_fn=moving_average(config.ema))
    averaged.requires_grad_(False)
    averaged.to(fabric.device)
    make = lambda network, rate: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))  # noqa: E731
    generator, generator_optimizer = fabric.setup(generator, make(generator, config.learning_rate))
    discriminator, discriminator_optimizer = fabric.setup(discriminator, make(discriminator, config.learning_rate))
    run = Run(
        config,
        card,
        fabric,
        folder,
        train,
        validation,
        generator,
        discriminator,
        averaged,
        generator_optimizer,
        discriminator_optimizer,
    )
    if resume:
        load_checkpoint(run)
    return run


def fit(run: Run, report: Report = lambda *_: None, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch, writing a checkpoint and a validation every `validate_every` epochs.

    Raises:
        InputError: The loss is not finite; the last good checkpoint is untouched.
    """
    config, fabric = run.config, run.fabric
    reconstruct, adversarial = ReconstructionLoss(config.loss), adversarial_loss()
    join_at = config.loss.adversarial_from_epoch * config.steps_per_epoch
    run.generator.train()
    run.discriminator.train()
    started, first = time.monotonic(), run.step
    figures: dict[str, float] = {}
    for source, target in _batches(run):
        source = source.contiguous(memory_format=torch.channels_last)
        for optimizer in (run.generator_optimizer, run.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, run.step)
        with_adversary = config.loss.adversarial > 0 and run.step >= join_at

        output = run.generator(source)
        pixel = reconstruct(output, target)
        loss = pixel
        if with_adversary:
            run.discriminator.requires_grad_(False)
            fooled = adversarial(
                run.discriminator(torch.cat([source, output], 1)), target_is_real=True, for_discriminator=False
            )
            loss = pixel + config.loss.adversarial * fooled
        _update(run, run.generator, run.generator_optimizer, loss)
        run.averaged.update_parameters(run.generator)

        if with_adversary:
            run.discriminator.requires_grad_(True)
            real = run.discriminator(torch.cat([source, target], 1))
            fake = run.discriminator(torch.cat([source, output.detach()], 1))
            judged = 0.5 * (
                adversarial(real, target_is_real=True, for_discriminator=True)
                + adversarial(fake, target_is_real=False, for_discriminator=True)
            )
            _update(run, run.discriminator, run.discriminator_optimizer, judged)

        run.step += 1
        if run.step % 10 == 0 or run.step == run.steps:
            figures = {"loss": pixel.item()}
            if with_adversary:
                figures |= {"generator": fooled.item(), "discriminator": judged.item()}
            left = (time.monotonic() - started) / (run.step - first) * (run.steps - run.step)
            report("Training", run.step, run.steps, figures | {"seconds left": left})
        if run.step % config.steps_per_epoch == 0:
            epoch = run.step // config.steps_per_epoch
            if epoch % config.validate_every == 0 or run.step == run.steps:
                _end_of_period(run, epoch, figures, report)
        if stop():
            return
    fabric.barrier()


def learning_rate(config: Pix2PixConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to 1 % of the peak."""
    total = config.epochs * config.steps_per_epoch
    warm = min(1.0, (step + 1) / max(1, config.warm_up_steps))
    return config.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / total)))


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, torch.Tensor | int], None]:
    """Exponential moving average whose decay warms up, so that a short run is not held back by its first weights."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: torch.Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return update


def save_checkpoint(run: Run) -> None:
    """Write the state under a temporary name, then rename: a kill at any moment leaves a whole checkpoint."""
    temporary = run.folder.checkpoint.with_suffix(".writing")
    run.fabric.save(temporary, _state(run) | {"step": run.step, "best": run.best, "random": torch.get_rng_state()})
    if run.fabric.is_global_zero:
        os.replace(temporary, run.folder.checkpoint)
    run.fabric.barrier()


def load_checkpoint(run: Run) -> None:
    """Go on from the last checkpoint; from the beginning when there is none yet."""
    if not run.folder.checkpoint.is_file():
        return
    rest = run.fabric.load(run.folder.checkpoint, _state(run))
    run.step, run.best = int(rest["step"]), float(rest["best"])
    torch.set_rng_state(rest["random"].cpu())


def weights_to_export(run: Run) -> dict[str, dict[str, torch.Tensor]]:
    """State dictionaries of the best generator, and of the discriminator if it has ever been trained."""
    generator, discriminator = run.folder.load_best()
    loss = run.config.loss
    joined = loss.adversarial > 0 and run.step > loss.adversarial_from_epoch * run.config.steps_per_epoch
    judged = joined or (run.config.init is not None and load_package(run.config.init).has_discriminator)
    return {"weights": generator} | ({"discriminator": discriminator} if judged else {})


def _state(run: Run) -> dict[str, object]:
    return {
        "generator": run.generator,
        "discriminator": run.discriminator,
        "averaged": run.averaged,
        "generator_optimizer": run.generator_optimizer,
        "discriminator_optimizer": run.discriminator_optimizer,
    }


def _batches(run: Run) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The samples of the steps that remain."""
    config = run.config
    samples = RandomSlices(
        run.train,
        config.grid.context,
        config.crop,
        config.augment,
        config.data.phantom_share,
        config.seed,
        run.steps * config.batch_size,
    )
    rest = Subset(samples, range(run.step * config.batch_size, len(samples)))
    on_gpu = run.fabric.device.type == "cuda"
    loader = DataLoader(
        rest,
        config.batch_size // run.fabric.world_size,
        num_workers=min(8, os.cpu_count() or 1) if on_gpu else 0,
        pin_memory=on_gpu,
    )
    yield from cast("Iterator[tuple[torch.Tensor, torch.Tensor]]", iter(run.fabric.setup_dataloaders(loader)))


def _update(run: Run, network: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    if not torch.isfinite(loss):
        raise InputError(
            f"The loss became {loss.item()} at step {run.step}; "
            "lower learning_rate and --resume from the last checkpoint."
        )
    optimizer.zero_grad(set_to_none=True)
    run.fabric.backward(loss)
    run.fabric.clip_gradients(network, optimizer, max_norm=run.config.gradient_clip)
    optimizer.step()


def _end_of_period(run: Run, epoch: int, figures: dict[str, float], report: Report) -> None:
    """Validate the averaged weights, keep the best, log, draw samples, write the checkpoint."""
    if run.fabric.is_global_zero:
        scores, samples = validate(run.averaged.module, run.validation or run.train[:1], run.card, run.fabric.device)
        report("Validated", run.step, run.steps, scores)
        run.folder.log(epoch, run.step, figures | scores)
        run.folder.save_samples(epoch, samples)
        if (
            scores["psnr"] > run.best or not run.validation
        ):  # without validation subjects the last weights are the best known
            run.best = scores["psnr"]
            run.folder.save_best(run.averaged.module.state_dict(), run.discriminator.state_dict())
    save_checkpoint(run)


def _check(config: Pix2PixConfig) -> None:
    if not config.data.training_subjects:
        raise InputError("There is nothing to train on; list subjects in data.train, or say data.phantoms.")
    everyone = config.data.training_subjects + config.data.validation + config.data.test
    twice = {subject for subject in everyone if everyone.count(subject) > 1}
    if twice:
        raise InputError(
            f"{', '.join(sorted(twice))} appears in more than one of data.train, data.validation and data.test."
        )
    if config.crop % config.grid.size_multiple:
        raise InputError(f"crop must be a multiple of grid.size_multiple ({config.grid.size_multiple}).")
    if config.batch_size % config.devices:
        raise InputError(
            f"batch_size {config.batch_size} cannot be shared by {config.devices} devices; make it a multiple."
        )


def _start_from(folder: Path, generator: nn.Module, discriminator: nn.Module) -> None:
    """Take the weights of a package whose networks have the same shapes; its discriminator too, where it has one."""
    package = load_package(folder)
    try:
        generator.load_state_dict(package.generator("cpu").state_dict())
        if package.has_discriminator:
            discriminator.load_state_dict(package.discriminator("cpu").state_dict())
    except RuntimeError:
        raise InputError(
            f'The networks of "{folder}" differ from this configuration; use the same network and discriminator.'
        ) from None
