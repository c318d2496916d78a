"""A model package: a folder with a card (`model.json`), weights, README.md and LICENSE.

The weights are `weights.safetensors` and, where realism can be explained, `discriminator.safetensors`. A package is
foreign data until it is checked, and never code: the card is validated, networks come from the registry only, files
stay in the folder, and sizes, names, shapes and hashes are compared before memory is taken. Pickles are never opened.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from . import catalog, networks, tensors
from .card import Card, FileCard, NetworkCard, parse_card
from .errors import InputError, PackageError

WEIGHTS = "weights.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
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
        _check_fit(self.card)
        for name, network in self._parts().items():
            file = self.card.files[name]
            tensors.check_file(
                self.folder / name, file.bytes, file.sha256, _shapes(network, self.card.name), self.card.name
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
        for name in self._parts():
            self._load(name)

    def _parts(self) -> dict[str, NetworkCard]:
        """The networks of the package by the file of their weights."""
        parts = {WEIGHTS: self.card.network}
        if self.card.discriminator is not None:
            parts[DISCRIMINATOR] = self.card.discriminator
        return parts

    def _network(self, name: str, device: str | torch.device) -> nn.Module:
        key = (name, str(torch.device(device)))
        if key not in self._networks:
            self._networks[key] = self._load(name).to(device)
        return self._networks[key]

    def _load(self, name: str) -> nn.Module:
        card, file, where = self._parts()[name], self.card.files[name], self.card.name
        state = tensors.read_state(self.folder / name, file.bytes, file.sha256, _shapes(card, where), where)
        # Building draws random numbers; the caller's stream must not depend on when a package is loaded.
        with torch.random.fork_rng(devices=[]):
            network = _build(card, where)
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
    card: Card,
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
    parts = {"weights": (WEIGHTS, card.network)}
    if card.discriminator is not None:
        parts["discriminator"] = (DISCRIMINATOR, card.discriminator)
    if set(weights) != set(parts):
        raise PackageError(
            f'Give state dicts for exactly {", ".join(parts)}: that is what the card of "{card.name}" names.'
        )
    for text, what in ((licence_text, "licence"), (readme, "README")):
        if not text.strip():
            raise PackageError(f'The {what} of "{card.name}" is empty; a package states its terms and its use.')
    with new_package_folder(target) as temporary:
        files = {}
        for key, (name, network) in parts.items():
            size, digest = tensors.write_state(weights[key], temporary / name, _shapes(network, card.name), card.name)
            files[name] = FileCard(sha256=digest, bytes=size)
        text = card.model_copy(update={"files": files}).model_dump_json(indent=2)
        for name, content in (("model.json", text), ("LICENSE", licence_text), ("README.md", readme)):
            (temporary / name).write_text(content.rstrip() + "\n", encoding="utf-8", newline="\n")
        Package(temporary).verify()
    return target


class new_package_folder:  # noqa: N801 - used as a context manager function
    """Context: an empty folder beside `target` that takes its place when the block succeeds and vanishes when it fails.

    Raises:
        InputError: The place cannot be written, or holds something that is not a package.
    """

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> Path:
        target = self._target
        if target.exists() and not (target / "model.json").is_file() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f'"{target}" exists and is not a model package; choose another folder.')
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-writing-", dir=target.parent))
        except OSError as error:
            raise InputError(
                f'"{target.parent}" cannot be written ({error.strerror}); choose another folder.'
            ) from None
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self._put_in_place()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise InputError(
                f'"{self._target}" cannot be written ({error.strerror}); free space or choose another folder.'
            ) from None

    def _put_in_place(self) -> None:
        umask = os.umask(0)
        os.umask(umask)
        self._temporary.chmod(0o777 & ~umask)  # mkdtemp gives 0700
        old = None
        if self._target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{self._target.name}-old-", dir=self._target.parent))
            os.replace(self._target, old / "package")
        try:
            os.rename(self._temporary, self._target)
        except OSError:
            if old is not None:
                os.rename(old / "package", self._target)
            raise
        finally:
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)


def _read_card(folder: Path) -> Card:
    """Read, validate and cross-check `model.json`."""
    where = folder.name
    card = parse_card(catalog.read_card_text(folder), where)
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
        raise PackageError(f'The card of "{where}" is wrong: {error}') from None
    if any(getattr(module, "inplace", False) for module in network.modules()):
        raise PackageError(
            f'The network of "{where}" has in-place activations, which falsify explanations; build it without.'
        )
    return network


def _shapes(card: NetworkCard, where: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's floating-point tensors, from a network without memory (PyTorch's meta device)."""
    with torch.device("meta"):
        network = _build(card, where)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _check_fit(card: Card) -> None:
    """Send shapes without values through the networks: do they take the slices that the card's grid gives?

    Raises:
        PackageError: They do not.
    """
    multiple = card.grid.size_multiple
    size = -(-_PROBE_PIXELS // multiple) * multiple
    parts = [(card.network, card.grid.context, True)]
    if card.discriminator is not None:
        parts.append((card.discriminator, card.grid.context + 1, False))
    for network, channels, same_size in parts:
        try:
            with torch.device("meta"), torch.inference_mode():
                shape = tuple(_build(network, card.name).eval()(torch.empty(1, channels, size, size)).shape)
        except (RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, PackageError):
                raise
            shape = ()
        if len(shape) != 4 or shape[1] != 1 or (same_size and shape[2:] != (size, size)):
            raise PackageError(
                f'The network "{network.name}" of "{card.name}" does not fit the grid on its card '
                f"({card.grid.context} slices as channels, sizes in multiples of {multiple}); get the package again."
            )
