"""Progress of a run for people: bars in a terminal, plain lines elsewhere, nothing in any process but the first."""

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from .runlog import by_member

_LINE_EVERY = 5.0
"""Seconds between two plain lines of a stage."""
_VALIDATED, _LEFT = "Validated", "seconds left"


def first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first of a run's processes, as torchrun, SLURM or Fabric have numbered them."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in environment:
            return environment[name] == "0"
    return all(environment.get(name, "0") == "0" for name in ("NODE_RANK", "LOCAL_RANK"))


class Bars:
    """Context in which `report` draws a bar for every stage, with its figures, speed and time left.

    Args:
        console: To draw on; standard error when None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._silent = not first_process()
        self._lines = not self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}", style="progress.remaining"),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=self._console,
            expand=True,
            disable=self._silent or self._lines,
        )
        self._stages: dict[str, _Stage] = {}
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._progress.__exit__(*details)

    def say(self, text: str) -> None:
        """One line above the bars."""
        if not self._silent:
            self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def report(self, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Move the bar of a stage; see `Training.session.Report`.

        What was validated is always told in a line of its own, with the means only. Where there is no terminal the
        first and the last report of a stage are told and what comes five seconds after the line before.
        """
        if self._silent:
            return
        text = "  ".join(f"{name} {figures[name]:.4g}" for name in by_member(figures) if name != _LEFT)
        if stage == _VALIDATED:
            self.say(f"{stage} at {done}/{total}  {text}")
            return
        known = self._stages.setdefault(stage, _Stage(done))
        pace = known.pace(done, total, figures.get(_LEFT))
        if self._lines:
            if known.due(done >= total):
                self.say("  ".join(part for part in (f"{stage} {done}/{total}", pace, text) if part))
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(escape(stage), total=total, figures="", pace="")
        self._progress.update(self._tasks[stage], completed=done, total=total, figures=escape(text), pace=pace)


class _Stage:
    """Speed of a stage, and when its next line is due."""

    def __init__(self, done: int) -> None:
        self._first, self._since = done, time.monotonic()
        self._told: float | None = None

    def pace(self, done: int, total: int, left: float | None) -> str:
        """Speed and time left; from the report's own estimate, which leaves pauses out, where it gives one."""
        if left is None:
            seconds = time.monotonic() - self._since
            if done <= self._first or seconds <= 0:
                return ""
            left = (total - done) * seconds / (done - self._first)
        if left <= 0 or done >= total:
            return ""
        return f"{_speed((total - done) / left)}  {timedelta(seconds=round(left))} left"

    def due(self, last: bool) -> bool:
        now = time.monotonic()
        if self._told is not None and not last and now - self._told < _LINE_EVERY:
            return False
        self._told = now
        return True


def _speed(rate: float) -> str:
    """Steps per second, or seconds per step where that is the larger number."""
    return f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.3g} s each"
