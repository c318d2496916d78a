"""A batch on a Dask cluster: one of a single thread of this process, and one whose processes die; cli/test_batch.py has
one of two processes."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MRITranslateLib.batch import cluster as module
from MRITranslateLib.batch.cluster import connect, translate_with_dask
from MRITranslateLib.batch.report import BatchReport, Failure
from MRITranslateLib.batch.run import translate_batch
from MRITranslateLib.errors import InputError

from ..cli.cases import anatomy, write
from ..packages import tiny_package

dask = pytest.importorskip("dask", reason="the extra dask is not installed")
distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")


def cluster(workers: int) -> "distributed.LocalCluster":
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None, protocol="inproc"
    )


def test_the_shards_are_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_package(tmp_path / "models" / "tiny")
    for name in ("a", "c"):
        write(tmp_path / f"{name}.mha", anatomy())
    write(tmp_path / "b.mha", np.full((6, 32, 36), 7.0, np.float32))
    (tmp_path / "index.csv").write_text("input\na.mha\nb.mha\nc.mha\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told: list[tuple[float, str, int, int]] = []
    failed: list[Failure] = []
    with cluster(1) as place, distributed.Client(place) as client:
        how = {"device": "cpu", "progress": lambda *state: told.append(state), "on_failure": failed.append}
        report = translate_with_dask(client, "index.csv", "out", "models/tiny", **how)
        assert (report.rows, report.done, report.skipped) == (3, 2, 0)
        assert [failure.name for failure in report.failed] == ["b.mha"]
        assert list(report.failed) == failed
        assert told == [(0.0, "Shards", 0, 2), (0.5, "Shards", 1, 2), (1.0, "Shards", 2, 2)]
        assert sorted(file.name for file in report.ledgers) == ["batch-1-of-2.jsonl", "batch-2-of-2.jsonl"]
        again = translate_with_dask(client, "index.csv", "out", "models/tiny", shards=3, device="cpu")
        assert (again.done, again.skipped, len(again.failed)) == (0, 2, 1)
        with pytest.raises(InputError, match="t1_to_teapot"):
            translate_with_dask(client, "index.csv", "out", "t1_to_teapot")
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {"a_tiny.nii.gz", "c_tiny.nii.gz"}


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_shard_that_kills_its_workers_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_package(tmp_path / "tiny")
    for name in "abcd":
        write(tmp_path / f"{name}.mha", anatomy())
    index = tmp_path / "index.csv"
    index.write_text("input\na.mha\nb.mha\nc.mha\nd.mha\n", encoding="utf-8")
    made = translate_batch(index, tmp_path / "out", str(tmp_path / "tiny"), (3, 4), device="cpu")  # c.mha
    assert made.done == 1

    def dies(table: str, output: str, model: str, shard: tuple[int, int], **how: Any) -> BatchReport:
        if shard == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
        return translate_batch(table, output, model, shard, **how)

    monkeypatch.setattr(module, "translate_batch", dies)
    failed: list[Failure] = []
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        connect("2") as client,
    ):
        report = translate_with_dask(
            client, index, tmp_path / "out", str(tmp_path / "tiny"), shards=2, device="cpu", on_failure=failed.append
        )
    assert (report.rows, report.done, report.skipped) == (4, 2, 1)
    assert [failure.name for failure in report.failed] == ["a.mha"]
    assert list(report.failed) == failed
    assert "most likely for lack of memory; lower --dask" in failed[0].sentence
    (line,) = (tmp_path / "out" / "batch-1-of-2.jsonl").read_text("utf-8").splitlines()
    noted = json.loads(line)
    assert (noted["state"], noted["line"], noted["input"]) == ("failed", 2, "a.mha")
    assert noted["error"] == failed[0].sentence


def test_no_workers(tmp_path: Path) -> None:
    with (
        cluster(0) as place,
        distributed.Client(place) as client,
        pytest.raises(InputError, match="has no workers; start some"),
    ):
        translate_with_dask(client, tmp_path / "index.csv", tmp_path / "out")


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="Dask is not installed; install it with pip"), connect("2"):
        pass
