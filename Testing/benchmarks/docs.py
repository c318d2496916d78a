"""Put reports of benchmarks into docs/benchmarks.md: the machine, the date, the command and the table of each.

A report of the processor goes between `<!-- benchmark:NAME -->` and `<!-- /benchmark -->`, one of an accelerator
between `<!-- benchmark:NAME accelerator -->` and `<!-- /benchmark -->`, which is added after the other if it is not
there yet. Everything else stays as it is, so prose is written around the blocks, and figures of an accelerator stay
when the next run has none.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from MRITranslateLib.errors import InputError
from MRITranslateLib.reportpage import write_text

HELP = "put reports that were written with --json into docs/benchmarks.md"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
END = "<!-- /benchmark -->"
_VERSIONS = ("mritranslate", "torch", "numpy", "SimpleITK", "python")
_NAMES = {"mritranslate": "MRITranslate", "python": "Python"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", type=Path, nargs="+", metavar="FILE", help="JSON of a benchmark")


def main(options: argparse.Namespace) -> int:
    write_reports(DOCUMENT, [read(file) for file in options.reports])
    return 0


def read(file: Path) -> dict[str, Any]:
    """A report.

    Raises:
        InputError: The file is none.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        rendered(report)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f'"{file}" is no report of a benchmark; write one with --json.') from None
    return report


def write_reports(document: Path, reports: Iterable[Mapping[str, Any]]) -> None:
    """Replace the blocks of these reports in a document, in one step."""
    text = document.read_text(encoding="utf-8")
    for report in reports:
        text = replaced(text, report)
    write_text(document, text)


def replaced(text: str, report: Mapping[str, Any]) -> str:
    """A document's text with the block of this report anew.

    Raises:
        InputError: The document has no block for it.
    """
    name = report["benchmark"]
    accelerated = report["device"] != "cpu"
    marks = [_begin(name, kind) for kind in ([True, False] if accelerated else [False])]
    block = f"{marks[0]}\n\n{rendered(report)}\n{END}"
    for mark in marks:
        head, found, rest = text.partition(mark)
        old, ended, tail = rest.partition(END)
        if not found:
            continue
        if not ended or "<!-- benchmark:" in old:
            raise InputError(f'The block "{mark}" has no end; close it with "{END}".')
        kept = "" if mark == marks[0] else f"{mark}{old}{END}\n\n"
        return f"{head}{kept}{block}{tail}"
    raise InputError(
        f'The document has no place for "{name}"; add the lines "{_begin(name, False)}" and "{END}" to it.'
    )


def _begin(name: str, accelerator: bool) -> str:
    return f"<!-- benchmark:{name}{' accelerator' if accelerator else ''} -->"


def rendered(report: Mapping[str, Any]) -> str:
    """A report as Markdown: the command, when and on what it ran, the table, and the figures beside their bars."""
    machine, table = report["machine"], report["table"]
    versions = ", ".join(f"{_NAMES.get(key, key)} {machine[key]}" for key in _VERSIONS)
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB of memory"
    if "gpu" in machine and report["device"] != "cpu":
        where = f"{machine['gpu']}; {where}"
    lines = [
        "```sh",
        report["command"],
        "```",
        "",
        f"{report['date']}, {where}, load {machine['load_at_start']} at the start; {versions}.",
        "",
        f"{table['caption']}:",
        "",
        _row(table["headings"]),
        "|" + "---|" * len(table["headings"]),
        *(_row(row) for row in table["rows"]),
        "",
        report["verdict"],
        "",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in cells) + "|"
