"""Translating the volumes of a table, with real small networks: what is skipped, redone, and survives a bad file."""

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.batch import plan
from MRITranslateLib.batch import run as batch
from MRITranslateLib.batch.report import BatchReport, Failure

from ..cli.cases import SHAPE, anatomy, write
from ..packages import tiny_package


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("models") / "tiny")


class Study:
    """A folder with a table and its volumes.

    Attributes:
        rows: Of the table, by input.
        out: Folder of the results.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model, self.out = folder, model, folder / "out"
        self.rows: dict[str, dict[str, str]] = {}

    def add(self, name: str, brightness: float = 1.0, **cells: str) -> Path:
        self.rows[name] = {"input": name, **cells}
        return write(self.folder / name, (anatomy() * brightness).astype(np.float32))

    def run(self, **options: Any) -> BatchReport:
        table = self.folder / "index.csv"
        names = list(dict.fromkeys(key for row in self.rows.values() for key in row))
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows.values())
        return mt.translate_batch(table, self.out, **{"model": str(self.model), "device": "cpu", **options})

    def states(self) -> dict[str, int]:
        """The times of all results."""
        return {path.name: path.stat().st_mtime_ns for path in self.out.iterdir() if path.suffix != ".jsonl"}

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for file in sorted(self.out.glob("*.jsonl")) for line in file.read_text().splitlines()]


@pytest.fixture
def study(tmp_path: Path, tiny: Path) -> Study:
    study = Study(tmp_path, tiny)
    for number in range(1, 4):
        study.add(f"s{number}.nii.gz", brightness=number)
    return study


def test_all_are_made_as_one_by_one_and_only_once(study: Study) -> None:
    told: list[tuple[float, str, int, int]] = []
    report = study.run(progress=lambda *state: told.append(state))
    assert (report.rows, report.done, report.skipped, report.failed) == (3, 3, 0, ())
    assert report.voxels == 3 * np.prod(SHAPE)
    assert report.volumes_per_minute == pytest.approx(180 / report.seconds)
    assert report.megavoxels_per_second == pytest.approx(report.voxels / 1e6 / report.seconds)
    assert min(report.reading, report.translating, report.writing) > 0
    fractions = [state[0] for state in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {state[1:] for state in told} == {(f"s{n}.nii.gz", n, 3) for n in (1, 2, 3)} | {("Done", 3, 3)}

    package = mt.load_package(study.model)
    for number in range(1, 4):
        alone = mt.translate(mt.read_volume(study.folder / f"s{number}.nii.gz"), package, device="cpu")
        made = mt.read_volume(study.out / f"s{number}_tiny.nii.gz")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(alone.image))

    before = study.states()
    assert set(before) == {f"s{number}_tiny.nii.gz" for number in (1, 2, 3)}
    again = study.run()
    assert (again.done, again.skipped, again.failed) == (0, 3, ())
    assert again.volumes_per_minute == 0
    assert study.states() == before


def test_the_ledger_tells_where_a_result_comes_from_and_nothing_else(study: Study) -> None:
    study.run()
    entries = study.entries()
    assert [entry["input"] for entry in entries] == ["s1.nii.gz", "s2.nii.gz", "s3.nii.gz"]
    card = mt.load_package(study.model).card
    for entry in entries:
        assert entry["state"] == "done"
        assert entry["provenance"]["weights_sha256"] == card.files["weights.safetensors"].sha256
        assert entry["provenance"]["mritranslate"] == mt.__version__
        assert entry["seconds"].keys() == {"reading", "translating", "writing"}
    study.add("none.nii.gz").unlink()
    study.run()
    (ledger,) = study.out.glob("*.jsonl")
    assert str(study.folder) not in ledger.read_text("utf-8")


def test_one_bad_file_does_not_stop_the_rest(study: Study, tmp_path: Path) -> None:
    study.add("none.nii.gz").unlink()
    damaged = study.add("damaged.nii.gz")
    damaged.write_bytes(damaged.read_bytes()[:200])
    nan = anatomy()
    nan[2, 3, 4] = np.nan
    study.add("nan.nrrd")
    write(tmp_path / "nan.nrrd", nan)
    study.add("ct.nii.gz")
    hounsfield = np.where(anatomy() > 0, anatomy() / 10 - 20, -1000).astype(np.int16)
    hounsfield[:, 6:8, 10:24] = 1200
    write(tmp_path / "ct.nii.gz", hounsfield)
    study.add("s4.nii.gz")
    write(tmp_path / "small.nii.gz", np.ones((2, 3, 4), np.uint8))
    study.add("s5.nii.gz", mask="small.nii.gz")
    told: list[Failure] = []
    report = study.run(on_failure=told.append)
    assert (report.done, report.skipped) == (4, 0)
    assert list(report.failed) == told
    reasons = {failure.name: failure.sentence for failure in told}
    assert reasons.keys() == {"none.nii.gz", "damaged.nii.gz", "nan.nrrd", "ct.nii.gz", "s5.nii.gz"}
    for name, word in (
        ("none.nii.gz", '"none.nii.gz" does not exist'),
        ("damaged.nii.gz", "get the file again"),
        ("nan.nrrd", "NaN"),
        ("ct.nii.gz", "looks like a CT"),
        ("s5.nii.gz", "does not lie on the input's grid"),
    ):
        assert word in reasons[name]
    assert not any(failure.fault for failure in told)
    noted = {entry["id"]: entry["error"] for entry in study.entries() if entry["state"] == "failed"}
    assert noted == reasons
    assert set(study.states()) == {f"s{number}_tiny.nii.gz" for number in (1, 2, 3, 4)}

    study.add("none.nii.gz")  # mended
    again = study.run()
    assert (again.done, again.skipped, len(again.failed)) == (1, 4, 4)


def test_names_that_no_disk_takes_do_not_stop_the_rest(study: Study) -> None:
    long = 300 * "n"
    study.rows["s1.nii.gz"]["output"] = f"{long}/t2.nii.gz"
    study.rows["s2.nii.gz"]["output"] = f"{long}.nii.gz"
    study.rows[f"{long}.nii.gz"] = {"input": f"{long}.nii.gz", "id": "long"}
    report = study.run()
    assert (report.rows, report.done) == (4, 1)
    reasons = {failure.name: failure.sentence for failure in report.failed}
    assert reasons.keys() == {"s1.nii.gz", "s2.nii.gz", "long"}
    assert "cannot be written (File name too long)" in reasons["s1.nii.gz"]
    assert "could not be written" in reasons["s2.nii.gz"]
    assert not any(str(study.folder) in reason for reason in reasons.values())
    assert "cannot be read (File name too long)" in reasons["long"]
    assert not any(failure.fault for failure in report.failed)
    assert set(study.states()) == {"s3_tiny.nii.gz"}


def test_a_fault_of_the_program_is_noted_as_such(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batch.translate

    def breaks(image: sitk.Image, *arguments: Any, **options: Any) -> Any:
        if sitk.GetArrayViewFromImage(image).max() == sitk.GetArrayFromImage(second).max():
            raise ZeroDivisionError("a bug")
        return whole(image, *arguments, **options)

    second = mt.read_volume(study.folder / "s2.nii.gz")
    monkeypatch.setattr(batch, "translate", breaks)
    report = study.run()
    assert report.done == 2
    (failure,) = report.failed
    assert (failure.line, failure.name, failure.fault) == (3, "s2.nii.gz", True)
    assert "failed inside (ZeroDivisionError in test_run.py, line" in failure.sentence
    assert [entry["state"] for entry in study.entries()].count("fault") == 1
    monkeypatch.undo()
    assert study.run().done == 1


def touch(study: Study) -> None:
    study.add("s2.nii.gz", brightness=5)


def give_mask(study: Study) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:5, 8:24, 8:28] = 1
    write(study.folder / "mask.nii.gz", mask)
    study.rows["s2.nii.gz"]["mask"] = "mask.nii.gz"


def ask_for_uncertainty(study: Study) -> None:
    study.rows["s2.nii.gz"]["uncertainty"] = "deep/er/sd.nrrd"


def cut_result(study: Study) -> None:
    result = study.out / "s2_tiny.nii.gz"
    result.write_bytes(result.read_bytes()[:100])


def remove_result(study: Study) -> None:
    (study.out / "s2_tiny.nii.gz").unlink()


def take_another_input(study: Study) -> None:
    other = study.add("sub/s2.nii.gz") if (study.folder / "sub").mkdir() is None else study.folder
    facts = (study.folder / "s2.nii.gz").stat()
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    study.rows = {name: row for name, row in study.rows.items() if name != "s2.nii.gz"}


@pytest.mark.parametrize(
    "change", [touch, give_mask, ask_for_uncertainty, cut_result, remove_result, take_another_input]
)
def test_what_changed_is_done_again(study: Study, change: Callable[[Study], None]) -> None:
    study.run()
    before = study.states()
    change(study)
    report = study.run()
    assert (report.done, report.skipped, report.failed) == (1, 2, ())
    after = study.states()
    assert before["s2_tiny.nii.gz"] != after["s2_tiny.nii.gz"]
    for name in ("s1_tiny.nii.gz", "s3_tiny.nii.gz"):
        assert before[name] == after[name]
    mt.read_volume(study.out / "s2_tiny.nii.gz")
    assert (study.out / "deep" / "er" / "sd.nrrd").exists() == (change is ask_for_uncertainty)
    assert study.run().skipped == 3


def test_another_version_of_the_model_does_all_again(study: Study, tmp_path: Path) -> None:
    study.run()
    for changes in ({"version": "1.0.1"}, {"network": {"name": "resnet9", "parameters": {"width": 2, "blocks": 1}}}):
        study.model = tiny_package(tmp_path / "tiny", **changes)
        assert study.run().done == 3
        assert study.run().skipped == 3


def test_a_mask_and_a_model_of_a_row(study: Study, tmp_path: Path) -> None:
    give_mask(study)
    tiny_package(tmp_path / "own" / "other", name="other")
    study.rows["s3.nii.gz"]["model"] = "own/other"
    assert study.run().done == 3
    made = sitk.GetArrayFromImage(mt.read_volume(study.out / "s2_tiny.nii.gz"))
    mask = sitk.GetArrayFromImage(mt.read_volume(tmp_path / "mask.nii.gz", labels=True))
    assert not made[mask == 0].any()
    assert made[mask == 1].any()
    assert (study.out / "s3_other.nii.gz").is_file()


def test_a_model_is_loaded_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    whole = plan.load_package
    monkeypatch.setattr(plan, "load_package", lambda name: (loaded.append(name), whole(name))[1])
    assert study.run().done == 3
    assert loaded == [str(study.model)]


def test_shards_share_a_folder(study: Study) -> None:
    study.add("s4.nii.gz")
    reports = [study.run(shard=(index, 3)) for index in (1, 2, 3)]
    assert [report.rows for report in reports] == [2, 1, 1]
    assert [report.done for report in reports] == [2, 1, 1]
    names = [report.ledgers[0].name for report in reports]
    assert names == [f"batch-{index}-of-3.jsonl" for index in (1, 2, 3)]
    whole = study.run()
    assert (whole.rows, whole.done, whole.skipped) == (4, 0, 4)
    study.add("s5.nii.gz")
    assert [study.run(shard=(index, 2)).done for index in (1, 2)] == [1, 0]  # another number of shards
    assert study.run(shard=(9, 9)).rows == 0


def test_cancelled_in_the_middle_and_gone_on(study: Study) -> None:
    seen: list[str] = []

    def cancel() -> bool:
        return bool(seen) and seen[-1] == "s3.nii.gz"

    with pytest.raises(mt.Cancelled):
        study.run(progress=lambda _, name, *__: seen.append(name), cancel=cancel)
    assert set(study.states()) == {"s1_tiny.nii.gz", "s2_tiny.nii.gz"}
    report = study.run()
    assert (report.done, report.skipped) == (1, 2)


def test_what_a_killed_process_left_is_swept_away(study: Study) -> None:
    old, young = study.out / ".writing-old", study.out / ".writing-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "volume.nii.gz").write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    study.run()
    assert not old.exists()
    assert young.exists()


def test_refused_before_any_work(study: Study, tmp_path: Path) -> None:
    for options, words in (
        ({"model": "t1_to_teapot"}, "t1_to_teapot"),
        ({"model": None}, "names no model"),
        ({"device": "abacus"}, "abacus"),
        ({"shard": (4, 3)}, "no shard 4/3"),
        ({"uncertainty": "dice"}, "dice"),
        ({"model": str(tiny_package(tmp_path / "noise", task="generation"))}, "choose a translation model"),
    ):
        with pytest.raises(mt.InputError, match=words):
            study.run(**options)
        assert not study.out.exists()
    study.out.write_text("a file")
    with pytest.raises(mt.InputError, match="cannot be written"):
        study.run()
