"""Translate thousands of volumes: the rows of a table, or of a shard of it, one after the other; resumable.

A volume is read while the one before is computed, and written while the next one is: beside a GPU the processor has
time for that. One bad file does not stop the rest.
"""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from .. import __version__
from ..errors import Cancelled, InputError, printable
from ..folders import remove_leftovers, unwritable
from ..inference import Cancel, Progress, pick_device, tell
from ..translate import TranslateResult, translate
from ..uncertainty import METHODS
from ..volume import WRITING, read_volume, write_volume
from .ledger import FAILED, FAULT, Ledger
from .plan import Task, plan_shard
from .report import BatchReport, Failure, together
from .table import Row


def translate_batch(
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | None = None,
    shard: tuple[int, int] = (1, 1),
    device: str = "auto",
    uncertainty: str = METHODS[0],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_failure: Callable[[Failure], None] | None = None,
) -> BatchReport:
    """Translate the volumes of a table; what was done before, from the same files by the same model, is skipped.

        report = mt.translate_batch("index.csv", "synthetic", model="t1_to_t2", shard=(2, 8))
        print(report.done, report.volumes_per_minute)

    Outputs appear when they are complete. What is done and what failed stands in a file of the output folder, a line of
    JSON for every volume and a file for every shard. It holds paths as the table gives them and nothing of the images.

    Args:
        table: CSV with a header: `input`, and if wanted `output`, `mask`, `model`, `id` and `uncertainty`; see
            docs/batch.md.
        output: Folder of the results; made if it does not exist.
        model: Name of a model or folder of a package, for the rows that name none.
        shard: (i, n): only the i-th of n parts of the rows, counted from 1. Processes with different parts may share
            the output folder.
        device: As of `translate`.
        uncertainty: Method of the maps of the column `uncertainty`: "augmentation" or "dropout".
        progress: Called with (fraction 0..1, name of the row, number, total) after every batch of the network.
        cancel: Asked before every batch; True stops.
        on_failure: Called for every row that fails, at once.

    Returns:
        Counts, failures and times. A failed row is tried again by the next call.

    Raises:
        InputError: The table, a model, the device or the output folder cannot be used; nothing was done. Or the ledger
            cannot be written any more.
        Cancelled: `cancel` said so; what is complete stays, and the next call goes on.
    """
    started = time.perf_counter()
    if uncertainty not in METHODS:
        raise InputError(f'There is no uncertainty by "{uncertainty}"; use {" or ".join(METHODS)}.')
    place = pick_device(device)
    plan = plan_shard(table, output, model, shard, uncertainty)
    todo = plan.todo
    for parent in {path.parent for task in todo for path in task.row.outputs}:
        remove_leftovers(parent, WRITING)
    batch = _Batch(plan.ledger, place, progress, cancel, on_failure)
    if todo:
        batch.run(todo)
    tell(progress, 1.0, "Done", len(todo), len(todo))
    return together([plan.report, *batch.reports], time.perf_counter() - started)


@dataclass(frozen=True)
class _Scan:
    """What was read for a row, and the state of its files before that."""

    image: sitk.Image
    mask: sitk.Image | None
    made_from: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class _Made:
    """What was made of it."""

    scan: _Scan
    result: TranslateResult
    seconds: float


class _Batch:
    """The three stages of the volumes of one shard.

    Attributes:
        reports: One for each volume.
    """

    def __init__(
        self,
        ledger: Ledger,
        device: str,
        progress: Progress | None,
        cancel: Cancel | None,
        on_failure: Callable[[Failure], None] | None,
    ) -> None:
        self.reports: list[BatchReport] = []
        self._ledger, self._device = ledger, device
        self._progress, self._cancel, self._on_failure = progress, cancel, on_failure

    def run(self, todo: Sequence[Task]) -> None:
        with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
            reading = reader.submit(self._read, todo[0])
            writing: tuple[Task, Future[BatchReport]] | None = None
            for number, task in enumerate(todo):
                scan = made = None
                with self._failures_of(task):
                    scan = reading.result()
                if number + 1 < len(todo):
                    reading = reader.submit(self._read, todo[number + 1])
                if scan is not None:
                    with self._failures_of(task):
                        made = self._translate(task, scan, number, len(todo))
                if writing is not None:
                    self._keep(*writing)
                writing = None if made is None else (task, writer.submit(self._write, task, made))
            if writing is not None:
                self._keep(*writing)

    def _read(self, task: Task) -> _Scan:
        started = time.perf_counter()
        row, made_from = task.row, task.made_from()
        try:
            image = read_volume(row.input)
            mask = None if row.mask is None else read_volume(row.mask, labels=True)
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise InputError(f"The input or the mask cannot be read ({error.strerror}); check the paths.") from None
        return _Scan(image, mask, made_from, time.perf_counter() - started)

    def _translate(self, task: Task, scan: _Scan, number: int, total: int) -> _Made:
        started = time.perf_counter()

        def progress(fraction: float, *_: object) -> None:
            tell(self._progress, (number + fraction) / total, task.row.name, number + 1, total)

        result = translate(
            scan.image,
            task.package,
            device=self._device,
            mask=scan.mask,
            uncertainty=task.row.uncertainty is not None and task.method,
            progress=progress,
            cancel=self._cancel,
        )
        return _Made(scan, result, time.perf_counter() - started)

    def _write(self, task: Task, made: _Made) -> BatchReport:
        started = time.perf_counter()
        row, scan, result = task.row, made.scan, made.result
        for parent in {path.parent for path in row.outputs}:
            try:
                parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(parent, error) from None
        if row.uncertainty is not None and result.uncertainty is not None:
            write_volume(result.uncertainty, row.uncertainty)
        write_volume(result.image, row.output)
        writing = time.perf_counter() - started
        stages = {"reading": scan.seconds, "translating": made.seconds, "writing": writing}
        more = {
            "line": row.line,
            "id": row.name,
            "seconds": {stage: round(seconds, 3) for stage, seconds in stages.items()},
            "warnings": result.warnings,
            "provenance": {**result.provenance, "mritranslate": __version__},
        }
        self._ledger.done(scan.made_from, row.outputs, more)
        voxels, warned = scan.image.GetNumberOfPixels(), bool(result.warnings)
        return BatchReport(
            done=1, warned=warned, voxels=voxels, reading=scan.seconds, translating=made.seconds, writing=writing
        )

    def _keep(self, task: Task, writing: "Future[BatchReport]") -> None:
        with self._failures_of(task):
            self.reports.append(writing.result())

    @contextmanager
    def _failures_of(self, task: Task) -> Iterator[None]:
        """What goes wrong within is noted and told, and goes no further."""
        try:
            yield
        except Cancelled:
            raise
        except Exception as error:
            failure = _failure(task.row, error, self._ledger.file.parent)
            self._ledger.failed(FAULT if failure.fault else FAILED, failure.sentence, task.row.facts)
            self.reports.append(BatchReport(failed=(failure,)))
            if self._on_failure is not None:
                self._on_failure(failure)


def _failure(row: Row, error: Exception, folder: Path) -> Failure:
    if not isinstance(error, InputError):
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        sentence = (
            f"MRITranslate {__version__} failed inside ({type(error).__name__} in {where}): {printable(error, 300)}"
        )
        return Failure(row.line, row.name, sentence, fault=True)
    sentence = str(error).replace(f"{folder}{os.sep}", "")
    for path, cell in ((row.input, row.cells[0]), (row.mask, row.cells[1])):
        if cell is not None:  # a ledger goes to other people more easily than a table: no path that the table has not
            sentence = sentence.replace(str(path), cell)
    return Failure(row.line, row.name, sentence)
