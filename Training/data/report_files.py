"""Which radiographs there are, and the report of each: from a table, from Open-i, or from text files beside them."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from MRITranslateLib.errors import InputError
from MRITranslateLib.picture import EXTENSIONS
from MRITranslateLib.reports import one_line, read_report

from ..config.reports import ReportDataConfig
from .picture_files import PARTS


@dataclass(frozen=True)
class Case:
    """A picture and its report before the picture is read.

    Attributes:
        name: The picture's path within the root.
        file: The picture.
        text: The report, on one line.
        group: The patient, or whatever must stay together.
        part: The part of the split that the table gives it to.
        licence: Of the picture, where the table says it.
        cells: Its row in the table, by column; empty where there is no table.
    """

    name: str
    file: Path
    text: str
    group: str
    part: str | None = None
    licence: str | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


def find_cases(config: ReportDataConfig, skipped: list[str]) -> Iterator[Case]:
    """What a configuration names: the rows of a table, the files of Open-i, or text files beside their pictures.

    Args:
        config: What to find.
        skipped: Gets a sentence for each report that `skip_unusable` leaves out.

    Raises:
        InputError: A folder, file or column is missing, or a report cannot be used.
    """
    root = config.root
    if root is None or not root.is_dir():
        missing = f'The folder of the pictures "{root}" does not exist; correct data.root.'
        raise InputError(missing if root else "Say where the pictures are: --data FOLDER.")
    if config.reports is None:
        yield from _beside(config, root, skipped)
        return
    reports = root / config.reports
    if reports.is_dir():
        yield from _from_open_i(config, root, reports, skipped)
    else:
        yield from _from_table(config, root, reports, skipped)


def _from_table(config: ReportDataConfig, root: Path, table: Path, skipped: list[str]) -> Iterator[Case]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows, columns = list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f'The table "{table}" cannot be read ({error}); correct data.reports.') from None
    optional = [name for name in (config.group, config.split, config.licence) if name]
    for column in (config.file, *config.text, *config.only, *optional):
        if column not in columns:
            raise InputError(f'"{table.name}" has no column "{column}"; it has {", ".join(columns)}.')
    seen = set()
    for number, row in enumerate(rows, 2):
        where = f'Row {number} of "{table.name}"'
        if None in row.values() or None in row or not row[config.file]:
            raise InputError(f"{where} has too few or too many columns; correct the table.")
        if any(row[column] not in values for column, values in config.only.items()) or row[config.file] in seen:
            continue  # the same picture again, perhaps under another patient: one of them is enough
        seen.add(row[config.file])
        text = one_line(*(row[column] for column in config.text))
        if not text:
            leave_out(config, skipped, f"{where} has no report; fill in {', '.join(config.text)}.")
            continue
        part = row[config.split].strip().lower() or None if config.split else None
        if part is not None and part not in PARTS:
            raise InputError(f'{where} says split "{part}"; use one of {", ".join(PARTS)}.')
        group = (row[config.group] if config.group else "") or row[config.file]
        licence = row[config.licence].strip() or None if config.licence else None
        yield Case(row[config.file], root / row[config.file], text, group, part, licence, row)


def _from_open_i(config: ReportDataConfig, root: Path, folder: Path, skipped: list[str]) -> Iterator[Case]:
    files = sorted(folder.glob("*.xml"))
    if not files:
        raise InputError(f'"{folder}" holds no XML file; correct data.reports.')
    pictures = {file.stem: file for file in _picture_files(root)}
    for file in files:
        try:
            report = read_report(file)
        except InputError as error:
            leave_out(config, skipped, str(error))
            continue
        known = [name for name in report.pictures if name in pictures]
        if not known:
            names = ", ".join(report.pictures) or "none"
            leave_out(config, skipped, f'The pictures that "{file.name}" names ({names:.200}) are not in "{root}".')
        for name in known if config.all_pictures else known[:1]:
            yield Case(pictures[name].relative_to(root).as_posix(), pictures[name], report.text, report.name)


def _beside(config: ReportDataConfig, root: Path, skipped: list[str]) -> Iterator[Case]:
    found = False
    for picture in _picture_files(root):
        text = picture.with_suffix(".txt")
        if not text.is_file():
            continue
        found = True
        try:
            report = read_report(text)
        except InputError as error:
            leave_out(config, skipped, str(error))
            continue
        name = picture.relative_to(root).as_posix()
        yield Case(name, picture, report.text, name)
    if not found:
        raise InputError(
            f'"{root}" holds no picture with a text file of the same name beside it; name a table or a folder of XML '
            "files in data.reports."
        )


def _picture_files(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file():
            yield file


def leave_out(config: ReportDataConfig, skipped: list[str], sentence: str) -> None:
    """Note what cannot be used, or stop there if the configuration says so."""
    if not config.skip_unusable:
        raise InputError(f"{sentence.removesuffix('.')}; or leave such cases out by --data.skip_unusable true.")
    skipped.append(sentence)
