"""What every benchmark tells: its figures, when, by which command and on what they were measured, and one table.

The table and the line under it are part of the report, so that the terminal, the JSON and docs/benchmarks.md show the
same.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from MRITranslateLib.reportpage import write_text

from . import machine


def command(arguments: Sequence[str]) -> str:
    """The command that made a report, without the option that only says where the JSON goes."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--json" and not argument.startswith("--json="):
            kept.append(argument)
        skip = argument == "--json"
    return shlex.join(["python", "-m", __package__, *kept])


def begin(benchmark: str, device: str) -> dict[str, Any]:
    """The facts that every report opens with; taken before the work, as they hold how busy the machine is.

    Args:
        benchmark: Its name.
        device: On which the work is done.
    """
    return {
        "benchmark": benchmark,
        "date": date.today().isoformat(),
        "command": command(sys.argv[1:]),
        "machine": machine.facts(),
        "device": device,
    }


def publish(
    report: dict[str, Any],
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    verdict: str,
    file: Path | None,
) -> int:
    """Print a report as a table and as JSON, and write the JSON to a file if wanted.

    Args:
        report: Of `begin`, with the benchmark's own figures and `met`, whether its bars are met.
        caption: What was measured, one sentence.
        headings: Of the columns.
        rows: The table's cells, the first column what a row is about.
        verdict: The ratio and other figures beside their bars, in words; whether they are met is added.
        file: Where the JSON goes as well.

    Returns:
        The exit code: 0 when the bars are met, 1 when not.
    """
    table = {"caption": caption, "headings": list(headings), "rows": [list(row) for row in rows]}
    whole = report | {"table": table, "verdict": f"{verdict}: {'met' if report['met'] else 'MISSED'}."}
    console = Console()
    shown = Table(*headings, title=caption)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    console.print(whole["verdict"], highlight=False)
    console.print_json(data=whole)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(whole, indent=2) + "\n")
    return 0 if report["met"] else 1
