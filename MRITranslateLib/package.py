"""A model package: a folder with a card (`model.json`), weights, README.md and LICENSE.

The weights are `weights.safetensors` and, where realism can be explained, `discriminator.safetensors`; a language model
lies in the folder `text`. A package is foreign data until it is checked, and never code: the card is validated,
networks come from the registry only, files stay in the folder, and sizes, names, shapes and hashes are compared before
memory is taken. Pickles are never opened.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from . import catalog, files, probe, tensors
from .card import AnyCard, ClassificationCard, FileCard, RadiographCard, TranslationCard, parse_card
from .errors import InputError, PackageError, printable
from .files import DISCRIMINATOR, WEIGHTS
from .folders import new_folder
from .text import TextEncoder, load_text_encoder

_LONGEST_MESSAGE = 500


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
        self._encoder: TextEncoder | None = None
        self._shapes = probe.shapes(self.card)
        for name, shapes in self._shapes.items():
            file = self.card.files[name]
            tensors.check_file(self.folder / name, file.bytes, file.sha256, shapes, self.card.name)
        self._check_text()

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
        """SHA-256 of the weights of the generator or classifier, for the provenance of a result."""
        return self.card.files[WEIGHTS].sha256

    @property
    def has_discriminator(self) -> bool:
        """Whether realism can be explained."""
        return self.card.discriminator is not None

    def generator(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network that makes images, on `device`, loaded once per device.

        Returns:
            The network in evaluation mode with float32 parameters that need no gradient; callers share it and leave it
            as it is. Its output is in network units. Of a translation: (n, context, rows, columns) to (n, 1, rows,
            columns), in 3-D (n, 1, slices, rows, columns) to the same. Of a generation: random numbers (n, latent),
            where `latent` is an attribute of the network, to (n, 1, size, size). Of a radiograph: random numbers
            (n, latent) and a report's features (n, features) to (n, 1, size, size).

        Raises:
            PackageError: The weights are not finite, untrained, or no longer those that the card states; or the
                package classifies.
        """
        if isinstance(self.card, ClassificationCard):
            raise PackageError(
                f'"{self.card.name}" tells what a picture shows and makes none; choose a model that makes images.'
            )
        return self._network(WEIGHTS, device)

    def discriminator(self, device: str | torch.device = "cpu") -> nn.Module:
        """The judge of realism on `device`, as `generator`; what is higher looks more real to it.

        Of a translation: input and output as channels (n, context + 1, rows, columns), or the output alone (see
        `TranslationCard.judged_channels`), to a value for each patch (n, 1, h, w): trained by least squares, as all
        recipes here do, 0 is "made", 1 "real", and one half undecided. Of the others a logit, above 0 is "real". Of a
        generation: pictures (n, 1, size, size) to logits (n, 1) or (n,). Of a radiograph: pictures and a report's
        features (n, features) to two logits each (n, 2): realism, and match of the two.

        Raises:
            PackageError: The package has none, or as for `generator`.
        """
        if not self.has_discriminator:
            raise PackageError(
                f'"{self.card.name}" has no discriminator, so it cannot judge realism; choose a region instead.'
            )
        return self._network(DISCRIMINATOR, device)

    def classifier(self, device: str | torch.device = "cpu") -> nn.Module:
        """The classifier on `device`, as `generator`: pictures (n, 1, size, size) to logits (n, classes).

        Raises:
            PackageError: The package makes images, or as for `generator`.
        """
        if not isinstance(self.card, ClassificationCard):
            raise PackageError(
                f'"{self.card.name}" makes images and cannot tell what one shows; choose a classification model.'
            )
        return self._network(WEIGHTS, device)

    def text_folder(self) -> Path:
        """The folder of the package's language model, whose files were compared with their hashes just now.

        Raises:
            PackageError: The package has no language model, or its files are no longer those that the card states.
        """
        if not isinstance(self.card, RadiographCard):
            raise PackageError(f'"{self.card.name}" reads no text; choose a model that makes X-rays of reports.')
        if self.card.text.encoder == "external":
            raise PackageError(
                f'"{self.card.name}" comes without its language model ({printable(self.card.text.source, 200)}); '
                "give the folder of your own copy."
            )
        self._check_text()
        return self.folder / "text"

    def text_encoder(self) -> TextEncoder:
        """The package's own language model, loaded once; callers share it.

        Raises:
            InputError: Its files do not make a BERT.
            PackageError: As of `text_folder`.
        """
        if self._encoder is None:
            self._encoder = load_text_encoder(self.text_folder())
        return self._encoder

    def verify(self) -> None:
        """Check everything, the values of the weights and the texts included.

        Raises:
            PackageError: Says what is wrong.
        """
        for name in (files.README, files.LICENCE):
            tensors.open_regular(self.folder / name, self.card.name).close()
        for name in self._shapes:
            self._load(name)
        if isinstance(self.card, RadiographCard) and self.card.text.encoder == "package":
            self._check_encoder(self.card.text.features)

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
            network = probe.build(probe.parts(self.card)[name], where)
            # Only whole-number buffers can be missing: the names were compared before. They keep their built value.
            network.load_state_dict(state, strict=False)
        return network.eval().requires_grad_(False)

    def _check_encoder(self, features: int) -> None:
        """Load the language model, which checks its configuration, vocabulary, shapes and values."""
        try:
            has = load_text_encoder(self.text_folder()).features
        except InputError as error:
            message = f'The language model of "{self.card.name}" cannot be used: {error}'
            raise PackageError(printable(message, _LONGEST_MESSAGE)) from None
        if has != features:
            raise PackageError(
                f'The language model of "{self.card.name}" gives {has} features, its card says {features}; '
                "get the package again."
            )

    def _check_text(self) -> None:
        """Size, header and hash of each file of the language model; whatever reads the folder finds no other file."""
        listed = {Path(name).name: name for name in self.card.files if name in files.TEXT}
        if not listed:
            return
        folder, where = self.folder / "text", self.card.name
        if folder.is_symlink() or not folder.is_dir():
            raise PackageError(f'The folder "text" is missing from the package "{where}"; get the package again.')
        for name in os.listdir(folder):
            if name not in listed:
                raise PackageError(
                    f'"text" of "{where}" holds {ascii(name)[:80]}, which its card does not name; remove it.'
                )
        for short, name in listed.items():
            file = self.card.files[name]
            tensors.check_other(folder / short, file.bytes, file.sha256, files.TEXT[name], where)


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
    extra_files: Mapping[str, Path] | None = None,
) -> Path:
    """Write a package under a temporary name beside `folder`, check it, and put it in place in one step.

    Args:
        folder: Where it goes; a package that is there already is replaced, any other folder is refused.
        card: The card; its `files` are filled in here.
        weights: "weights" and, if the card names one, "discriminator": state dicts of the networks. Stored as float16.
        licence_text, readme: Contents of LICENSE and README.md.
        extra_files: The files of a language model to copy, by their names in the package (see `files.TEXT`), such as
            "text/config.json".

    Returns:
        The absolute path of the package.

    Raises:
        PackageError: The weights do not fit the card, are not finite, or are untrained; a text is empty; or the extra
            files are not those that the card needs.
        InputError: The folder cannot be written.
    """
    target = Path(folder).resolve()
    wanted = {name.removesuffix(".safetensors"): name for name in probe.parts(card)}
    extra = dict(extra_files or {})
    if set(weights) != set(wanted):
        raise PackageError(
            f'Give state dicts for exactly {", ".join(wanted)}: that is what the card of "{card.name}" names.'
        )
    for text, what in ((licence_text, "licence"), (readme, "README")):
        if not text.strip():
            raise PackageError(f'The {what} of "{card.name}" is empty; a package states its terms and its use.')
    needed, allowed = _names(card)
    if not needed <= {*wanted.values(), *extra} <= set(allowed):
        names = ", ".join(name for name in allowed if name in files.TEXT) or "none"
        raise PackageError(f'The extra files of "{card.name}" must be those of its language model: {names}.')
    for source in extra.values():
        if not source.is_file():
            raise InputError(f'There is no file "{source}" to put into the package; save the language model first.')
    shapes = probe.shapes(card)
    with new_package_folder(target) as temporary:
        facts = {}
        for key, name in wanted.items():
            size, digest = tensors.write_state(weights[key], temporary / name, shapes[name], card.name)
            facts[name] = FileCard(sha256=digest, bytes=size)
        for name, source in extra.items():
            facts[name] = _copy(source, temporary / name)
        text = card.model_copy(update={"files": facts}).model_dump_json(indent=2)
        for name, content in ((files.CARD, text), (files.LICENCE, licence_text), (files.README, readme)):
            (temporary / name).write_text(content.rstrip() + "\n", encoding="utf-8", newline="\n")
        Package(temporary).verify()
    return target


def rewrite_card(folder: str | os.PathLike[str], card: AnyCard, readme: str) -> Path:
    """Replace the card and the README of a package, in one step; its other files stay as they are.

    Raises:
        PackageError: The card states other files or networks than those that are there.
        InputError: The folder cannot be written.
    """
    target = Package(folder).folder
    with new_package_folder(target) as temporary:
        shutil.copytree(target, temporary, dirs_exist_ok=True)
        for name, content in ((files.CARD, card.model_dump_json(indent=2)), (files.README, readme)):
            (temporary / name).write_text(content.rstrip() + "\n", encoding="utf-8", newline="\n")
        Package(temporary).verify()
    return target


def _copy(source: Path, copy: Path) -> FileCard:
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, copy)
    with copy.open("rb") as file:
        return FileCard(sha256=tensors.sha256(file), bytes=copy.stat().st_size)


@contextmanager
def new_package_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place when the block succeeds and vanishes when it fails.

    Raises:
        InputError: The place cannot be written, or holds something that is not a package.
    """
    if target.exists() and not (target / files.CARD).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f'"{target}" exists and is not a model package; choose another folder.')
    with new_folder(target) as temporary:
        yield temporary


def _read_card(folder: Path) -> AnyCard:
    """Read, validate and cross-check `model.json`."""
    where = folder.name
    card = parse_card(catalog.read_card_text(folder), where)
    needed, allowed = _names(card)
    for name in card.files:
        if name not in (*allowed, DISCRIMINATOR):
            raise PackageError(
                f'model.json of "{where}" names the file {ascii(name)[:80]}, this kind of package may only hold '
                f"{', '.join(allowed)}; do not use this package."
            )
    if not needed <= set(card.files) <= set(allowed):
        raise PackageError(
            f'model.json of "{where}" must state size and hash of {" and ".join(sorted(needed))}; '
            "get the package again."
        )
    if card.training.steps < 1:
        raise PackageError(
            f'"{where}" is untrained (its card states no training step); train the model before it is packaged.'
        )
    return card


def _names(card: AnyCard) -> tuple[set[str], list[str]]:
    """The files whose size and hash a card has to state, and those that it may state."""
    packaged = isinstance(card, RadiographCard) and card.text.encoder == "package"
    parts = list(probe.parts(card))
    return {*parts, *(files.TEXT_NEEDED if packaged else ())}, [*parts, *(files.TEXT if packaged else ())]
