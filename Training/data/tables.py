"""The tables that may describe a data set: CSV of the images, CSV or YAML of the split."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from MRITranslateLib.errors import InputError
from MRITranslateLib.tables import read_rows, read_text

PARTS = ("train", "validation", "test")
_WRITTEN = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
            "valid": "validation", "test": "test"}  # fmt: skip
"""How people write the parts."""


@dataclass(frozen=True)
class Row:
    """A row of the table of images."""

    line: int
    subject: str
    source: Path | None
    target: Path | None
    part: str | None


def read_index_table(file: Path, root: Path | None) -> list[Row]:
    """Read a table with the columns subject, source, target and, if wanted, split.

    Args:
        file: CSV (comma, semicolon or tab), UTF-8. Files of images are relative to its folder.
        root: Folder that all images must lie in; the table's own if None.

    Raises:
        InputError: The table is missing or no CSV, or a row is wrong; the sentence names its line.
    """
    base = Path(os.path.abspath(file)).parent
    inside = base if root is None else Path(os.path.abspath(root))
    rows = []
    for line, cells in read_rows(file, ("subject", "source", "target")):
        where = f'Line {line} of "{file.name}"'
        if not cells["subject"]:
            raise InputError(f"{where} names no subject; fill the cell.")
        images = [_image(cells[side], base, inside, where) for side in ("source", "target")]
        if images == [None, None]:
            raise InputError(f"{where} names no image; fill source, target or both.")
        rows.append(Row(line, cells["subject"], images[0], images[1], _part(cells.get("split", ""), where)))
    if not rows:
        raise InputError(f'"{file.name}" has no rows below its header; add the images.')
    return rows


def read_split(file: Path) -> dict[str, list[str]]:
    """Read which subjects belong to which part.

    Args:
        file: CSV with the columns subject and part, or YAML with the lists train, validation and test.

    Raises:
        InputError: The file is missing or is neither.
    """
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    if file.suffix.lower() not in (".yaml", ".yml"):
        for line, cells in read_rows(file, ("subject", "part")):
            part = _part(cells["part"], f'Line {line} of "{file.name}"')
            if part is None or not cells["subject"]:
                raise InputError(f'Line {line} of "{file.name}" is incomplete; give a subject and its part.')
            parts[part].append(cells["subject"])
        return parts
    try:
        content = yaml.safe_load(read_text(file)) or {}
    except yaml.YAMLError as error:
        raise InputError(f'"{file.name}" is not valid YAML: {" ".join(str(error).split())}.') from None
    if not isinstance(content, Mapping) or not set(content) <= set(PARTS):
        raise InputError(f'"{file.name}" must hold the lists train, validation and test, and nothing else.')
    for part, names in content.items():
        wrong = [names] if not isinstance(names, list) else [name for name in names if not isinstance(name, str)]
        if wrong:
            raise InputError(f'{part} in "{file.name}" must be a list of names; put quotes around {wrong[0]!r}.')
        parts[part] = names
    return parts


def read_places(file: Path, groups: Collection[str]) -> dict[str, str]:
    """The part of each of some groups (subjects, patients), from a file as of `read_split`.

    Raises:
        InputError: As of `read_split`, or the file says nothing of a group, or puts one into two parts.
    """
    named: dict[str, str] = {}
    for part, members in read_split(file).items():
        for group in members:
            if named.setdefault(group, part) != part:
                raise InputError(f'"{file.name}" puts "{group}" into {named[group]} and {part}; choose one.')
    unnamed = sorted(set(groups) - set(named))
    if unnamed:
        raise InputError(f'"{file.name}" says nothing of "{unnamed[0]}"; add it to one of the parts.')
    return {group: named[group] for group in groups}


def _part(text: str, where: str) -> str | None:
    if not text:
        return None
    if text.lower() not in _WRITTEN:
        raise InputError(f'{where} says "{text}"; a part is train, validation or test.')
    return _WRITTEN[text.lower()]


def _image(cell: str, base: Path, inside: Path, where: str) -> Path | None:
    if not cell:
        return None
    path = Path(os.path.normpath(base / cell))
    if not path.is_relative_to(inside):
        raise InputError(
            f'{where}: "{cell}" lies outside of "{inside}"; set data.root to the folder that holds all images.'
        )
    if not path.exists():
        raise InputError(f'{where}: "{cell}" does not exist; correct the path.')
    return path
