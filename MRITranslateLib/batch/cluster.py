"""The shards of a batch on a Dask cluster, an optional extra.

A shard is a task. When a worker is lost, Dask gives its shard to another one, which goes on where the first one ended.
After several losses it takes the shard for what kills them, and gives it up; the others go on.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InputError, printable
from ..inference import Progress, tell
from ..uncertainty import METHODS
from .plan import give_up_shard
from .report import BatchReport, Failure, together
from .run import translate_batch

if TYPE_CHECKING:
    from distributed import Client

_SHARDS_PER_THREAD = 2
"""So that a worker that is done early takes some of the work of a slower one."""
_LOST = (
    "The Dask workers that had this part of the table were lost one after the other, most likely for lack of memory; "
    "lower --dask, or give the workers more memory."
)


@contextmanager
def connect(cluster: str) -> "Iterator[Client]":
    """A client of a cluster.

    Args:
        cluster: Address of the scheduler, such as "tcp://host:8786"; or a number: so many processes of one thread each
            are started on this machine, and ended after the block.

    Raises:
        InputError: Dask is not installed, or the scheduler cannot be reached.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError('Dask is not installed; install it with pip install "dask[distributed]".') from None
    if cluster.isdecimal() and int(cluster) > 0:
        processes = LocalCluster(n_workers=int(cluster), threads_per_worker=1, dashboard_address=None)
        with processes, Client(processes) as client:
            yield client
        return
    try:
        client = Client(cluster)
    except (OSError, ValueError) as error:
        reason = printable(error, 200)
        raise InputError(f'There is no Dask scheduler at "{cluster}" ({reason}); check the address.') from None
    with client:
        yield client


def translate_with_dask(
    client: "Client",
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | None = None,
    shards: int | None = None,
    device: str = "auto",
    uncertainty: str = METHODS[0],
    progress: Progress | None = None,
    on_failure: Callable[[Failure], None] | None = None,
) -> BatchReport:
    """Translate the volumes of a table on a cluster whose workers see the same files.

    Args:
        client: Of the cluster.
        table, output, model, device, uncertainty: As of `translate_batch`.
        shards: Number of tasks; None makes two for every thread of a worker.
        progress: Called with (fraction 0..1, stage, done, total) when a shard has ended.
        on_failure: Called then for every row of it that failed.

    Returns:
        The counts and times of all shards; `seconds` is the time that passed here. What is left of a shard that has
        killed its workers has failed.

    Raises:
        InputError: As of `translate_batch`, or the cluster has no workers.
    """
    from distributed import KilledWorker, as_completed

    started = time.perf_counter()
    count = _SHARDS_PER_THREAD * sum(client.nthreads().values()) if shards is None else shards
    if count < 1:
        raise InputError("The Dask cluster has no workers; start some first.")
    if model is not None and os.sep in model:
        model = os.path.abspath(model)  # a worker runs in a folder of its own
    table, output = os.path.abspath(table), os.path.abspath(output)
    tasks = {}
    for shard in ((index, count) for index in range(1, count + 1)):
        task = client.submit(
            translate_batch,
            table,
            output,
            model,
            shard,
            device=device,
            uncertainty=uncertainty,
            pure=False,  # the same call has another outcome when files have changed
        )
        tasks[task] = shard
    reports: list[BatchReport] = []
    tell(progress, 0.0, "Shards", 0, count)
    for task in as_completed(tasks):
        try:
            reports.append(task.result())
        except KilledWorker:
            reports.append(give_up_shard(table, output, model, tasks[task], uncertainty, _LOST))
        tell(progress, len(reports) / count, "Shards", len(reports), count)
        if on_failure is not None:
            for failure in reports[-1].failed:
                on_failure(failure)
    return together(reports, time.perf_counter() - started)
