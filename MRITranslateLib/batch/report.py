"""What a batch did, how fast, and what is left to mend. Standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path


@dataclass(frozen=True)
class Failure:
    """A row without a result.

    Attributes:
        line: Of the table.
        name: What people call the row.
        sentence: Why.
        fault: The program failed inside; otherwise something is to be mended in the input.
    """

    line: int
    name: str
    sentence: str
    fault: bool = False


@dataclass(frozen=True)
class BatchReport:
    """What `translate_batch` did.

    Attributes:
        rows: Number of rows of the table that belong to the shard.
        done: Volumes that this call made.
        skipped: Rows that were done before.
        failed: The rows that are still without a result.
        warned: Volumes of `done` with a warning; the ledger has the sentences.
        voxels: Of the inputs of `done`.
        seconds: Of the whole call, the loading of models included.
        reading, translating, writing: Seconds in each stage; preparation and the way back to the input's grid are part
            of translating. Stages run beside each other, so they may add up to more than `seconds`.
        ledgers: The files with a line for every row.
    """

    rows: int = 0
    done: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()
    warned: int = 0
    voxels: int = 0
    seconds: float = 0.0
    reading: float = 0.0
    translating: float = 0.0
    writing: float = 0.0
    ledgers: tuple[Path, ...] = ()

    @property
    def volumes_per_minute(self) -> float:
        """Of the volumes that this call made."""
        return 60 * self.done / self.seconds if self.seconds else 0.0

    @property
    def megavoxels_per_second(self) -> float:
        """Of their inputs."""
        return self.voxels / 1e6 / self.seconds if self.seconds else 0.0


def together(reports: Iterable[BatchReport], seconds: float) -> BatchReport:
    """One report of several, which took so many seconds together."""
    total = BatchReport()
    for report in reports:
        sums = {one.name: getattr(total, one.name) + getattr(report, one.name) for one in fields(BatchReport)}
        total = BatchReport(**sums)
    return replace(total, seconds=seconds)
