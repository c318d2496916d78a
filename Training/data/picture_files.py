"""Which pictures there are, and what a folder or a table says of each."""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MRITranslateLib.errors import InputError
from MRITranslateLib.picture import EXTENSIONS
from MRITranslateLib.volume import WRITABLE

from ..config.pictures import PictureConfig

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Entry:
    """A file or a digital head before it is read.

    Attributes:
        name: Its path within the root; "phantom-N" for a digital head.
        file: None for a digital head.
        group: What it must stay together with.
        findings: Class -> whether the picture has it; None where nothing is known.
        part: The part of the split that the table gives it to.
    """

    name: str
    file: Path | None
    group: str
    findings: dict[str, bool] | None = None
    part: str | None = None


def list_entries(config: PictureConfig) -> list[Entry]:
    """Everything that a configuration names.

    Raises:
        InputError: The folder or the table does not exist, is empty, or lacks a column.
    """
    entries: list[Entry] = []
    if config.index is not None:
        entries = _from_table(config, config.index)
    elif config.root is not None:
        entries = _from_folder(config, config.root)
    entries += [Entry(f"phantom-{number}", None, f"phantom-{number}") for number in range(config.phantoms)]
    if not entries:
        raise InputError("There are no pictures; name a folder in pictures.root or a table in pictures.index.")
    return entries


def _from_folder(config: PictureConfig, root: Path) -> list[Entry]:
    """All files below a folder; the uppermost folder of each names its class."""
    if not root.is_dir():
        raise InputError(f'The folder "{root}" does not exist; correct pictures.root.')
    entries = []
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.name.lower().endswith((*EXTENSIONS, *WRITABLE)):
            place = file.relative_to(root)
            findings = {place.parts[0]: True} if len(place.parts) > 1 else None
            entries.append(Entry(place.as_posix(), file, _group(config, place.as_posix()), findings))
    if not entries:
        raise InputError(f'"{root}" holds no PNG, JPEG or NIfTI file; correct pictures.root.')
    return entries


def _from_table(config: PictureConfig, index: Path) -> list[Entry]:
    """The rows of a CSV table."""
    try:
        with index.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = list(reader)
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f'The table "{index}" cannot be read ({error}); correct pictures.index.') from None
    wanted = ["file", *config.labels, *config.only, *(name for name in (config.group, config.split) if name)]
    for column in wanted:
        if column not in columns:
            raise InputError(f'"{index.name}" has no column "{column}"; it has {", ".join(columns)}.')
    entries: list[Entry] = []
    seen: dict[str, dict[str, bool] | None] = {}
    names = names_of(rows, config.labels, config.separator, config.normal)
    for number, row in enumerate(rows, 2):
        if None in row.values() or not row["file"]:
            raise InputError(f'Row {number} of "{index.name}" has too few columns; correct the table.')
        if any(row[column] not in values for column, values in config.only.items()):
            continue
        findings = findings_of(row, config.labels, config.separator, config.normal, names)
        if row["file"] in seen:  # the same picture again, perhaps under another patient: one of them is enough
            if seen[row["file"]] != findings:
                raise InputError(f'Row {number} of "{index.name}" contradicts an earlier row of {row["file"]}.')
            continue
        seen[row["file"]] = findings
        part = row[config.split].strip().lower() or None if config.split else None
        if part is not None and part not in PARTS:
            raise InputError(f'Row {number} of "{index.name}" says split "{part}"; use one of {", ".join(PARTS)}.')
        group = row[config.group] if config.group else ""
        entries.append(
            Entry(
                row["file"],
                (config.root or index.parent) / row["file"],
                group or _group(config, row["file"]),
                findings,
                part,
            )
        )
    return entries


def _group(config: PictureConfig, name: str) -> str:
    """The patient in a file's name, or the file itself where nothing says whose it is."""
    found = re.search(config.group_pattern, name) if config.group_pattern else None
    return found.group(1) if found else name


def names_of(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], separator: str | None, normal: str
) -> dict[str, set[str]]:
    """All classes that each column of names ever names, for `findings_of`; nothing without a separator."""
    if separator is None:
        return {}
    return {
        column: {name.strip() for row in rows for name in (row[column] or "").split(separator)} - {"", normal}
        for column in columns
    }


def findings_of(
    row: Mapping[str, str],
    columns: Sequence[str],
    separator: str | None,
    normal: str,
    names: Mapping[str, Collection[str]],
) -> dict[str, bool] | None:
    """What a row of a table says of its picture; None where it says nothing.

    Args:
        row: Cells by column.
        columns, separator, normal: As `PictureConfig` calls them.
        names: With a separator: all classes of each column. What a filled cell does not name, the picture has not; of
            an empty cell's classes nothing is known.
    """
    if separator is not None:
        found: dict[str, bool] = {}
        for column in columns:
            has = {name.strip() for name in row[column].split(separator)} - {""}
            for name in sorted(names[column]) if has else ():
                found[name] = name in has or found.get(name, False)  # two columns may know the same class
        return found or None
    if len(columns) > 1:  # as in CheXpert: 1 yes, 0 no, empty or -1 unknown
        known = {"1": True, "1.0": True, "0": False, "0.0": False}
        return {column: known[row[column].strip()] for column in columns if row[column].strip() in known}
    name = row[columns[0]].strip() if columns else ""
    return {name: True} if name else None
