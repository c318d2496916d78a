"""The folder of a run: configuration, split, log, sample pictures, checkpoint, best weights, exported package."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch.utils.tensorboard import SummaryWriter

from MRITranslateLib.errors import InputError

from .config import Pix2PixConfig


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
        self._board: SummaryWriter | None = None

    def save_config(self, config: Pix2PixConfig) -> None:
        """Write config.yaml and, apart, the split by subject."""
        (self.path / "config.yaml").write_text(
            yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
        )
        split = {part: getattr(config.data, part) for part in ("train", "validation", "test")}
        (self.path / "split.yaml").write_text(yaml.safe_dump(split), encoding="utf-8")

    def log(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """Append to log.csv and to TensorBoard's files."""
        file = self.path / "log.csv"
        fresh = not file.exists()
        with file.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if fresh:
                writer.writerow(["epoch", "step", "figure", "value"])
            writer.writerows([epoch, step, key, f"{value:.6g}"] for key, value in figures.items())
        if self._board is None:
            self._board = SummaryWriter(str(self.path / "tensorboard"))
        for key, value in figures.items():
            self._board.add_scalar(key, value, step)
        self._board.flush()

    def save_samples(self, epoch: int, rows: np.ndarray) -> None:
        """One picture: rows of input, output, truth; array (height, width) in 0..1."""
        from matplotlib import image

        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        image.imsave(folder / f"epoch-{epoch:04d}.png", np.clip(rows, 0, 1), cmap="gray", vmin=0, vmax=1)

    def save_best(self, generator: Mapping[str, torch.Tensor], discriminator: Mapping[str, torch.Tensor]) -> None:
        """Keep the weights that validated best."""
        for name, state in (("generator", generator), ("discriminator", discriminator)):
            temporary = self.path / f"best-{name}.writing"
            save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary)
            os.replace(temporary, self.path / f"best-{name}.safetensors")

    def load_best(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The weights that validated best.

        Raises:
            InputError: There are none yet.
        """
        files = [self.path / f"best-{name}.safetensors" for name in ("generator", "discriminator")]
        if not all(file.is_file() for file in files):
            raise InputError(f'"{self.path}" holds no validated weights yet; train longer.')
        generator, discriminator = (load_file(file) for file in files)
        return generator, discriminator
