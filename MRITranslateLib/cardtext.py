"""What a package's card says, as plain text for people. Standard library only, and nothing in a card is trusted."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from . import files
from .errors import PackageError, printable
from .modality import MODALITIES

MOST_CARD_BYTES = 1 << 20
DISCLAIMER = "Research tool. Not for diagnosis."
MODALITIES_OF = {
    "translation": ("source", "target"),
    "generation": ("target",),
    "radiograph": ("target",),
    "classification": ("source",),
}
"""Which modalities a card names, by its task."""
_MAIN_MEASURES = ("psnr", "mean auroc", "fid")


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
    card = read_card(Path(folder))
    task = task_of(card)
    network, training, licence = (dict_of(card, key) for key in ("network", "training", "licence"))
    lines = [
        f"{text_of(card, 'title')} ({text_of(card, 'name')} {text_of(card, 'version')})",
        f"{about(task, *(_long(name) for name in modalities(card, task)))}, network {text_of(network, 'name')}",
        *_picture_lines(card),
        *_grid_lines(card),
        "",
        f"Intended use: {text_of(card, 'intended_use')}",
        DISCLAIMER,
        "",
        "Training",
        f"  Data: {text_of(training, 'data')}",
        f"  Subjects: {len(_list(training, 'subjects'))} for training, "
        f"{len(_list(training, 'validation_subjects'))} for validation",
        f"  {text_of(training, 'epochs')} epochs, {text_of(training, 'steps')} steps, "
        f"loss {text_of(training, 'loss')}, {text_of(training, 'date')}",
        "",
        "Licence",
        f"  Weights: {text_of(licence, 'weights')}",
        f"  Training data: {text_of(licence, 'data')}",
        "",
        "Measured",
        *(_score_lines(card) or ["  no scores were measured"]),
        "",
        "Limits",
        *([f"  - {printable(limit)}" for limit in _list(card, "limits")] or ["  none stated"]),
    ]
    return "\n".join(lines) + "\n"


def about(task: str, source: str, target: str) -> str:
    """What goes in and what comes out; `source` and `target` are names of modalities, short or long."""
    return {
        "generation": f"Random numbers to {target}",
        "radiograph": f"Report to {target}",
        "classification": f"{source} to classes",
    }.get(task, f"{source} to {target}")


def task_of(card: dict[str, Any]) -> str:
    return text_of(card, "task") if "task" in card else "translation"


def modalities(card: dict[str, Any], task: str) -> tuple[str, str]:
    """Source and target on a card; "" where its task has none."""
    keys = MODALITIES_OF.get(task, ("source", "target"))
    source, target = (text_of(card, key) if key in keys else "" for key in ("source", "target"))
    return source, "CXR" if task == "radiograph" and "target" not in card else target


def _picture_lines(card: dict[str, Any]) -> list[str]:
    """What a card of pictures says about them."""
    size, classes = text_of(dict_of(card, "picture"), "size"), _list(card, "classes")
    lines = [f"Pictures of {size} x {size} pixels"] if "picture" in card else []
    if "text" in card:
        text = dict_of(card, "text")
        where = "your own copy is needed" if text.get("encoder") == "external" else "in the package"
        lines.append(f"Language model: {text_of(text, 'source')} ({where})")
    if classes:
        kind = "any number of them in a picture" if card.get("multi_label") is True else "one of them for a picture"
        lines.append(f"Classes, {kind}: {printable(', '.join(str(name) for name in classes))}")
    return lines


def _grid_lines(card: dict[str, Any]) -> list[str]:
    """What of a volume a network sees at a time, on a card that says so."""
    grid = dict_of(card, "grid")
    if grid.get("dimensions") == 3:
        patch = " x ".join(printable(str(extent)) for extent in _list(grid, "patch"))
        return [f"Computes blocks of {patch} voxels"]
    if "plane" not in grid:
        return []
    context = grid.get("context")
    beside = f", each with {context - 1} of its neighbours" if isinstance(context, int) and context > 1 else ""
    return [f"Computes {text_of(grid, 'plane')} slices{beside}; it was trained on no other plane"]


def _score_lines(card: dict[str, Any]) -> list[str]:
    lines = []
    for score in _list(card, "scores"):
        if not isinstance(score, dict):
            continue
        metrics = dict_of(score, "metrics")
        values = ", ".join(
            f"{printable(key, 60)} {value:.4g}"
            for key, value in metrics.items()
            if isinstance(value, int | float) and abs(value) < 1e15  # a huge whole number cannot become a float
        )
        weights = f", weights {text_of(score, 'weights')}" if score.get("weights") else ""
        lines.append(f"  {text_of(score, 'family')} ({len(_list(score, 'subjects'))} subjects{weights}): {values}")
        lines.append(f"    {text_of(score, 'protocol')}")
    return lines


def main_score(card: dict[str, Any]) -> str:
    """The measure that says most of a card's kind, over the families of images it was measured on; "" without any."""
    found: dict[str, list[tuple[str, float]]] = {}
    for score in _list(card, "scores"):
        if isinstance(score, dict):
            for key, value in dict_of(score, "metrics").items():
                if isinstance(value, int | float) and abs(value) < 1e15:
                    found.setdefault(key, []).append((text_of(score, "family"), value))
    if not found:
        return ""
    key = next((key for key in _MAIN_MEASURES if key in found), next(iter(found)))
    families, values = zip(*found[key], strict=True)
    least, most = (f"{end(values):.4g}" for end in (min, max))
    where = families[0] if len(set(families)) == 1 else f"{len(set(families))} families of images"
    return f"{printable(key, 60)} {least if least == most else f'{least} to {most}'} ({printable(where, 60)})"


def read_card(folder: Path) -> dict[str, Any]:
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


def text_of(part: dict[str, Any], key: str) -> str:
    value = part.get(key)
    return printable(value) if isinstance(value, str | int | float) and value != "" else "not stated"


def dict_of(part: dict[str, Any], key: str) -> dict[str, Any]:
    value = part.get(key)
    return value if isinstance(value, dict) else {}


def _list(part: dict[str, Any], key: str) -> list[Any]:
    value = part.get(key)
    return value if isinstance(value, list) else []


def _long(name: str) -> str:
    return MODALITIES[name].title if name in MODALITIES else name
