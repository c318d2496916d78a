"""What every recipe shares: processes and arithmetic, the run's folder, networks with their optimizers, the step, the
checkpoint.

Samples and learning rates are functions of the step alone and every random state is in the checkpoint, so a run that
was killed goes on as if nothing had happened: bit for bit on a CPU.
"""

import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.checkpoint.stateful import Stateful
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset

from MRITranslateLib.errors import InputError

from .clock import Clock
from .config.run import RunConfig
from .machine import make_fabric
from .report import write_report
from .runfolder import RunFolder
from .samples import Samples
from .schedule import learning_rate, moving_average

for _library in ("lightning.fabric", "lightning.pytorch"):  # every process would tell its number
    logging.getLogger(_library).setLevel(logging.WARNING)

Report = Callable[[str, int, int, dict[str, float]], None]
"""Called with (stage, done, total, figures)."""
States = dict[str, dict[str, torch.Tensor]]
_REPORT_EVERY = 10
_FORKS = sys.platform == "linux"


def silent(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class Validation:
    """What a recipe found when it validated.

    Attributes:
        scores: Figures for the log, by name.
        better: The figure that chooses the best weights, the higher the better; infinite where nothing can choose, so
            that the last weights are kept.
        weights: State dictionaries of the best weights, by the name of their package file without suffix.
        picture: Samples, or one picture (rows, columns) or (rows, columns, 3) in 0..1.
    """

    scores: dict[str, float]
    better: float
    weights: States
    picture: Samples | np.ndarray | None = field(default=None)


class Session:
    """The frame of a run.

    Args:
        config: Of the run.
        resume: Go on from the folder's checkpoint; otherwise a folder that holds a run is refused.

    Attributes:
        config: Of the run, with the precision that it computes in.
        fabric: Processes, device and arithmetic.
        folder: Where the run writes.
        step: Steps done.
        best: Best validation so far.

    Raises:
        InputError: The folder cannot be used, or the machine lacks what the configuration asks for.
    """

    def __init__(self, config: RunConfig, resume: bool) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self.fabric, precision = make_fabric(config)
        self.config, self._resume = config.model_copy(update={"precision": precision}), resume
        if "LT_CLI_USED" not in os.environ:  # `fabric run` has started the processes
            self.fabric.launch()
        if config.batch_size % self.fabric.world_size:
            raise InputError(
                f"batch_size {config.batch_size} cannot be shared by {self.fabric.world_size} processes; "
                "make it a multiple."
            )
        self.folder = RunFolder(config.output, resume)
        self.fabric.barrier()  # nobody writes before everybody has looked
        if self.fabric.is_global_zero:
            self.folder.save_config(self.config)
            if precision != config.precision:
                warnings.warn(
                    f"This CPU does not compute in bfloat16 itself: the run goes on in {precision} instead of "
                    f"{config.precision}, which would take many times as long.",
                    stacklevel=2,
                )
        self.fabric.seed_everything(config.seed, verbose=False)
        self._halves_on_cpu = self.fabric.device.type == "cpu" and precision != "32-true"
        self.step, self.best = 0, -math.inf
        self._validations_since_best = 0
        self._networks: dict[str, nn.Module] = {}
        self._averaged: dict[str, AveragedModel] = {}
        self._optimizers: dict[str, Any] = {}
        self._kept: dict[str, Stateful] = {}
        self._rates: dict[str, float] = {}
        self._unchecked: list[tuple[int, torch.Tensor]] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._summed = 0
        self._clock = Clock()

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.config.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.step // self.config.steps_per_epoch

    @property
    def waited(self) -> float:
        """Seconds spent waiting for data since the period began."""
        return self._clock.seconds_waited

    @property
    def stopped_early(self) -> bool:
        """Whether the score has not risen for `early_stop` validations."""
        return 0 < self.config.early_stop <= self._validations_since_best

    def add(
        self,
        name: str,
        network: nn.Module,
        betas: tuple[float, float] = (0.5, 0.999),
        averaged: bool = False,
        rate: float = 1.0,
    ) -> None:
        """Take a network into the run, as it is: to the device, with Adam, under `name` in the checkpoint.

        There is no wrapper for several processes around it: `update` averages the gradients instead, so that a network
        may be called any number of times before an update, as GANs do.

        Args:
            name: In the checkpoint.
            network: With its first weights, the same in every process; parameters that need no gradient stay as they
                are. A ModuleDict takes several networks whose losses are one sum.
            betas: Of Adam.
            averaged: Keep a moving average of the weights too.
            rate: Learning rate relative to the run's.
        """
        network.to(self.fabric.device).to(memory_format=self._layout_of(network))
        if averaged:
            self._averaged[name] = AveragedModel(network, multi_avg_fn=moving_average(self.config.ema))
            self._averaged[name].requires_grad_(False)
        if self.config.compile:
            for part in network.children() if isinstance(network, nn.ModuleDict) else (network,):
                part.compile()
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not learning:
            raise InputError("Every layer is frozen; leave some out of freeze.")
        optimizer = torch.optim.Adam(learning, lr=self.config.learning_rate * rate, betas=betas)
        self._optimizers[name] = self.fabric.setup_optimizers(optimizer)
        self._networks[name], self._rates[name] = network, rate

    def _layout_of(self, network: nn.Module) -> torch.memory_format:
        """The faster memory layout: channels last, but plain for volumes, and for normalised groups in half the bits on
        a CPU, where the norm costs more than the convolutions gain. A convolution brings its input to the layout of
        its weights."""
        volumes = any(parameter.dim() == 5 for parameter in network.parameters())
        groups = any(isinstance(module, nn.GroupNorm) for module in network.modules())
        return torch.contiguous_format if volumes or (groups and self._halves_on_cpu) else torch.channels_last

    def keep(self, name: str, part: Stateful) -> None:
        """Take anything else that has a state into the checkpoint."""
        self._kept[name] = part

    def restore(self) -> None:
        """After the last `add` and `keep`: go on from the checkpoint when resuming, from the beginning without one.

        Raises:
            InputError: The checkpoint is damaged or of other networks.
        """
        if self._resume and self.folder.checkpoint.is_file():
            self._take(self.folder.load_checkpoint())
        if self.fabric.is_global_zero:
            self.folder.forget_after(self.step)

    def _take(self, state: dict[str, Any]) -> None:
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            self.step, self.best = int(state["step"]), float(state["best"])
            self._validations_since_best = int(state["since best"])
            torch.set_rng_state(state["random"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f'The checkpoint in "{self.folder.path}" is of other networks; resume with the configuration that the '
                "run was started with, or choose another --output."
            ) from error

    def autocast(self) -> Any:
        """Context in which the networks compute in the configured precision."""
        return self.fabric.autocast()

    def averaged(self, name: str) -> nn.Module:
        """The moving average of a network that was added with one."""
        return self._averaged[name].module

    def exportable(self, name: str) -> nn.Module:
        """The averaged network (the plain one where no average is kept) as a package will hold it.

        Weights are rounded through float16, in plain memory order and evaluation mode: what is validated is what is
        exported, bit for bit.
        """
        source = self._averaged[name].module if name in self._averaged else self._networks[name]
        network = deepcopy(source).to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
        return network

    def batches(self, samples: Dataset[Any]) -> Iterator[Any]:
        """The batches of the steps that remain, on the device.

        Args:
            samples: Map-style, at least `steps * batch_size` long, where item i is a function of i alone.
        """
        config, world = self.config, self.fabric.world_size
        first = self.step * config.batch_size + self.fabric.global_rank
        mine = Subset(samples, range(first, self.steps * config.batch_size, world))
        workers = _workers(self.fabric.device)
        loader = DataLoader(
            mine,
            config.batch_size // world,
            num_workers=workers,
            multiprocessing_context="fork" if workers and _FORKS else None,
            pin_memory=self.fabric.device.type == "cuda",
            generator=torch.Generator(),  # else beginning to load, as resuming does, would draw from the global numbers
        )
        for network in self._networks.values():
            _learn(network)
        self._clock.start(self.step)
        iterator = iter(loader)
        while self.step < self.steps and not self.stopped_early:
            with self._clock.waiting():
                batch = next(iterator)
            self._set_learning_rates()
            yield _to(batch, self.fabric.device)
        self.fabric.barrier()

    def update(self, name: str, loss: torch.Tensor) -> None:
        """One step of a network's optimizer down the gradient of `loss`.

        Raises:
            InputError: The loss is not finite; the last good checkpoint is untouched.
        """
        self._unchecked.append((self.step, loss.detach()))
        if loss.device.type == "cpu":  # asking a GPU would make it wait
            self._check_losses()
        network, optimizer = self._networks[name], self._optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self._average_gradients(network)
        self.fabric.clip_gradients(network, optimizer, max_norm=self.config.gradient_clip, error_if_nonfinite=False)
        optimizer.step()
        if name in self._averaged:
            self._averaged[name].update_parameters(network)

    def end_step(self, figures: Mapping[str, torch.Tensor], report: Report = silent) -> bool:
        """Count the step.

        Args:
            figures: Losses of the step, by name.
            report: Told every ten steps, with the seconds left.

        Returns:
            True when a period ends: then `end_period` is due.
        """
        config = self.config
        for key, value in figures.items():
            self._sums[key] = self._sums.get(key, torch.zeros((), device=value.device)) + value.detach().float()
        self._summed += 1
        self.step += 1
        ends = self.step % config.steps_per_epoch == 0 and (
            self.epoch % config.validate_every == 0 or self.epoch in config.sample_epochs or self.step == self.steps
        )
        if self.step % _REPORT_EVERY == 0 or ends:
            self._check_losses()
            now = {key: value.item() for key, value in figures.items()}
            report("Training", self.step, self.steps, now | {"seconds left": self._clock.left(self.step, self.steps)})
        return ends

    def end_period(self, validate: Callable[[], Validation], report: Report = silent) -> None:
        """Validate, log, draw samples, keep the best weights, write the checkpoint and the report.

        Args:
            validate: Called in the first process only.
            report: Told the scores.
        """
        self._check_losses()
        means = {key: self._over_processes(value).item() / self._summed for key, value in self._sums.items()}
        self._sums, self._summed = {}, 0
        rose = False
        if self.fabric.is_global_zero:
            clock = self._clock.figures(self.step, self.config.batch_size)
            found = validate()
            report("Validated", self.step, self.steps, found.scores)
            rose = found.better > self.best or math.isinf(found.better)
            if rose:
                self.best = found.better
                self.folder.save_best(found.weights)
            weights = {"kept": float(rose)}
            groups = {"loss": means, "validation": found.scores, "speed": clock, "weights": weights}
            self.folder.log(self.epoch, self.step, groups)
            if found.picture is not None:
                self.folder.save_samples(self.epoch, self.step, found.picture)
            write_report(self.folder)
        rose, self.best = self.fabric.broadcast((rose, self.best))
        self._validations_since_best = 0 if rose else self._validations_since_best + 1
        self._save()
        self._clock.start(self.step)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            state = {name: part.state_dict() for name, part in self._parts().items()}
            rest = {
                "precision": self.fabric.strategy.precision.state_dict(),
                "step": self.step,
                "best": self.best,
                "since best": self._validations_since_best,
                "random": torch.get_rng_state(),
            }
            self.folder.save_checkpoint(state | rest)
        self.fabric.barrier()

    def _parts(self) -> dict[str, Any]:
        """Everything with a state, by its name in the checkpoint."""
        parts: dict[str, Any] = self._networks | self._kept
        parts |= {f"{name} averaged": network for name, network in self._averaged.items()}
        return parts | {f"{name} optimizer": optimizer for name, optimizer in self._optimizers.items()}

    def _average_gradients(self, network: nn.Module) -> None:
        """Over all processes; with batches of one size that is the gradient of the whole batch."""
        if self.fabric.world_size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = self._over_processes(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _over_processes(self, value: torch.Tensor) -> torch.Tensor:
        mean = self.fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(mean, torch.Tensor)
        return mean

    def _set_learning_rates(self) -> None:
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._rates[name] * learning_rate(self.config, self.step)

    def _check_losses(self) -> None:
        for step, loss in self._unchecked:
            if not torch.isfinite(loss):
                raise InputError(
                    f"The loss became {loss.item()} at step {step}; "
                    "lower learning_rate and --resume from the last checkpoint."
                )
        self._unchecked.clear()


def _learn(network: nn.Module) -> None:
    """Training mode; but frozen batch normalisations keep their running statistics as well."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine and not module.weight.requires_grad:
            module.eval()


def _workers(device: torch.device) -> int:
    """Processes that prepare samples ahead of the steps: on a CPU one, where forks share the data's memory."""
    cores = os.cpu_count() or 1
    return min(8, cores) if device.type != "cpu" else int(cores > 1 and _FORKS)


def _to(batch: Any, device: torch.device) -> Any:
    """Tensors of a batch to the device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: _to(value, device) for key, value in batch.items()}
    return [_to(value, device) for value in batch] if isinstance(batch, list | tuple) else batch
