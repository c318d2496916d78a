"""Does each network of a card take and give what the card promises, and which weights has it?

Both are found without memory, on torch's meta device, so that a hostile card costs nothing.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from . import networks, tensors
from .card import AnyCard, ClassificationCard, NetworkCard, RadiographCard, TranslationCard
from .errors import PackageError, printable
from .files import DISCRIMINATOR, WEIGHTS

_LONGEST_MESSAGE = 500
_PIXELS = 128
"""Slices of at least this size show whether a network fits its grid."""
_SAMPLES = 2
"""More than one shows whether a network keeps the samples of a batch apart."""
_LATENT = -1
"""Stands for the number of random numbers that a generator says it takes, its attribute `latent`."""

Shape = tuple[int, ...]


def parts(card: AnyCard) -> dict[str, NetworkCard]:
    """The networks of a card by the file of their weights."""
    made = {WEIGHTS: card.network}
    if card.discriminator is not None:
        made[DISCRIMINATOR] = card.discriminator
    return made


def build(card: NetworkCard, where: str) -> nn.Module:
    """Build a network of the registry with fresh weights.

    Raises:
        PackageError: Unknown network, unsuitable parameters, a network out of all proportion, or in-place activations.
    """
    try:
        network = networks.build(card.name, card.parameters)
    except PackageError as error:
        raise PackageError(printable(f'The card of "{where}" is wrong: {error}', _LONGEST_MESSAGE)) from None
    if any(getattr(module, "inplace", False) for module in network.modules()):
        raise PackageError(
            f'The network of "{where}" has in-place activations, which falsify explanations; build it without.'
        )
    return network


def shapes(card: AnyCard) -> dict[str, tensors.Shapes]:
    """For each weights file of a card the names and shapes that its network gives it.

    Raises:
        PackageError: As `build`, or a network does not take what the card says, or does not answer in kind.
    """
    found = {}
    for name, part in parts(card).items():
        judge = name == DISCRIMINATOR
        found[name], answer = _run(part.model_dump_json(), card.name, _inputs(card, judge))
        _check_dimensions(card, part)
        if not (_is_verdict(card, answer) if judge else answer == _answer(card)):
            raise PackageError(
                f'The network "{part.name}" of "{card.name}" does not fit {_promise(card)}; get the package again.'
            )
    return found


def _check_dimensions(card: AnyCard, part: NetworkCard) -> None:
    """By name, for a convolution over volumes also takes a slice: as a volume without channels."""
    has = part.parameters.get("dimensions", 2)
    needs = card.grid.dimensions if isinstance(card, TranslationCard) else 2
    if has != needs:
        raise PackageError(
            f'The network "{part.name}" of "{card.name}" is for {has} dimensions, what its card describes has {needs}; '
            f'set its parameter "dimensions" to {needs}.'
        )


def _slices(card: TranslationCard) -> Shape:
    """Extent of a slice of the card's grid, or of a window of a volume on it."""
    if card.grid.patch is not None:
        return card.grid.patch
    multiple = card.grid.size_multiple
    return (-(-_PIXELS // multiple) * multiple,) * 2


def _inputs(card: AnyCard, judge: bool) -> tuple[Shape, ...]:
    """What the generator or classifier of a card takes, or its discriminator."""
    if isinstance(card, TranslationCard):
        return ((_SAMPLES, card.judged_channels if judge else card.grid.context, *_slices(card)),)
    picture = (_SAMPLES, 1, card.picture.size, card.picture.size)
    first = picture if judge or isinstance(card, ClassificationCard) else (_SAMPLES, _LATENT)
    return (first, (_SAMPLES, card.text.features)) if isinstance(card, RadiographCard) else (first,)


def _answer(card: AnyCard) -> Shape:
    """What the generator or classifier of a card answers."""
    if isinstance(card, TranslationCard):
        return (_SAMPLES, 1, *_slices(card))
    if isinstance(card, ClassificationCard):
        return (_SAMPLES, len(card.classes))
    return (_SAMPLES, 1, card.picture.size, card.picture.size)


def _is_verdict(card: AnyCard, answer: Shape) -> bool:
    """Whether a discriminator answers with logits: one for each patch of a translation; one for each picture, or two
    where it also judges the match with a text."""
    if isinstance(card, RadiographCard):
        return answer == (_SAMPLES, 2)
    if not isinstance(card, TranslationCard):
        return answer in ((_SAMPLES,), (_SAMPLES, 1))
    extent = _slices(card)
    patches = len(answer) == 2 + len(extent) and answer[:2] == (_SAMPLES, 1)
    return patches and 0 < math.prod(answer[2:]) < math.prod(extent)


def _promise(card: AnyCard) -> str:
    if isinstance(card, TranslationCard):
        grid = card.grid
        if grid.patch is not None:
            return f"the grid on its card (1 channel, windows of {' x '.join(map(str, grid.patch))} voxels)"
        return f"the grid on its card ({grid.context} slices as channels, sizes in multiples of {grid.size_multiple})"
    size = card.picture.size
    pictures = f"the pictures on its card ({size} x {size} pixels"
    if isinstance(card, ClassificationCard):
        return f"{pictures}, {len(card.classes)} classes)"
    if isinstance(card, RadiographCard):
        return f"{pictures}, {card.text.features} features of a text)"
    return f"{pictures})"


@lru_cache(maxsize=32)
def _run(network: str, where: str, inputs: tuple[Shape, ...]) -> tuple[tensors.Shapes, Shape]:
    """Shapes of a network's weights and of its answer, from a network without memory.

    Args:
        network: JSON of its `NetworkCard`, which a cache can compare.
        where: Name of the package, for messages.
        inputs: Shape of each argument.
    """
    with torch.device("meta"), torch.inference_mode():
        built = build(NetworkCard.model_validate_json(network), where).eval()
        latent: Any = getattr(built, "latent", None)
        try:
            samples = [torch.empty([latent if n == _LATENT else n for n in shape]) for shape in inputs]
            answer = tuple(built(*samples).shape)
        except (RuntimeError, ValueError, TypeError, AttributeError):
            answer = ()
    floating = {name: tensor for name, tensor in built.state_dict().items() if tensor.is_floating_point()}
    return {name: tuple(tensor.shape) for name, tensor in floating.items()}, answer
