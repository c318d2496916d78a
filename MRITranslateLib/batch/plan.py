"""A shard of a batch before its work: its rows, their models, and what of them is left to do."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..folders import unwritable
from ..package import Package, load_package
from .ledger import FAILED, Ledger, file_facts
from .report import BatchReport, Failure, together
from .table import Row, read_table, take_shard


@dataclass(frozen=True)
class Task:
    """A row with the model that does it."""

    row: Row
    package: Package
    method: str

    def made_from(self) -> dict[str, Any]:
        """What a result depends on: another value of any of these makes it worthless."""
        card, row = self.package.card, self.row
        return {
            "input": row.cells[0],
            "input_file": file_facts(row.input),
            "mask": row.cells[1],
            "mask_file": None if row.mask is None else file_facts(row.mask),
            "model": {"name": card.name, "version": card.version, "weights_sha256": self.package.weights_sha256},
            "uncertainty": None if row.uncertainty is None else self.method,
        }


@dataclass(frozen=True)
class Plan:
    """A shard before its work.

    Attributes:
        report: With the counts of its rows.
        todo: Those that are not done.
    """

    ledger: Ledger
    report: BatchReport
    todo: list[Task]


def plan_shard(
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | None,
    shard: tuple[int, int],
    uncertainty: str,
) -> Plan:
    """Check everything, and only then make the folder of the results.

    Args:
        table, output, model, shard, uncertainty: As of `translate_batch`.

    Raises:
        InputError: As of `translate_batch`.
    """
    load = functools.cache(_translator)
    folder = Path(os.path.realpath(output))
    rows = take_shard(read_table(Path(table), folder, model, lambda name: load(name).card.name), shard)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    ledger = Ledger(folder, shard)
    tasks = [Task(row, load(row.model), uncertainty) for row in rows]
    todo = [task for task in tasks if not ledger.holds(task.made_from(), task.row.outputs)]
    report = BatchReport(rows=len(rows), skipped=len(rows) - len(todo), ledgers=(ledger.file,))
    return Plan(ledger, report, todo)


def give_up_shard(
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | None,
    shard: tuple[int, int],
    uncertainty: str,
    sentence: str,
) -> BatchReport:
    """Note as failed what is left of a shard whose process was lost, and will not be started again.

    Args:
        table, output, model, shard, uncertainty: As of `translate_batch`.
        sentence: Why.

    Returns:
        The failures; what the process had done counts as skipped, since nothing is known of its times.

    Raises:
        InputError: As of `translate_batch`.
    """
    plan = plan_shard(table, output, model, shard, uncertainty)
    for task in plan.todo:
        plan.ledger.failed(FAILED, sentence, task.row.facts)
    failures = tuple(Failure(task.row.line, task.row.name, sentence) for task in plan.todo)
    return together([plan.report, BatchReport(failed=failures)], 0.0)


def _translator(name: str) -> Package:
    package = load_package(name)
    package.translation_card()
    return package
