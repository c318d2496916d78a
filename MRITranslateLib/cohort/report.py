"""The figures of many cases for people and machines: a page with plots, a CSV file, a JSON file."""

import csv
import html
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import __version__, reportpage
from ..reportpage import canvas, cell, how_measured, image, table, to_png
from ..scoring.scores import title_of
from .run import Cohort

_COLUMNS = 3
_SMALL = 8
_LONGEST = 20
"""Letters of a method's name below a plot."""
_COLOURS = ("tab:blue", "tab:orange")


def write_report(cohort: Cohort, path: str | os.PathLike[str], methods: Sequence[str]) -> Path:
    """Write the figures to a file. No half-written file is ever seen.

    Args:
        cohort: Of `evaluate_cohort`.
        path: `report_page` if it ends with .html, `scores_table` with .csv, all there is with .json.
        methods: What people call the method, and the second one where there is one.

    Raises:
        InputError: The file cannot be written.
    """
    file = reportpage.check_report_path(path)
    ending = file.suffix.lower()
    if ending == ".csv":
        return reportpage.write_text(file, scores_table(cohort, methods))
    if ending == ".json":
        return reportpage.write_text(file, json.dumps(as_json(cohort, methods), indent=2, allow_nan=False) + "\n")
    return reportpage.write_text(file, report_page(cohort, methods))


def as_json(cohort: Cohort, methods: Sequence[str]) -> dict[str, object]:
    """`Cohort.as_json` with the names of the methods."""
    return {"methods": list(methods), "mritranslate": __version__, **cohort.as_json()}


def scores_table(cohort: Cohort, methods: Sequence[str]) -> str:
    """CSV with a line for every case and method: case, method, and a column for every figure (empty where it is not
    finite)."""
    names = list(cohort.figures)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("case", "method", *names))
    for case in cohort.cases:
        for method, scores in zip(methods, (case.scores, case.other), strict=False):
            if scores is not None:
                writer.writerow(
                    (_plain(case.name), _plain(method), *(cell(scores.values.get(name, math.nan)) for name in names))
                )
    return stream.getvalue()


def report_page(cohort: Cohort, methods: Sequence[str]) -> str:
    """The page of `write_report` as text."""
    measured = cohort.measured
    parts = []
    rows: list[Sequence[str | float]]
    for method, summaries in zip(methods, (cohort.figures, cohort.others), strict=False):
        rows = [
            (title_of(name), measured[name].unit, one.n, one.mean, one.sd, one.median, _interval(one.low, one.high))
            for name, one in summaries.items()
        ]
        header = ("Figure", "Unit", "Cases", "Mean", "SD", "Median", "95 % interval of the mean")
        parts.append(f"<h3>{html.escape(method)}</h3>\n{table(rows, header)}")
    if cohort.differences:
        rows = [
            (title_of(name), measured[name].unit, one.n, one.mean, _interval(one.low, one.high), one.p, one.p_holm)
            for name, one in cohort.differences.items()
        ]
        header = ("Figure", "Unit", "Cases", "Mean difference", "95 % interval", "p", "p, corrected")
        title = html.escape(f"{methods[0]} minus {methods[1]}, case by case")
        parts.append(f"<h3>{title}</h3>\n{table(rows, header)}")
    summary = "\n".join(parts)
    body = f"""<h2>What all cases say together</h2>
{summary}
<h2>Every case</h2>
{image(cases_picture(cohort, methods), "Every case's figures, with their mean and its 95 % interval")}
{how_measured(cohort.facts, measured)}
<h2>Figures of every case</h2>
{_every_case(cohort, methods)}"""
    warnings = [*cohort.warnings, *(f"{name} was left out. {why}" for name, why in cohort.failed)]
    return reportpage.page("Comparison with the references", [("Method", name) for name in methods], warnings, body)


def cases_picture(cohort: Cohort, methods: Sequence[str]) -> bytes:
    """A plot of every figure as PNG: each case a dot, the mean with its interval beside; a line joins what two methods
    made of one case."""
    names = [name for name, one in cohort.figures.items() if one.n]
    measured = cohort.measured
    rows = max(1, math.ceil(len(names) / _COLUMNS))
    drawn = canvas(9.0, 2.3 * rows)
    axes = np.atleast_1d(drawn.subplots(rows, _COLUMNS)).ravel()
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(cohort.cases))
    for axis, name in zip(axes, names, strict=False):
        sides = [np.array([case.scores.values.get(name, math.nan) for case in cohort.cases])]
        if cohort.others:
            others = (case.other for case in cohort.cases)
            sides.append(np.array([math.nan if one is None else one.values.get(name, math.nan) for one in others]))
            for place, pair in zip(spread, np.transpose(sides), strict=True):
                axis.plot((place, 1 + place), pair, color="0.8", linewidth=0.8, zorder=1)
        for number, (values, summaries) in enumerate(zip(sides, (cohort.figures, cohort.others), strict=False)):
            values[~np.isfinite(values)] = math.nan
            colour, one = _COLOURS[number], summaries.get(name)
            axis.scatter(number + spread, values, s=12, color=colour, alpha=0.7, linewidths=0, zorder=2)
            if one is not None and one.n > 1:
                bar = [[max(0.0, one.mean - one.low)], [max(0.0, one.high - one.mean)]]
                axis.errorbar(number + 0.25, one.mean, bar, fmt="D", markersize=4, color="black", capsize=3, zorder=3)
        unit = measured[name].unit
        axis.set_title(title_of(name, short=True) + (f" ({unit})" if unit else ""), fontsize=_SMALL)
        labels = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in methods[: len(sides)]]
        axis.set_xticks(range(len(sides)), labels, fontsize=_SMALL, parse_math=False)
        axis.set_xlim(-0.4, len(sides) - 0.4)
        axis.tick_params(labelsize=_SMALL)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return to_png(drawn)


def _every_case(cohort: Cohort, methods: Sequence[str]) -> str:
    header = ("Case", "Method", *(title_of(name, short=True) for name in cohort.figures))
    rows: list[Sequence[str | float]] = [
        (case.name, method, *(scores.values.get(name, math.nan) for name in cohort.figures))
        for case in cohort.cases
        for method, scores in zip(methods, (case.scores, case.other), strict=False)
        if scores is not None
    ]
    return table(rows, header)


def _interval(low: float, high: float) -> str:
    return "not defined" if math.isnan(low) else f"{low:.4f} to {high:.4f}"


def _plain(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
