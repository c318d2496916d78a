"""`mritranslate translate --batch`, in process and as a process that is killed, interrupted, or one of many."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import MRITranslateLib as mt

from .cases import Files, Run, anatomy, refused, write

ROOT = Path(__file__).parents[3]
LIMIT_S = 300
"""For a process to get somewhere; far above what it needs, so that only one that hangs meets it."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three small volumes of which the second is missing."""
    for name in ("a.nii.gz", "c.nii.gz"):
        write(tmp_path / name, anatomy())
    file = tmp_path / "index.csv"
    file.write_text("input,id\na.nii.gz,\nb.nii.gz,patient 2\nc.nii.gz,\n", encoding="utf-8")
    return file


def test_for_people(run: Run, files: Files, table: Path, results: Path) -> None:
    batch = ("translate", "--batch", table, "-m", files.package, "-o", results, "--device", "cpu")
    ended = run(*batch)
    ledger = results / "batch-1-of-1.jsonl"
    assert ended.code == 2
    assert ended.out.startswith("2 of 3 done. This run made 2 in ")
    assert " volumes/min" in ended.out
    assert ended.err.splitlines() == [
        'Error: line 3 (patient 2): "b.nii.gz" does not exist; check the path.',
        f"Error: 1 of 3 failed; {ledger} says why, and the next run tries them again.",
    ]
    write(table.parent / "b.nii.gz", anatomy())
    ended = run(*batch)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("3 of 3 done. This run made 1 in ")
    ended = run(*batch)
    assert (ended.code, ended.out, ended.err) == (0, "3 of 3 done.\n", "")
    assert {path.name for path in results.iterdir()} == {
        "a_tiny.nii.gz",
        "patient 2_tiny.nii.gz",
        "c_tiny.nii.gz",
        ledger.name,
    }


def test_for_machines(run: Run, files: Files, table: Path, results: Path) -> None:
    batch = ("translate", "--batch", table, "-m", files.package, "-o", results, "--device", "cpu", "--json")
    ended = run(*batch, "--shard", "1/2")
    assert ended.code == 0, ended.err
    facts = ended.json
    assert (facts["rows"], facts["done"], facts["skipped"], facts["failed"]) == (2, 2, 0, [])
    assert facts["ledgers"] == [str(results / "batch-1-of-2.jsonl")]
    assert facts["volumes_per_minute"] == pytest.approx(120 / facts["seconds"], rel=1e-2)
    assert facts["stages"].keys() == {"reading", "translating", "writing"}
    ended = run(*batch, "--shard", "2/2")
    assert ended.code == 2
    (failed,) = ended.json["failed"]
    assert (failed["line"], failed["id"], failed["fault"]) == (3, "patient 2", False)
    assert run(*batch[:-1], "--shard", "1/2").out == "Shard 1/2: 2 of 2 done.\n"


def test_uncertainty_by_the_table(run: Run, files: Files, table: Path, results: Path) -> None:
    table.write_text("input,uncertainty\na.nii.gz,sd.nii.gz\n", encoding="utf-8")
    batch = ("translate", "--batch", table, "-m", files.package, "-o", results, "--device", "cpu", "--json")
    assert run(*batch).code == 0
    assert mt.read_volume(results / "sd.nii.gz").GetSize() == mt.read_volume(table.parent / "a.nii.gz").GetSize()
    ended = run(*batch, "--uncertainty-method", "dropout")  # which this network has not
    assert ended.code == 2
    assert "has no dropout" in ended.json["failed"][0]["error"]


def test_what_is_refused(run: Run, files: Files, table: Path, results: Path) -> None:
    batch = ("translate", "--batch", table, "-m", files.package, "-o", results, "--device", "cpu")
    for options, words in (
        ((files.t1,), "INPUT is for one volume"),
        (("--mask", files.mask), "--mask is for one volume"),
        (("--uncertainty", "sd.nii.gz"), "--uncertainty is for one volume"),
        (("--ensemble", files.package), "--ensemble is for one volume"),
        (("--cycle", "c.nii.gz"), "--cycle is for one volume"),
        (("--shard", "3/2"), "There is no shard 3/2"),
        (("--shard", "two"), "is no shard"),
        (("--shard", "1/2", "--dask", "2"), "--shard or --dask, not both"),
    ):
        refused(run(*batch, *options), results, words)
    one = ("translate", files.t1, "-m", files.package, "-o", results / "t2.nii.gz")
    refused(run(*one, "--shard", "1/2"), results, "need --batch")
    refused(run(*one, "--dask", "2"), results, "need --batch")
    refused(run("translate", "-m", files.package, "-o", results / "t2.nii.gz"), results, "Give the input volume")
    refused(run("translate", files.t1, "-o", results / "t2.nii.gz"), results, "Give the model")
    refused(run("translate", "--batch", table, "-o", results), results, "names no model")
    table.write_text("input,mdoel\na.nii.gz,tiny\n", encoding="utf-8")
    refused(run(*batch), results, 'did you mean "model"?')
    table.write_text("input\nx/t1.nii\ny/t1.nii\n", encoding="utf-8")
    refused(run(*batch), results, "Lines 2 and 3")


def test_the_help_names_the_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    text = run("translate", "--help").out
    for word in ("--batch TABLE", "--shard I/N", "--dask CLUSTER", "output, mask, model, id and uncertainty"):
        assert word in text


# ---------------------------------------------------------------------------------------------- as processes


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five digital heads, each of which takes a built-in model about a second."""
    folder = tmp_path_factory.mktemp("heads")
    for seed in range(1, 6):
        mt.write_volume(mt.phantom(seed=seed, shape=(8, 48, 48)).t1, folder / f"head{seed}.nii.gz")
    rows = "".join(f"head{seed}.nii.gz\n" for seed in range(1, 6))
    (folder / "index.csv").write_text(f"input\n{rows}", encoding="utf-8")
    return folder


def command(heads: Path, out: Path, *options: str) -> list[str]:
    batch = ("translate", "--batch", heads / "index.csv", "-m", "t1_to_t2", "-o", out, "--device", "cpu", "--json")
    return [sys.executable, "-m", "MRITranslateLib.cli", *map(str, batch), *options]


@contextlib.contextmanager
def in_the_middle(arguments: list[str], ledger: Path) -> Iterator[subprocess.Popen[str]]:
    """The process of a batch when two volumes are done."""
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    deadline = time.monotonic() + LIMIT_S
    try:
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "two volumes take too long"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def check_goes_on(heads: Path, out: Path) -> None:
    """What is there is whole; the next run keeps it and makes the rest."""
    ledger = out / "batch-1-of-1.jsonl"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    for path in before:
        assert mt.read_volume(path).GetSize() == (48, 48, 8)
    lines = ledger.read_text("utf-8").split("\n")[:-1]  # without one that was cut off
    noted = [json.loads(line)["outputs"] for line in lines]
    kept = {out / name for outputs in noted for name in outputs}
    assert 2 <= len(kept) < 5
    assert kept <= before.keys()
    ended = subprocess.run(command(heads, out), cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr
    facts = json.loads(ended.stdout)
    assert (facts["rows"], facts["skipped"], facts["done"]) == (5, len(kept), 5 - len(kept))
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)
    assert len(list(out.glob("*.nii.gz"))) == 5


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_killed_and_gone_on(heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with in_the_middle(command(heads, out), out / "batch-1-of-1.jsonl") as process:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    check_goes_on(heads, out)


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ended_by_a_scheduler_and_gone_on(heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with in_the_middle(command(heads, out), out / "batch-1-of-1.jsonl") as process:
        errors, deadline = None, time.monotonic() + LIMIT_S
        while errors is None:  # Python drops an interrupt that falls into a destructor: ask again
            assert time.monotonic() < deadline, "the process does not end"
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "Interrupted; unfinished files were not written."
    assert "Traceback" not in errors
    assert not list(out.glob(".writing-*"))
    check_goes_on(heads, out)


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra dask is not installed")
def test_on_two_processes_by_dask(heads: Path, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(
        f"input\n{heads / 'head1.nii.gz'}\nnone.nii.gz\n{heads / 'head3.nii.gz'}\n{heads / 'head4.nii.gz'}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    arguments = command(tmp_path, out, "--dask", "2")
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 2, ended.stderr
    facts = json.loads(ended.stdout)
    assert (facts["rows"], facts["done"], facts["skipped"]) == (4, 3, 0)
    assert [failed["id"] for failed in facts["failed"]] == ["none.nii.gz"]
    assert 'line 3 (none.nii.gz): "none.nii.gz" does not exist' in ended.stderr
    assert {Path(file).name for file in facts["ledgers"]} == {f"batch-{index}-of-4.jsonl" for index in (1, 2, 3, 4)}
    assert {path.name for path in out.glob("*.nii.gz")} == {f"head{n}_t1_to_t2.nii.gz" for n in (1, 3, 4)}
    again = mt.translate_batch(tmp_path / "index.csv", out, model="t1_to_t2", device="cpu")
    assert (again.done, again.skipped, len(again.failed)) == (0, 3, 1)


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra dask is not installed")
def test_no_cluster(run: Run, files: Files, table: Path, results: Path) -> None:
    batch = ("translate", "--batch", table, "-m", files.package, "-o", results, "--dask")
    refused(run(*batch, "nonsense://nowhere"), results, "no Dask scheduler", "check the address")
