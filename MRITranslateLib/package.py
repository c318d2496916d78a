"""A model package: a folder with a card (`model.json`), weights, README.md and LICENSE.

The weights are `weights.safetensors` and, where realism can be explained, `discriminator.safetensors`. A package is
foreign data until it is checked, and never code: the card is validated, networks come from the registry only, files
stay in the folder, and sizes, names, shapes and hashes are compared before memory is taken. Pickles are never opened.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from . import catalog, networks, tensors
from .card import AnyCard, FileCard, NetworkCard, TranslationCard, parse_card
from .errors import InputError, PackageError

WEIGHTS = "weights.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
_LONGEST_MESSAGE = 500
_PROBE_PIXELS = 128
"""Slices of at least this size show whether a network fits its grid."""


class Package:
    """A checked model package.

    Making one reads the card and the headers and compares the hashes; the weights are read when a network is asked for.

    Attributes:
        folder: Absolute path of the package.
        card: What `model.json` says.

    Raises:
        PackageError: The package is incomplete, altered, or not to be trusted; the sentence says what is wrong where.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        self.card = _read_card(self.folder)
        self._networks: dict[tuple[str, str], nn.Module] = {}
        self._shapes = _shapes(self.card)
        for name, shapes in self._shapes.items():
            file = self.card.files[name]
            tensors.check_file(self.folder / name, file.bytes, file.sha256, shapes, self.card.name)

    def translation_card(self) -> TranslationCard:
        """The card of a package that translates.

        Raises:
            InputError: The package does something else.
        """
        if isinstance(self.card, TranslationCard):
            return self.card
        raise InputError(
            f'"{self.card.name}" does not translate volumes, its task is {self.card.task}; choose a translation model.'
        )

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the generator's weights, for the provenance of a result."""
        return self.card.files[WEIGHTS].sha256

    @property
    def has_discriminator(self) -> bool:
        """Whether realism can be explained."""
        return self.card.discriminator is not None

    def generator(self, device: str | torch.device = "cpu") -> nn.Module:
        """The translator on `device`, loaded once per device.

        Returns:
            The network in evaluation mode with float32 parameters that need no gradient. Input (n, context, rows,
            columns), output (n, 1, rows, columns), both in network units. Callers share it and leave it as it is.

        Raises:
            PackageError: The weights are not finite, untrained, or no longer those that the card states.
        """
        return self._network(WEIGHTS, device)

    def discriminator(self, device: str | torch.device = "cpu") -> nn.Module:
        """The PatchGAN on `device`, as `generator`. Input (n, context + 1, rows, columns), output (n, 1, h, w) logits.

        Raises:
            PackageError: The package has none, or as for `generator`.
        """
        if not self.has_discriminator:
            raise PackageError(
                f'"{self.card.name}" has no discriminator, so it cannot judge realism; choose a region instead.'
            )
        return self._network(DISCRIMINATOR, device)

    def verify(self) -> None:
        """Check everything, the values of the weights and the texts included.

        Raises:
            PackageError: Says what is wrong.
        """
        for name in ("README.md", "LICENSE"):
            tensors.open_regular(self.folder / name, self.card.name).close()
        for name in self._shapes:
            self._load(name)

    def _network(self, name: str, device: str | torch.device) -> nn.Module:
        key = (name, str(torch.device(device)))
        if key not in self._networks:
            # Tensors made in a caller's inference mode would be of no use to an explanation later.
            with torch.inference_mode(False):
                self._networks[key] = self._load(name).to(device)
        return self._networks[key]

    def _load(self, name: str) -> nn.Module:
        file, where = self.card.files[name], self.card.name
        state = tensors.read_state(self.folder / name, file.bytes, file.sha256, self._shapes[name], where)
        # Building draws random numbers; the caller's stream must not depend on when a package is loaded.
        with torch.random.fork_rng(devices=[]):
            network = _build(_parts(self.card)[name], where)
            # Only whole-number buffers can be missing: the names were compared before. They keep their built value.
            network.load_state_dict(state, strict=False)
        return network.eval().requires_grad_(False)


def load_package(name_or_folder: str | os.PathLike[str]) -> Package:
    """Open a model package by the name of a model in the catalog, or by its folder.

    Raises:
        InputError: No model has that name; the nearest names are given.
        PackageError: The package is incomplete, altered, or not to be trusted.
    """
    if isinstance(name_or_folder, str) and any(model.name == name_or_folder for model in catalog.list_models()):
        return Package(catalog.find(name_or_folder))
    if Path(name_or_folder).is_dir():
        return Package(name_or_folder)
    return Package(catalog.find(str(name_or_folder)))


def write_package(
    folder: str | os.PathLike[str],
    card: AnyCard,
    weights: Mapping[str, Mapping[str, torch.Tensor]],
    licence_text: str,
    readme: str,
) -> Path:
    """Write a package under a temporary name beside `folder`, check it, and put it in place in one step.

    Args:
        folder: Where it goes; a package that is there already is replaced, any other folder is refused.
        card: The card; its `files` are filled in here.
        weights: "weights" and, if the card names one, "discriminator": state dicts of the networks. Stored as float16.
        licence_text, readme: Contents of LICENSE and README.md.

    Returns:
        The absolute path of the package.

    Raises:
        PackageError: The weights do not fit the card, are not finite, or are untrained; or a text is empty.
        InputError: The folder cannot be written.
    """
    target = Path(folder).resolve()
    wanted = {name.removesuffix(".safetensors"): name for name in _parts(card)}
    if set(weights) != set(wanted):
        raise PackageError(
            f'Give state dicts for exactly {", ".join(wanted)}: that is what the card of "{card.name}" names.'
        )
    for text, what in ((licence_text, "licence"), (readme, "README")):
        if not text.strip():
            raise PackageError(f'The {what} of "{card.name}" is empty; a package states its terms and its use.')
    shapes = _shapes(card)
    with new_package_folder(target) as temporary:
        files = {}
        for key, name in wanted.items():
            size, digest = tensors.write_state(weights[key], temporary / name, shapes[name], card.name)
            files[name] = FileCard(sha256=digest, bytes=size)
        text = card.model_copy(update={"files": files}).model_dump_json(indent=2)
        for name, content in (("model.json", text), ("LICENSE", licence_text), ("README.md", readme)):
            (temporary / name).write_text(content.rstrip() + "\n", encoding="utf-8", newline="\n")
        Package(temporary).verify()
    return target


@contextmanager
def new_package_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place when the block succeeds and vanishes when it fails.

    Raises:
        InputError: The place cannot be written, or holds something that is not a package.
    """
    if target.exists() and not (target / "model.json").is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f'"{target}" exists and is not a model package; choose another folder.')
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-writing-", dir=target.parent))
        yield temporary
        _put_in_place(temporary, target)
    except OSError as error:
        raise InputError(
            f'"{target}" cannot be written ({error.strerror}); free space or choose another folder.'
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, target: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o777 & ~umask)  # mkdtemp gives 0700
    if not target.exists():
        os.rename(temporary, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        os.rename(target, old / "package")
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(old / "package", target)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _read_card(folder: Path) -> AnyCard:
    """Read, validate and cross-check `model.json`."""
    where = folder.name
    text = catalog.read_card_text(folder)
    try:
        card = parse_card(text, where)
    except PackageError as error:  # it may quote what the file holds
        raise PackageError(catalog.printable(error, _LONGEST_MESSAGE)) from None
    expected = {WEIGHTS, DISCRIMINATOR} if card.discriminator is not None else {WEIGHTS}
    for name in card.files:
        if name not in (WEIGHTS, DISCRIMINATOR):
            raise PackageError(
                f'model.json of "{where}" names the file {ascii(name)[:80]}, a package may only hold '
                f"{WEIGHTS} and {DISCRIMINATOR}; do not use this package."
            )
    if set(card.files) != expected:
        raise PackageError(
            f'model.json of "{where}" must state size and hash of {" and ".join(sorted(expected))}; '
            "get the package again."
        )
    if card.training.steps < 1:
        raise PackageError(
            f'"{where}" is untrained (its card states no training step); train the model before it is packaged.'
        )
    return card


def _build(card: NetworkCard, where: str) -> nn.Module:
    """Build a network of the registry with fresh weights.

    Raises:
        PackageError: Unknown network, unsuitable parameters, a network out of all proportion, or in-place activations.
    """
    try:
        network = networks.build(card.name, card.parameters)
    except PackageError as error:
        message = f'The card of "{where}" is wrong: {error}'
        raise PackageError(catalog.printable(message, _LONGEST_MESSAGE)) from None
    if any(getattr(module, "inplace", False) for module in network.modules()):
        raise PackageError(
            f'The network of "{where}" has in-place activations, which falsify explanations; build it without.'
        )
    return network


def _shapes(card: AnyCard) -> dict[str, tensors.Shapes]:
    """For each weights file of a card the names and shapes that its network gives it.

    Raises:
        PackageError: As `_build`, or a network does not take the slices that the card's grid gives, or answer in kind.
    """
    assert isinstance(card, TranslationCard)
    multiple = card.grid.size_multiple
    size = -(-_PROBE_PIXELS // multiple) * multiple
    shapes = {}
    for name, part in _parts(card).items():
        judge = name == DISCRIMINATOR
        shapes[name], answer = _probe(part.model_dump_json(), card.name, card.grid.context + judge, size)
        if len(answer) != 4 or answer[1] != 1 or (answer[2:] == (size, size)) == judge:
            raise PackageError(
                f'The network "{part.name}" of "{card.name}" does not fit the grid on its card '
                f"({card.grid.context} slices as channels, sizes in multiples of {multiple}); get the package again."
            )
    return shapes


@lru_cache(maxsize=32)
def _probe(network: str, where: str, channels: int, size: int) -> tuple[tensors.Shapes, tuple[int, ...]]:
    """Shapes of a network's weights and of its answer to one slice, from a network without memory (the meta device).

    Args:
        network: JSON of its `NetworkCard`, which a cache can compare.
        where: Name of the package, for messages.
        channels, size: Of the slice.
    """
    with torch.device("meta"), torch.inference_mode():
        built = _build(NetworkCard.model_validate_json(network), where).eval()
        try:
            answer = tuple(built(torch.empty(1, channels, size, size)).shape)
        except (RuntimeError, ValueError, TypeError):
            answer = ()
    floating = {name: tensor for name, tensor in built.state_dict().items() if tensor.is_floating_point()}
    return {name: tuple(tensor.shape) for name, tensor in floating.items()}, answer


def _parts(card: AnyCard) -> dict[str, NetworkCard]:
    """The networks of a card by the file of their weights."""
    parts = {WEIGHTS: card.network}
    if card.discriminator is not None:
        parts[DISCRIMINATOR] = card.discriminator
    return parts
