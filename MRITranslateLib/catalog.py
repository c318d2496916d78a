"""Which model packages there are: those built in and those in the user's folder.

Listing needs the standard library only, so that Slicer's panel shows the models before torch or pydantic is installed.
It trusts nothing: a broken package is listed with the reason and never hides the others. Loading checks far more, see
`package`.
"""

import contextlib
import difflib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import archives, files, folders
from .cardtext import DISCLAIMER as DISCLAIMER
from .cardtext import MODALITIES_OF, about, dict_of, main_score, modalities, read_card, task_of, text_of
from .cardtext import card_text as card_text
from .cardtext import read_card_text as read_card_text
from .errors import Cancelled, InputError, PackageError, printable
from .modality import MODALITIES

NAME_PATTERN = r"[a-z0-9][a-z0-9_]{0,63}"
"""What a model may be called."""


@dataclass(frozen=True)
class ModelSummary:
    """One line of the list of models.

    Attributes:
        name: Key by which `load_package` finds it; the name of its folder.
        title: Name for people.
        source, target: Modality names; empty where the task has none or the card could not be read.
        version, task: As on the card; the task is translation, generation, radiograph or classification.
        folder: Absolute path.
        built_in: Whether it came with the extension (and cannot be removed).
        bytes: Size of its files.
        licence: Of the weights, as on the card.
        score: One measured score with the images it was measured on, or "".
        broken: One sentence why it cannot be used, or None.
    """

    name: str
    title: str
    source: str
    target: str
    version: str
    task: str
    folder: Path
    built_in: bool
    bytes: int
    licence: str
    score: str
    broken: str | None

    @property
    def about(self) -> str:
        """What goes in and what comes out, in a few words."""
        return about(self.task, self.source, self.target)


def builtin_folder() -> Path:
    """The folder of the packages that come with the extension."""
    return Path(__file__).resolve().parent / "models"


def models_folder() -> Path:
    """The user's folder of packages: the environment variable MRITRANSLATE_MODELS, or the platform's place.

    It need not exist; `add_model` makes it.
    """
    chosen = os.environ.get("MRITRANSLATE_MODELS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        # The XDG base directory specification says that a relative path is to be ignored.
        data = Path(os.environ.get("XDG_DATA_HOME", ""))
        base = data if data.is_absolute() else home / ".local" / "share"
    return base / "MRITranslate" / "models"


def default_catalogue() -> str:
    """The address of the catalogue to download models from: the environment variable MRITRANSLATE_CATALOGUE, or ""."""
    return os.environ.get("MRITRANSLATE_CATALOGUE", "").strip()


def disk_usage() -> int:
    """Bytes that the user's folder takes, unfinished downloads included."""
    total = 0
    for folder, _, names in os.walk(models_folder()):
        for name in names:
            with contextlib.suppress(OSError):  # it was just removed
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def list_models() -> list[ModelSummary]:
    """All packages, built-in ones first, each group by name; broken ones carry the reason and are never left out."""
    models: list[ModelSummary] = []
    for parent, built_in in ((builtin_folder(), True), (models_folder(), False)):
        for folder in _folders(parent):
            summary = _summary(folder, built_in)
            taken = any(model.name == summary.name for model in models)
            if taken and summary.broken is None:
                summary = _broken(
                    folder,
                    built_in,
                    f'A built-in model is called "{summary.name}" too; rename this one and its folder.',
                )
            models.append(summary)
    return models


def find(name: str) -> Path:
    """The folder of the model called `name`.

    Raises:
        InputError: There is none; the nearest names, or all of them, are given.
        PackageError: There is one but it is broken.
    """
    models = list_models()
    usable = [model.name for model in models if model.broken is None]
    for model in sorted(models, key=lambda model: model.broken is not None):
        if model.name == name:
            if model.broken is not None:
                raise PackageError(model.broken)
            return model.folder
    near = difflib.get_close_matches(name.lower(), usable, n=3, cutoff=0.5)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    elif usable:
        advice = f"use one of {', '.join(usable)}, or give the folder of a package."
    else:
        advice = f'no model is installed; add a package to "{models_folder()}" or give its folder.'
    raise InputError(f'There is no model "{printable(name, 80)}": {advice}')


def check_free_name(name: str) -> None:
    """Raises InputError if a model is called `name` already, a broken one or one that is built in included."""
    if any(model.name == name for model in list_models()):
        raise InputError(f'A model called "{name}" exists already; remove it first or rename the new one.')


def add_model(
    source: str | os.PathLike[str],
    name: str | None = None,
    progress: archives.Progress | None = None,
    cancel: archives.Cancel | None = None,
) -> Path:
    """Check a package completely and put it into the user's folder, in one step or not at all.

    Args:
        source: The folder of a package, its model.json, or a .zip file of a package.
        name: What it must be called, or None.
        progress, cancel: See `archives.unpack`.

    Returns:
        The folder of the new model.

    Raises:
        PackageError: The package is broken, or called otherwise.
        InputError: A model has that name already, or the user's folder cannot be written.
        Cancelled: `cancel` said so.
    """
    path = Path(source)
    if path.name == files.CARD and path.is_file():
        path = path.parent
    if path.is_dir():
        return _place(path, name, progress, cancel, move=False)
    if not path.is_file():
        raise InputError(
            f'There is no "{path}"; give the folder of a model package (the one with model.json), or its .zip file.'
        )
    with folders.scratch(models_folder()) as temporary:
        return _place(archives.unpack(path, temporary, progress, cancel), name, progress, cancel, move=True)


def _place(
    folder: Path, name: str | None, progress: archives.Progress | None, cancel: archives.Cancel | None, move: bool
) -> Path:
    """Put the files of the package in `folder` into the user's folder."""
    from .package import Package, new_package_folder  # needs torch and pydantic, which a listing must not

    if progress is not None:
        progress(1.0 if move else 0.0, "Checking the package", 0, 1)
    package = Package(folder)
    package.verify()
    card = package.card
    if name is not None and card.name != name:
        raise PackageError(f'The package holds the model "{card.name}" instead of "{name}"; do not use it.')
    check_free_name(card.name)
    if not move:
        folders.check_space(models_folder(), sum(file.bytes for file in card.files.values()))
    target = models_folder() / card.name
    with new_package_folder(target) as temporary:
        for file in (files.CARD, files.README, files.LICENCE, *card.files):
            if cancel is not None and cancel():
                raise Cancelled
            (temporary / file).parent.mkdir(exist_ok=True)
            (os.replace if move else shutil.copyfile)(package.folder / file, temporary / file)
        if not move:
            Package(temporary).verify()
    return target


def remove_model(name: str) -> None:
    """Delete a package from the user's folder, a broken one too.

    Raises:
        InputError: No such model, a built-in one, or it cannot be deleted.
    """
    matching = [model for model in list_models() if model.name == name]
    own = [model for model in matching if not model.built_in]
    if matching and not own:
        raise InputError(
            f'"{name}" came with MRITranslate and stays; only models in "{models_folder()}" can be removed.'
        )
    if not own:
        find(name)  # says which names there are
    folder = models_folder() / own[0].folder.name
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except OSError as error:
        raise InputError(f'"{folder}" cannot be deleted ({error.strerror}); check its permissions.') from None


def _folders(parent: Path) -> Iterator[Path]:
    """The candidate folders of packages; hidden ones (being written) are none."""
    try:
        entries = sorted(parent.iterdir())
    except OSError:
        return  # the user's folder need not exist
    for entry in entries:
        if not entry.name.startswith((".", "__")) and os.path.isdir(
            entry
        ):  # unlike Path.is_dir, no error without permission
            yield entry


def _summary(folder: Path, built_in: bool) -> ModelSummary:
    try:
        card = read_card(folder)
        name = card.get("name")
        if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
            raise PackageError(
                f'model.json of "{printable(folder.name, 80)}" gives no usable name; get the package again.'
            )
        if name != folder.name:
            raise PackageError(
                f'The folder "{printable(folder.name, 80)}" holds the model "{name}"; rename the folder to {name}.'
            )
        task = task_of(card)
        if task not in MODALITIES_OF:
            raise PackageError(
                f'model.json of "{name}" states no known task; get the package again, or a newer MRITranslate.'
            )
        source, target = modalities(card, task)
        for key, value in (("source", source), ("target", target)):
            if key in MODALITIES_OF[task] and value not in MODALITIES:
                raise PackageError(f'model.json of "{name}" names no known modality as {key}; get the package again.')
        return ModelSummary(
            name=name,
            title=text_of(card, "title"),
            source=source,
            target=target,
            version=text_of(card, "version"),
            task=task,
            folder=folder.absolute(),
            built_in=built_in,
            bytes=_check_sizes(folder, card, name),
            licence=text_of(dict_of(card, "licence"), "weights"),
            score=main_score(card),
            broken=None,
        )
    except PackageError as error:
        return _broken(folder, built_in, str(error))


def _broken(folder: Path, built_in: bool, reason: str) -> ModelSummary:
    name = folder.name
    return ModelSummary(name, printable(name, 80), "", "", "", "", folder.absolute(), built_in, 0, "", "", reason)


def _check_sizes(folder: Path, card: dict[str, Any], name: str) -> int:
    """Total size of the files, each there with the size that the card states."""
    total = 0
    stated = dict_of(card, "files")
    if files.WEIGHTS not in stated:
        raise PackageError(f'model.json of "{name}" states no {files.WEIGHTS}; get the package again.')
    for file, facts in stated.items():
        if file not in files.ALL:
            raise PackageError(f'model.json of "{name}" names the file {ascii(file)[:80]}; do not use this package.')
        try:
            size = (folder / file).lstat().st_size
        except OSError:
            raise PackageError(f'"{file}" is missing from the package "{name}"; get the package again.') from None
        if not isinstance(facts, dict) or facts.get("bytes") != size:
            raise PackageError(
                f'"{file}" of "{name}" does not have the size that its card states; get the package again.'
            )
        total += size
    return total
