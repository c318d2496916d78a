"""How much an answer depends on what should not matter, voxel by voxel.

* "augmentation", test-time augmentation (Wang et al., Neurocomputing 2019): the same volume mirrored left to right, a
  little brighter and a little darker.
* "dropout", Monte Carlo dropout (Gal and Ghahramani, ICML 2016): the network's own dropout left on.
* Several packages for one translation, an ensemble (Lakshminarayanan et al., NeurIPS 2017) or the snapshots of one
  training.

A spread is no error: what a model has never learnt it may get wrong every time alike. How far the two agreed where the
truth was known is measured by `MRITranslateLib.calibration` and kept in the card.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from .card import TranslationCard
from .errors import InputError
from .inference import Generator

Method = Literal["augmentation", "dropout"]
METHODS: tuple[str, ...] = get_args(Method)
RUNS = {"augmentation": 3, "dropout": 10}
"""How often the network works beside the plain answer."""
_BRIGHTNESS = 0.05


class Spread:
    """Mean and standard deviation of arrays that come one after the other, in the memory of three (Welford 1962)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = np.zeros((), np.float32)

    def add(self, values: np.ndarray) -> None:
        """Count one more array; all have the same shape."""
        self._count += 1
        if self._count == 1:
            self._mean, self._squares = values.astype(np.float32), np.zeros(values.shape, np.float32)
            return
        change = values - self._mean
        self._mean += change / np.float32(self._count)
        change *= values - self._mean
        self._squares += change

    @property
    def mean(self) -> np.ndarray:
        """float32."""
        return self._mean

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation, the sum of squares divided by the number of arrays: float32."""
        return np.sqrt(self._squares / np.float32(max(1, self._count)))


def spread(
    method: str,
    card: TranslationCard,
    values: np.ndarray,
    plain: np.ndarray,
    generator: Generator,
    run: Callable[[Generator, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Voxel-wise standard deviation of one network's answers, in network units: float32 (slices, rows, columns).

    Args:
        method: "augmentation" or "dropout".
        card: Of the network.
        values: The prepared volume (slices, rows, columns).
        plain: The network's answer to it as it is.
        generator: Gives the network on a device.
        run: All of a prepared volume through a generator; called RUNS[method] times.

    Raises:
        InputError: Dropout was asked for and the network has none.
    """
    answers = Spread()
    if method == "augmentation":
        answers.add(plain)
        for changed, restore in _augmentations(values, card.grid.plane):
            answers.add(restore(run(generator, changed)))
    else:
        for seed in range(RUNS["dropout"]):
            with dropout(generator, seed, card.name) as active:
                answers.add(run(active, values))
    return answers.deviation


def _augmentations(values: np.ndarray, plane: str) -> Iterator[tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]]:
    """Changed volumes, each with what brings the answer to it back."""
    side = 0 if plane == "sagittal" else 2  # the array's axis along the patient's left and right

    def mirror(array: np.ndarray) -> np.ndarray:
        return np.flip(array, side)

    yield np.ascontiguousarray(mirror(values)), mirror
    for sign in (1, -1):
        yield (values + 1) * np.float32(1 + sign * _BRIGHTNESS) - 1, lambda answer: answer


def dropout_layers(network: nn.Module) -> list[nn.Module]:
    """The layers of a network that drop something in training."""
    return [module for module in network.modules() if isinstance(module, _DropoutNd) and module.p > 0]


@contextmanager
def dropout(generator: Generator, seed: int, name: str) -> Iterator[Generator]:
    """The same networks with their dropout on, and nothing else of them in training mode, until the block ends.

    Args:
        generator: Gives a network on a device.
        seed: Of what is dropped; the caller's random numbers are left as they are.
        name: Of the model, for the error.

    Raises:
        InputError: (When a network is asked for.) It has no dropout.
    """
    changed: list[nn.Module] = []

    def active(device: str) -> nn.Module:
        network = generator(device)
        layers = dropout_layers(network)
        if not layers:
            raise InputError(
                f'"{name}" has no dropout; take its uncertainty by augmentation, or give several packages.'
            )
        for layer in layers:
            if not layer.training:
                changed.append(layer.train())
        return network

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        try:
            yield active
        finally:
            for layer in changed:
                layer.eval()


def check_ensemble(card: TranslationCard, others: Sequence[TranslationCard]) -> None:
    """Refuse packages whose answers cannot be averaged.

    Raises:
        InputError: One is for other contrasts, or gives MR intensities in another unit.
    """
    for other in others:
        if (other.source, other.target) != (card.source, card.target):
            raise InputError(
                f'"{other.name}" makes {other.target} of {other.source}, "{card.name}" {card.target} of {card.source}; '
                "give packages for the same contrasts."
            )
        if other.target != "CT" and other.intensity.target != card.intensity.target:
            raise InputError(
                f'"{other.name}" and "{card.name}" give intensities in different units '
                "(intensity.target of their cards); give packages that were trained alike."
            )
