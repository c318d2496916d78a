"""An explanation at work: the pieces of a subject through the maps of layers of a network, batch by batch; and the
checks of what came out."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from . import cam
from .errors import Cancelled, InputError, OutOfMemory
from .faithfulness import Case, Faithfulness, check_map, randomised
from .inference import Cancel, Progress, out_of_memory, tell
from .subjects import Subject
from .window import batch_size

_BATCH = {"cuda": 16, "mps": 4, "cpu": 2}
_MOST_CASES = 4
_BODY = -0.9
"""Network value above which a pixel is no air."""
FLAT = "The map is flat: at this layer no place raises the target; choose another layer, method or region."


class Explainer:
    """The maps of one subject.

    Args:
        subject: What is explained.
        method, layer: As of `cam.ActivationMaps`.
        device: To begin with.
        warnings: Gets a sentence for every step down that memory forced.
        cancel: Asked before every batch; True stops.

    Attributes:
        device: Where it works; the CPU after other memory ran out.
        layers: Dotted names of the layers.

    Raises:
        InputError: The method or a layer cannot be used.
    """

    def __init__(
        self,
        subject: Subject,
        method: str,
        layer: str | Sequence[str] | None,
        device: str,
        warnings: list[str],
        cancel: Cancel | None,
    ) -> None:
        self._subject, self._method, self._layer = subject, method, layer
        self._warnings, self._cancel = warnings, cancel
        self._scores: dict[int, float] = {}
        self._contrasts: list[list[tuple[float, float]]] = []
        self._move(device)
        self.layers = self._maps.layers

    def _move(self, device: str) -> None:
        self.device = device
        self._maps = self._over(self._subject.network(device))

    def _over(self, network: torch.nn.Module) -> cam.ActivationMaps:
        condition = self._subject.condition
        if condition is not None:
            condition = condition.to(self.device)
        return cam.ActivationMaps(network, self._layer, self._method, self._subject.shape, condition)

    def run(self, progress: Progress | None) -> np.ndarray:
        """Maps of the pieces that the question touches, 0 elsewhere: float32 (layers, *extent of the subject).

        Raises:
            InputError: The network answered with values that are not finite.
            OutOfMemory: Not even one piece fits.
            Cancelled: It was cancelled.
        """
        subject, pieces = self._subject, self._subject.touched
        values = np.zeros((len(self.layers), *subject.extent), dtype=np.float32)
        size, done = self._size(), 0
        while done < len(pieces):
            if self._cancel is not None and self._cancel():
                raise Cancelled()
            chunk = pieces[done : done + size]
            try:
                maps = self._ask(self._maps, chunk)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                size = self._step_down(size, error)
                continue
            for piece, found, score in zip(chunk, *maps, strict=True):
                place = subject.place(piece)
                for into, layer in zip(values, found, strict=True):
                    into[place] += subject.weights(piece) * layer
                self._contrasts.append([(float(np.abs(layer).max()), float(np.ptp(layer))) for layer in found])
                self._scores[piece] = score
            done += len(chunk)
            tell(progress, done / len(pieces), f"Explaining {subject.noun}", done, len(pieces))
        if not np.isfinite(self._contrasts).all():
            raise InputError("The model answered with values that are not finite; verify the model package.")
        values /= np.float32(subject.terms())
        return values

    def refuse_flat(self) -> None:
        """Refuse maps with one value per slice or window, as of a network that ignores its input.

        Scaling would only blow rounding up to a pattern.

        Raises:
            InputError: A layer's map is flat.
        """
        highest, contrast = np.max(self._contrasts, axis=0).T
        if (contrast <= 1e-5 * highest).any():
            raise InputError(FLAT)

    def score(self) -> float:
        """The mean of what was explained."""
        return float(sum(self._scores.values()) / self._subject.terms())

    def check(self, array: np.ndarray, progress: Progress | None) -> Faithfulness:
        """Deletion, insertion and randomised parameters, for the pieces that hold most of the map.

        Args:
            array: The map, (*extent).

        Raises:
            InputError: No piece with a part of the map shows anything.
            Cancelled: It was cancelled.
        """
        subject = self._subject
        mass = {piece: float(np.abs(array[subject.place(piece)]).sum()) for piece in subject.touched}
        cases: dict[int, Case] = {}
        for piece in sorted(mass, key=mass.__getitem__, reverse=True):
            inputs = subject.batch([piece], self.device)[0]
            body = (inputs > _BODY).any(axis=0)
            if body.any() and mass[piece] > 0:
                score = partial(self._answers, piece)
                cases[piece] = Case(inputs, array[subject.place(piece)], body, score)
            if len(cases) == _MOST_CASES:
                break

        def twins(seed: int) -> list[np.ndarray]:
            maps = self._over(randomised(subject.network(self.device), seed))
            found = np.stack([self._ask(maps, [piece]).values[0] for piece in cases], axis=1)
            return list(joined(found, largest(found)))

        return check_map(list(cases.values()), twins, self.device, progress, self._cancel)

    def _answers(self, piece: int, inputs: torch.Tensor) -> torch.Tensor:
        return torch.stack([self._subject.score(piece, output) for output in self._maps.network(inputs)])

    def _ask(self, maps: cam.ActivationMaps, pieces: Sequence[int]) -> cam.Maps:
        batch = self._subject.batch(pieces, self.device)
        scores = [partial(self._subject.score, piece) for piece in pieces]
        return maps(torch.from_numpy(batch).to(self.device), scores)

    def _size(self) -> int:
        match self._subject.shape:
            case (_, slices, rows, columns):
                return batch_size(self.device, (slices, rows, columns))
            case _:
                return _BATCH[self.device.partition(":")[0]]

    def _step_down(self, size: int, error: BaseException) -> int:
        noun = self._subject.noun[:-1]
        if size == 1 and self.device == "cpu":
            raise OutOfMemory(
                f"There is not enough memory to explain one {noun}; close other programs or crop the volume."
            ) from error
        if size == 1:
            self._move("cpu")
        size = max(1, size // 2)
        self._warnings.append(f"Memory ran out; went on with {size} {noun}(s) at a time on {self.device}.")
        return size


def joined(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """One map of those of several layers (layers, ...), whose sizes mean nothing beside each other: each is divided by
    its scale, then the mean is taken. The map of a single layer is left as it is."""
    if len(values) == 1:
        return values[0]
    total = np.zeros(values.shape[1:], dtype=np.float32)
    for layer, scale in zip(values, scales, strict=True):
        total += layer / np.float32(scale * len(values))
    return total


def largest(values: np.ndarray) -> np.ndarray:
    """The scale of each layer's map: its largest absolute value."""
    largest = np.array([max(layer.max(), -layer.min()) for layer in values])
    return np.maximum(largest, np.finfo(np.float32).tiny)
