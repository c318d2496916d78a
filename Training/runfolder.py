"""The folder of a run: configuration, split, log, sample pictures, checkpoint, best weights, exported package."""

import csv
import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch.utils.tensorboard import SummaryWriter

from MRITranslateLib.errors import InputError

from .config.run import RunConfig
from .runlog import COLUMNS, read_rows
from .samples import Samples, save_sheet

_BEST = "best-"


class RunFolder:
    """Names and writes a run's files; every file that is replaced is written under a temporary name first.

    Args:
        path: Created when missing.
        resume: False refuses a folder that already holds a run.

    Raises:
        InputError: The folder cannot be written, or it holds a run and `resume` is False.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.ckpt"
        self.export = self.path / "export"
        if self.checkpoint.exists() and not resume:
            raise InputError(f'"{self.path}" already holds a run; go on with --resume or choose another --output.')
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f'The folder "{self.path}" cannot be made ({error.strerror}); choose another --output.'
            ) from None
        self._resume = resume
        self._board: SummaryWriter | None = None
        self._begins: int | None = None

    def save_config(self, config: RunConfig) -> None:
        """Write config.yaml; its first line names the recipe, as in the configurations that come with the software."""
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        self.save_text("config.yaml", _first_line(config) + text)

    def save_split(self, parts: Mapping[str, Iterable[str]]) -> None:
        """Write split.yaml: which subjects were trained on, chose the best weights, and give the card's scores.

        Raises:
            InputError: The run that goes on was dealt other subjects; then it would test on whom it has trained on.
        """
        text = yaml.safe_dump({part: list(subjects) for part, subjects in parts.items()}, sort_keys=False)
        before = self.path / "split.yaml"
        if self._resume and self.checkpoint.exists() and before.is_file() and before.read_text("utf-8") != text:
            raise InputError(
                f'The subjects are not those that the run in "{self.path}" began with; restore its data, or begin '
                "another run with another --output."
            )
        self._replace("split.yaml", lambda file: file.write_text(text, encoding="utf-8"))

    def save_text(self, name: str, text: str) -> None:
        """Write any other text of the run."""
        self._replace(name, lambda file: file.write_text(text, encoding="utf-8"))

    def save_drawing(self, name: str, draw: Callable[[Path], object]) -> None:
        """Write a picture by a function of the file."""
        self._replace(name, draw)

    def log(self, epoch: int, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Append figures, by group and name, to log.csv and to TensorBoard's files."""
        file = self.path / "log.csv"
        fresh = not file.exists()
        try:
            with file.open("a", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                if fresh:
                    writer.writerow(COLUMNS)
                writer.writerows(
                    [epoch, step, group, key, f"{value:.6g}"]
                    for group, figures in groups.items()
                    for key, value in figures.items()
                )
        except OSError as error:
            raise self._cannot_write("log.csv", error) from None
        board = self._tensorboard()
        for group, figures in groups.items():
            for key, value in figures.items():
                board.add_scalar(f"{group}/{key}", value, step)
        board.flush()

    def forget_after(self, step: int) -> None:
        """Drop what was logged after `step` by a run that was killed before its next checkpoint."""
        file = self.path / "log.csv"
        if not file.exists():
            return
        self._begins = step + 1
        kept = [row for row in read_rows(file) if int(row["step"]) <= step]
        self._replace("log.csv", partial(_write_rows, kept))

    def save_samples(self, epoch: int, step: int, samples: Samples | np.ndarray) -> None:
        """Draw the sample pictures of an epoch, for the folder and for TensorBoard."""
        (self.path / "samples").mkdir(exist_ok=True)
        drawn: list[np.ndarray] = []
        self._replace(f"samples/epoch-{epoch:04d}.png", lambda file: drawn.append(save_sheet(samples, file)))
        board = self._tensorboard()
        board.add_image("samples", drawn[0], step, dataformats="HWC")
        board.flush()

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint: a kill or a full disk at any moment leaves a whole one.

        Raises:
            InputError: It cannot be written.
        """
        self._replace("checkpoint.ckpt", lambda file: torch.save(dict(state), file))

    def load_checkpoint(self) -> dict[str, Any]:
        """The checkpoint, on the CPU.

        Raises:
            InputError: It is damaged.
        """
        try:
            return torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
            raise InputError(
                f'"{self.checkpoint}" is damaged; delete it to begin the run again, or restore it from a copy.'
            ) from None

    def save_best(self, states: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Keep the weights that validated best; those kept before under other names are removed."""
        for name, state in states.items():
            plain = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
            self._replace(f"{_BEST}{name}.safetensors", partial(save_file, plain))
        for file in self.path.glob(f"{_BEST}*.safetensors"):
            if file.stem.removeprefix(_BEST) not in states:
                file.unlink()

    def load_best(self) -> dict[str, dict[str, torch.Tensor]]:
        """The weights that validated best.

        Raises:
            InputError: There are none yet.
        """
        files = sorted(self.path.glob(f"{_BEST}*.safetensors"))
        if not files:
            raise InputError(f'"{self.path}" holds no validated weights yet; train longer.')
        return {file.stem.removeprefix(_BEST): load_file(file) for file in files}

    def _tensorboard(self) -> SummaryWriter:
        if self._board is None:
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=self._begins)
        return self._board

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file under a temporary name and put it in place in one step."""
        final = self.path / name
        temporary = final.with_name(final.name + ".writing")
        try:
            write(temporary)
            os.replace(temporary, final)
        except Exception as error:  # torch and safetensors report a full disk in exceptions of their own
            temporary.unlink(missing_ok=True)
            raise self._cannot_write(name, error) from error

    def _cannot_write(self, name: str, error: Exception) -> InputError:
        free = shutil.disk_usage(self.path).free if self.path.exists() else 0
        number = getattr(error, "errno", None)
        full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or free < 1 << 20
        why = "the disk is full" if full else " ".join(str(error).split())[:200]
        return InputError(
            f'"{name}" of the run cannot be written in "{self.path}" ({why}); free space or correct the folder\'s '
            "permissions and --resume: the last checkpoint is intact."
        )


def _first_line(config: RunConfig) -> str:
    from .recipes import RECIPES

    names = [name for name, recipe in RECIPES.items() if recipe.config is type(config)]
    return f"# mritranslate-train {names[0]}\n" if names else ""


def _write_rows(rows: list[dict[str, str]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
