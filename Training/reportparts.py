"""Parts of a run's report: charts, tables of scores, pictures that the page carries in itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from MRITranslateLib.card import ScoreCard

from .chart import line_chart
from .figures import Figure, describe
from .runlog import Curve, by_member

_MOST_ROWS = 60
_MOST_BYTES = 2_100_000
"""Of all pictures together before they are written as text, which makes them a third larger."""
_WIDEST = 1680


def charts(curves: Mapping[str, Curve], target: str | None, marked: int | None = None, may_be_log: bool = False) -> str:
    """A chart for every figure that stands for itself, over one axis of epochs.

    Args:
        curves: By name in the log; members such as "psnr p01" are drawn behind their mean.
        target: Modality that the run's network makes, where it makes one.
        marked: Epoch to mark.
        may_be_log: Allow logarithmic axes.
    """
    drawn = []
    span = min(curve.epochs[0] for curve in curves.values()), max(curve.epochs[-1] for curve in curves.values())
    for name, members in by_member(curves).items():
        figure = describe(name, target)
        thin = {member: _scaled(curves[key], figure.factor) for member, key in members.items()}
        chart = line_chart(figure.title, _scaled(curves[name], figure.factor), thin, span, marked, may_be_log)
        drawn.append(
            f'<figure class="chart"><figcaption><span>{escape(figure.heading)} {_arrow(figure)}</span>'
            f"<b>{figure.text(curves[name].values[-1])}</b></figcaption>{chart}</figure>\n"
        )
    return f'<div class="charts">\n{"".join(drawn)}</div>\n'


def score_table(curves: Mapping[str, Curve], target: str | None, kept: int | None) -> str:
    """Every member's figures, and their means, at the kept epoch and the last; nothing where there are no members.

    Args:
        curves, target: As of `charts`.
        kept: Epoch whose weights were kept.
    """
    families = {name: family for name, family in by_member(curves).items() if family}
    if not families:
        return ""
    members = list(dict.fromkeys(member for family in families.values() for member in family))
    figures = [describe(name, target) for name in families]
    last = max(curves[name].epochs[-1] for name in families)
    epochs = [("Last", last)] if kept in (None, last) else [("Kept", kept), ("Last", last)]
    head = "".join(f'<th class="next" colspan="{len(families)}">{title}, epoch {epoch}</th>' for title, epoch in epochs)
    units = "".join(f"<th{_next(n)}>{_heading(figure)}</th>" for _ in epochs for n, figure in enumerate(figures))

    def cells(keys: Sequence[str | None]) -> str:
        return "".join(
            f"<td{_next(n)}>{figures[n].text(curves[key].at(epoch) if key and epoch is not None else None)}</td>"
            for _, epoch in epochs
            for n, key in enumerate(keys)
        )

    rows = [f'<tr class="mean"><td>Mean</td>{cells(list(families))}</tr>\n']
    for member in members[:_MOST_ROWS]:
        keys = [family.get(member) for family in families.values()]
        rows.append(f"<tr><td>{escape(member)}</td>{cells(keys)}</tr>\n")
    more = len(members) - _MOST_ROWS
    note = f'<p class="sub">{more} more in log.csv.</p>\n' if more > 0 else ""
    return (
        f'<div class="scroll"><table>\n<thead><tr><th rowspan="2"></th>{head}</tr><tr>{units}</tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n{note}"
    )


def card_tables(scores: Sequence[ScoreCard]) -> str:
    """The scores of a package's card: families that share figures in one table, a row for each."""
    tables: list[list[ScoreCard]] = []
    for score in scores:
        alike = [table for table in tables if any(score.metrics.keys() & other.metrics.keys() for other in table)]
        if alike:
            alike[0].append(score)
        else:
            tables.append([score])
    return "".join(_card_table(table) for table in tables)


def _card_table(scores: Sequence[ScoreCard]) -> str:
    """A row for each family, with the protocol below."""
    names = list(dict.fromkeys(name for score in scores for name in score.metrics))
    head = "".join(f'<th class="next">{escape(name)}</th>' for name in names)
    rows = "".join(
        f"<tr><td>{escape(score.family)}, {len(score.subjects)}</td>"
        + "".join(
            f'<td class="next">{score.metrics[name]:.4g}</td>' if name in score.metrics else "<td></td>"
            for name in names
        )
        + "</tr>\n"
        for score in scores
    )
    protocols = dict.fromkeys(score.protocol for score in scores)
    notes = "".join(f'<p class="sub">{escape(protocol)}</p>\n' for protocol in protocols)
    return (
        f'<div class="scroll"><table>\n<thead><tr><th rowspan="1"></th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>\n{notes}"
    )


class Pictures:
    """Pictures as parts of one page, together no larger than about 3 MB."""

    def __init__(self) -> None:
        self._bytes_left = _MOST_BYTES

    def figure(self, file: Path, caption: str) -> str:
        """A figure; nothing where the file is damaged or the page would grow too large."""
        try:
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError):
            return ""
        if picture.width > _WIDEST:
            picture = picture.resize((_WIDEST, max(1, round(picture.height * _WIDEST / picture.width))))
        for quality in (88, 70, 45):
            stream = io.BytesIO()
            picture.save(stream, format="JPEG", quality=quality, optimize=True)
            if stream.tell() <= self._bytes_left:
                break
        else:
            return ""
        self._bytes_left -= stream.tell()
        data = base64.b64encode(stream.getvalue()).decode()
        return (
            f'<figure class="picture"><img src="data:image/jpeg;base64,{data}" width="{picture.width}" '
            f'height="{picture.height}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>\n'
        )


def _scaled(curve: Curve, factor: float) -> Curve:
    return Curve(curve.epochs, [value * factor for value in curve.values])


def _next(number: int) -> str:
    return ' class="next"' if number == 0 else ""


def _heading(figure: Figure) -> str:
    return f"{escape(figure.heading)} {_arrow(figure)}"


def _arrow(figure: Figure) -> str:
    if not figure.better:
        return ""
    return f'<span title="{figure.better} is better">{"↑" if figure.better == "higher" else "↓"}</span>'
