"""Radiology reports: plain text, tables of them, and the XML files of Open-i (Indiana University, Demner-Fushman et
al., JAMIA 2016).

A report is foreign data: sizes are bounded, and an XML file that brings a document type is refused, since that is where
entities could expand without end or name other files.
"""

import csv
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

EXTENSIONS = (".txt", ".xml")
SECTIONS = ("FINDINGS", "IMPRESSION")
"""What of an Open-i report describes the picture, in the order in which it is read."""
TABLE = ".csv"
_COLUMNS = (("findings", "impression"), ("report",), ("text",))
"""What of a table is the report: the first of these of which it has any, in any case of letters."""
_NAMES = ("name", "id", "uid", "file")
_MOST_BYTES = 4 << 20
_MOST_TABLE_BYTES = 64 << 20


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        name: Stem of its file.
        text: On one line.
        pictures: Names without suffix of the pictures that it says it describes; none in a plain text.
    """

    name: str
    text: str
    pictures: tuple[str, ...] = ()


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read a plain text (.txt, UTF-8) or an Open-i file (.xml): its findings followed by its impression.

    Raises:
        InputError: The file is missing, empty, too large, damaged, of another kind, or has neither findings nor an
            impression.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in EXTENSIONS:
        raise InputError(f'"{file.name}" is no report; give plain text ({EXTENSIONS[0]}) or Open-i ({EXTENSIONS[1]}).')
    content = _content(file, _MOST_BYTES)
    report = _from_xml(file, content) if suffix == ".xml" else Report(file.stem, one_line(_decode(file, content)))
    if not report.text:
        raise InputError(f'The report "{file.name}" is empty; write what the picture shows.')
    return report


def read_reports(path: str | os.PathLike[str]) -> list[Report]:
    """The reports of a file: of a table (.csv) one a row, else the one of `read_report`.

    A table has a column report, text, or findings and impression (of which one may be empty), and perhaps one that
    names the row: name, id, uid or file. It is separated by commas, semicolons or tabs, and encoded as UTF-8.

    Raises:
        InputError: As of `read_report`, or the table has no such column, no rows, or a row without a report.
    """
    file = Path(path)
    if file.suffix.lower() != TABLE:
        return [read_report(file)]
    lines = _decode(file, _content(file, _MOST_TABLE_BYTES)).splitlines()
    header = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=header.count), strict=True)
    reports = []
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        columns = next((found for wanted in _COLUMNS if (found := [name for name in wanted if name in names])), None)
        if columns is None:
            has = ", ".join(names) or "none"
            raise InputError(f'"{file.name}" has no column report, text, findings or impression; it has {has}.')
        naming = next((name for name in _NAMES if name in names), None)
        for number, row in enumerate(reader, 2):
            if None in row or None in row.values():
                raise InputError(f'Row {number} of "{file.name}" has not {len(names)} cells as the header; correct it.')
            text = one_line(*(row[column] for column in columns))
            if not text:
                raise InputError(f'Row {number} of "{file.name}" has no report; fill in {" or ".join(columns)}.')
            reports.append(Report(row[naming] if naming else f"row{number}", text))
    except csv.Error as error:
        raise InputError(f'"{file.name}" is no valid CSV ({error}); save it again as CSV.') from None
    if not reports:
        raise InputError(f'"{file.name}" has no rows below its header; add the reports.')
    return reports


def one_line(*parts: str) -> str:
    """Texts joined, with single spaces only."""
    return " ".join(" ".join(parts).split())


def _content(file: Path, most: int) -> bytes:
    try:
        if file.stat().st_size > most:
            raise InputError(f'"{file.name}" is larger than {most >> 20} MiB, too large for reports.')
        return file.read_bytes()
    except OSError as error:
        raise InputError(f'The report "{file}" cannot be read ({error.strerror}); check the path.') from None


def _decode(file: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f'"{file.name}" is not plain text in UTF-8; save it as such.')
    return text


def _from_xml(file: Path, content: bytes) -> Report:
    try:
        parser = ElementTree.XMLParser(target=_NoDocumentType())
        parser.feed(content)
        root = parser.close()
    except _HasDocumentType:
        raise InputError(
            f'"{file.name}" brings a document type, which a report does not need and which can do harm; remove it.'
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f'"{file.name}" is not valid XML ({" ".join(str(error).split())}); get it again.') from None
    sections: dict[str, list[str]] = {}
    for element in root.iter("AbstractText"):
        sections.setdefault(element.get("Label", "").strip().upper(), []).append("".join(element.itertext()))
    text = one_line(*(part for name in SECTIONS for part in sections.get(name, [])))
    if not text:
        raise InputError(
            f'"{file.name}" has neither findings nor an impression; an Open-i file holds them in AbstractText elements '
            'with Label="FINDINGS" and Label="IMPRESSION".'
        )
    return Report(file.stem, text, _pictures(root.iter("parentImage")))


def _pictures(elements: Iterable[ElementTree.Element]) -> tuple[str, ...]:
    """Identifiers that can be names of files, in their order."""
    names = [element.get("id", "") for element in elements]
    return tuple(dict.fromkeys(name for name in names if re.fullmatch(r"[\w.-]{1,200}", name)))


class _HasDocumentType(Exception):
    pass


class _NoDocumentType(ElementTree.TreeBuilder):
    """Builds the tree, and stops at a document type before anything in it is read."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise _HasDocumentType
