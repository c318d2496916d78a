"""Which model packages there are: those built in and those in the user's folder.

Listing needs the standard library only, so that Slicer's panel shows the models before torch or pydantic is installed.
It trusts nothing: a broken package is listed with the reason and never hides the others. Loading checks far more, see
`package`.
"""

import difflib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files
from .errors import InputError, PackageError, printable
from .modality import MODALITIES

MOST_CARD_BYTES = 1 << 20
DISCLAIMER = "Research tool. Not for diagnosis."
_MODALITIES_OF = {
    "translation": ("source", "target"),
    "generation": ("target",),
    "radiograph": ("target",),
    "classification": ("source",),
}
"""Which modalities a card names, by its task."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9_]{0,63}\Z")


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
    broken: str | None

    @property
    def about(self) -> str:
        """What goes in and what comes out, in a few words."""
        return _about(self.task, self.source, self.target)


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


def add_model(folder: str | os.PathLike[str]) -> Path:
    """Check a package completely and copy it into the user's folder, in one step or not at all.

    Returns:
        The folder of the copy.

    Raises:
        PackageError: The package is broken.
        InputError: A model has that name already, or the user's folder cannot be written.
    """
    from .package import Package, new_package_folder  # needs torch and pydantic, which a listing must not

    source = Path(folder)
    if not source.is_dir():
        raise InputError(f'"{source}" is not a folder; give the folder of a model package (the one with model.json).')
    package = Package(source)
    package.verify()
    name = package.card.name
    if any(model.name == name for model in list_models()):
        raise InputError(f'A model called "{name}" exists already; remove it first or rename the new one.')
    target = models_folder() / name
    with new_package_folder(target) as temporary:
        for file in (files.CARD, files.README, files.LICENCE, *package.card.files):
            (temporary / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(package.folder / file, temporary / file)
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


def read_card_text(folder: Path) -> str:
    """The text of a package's `model.json`: a regular file of at most 1 MiB in UTF-8.

    Raises:
        PackageError: Says what is wrong.
    """
    path = folder / files.CARD
    where = printable(folder.name, 80)
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            raise PackageError(f'model.json of "{where}" is a link or a special file; replace it by the file itself.')
        if facts.st_size > MOST_CARD_BYTES:
            raise PackageError(
                f'model.json of "{where}" is larger than {MOST_CARD_BYTES >> 20} MiB; get the package again.'
            )
        with path.open("rb") as file:
            return file.read(MOST_CARD_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise PackageError(
            f'"{where}" has no model.json, so it is not a model package; give the folder that holds it.'
        ) from None
    except UnicodeDecodeError:
        raise PackageError(f'model.json of "{where}" is not UTF-8 text; get the package again.') from None
    except OSError as error:
        raise PackageError(
            f'model.json of "{where}" cannot be read ({error.strerror}); check its permissions.'
        ) from None


def card_text(folder: str | os.PathLike[str]) -> str:
    """What a package's card says, as plain text for people: use, data, licence, scores per family of images, limits.

    Raises:
        PackageError: The card cannot be read.
    """
    card = _read(Path(folder))
    task = _task(card)
    network, training, licence = (_dict(card, key) for key in ("network", "training", "licence"))
    lines = [
        f"{_text(card, 'title')} ({_text(card, 'name')} {_text(card, 'version')})",
        f"{_about(task, *(_long(name) for name in _modalities(card, task)))}, network {_text(network, 'name')}",
        *_picture_lines(card),
        *_grid_lines(card),
        "",
        f"Intended use: {_text(card, 'intended_use')}",
        DISCLAIMER,
        "",
        "Training",
        f"  Data: {_text(training, 'data')}",
        f"  Subjects: {len(_list(training, 'subjects'))} for training, "
        f"{len(_list(training, 'validation_subjects'))} for validation",
        f"  {_text(training, 'epochs')} epochs, {_text(training, 'steps')} steps, "
        f"loss {_text(training, 'loss')}, {_text(training, 'date')}",
        "",
        "Licence",
        f"  Weights: {_text(licence, 'weights')}",
        f"  Training data: {_text(licence, 'data')}",
        "",
        "Measured",
        *(_score_lines(card) or ["  no scores were measured"]),
        "",
        "Limits",
        *([f"  - {printable(limit)}" for limit in _list(card, "limits")] or ["  none stated"]),
    ]
    return "\n".join(lines) + "\n"


def _about(task: str, source: str, target: str) -> str:
    """What goes in and what comes out; `source` and `target` are names of modalities, short or long."""
    return {
        "generation": f"Random numbers to {target}",
        "radiograph": f"Report to {target}",
        "classification": f"{source} to classes",
    }.get(task, f"{source} to {target}")


def _task(card: dict[str, Any]) -> str:
    return _text(card, "task") if "task" in card else "translation"


def _modalities(card: dict[str, Any], task: str) -> tuple[str, str]:
    """Source and target on a card; "" where its task has none."""
    keys = _MODALITIES_OF.get(task, ("source", "target"))
    source, target = (_text(card, key) if key in keys else "" for key in ("source", "target"))
    return source, "CXR" if task == "radiograph" and "target" not in card else target


def _picture_lines(card: dict[str, Any]) -> list[str]:
    """What a card of pictures says about them."""
    size, classes = _text(_dict(card, "picture"), "size"), _list(card, "classes")
    lines = [f"Pictures of {size} x {size} pixels"] if "picture" in card else []
    if "text" in card:
        text = _dict(card, "text")
        where = "your own copy is needed" if text.get("encoder") == "external" else "in the package"
        lines.append(f"Language model: {_text(text, 'source')} ({where})")
    if classes:
        kind = "any number of them in a picture" if card.get("multi_label") is True else "one of them for a picture"
        lines.append(f"Classes, {kind}: {printable(', '.join(str(name) for name in classes))}")
    return lines


def _grid_lines(card: dict[str, Any]) -> list[str]:
    """What of a volume a network sees at a time, on a card that says so."""
    grid = _dict(card, "grid")
    if grid.get("dimensions") == 3:
        patch = " x ".join(printable(str(extent)) for extent in _list(grid, "patch"))
        return [f"Computes blocks of {patch} voxels"]
    if "plane" not in grid:
        return []
    context = grid.get("context")
    beside = f", each with {context - 1} of its neighbours" if isinstance(context, int) and context > 1 else ""
    return [f"Computes {_text(grid, 'plane')} slices{beside}; it was trained on no other plane"]


def _score_lines(card: dict[str, Any]) -> list[str]:
    lines = []
    for score in _list(card, "scores"):
        if not isinstance(score, dict):
            continue
        metrics = _dict(score, "metrics")
        values = ", ".join(
            f"{printable(key, 60)} {value:.4g}"
            for key, value in metrics.items()
            if isinstance(value, int | float) and abs(value) < 1e15  # a huge whole number cannot become a float
        )
        lines.append(f"  {_text(score, 'family')} ({len(_list(score, 'subjects'))} subjects): {values}")
        lines.append(f"    {_text(score, 'protocol')}")
    return lines


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
        card = _read(folder)
        name = card.get("name")
        if not isinstance(name, str) or not _SLUG.match(name):
            raise PackageError(
                f'model.json of "{printable(folder.name, 80)}" gives no usable name; get the package again.'
            )
        if name != folder.name:
            raise PackageError(
                f'The folder "{printable(folder.name, 80)}" holds the model "{name}"; rename the folder to {name}.'
            )
        task = _task(card)
        if task not in _MODALITIES_OF:
            raise PackageError(
                f'model.json of "{name}" states no known task; get the package again, or a newer MRITranslate.'
            )
        source, target = _modalities(card, task)
        for key, value in (("source", source), ("target", target)):
            if key in _MODALITIES_OF[task] and value not in MODALITIES:
                raise PackageError(f'model.json of "{name}" names no known modality as {key}; get the package again.')
        return ModelSummary(
            name=name,
            title=_text(card, "title"),
            source=source,
            target=target,
            version=_text(card, "version"),
            task=task,
            folder=folder.absolute(),
            built_in=built_in,
            bytes=_check_sizes(folder, card, name),
            broken=None,
        )
    except PackageError as error:
        return _broken(folder, built_in, str(error))


def _broken(folder: Path, built_in: bool, reason: str) -> ModelSummary:
    name = folder.name
    return ModelSummary(name, printable(name, 80), "", "", "", "", folder.absolute(), built_in, 0, reason)


def _check_sizes(folder: Path, card: dict[str, Any], name: str) -> int:
    """Total size of the files, each there with the size that the card states."""
    total = 0
    stated = _dict(card, "files")
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


def _read(folder: Path) -> dict[str, Any]:
    text = read_card_text(folder)
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        raise PackageError(
            f'model.json of "{printable(folder.name, 80)}" is not valid JSON; get the package again.'
        ) from None
    if not isinstance(card, dict):
        raise PackageError(f'model.json of "{printable(folder.name, 80)}" is not a card; get the package again.')
    return card


def _text(part: dict[str, Any], key: str) -> str:
    value = part.get(key)
    return printable(value) if isinstance(value, str | int | float) and value != "" else "not stated"


def _dict(part: dict[str, Any], key: str) -> dict[str, Any]:
    value = part.get(key)
    return value if isinstance(value, dict) else {}


def _list(part: dict[str, Any], key: str) -> list[Any]:
    value = part.get(key)
    return value if isinstance(value, list) else []


def _long(name: str) -> str:
    return MODALITIES[name].title if name in MODALITIES else name
