"""What is explained: the pieces of an image that a network is shown, the number that is asked of each answer, and the
way of their maps back to the image.

Scores are sums, and maps are divided by the number of terms at the end: so a slice counts by its share of a region, and
the gradients keep a size that methods with an absolute threshold (Grad-CAM++) can use.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn

from .inference import forward, in_pieces
from .modality import modality
from .package import Package
from .pictures import PictureStack
from .preparation import Preparation
from .volume import like
from .window import Place


class Subject(ABC):
    """One image and one question to a network about it.

    Attributes:
        name: Of the question, for the provenance.
        title: Of what the network judges, for people.
        noun: What the pieces are called.
        image: What the maps are drawn on.
        shape: (channels, *shape) of a piece.
        extent: (slices, rows, columns) that the pieces lie in.
        touched: Numbers of the pieces that have a part in the question.
        condition: float32 (features,), where the network takes a second argument.
        judged: Whether the score is a logit that means something by itself.
    """

    name: str
    title: str
    noun: str
    image: sitk.Image
    shape: tuple[int, ...]
    extent: tuple[int, ...]
    touched: Sequence[int]
    condition: torch.Tensor | None = None
    judged = True

    @abstractmethod
    def network(self, device: str) -> nn.Module:
        """The network that answers."""

    @abstractmethod
    def batch(self, pieces: Sequence[int], device: str) -> np.ndarray:
        """What the network sees of some pieces: float32 (n, *shape)."""

    @abstractmethod
    def score(self, piece: int, output: torch.Tensor) -> torch.Tensor:
        """Sum for a piece from the network's answer to it, without the axis of the batch."""

    @abstractmethod
    def terms(self) -> int:
        """Number of terms of all sums together; asked after a score was."""

    @abstractmethod
    def restore(self, array: np.ndarray) -> sitk.Image:
        """Bring a map (*extent) to the grid of `image`."""

    def place(self, piece: int) -> Place:
        """Where a piece lies in the extent."""
        return piece

    def weights(self, piece: int) -> np.ndarray | float:
        """The share that a piece has in the whole at its voxels."""
        return 1.0


class Translated(Subject):
    """The mean of the synthetic image over the places of the model's grid where `where` holds."""

    judged = False

    def __init__(self, image: sitk.Image, package: Package, preparation: Preparation, where: np.ndarray, name: str):
        self.image, self.name = image, name
        self.title = f"synthetic {modality(preparation.card.target).title}"
        self._package, self._preparation, self._where = package, preparation, where
        self._pieces = in_pieces(preparation.array, preparation.card.grid)
        self.noun, self.extent = self._pieces.noun, preparation.array.shape
        self.shape = self._pieces.batch(0, 1).shape[1:]
        self.touched = [n for n, place in enumerate(self._pieces.places) if where[place].any()]

    def network(self, device: str) -> nn.Module:
        return self._package.generator(device)

    def batch(self, pieces: Sequence[int], device: str) -> np.ndarray:
        return np.concatenate([self._pieces.batch(piece, piece + 1) for piece in pieces])

    def score(self, piece: int, output: torch.Tensor) -> torch.Tensor:
        return output[0][torch.from_numpy(self._where[self.place(piece)]).to(output.device)].sum()

    def terms(self) -> int:
        return int(self._where.sum())

    def restore(self, array: np.ndarray) -> sitk.Image:
        return self._preparation.restore(array, invert_intensity=False, interpolator="linear")

    def place(self, piece: int) -> Place:
        return self._pieces.places[piece]

    def weights(self, piece: int) -> np.ndarray:
        return self._pieces.weights(piece)


class Mistaken(Translated):
    """The mean absolute difference between the synthetic image and the truth, where there is one."""

    def __init__(
        self, image: sitk.Image, package: Package, preparation: Preparation, where: np.ndarray, truth: np.ndarray
    ):
        super().__init__(image, package, preparation, where, "error against a reference")
        self._truth = truth

    def score(self, piece: int, output: torch.Tensor) -> torch.Tensor:
        truth = torch.from_numpy(self._truth[self.place(piece)]).to(output.device)
        return super().score(piece, (output - truth).abs())


class Judged(Translated):
    """The mean logit of the package's discriminator over the synthetic image, or over a real one in its place.

    Args:
        real: Network units on the model's grid; None judges the synthetic image.
    """

    judged = True

    def __init__(self, image: sitk.Image, package: Package, preparation: Preparation, real: np.ndarray | None = None):
        super().__init__(image, package, preparation, np.ones(preparation.array.shape, dtype=bool), "realism")
        self._patches, self._channels = 1, preparation.card.judged_channels
        self._real = None if real is None else in_pieces(real, preparation.card.grid)
        if real is not None:
            self.title = f"real {modality(preparation.card.target).title}"
        self.shape = (self._channels, *self.shape[1:])

    def network(self, device: str) -> nn.Module:
        return self._package.discriminator(device)

    def batch(self, pieces: Sequence[int], device: str) -> np.ndarray:
        seen = super().batch(pieces, device)
        if self._real is None:
            answer = forward(self._package.generator(device), seen, device)[:, None]
        else:
            answer = np.concatenate([self._real.batch(piece, piece + 1) for piece in pieces])
            middle = answer.shape[1] // 2  # the neighbours are no part of an answer
            answer = answer[:, middle : middle + 1]
        return np.concatenate([seen, answer], axis=1)[:, -self._channels :]

    def score(self, piece: int, output: torch.Tensor) -> torch.Tensor:
        self._patches = output.numel()
        return output.sum()

    def terms(self) -> int:
        return self._patches * len(self.touched)


class Pictures(Subject):
    """The mean of one logit over pictures.

    Args:
        stack: Pictures of an image, or pictures that were made, (n, size, size).
        logit: Its number in an answer.
    """

    noun = "pictures"

    def __init__(
        self,
        network: str,
        package: Package,
        stack: PictureStack | np.ndarray,
        image: sitk.Image,
        logit: int,
        name: str,
        title: str,
        condition: torch.Tensor | None = None,
    ) -> None:
        self._network, self._package, self._logit = network, package, logit
        self._stack = stack if isinstance(stack, PictureStack) else None
        self._pictures = stack.pictures if isinstance(stack, PictureStack) else stack
        self.image, self.name, self.title, self.condition = image, name, title, condition
        self.extent = self._pictures.shape
        self.shape, self.touched = (1, *self.extent[1:]), range(len(self._pictures))

    def network(self, device: str) -> nn.Module:
        network: nn.Module = getattr(self._package, self._network)(device)
        return network

    def batch(self, pieces: Sequence[int], device: str) -> np.ndarray:
        return self._pictures[list(pieces)][:, None]

    def score(self, piece: int, output: torch.Tensor) -> torch.Tensor:
        return output.flatten()[self._logit]

    def terms(self) -> int:
        return len(self.touched)

    def restore(self, array: np.ndarray) -> sitk.Image:
        return like(array, self.image) if self._stack is None else self._stack.restore(array)
