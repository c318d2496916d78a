"""A prepared volume through a network: the loop that every task shares.

Whole slices go through the network in batches, or overlapping windows of the volume where the network is one of
volumes. When memory runs out the batch is halved, then the CPU takes over, and a warning says so; nothing else about
the result changes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from .card import GridCard
from .errors import Cancelled, InputError, OutOfMemory
from .intensity import NO_SIGNAL
from .preparation import with_neighbours
from .window import Place, Windows, batch_size

Progress = Callable[[float, str, int, int], None]
Cancel = Callable[[], bool]
Generator = Callable[[str], torch.nn.Module]
"""Gives a network on a device, as `Package.generator` does."""
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
_BATCH = {"cuda": 32, "mps": 8, "cpu": 4}


def pick_device(name: str = "auto") -> str:
    """The device to compute on: "auto" takes a GPU where there is one.

    Raises:
        InputError: The device does not exist here.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        return "cuda" if "cuda" in available else available[-1]
    if name not in available:
        raise InputError(f'The device "{name}" is not available here; use one of auto, {", ".join(available)}.')
    return name


def run_network(
    generator: Generator,
    array: np.ndarray,
    grid: GridCard,
    device: str,
    warnings: list[str],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[np.ndarray, str]:
    """All of a prepared volume through a generator.

    A slice or window without any signal has nothing to translate and stays empty.

    Args:
        generator: Gives the network on a device.
        array: (slices, rows, columns) in network units.
        grid: Of the network's card.
        device: To begin with.
        warnings: Gets a sentence for every step down that memory forced.
        progress, cancel: As of `translate`.

    Returns:
        float32 of the shape of `array`, in network units; and the device that did it.
    """
    pieces = in_pieces(array, grid)
    size = _BATCH[device.partition(":")[0]] if grid.patch is None else batch_size(device, grid.patch)

    def step(start: int, stop: int, place: str) -> None:
        if not pieces.empty[start:stop].all():
            pieces.keep(start, forward(generator(place), pieces.batch(start, stop), place))

    stage = f"Translating {pieces.noun}"
    device = in_batches(step, len(pieces), size, device, pieces.noun, stage, warnings, progress, cancel)
    return pieces.result(), device


def in_batches(
    step: Callable[[int, int, str], None],
    total: int,
    size: int,
    device: str,
    noun: str,
    stage: str,
    warnings: list[str],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> str:
    """Do all of something batch by batch, in smaller ones or on the CPU where memory runs out.

    Args:
        step: Does the pieces from one number up to another on a device; repeated when it runs out of memory.
        total: Number of pieces.
        size: Of a batch, to begin with.
        device: To begin with.
        noun: What the pieces are called, in the plural.
        stage: What is being done, for the progress report.
        warnings: Gets a sentence for every step down that memory forced.
        progress, cancel: As of `translate`.

    Returns:
        The device that did it.

    Raises:
        OutOfMemory: Not even one piece fits.
        Cancelled: `cancel` said so.
    """
    start = 0
    while start < total:
        if cancel is not None and cancel():
            raise Cancelled()
        stop = min(start + size, total)
        try:
            step(start, stop, device)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            size, device = _step_down(size, device, noun, warnings, error)
            continue
        start = stop
        tell(progress, start / total, stage, start, total)
    return device


def in_pieces(array: np.ndarray, grid: GridCard) -> "Slices | Windows":
    """What a network sees of a prepared volume, one after the other: slices, or windows where it is one of volumes."""
    return Slices(array, grid.context) if grid.patch is None else Windows(array, grid.patch)


class Slices:
    """The slices of one volume with their neighbours, and the answers to them; as `Windows`."""

    noun = "slices"

    def __init__(self, array: np.ndarray, context: int) -> None:
        self.batch = partial(with_neighbours, array, context)
        self.places: Sequence[Place] = range(len(array))
        self.empty = without_signal(array)
        self._output = np.full(array.shape, NO_SIGNAL, dtype=np.float32)

    def __len__(self) -> int:
        return len(self._output)

    def weights(self, index: int) -> np.ndarray:
        return np.ones(self._output.shape[1:], dtype=np.float32)

    def keep(self, start: int, answers: np.ndarray) -> None:
        self._output[start : start + len(answers)] = answers

    def result(self) -> np.ndarray:
        self._output[self.empty] = NO_SIGNAL
        return self._output


def without_signal(array: np.ndarray) -> np.ndarray:
    """Which of these slices (slices, rows, columns), in network units, are empty: bool (slices,)."""
    empty: np.ndarray = array.max(axis=(1, 2)) <= NO_SIGNAL + 1e-3
    return empty


def forward(network: torch.nn.Module, batch: np.ndarray, device: str) -> np.ndarray:
    """One batch (N, context, rows, columns), or (N, 1, slices, rows, columns), through a generator: float32 without the
    channel.

    On a GPU in bfloat16 and channels_last. On a CPU in float32: bfloat16 is faster there, but moves the result by more
    than the promised thousandth of the range.
    """
    on_gpu = device != "cpu"
    tensor = torch.from_numpy(batch)
    if on_gpu:
        tensor = tensor.to(device, non_blocking=True, memory_format=_CHANNELS_LAST[tensor.ndim])
    with torch.inference_mode(), torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=on_gpu):
        return network(tensor)[:, 0].float().cpu().numpy()


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; the CPU's allocator has no exception class of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _step_down(size: int, device: str, noun: str, warnings: list[str], error: BaseException) -> tuple[int, str]:
    if size > 1:
        warnings.append(f"Memory ran out on {device}; went on with {size // 2} {noun} at a time.")
        size //= 2
    elif device != "cpu":
        warnings.append(f"Memory ran out on {device}; went on with the CPU.")
        size, device = 1, "cpu"
    else:
        raise OutOfMemory(
            f"There is not enough memory for one {noun[:-1]}; close other programs or crop the volume."
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return size, device


def part(progress: Progress | None, start: float, share: float) -> Progress | None:
    """A progress report that fills only a part of the whole."""
    if progress is None:
        return None
    return lambda fraction, stage, done, total: progress(start + share * fraction, stage, done, total)


def tell(progress: Progress | None, fraction: float, stage: str, done: int, total: int) -> None:
    """Report, where anybody listens."""
    if progress is not None:
        progress(fraction, stage, done, total)
