"""What reports share: one page of HTML that holds everything and fetches nothing, pictures in it, and how a report is
written to a file."""

import base64
import html
import io
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError
from .scoring.scores import Measured, title_of
from .volume import WRITING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTICE = "Synthetic images from a research tool: not for diagnosis."
ENDINGS = (".html", ".csv", ".json")
"""A page, a table for spreadsheets, everything for programs."""
_STYLE = """
body { font: 15px/1.45 sans-serif; color: #1b1b1b; background: #fff }
body { max-width: 60em; margin: 1.5em auto; padding: 0 1em }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 1.6em }
.notice { border: 2px solid #b3261e; padding: .4em .8em; font-weight: bold }
.warning { border-left: 4px solid #9a6700; padding-left: .6em }
.wide { overflow-x: auto }
table { border-collapse: collapse } td, th { text-align: left; padding: .15em 1.2em .15em 0; vertical-align: top }
th { font-weight: 600 } th.number { text-align: right; white-space: nowrap }
td.number { text-align: right; font-variant-numeric: tabular-nums } tr { border-bottom: 1px solid #ddd }
img { max-width: 100%; height: auto } .pair img { width: 49% }
"""


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Refuse, before any work, a file for a report that could not be written.

    Raises:
        InputError: Another ending, or a folder that does not exist or cannot be written in.
    """
    file = Path(path)
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f'"{file.name}" must end with {", ".join(ENDINGS)}; rename it.')
    if not file.parent.is_dir():
        raise InputError(f'The folder "{file.parent}" does not exist; create it or choose another file.')
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise InputError(f'"{file}" cannot be written; choose another file.')
    return file


def write_text(file: Path, text: str) -> Path:
    """Write a report. No half-written file is ever seen.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=WRITING, dir=file.parent) as folder:
            temporary = Path(folder) / "report"
            temporary.write_bytes(text.encode())
            os.replace(temporary, file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f'"{file}" could not be written ({reason}); choose another file.') from None
    return file


def page(title: str, about: Iterable[tuple[str, str]], warnings: Iterable[str], body: str) -> str:
    """A page with what it is about, the date, warnings, and a body in HTML; all else is escaped."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    told = "".join(f'<p class="warning">Warning: {html.escape(text)}</p>\n' for text in warnings)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p class="notice">{NOTICE}</p>
{table([*about, ("Date", date)])}
{told}{body}
</body>
</html>
"""


def table(rows: Iterable[Sequence[str | float]], header: Sequence[str] = ()) -> str:
    """A table in HTML; numbers stand to the right, with four digits behind the point."""

    def field(value: str | float, tag: str = "td") -> str:
        if isinstance(value, str):
            return f"<{tag}>{html.escape(value)}</{tag}>"
        return f'<{tag} class="number">{number(value)}</{tag}>'

    lines = ["".join(field(value) for value in row) for row in rows]
    head = f"<tr>{''.join(field(name, 'th') for name in header)}</tr>\n" if header else ""
    return f'<div class="wide"><table>\n{head}{"".join(f"<tr>{line}</tr>{chr(10)}" for line in lines)}</table></div>'


def how_measured(facts: Mapping[str, str], measured: Mapping[str, Measured]) -> str:
    """The end of a page of scores: the facts of all, and range, mask and window of each figure."""
    each = [(title_of(name), one.data_range, one.mask, one.window) for name, one in measured.items()]
    return f"""<h2>How it was measured</h2>
{table([(name.replace("_", " "), text) for name, text in facts.items()])}
<h2>Range, mask and window of each figure</h2>
{table(each, ("Figure", "Data range", "Mask", "Window"))}"""


def cell(value: float) -> str:
    """A figure in a CSV file; empty where it is not finite."""
    return repr(value) if math.isfinite(value) else ""


def number(value: float) -> str:
    """A figure for people; whole numbers are counts."""
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "infinite"
    return "not defined" if math.isnan(value) else f"{value:.4f}"


def image(png: bytes, text: str) -> str:
    """A picture in HTML, with the text that stands for it."""
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def canvas(width: float, height: float) -> "Figure":
    """A white figure of some inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    return made


def to_png(made: "Figure") -> bytes:
    """The figure with 100 pixels an inch."""
    stream = io.BytesIO()
    made.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()
