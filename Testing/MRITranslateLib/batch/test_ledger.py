"""The ledger of a batch: what counts as done, and what a kill may leave behind."""

import json
import os
from pathlib import Path

import pytest
import SimpleITK as sitk

from MRITranslateLib.batch.ledger import DONE, FAILED, Ledger, file_facts
from MRITranslateLib.errors import InputError

FROM = {"input": "a.nii", "input_file": {"files": 1, "bytes": 3, "modified_ns": 5}, "model": {"name": "tiny"}}


def result(folder: Path, name: str = "t2.nii") -> Path:
    file = folder / name
    file.write_bytes(b"volume")
    return file


def test_done_while_nothing_changes(tmp_path: Path) -> None:
    output = result(tmp_path)
    assert not Ledger(tmp_path, (1, 1)).holds(FROM, [output])
    Ledger(tmp_path, (2, 3)).done(FROM, [output], {"line": 2})
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["batch-2-of-3.jsonl"]
    assert Ledger(tmp_path, (1, 1)).holds(FROM, [output])  # another shard sees it
    for key in FROM:
        assert not Ledger(tmp_path, (1, 1)).holds({**FROM, key: "another"}, [output])
    assert not Ledger(tmp_path, (1, 1)).holds({**FROM, "mask": "m.nii"}, [output])
    assert not Ledger(tmp_path, (1, 1)).holds(FROM, [output, result(tmp_path, "sd.nii")])
    output.write_bytes(b"volum")
    assert not Ledger(tmp_path, (1, 1)).holds(FROM, [output])
    output.unlink()
    assert not Ledger(tmp_path, (1, 1)).holds(FROM, [output])


def test_the_newest_file_counts_whatever_was_noted_before(tmp_path: Path) -> None:
    output = result(tmp_path)
    newer = {**FROM, "model": {"name": "newer"}}
    ledger = Ledger(tmp_path, (1, 1))
    ledger.done(FROM, [output], {})
    output.write_bytes(b"VOLUME")
    os.utime(output, ns=(1, 1))
    ledger.done(newer, [output], {})
    again = Ledger(tmp_path, (1, 1))
    assert again.holds(newer, [output])
    assert not again.holds(FROM, [output])


def test_a_line_that_was_cut_off_harms_no_other(tmp_path: Path) -> None:
    first, second = result(tmp_path, "1.nii"), result(tmp_path, "2.nii")
    ledger = Ledger(tmp_path, (1, 1))
    ledger.done(FROM, [first], {"id": "Äpfel\u2028"})
    whole = ledger.file.read_bytes()
    assert whole.endswith(b"}\n")
    for cut in range(len(whole)):
        ledger.file.write_bytes(whole + whole[:cut])
        Ledger(tmp_path, (1, 1)).done(FROM, [second], {})
        found = Ledger(tmp_path, (1, 1))
        assert found.holds(FROM, [first])
        assert found.holds(FROM, [second])
    ledger.file.write_bytes(b'[1]\n{"state": "done", "outputs": 7}\n{"outputs": {}}\n\xff\n\n' + whole)
    assert Ledger(tmp_path, (1, 1)).holds(FROM, [first])


def test_failures_are_no_results(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, (1, 1))
    ledger.failed(FAILED, "It is broken; mend it.", {"line": 4})
    assert json.loads(ledger.file.read_text("utf-8")) == {
        "state": FAILED,
        "line": 4,
        "error": "It is broken; mend it.",
    }
    assert not Ledger(tmp_path, (1, 1)).holds({"line": 4}, [tmp_path / "t2.nii"])


def test_facts_of_files_and_folders(tmp_path: Path) -> None:
    file = result(tmp_path)
    os.utime(file, ns=(9, 7))
    assert file_facts(file) == {"files": 1, "bytes": 6, "modified_ns": 7}
    series = tmp_path / "series"
    series.mkdir()
    for number in (3, 8, 5):
        os.utime(result(series, f"{number}.dcm"), ns=(9, number))
    assert file_facts(series) == {"files": 3, "bytes": 18, "modified_ns": 8}
    assert file_facts(tmp_path / "none") is None
    assert file_facts(tmp_path / "a\0b") is None
    assert file_facts(tmp_path / (300 * "n")) is None


@pytest.mark.parametrize("extension", [".mhd", ".nhdr"])
def test_voxels_beside_a_header_count(tmp_path: Path, extension: str) -> None:
    header = tmp_path / f"scan{extension}"
    sitk.WriteImage(sitk.Image([4, 3, 2], sitk.sitkInt16), str(header))
    (voxels,) = (path for path in tmp_path.iterdir() if path != header)
    size = header.stat().st_size
    os.utime(header, ns=(1, 5))
    os.utime(voxels, ns=(1, 9))
    assert file_facts(header) == {"files": 2, "bytes": size + voxels.stat().st_size, "modified_ns": 9}
    voxels.unlink()
    assert file_facts(header) == {"files": 1, "bytes": size, "modified_ns": 5}


@pytest.mark.parametrize(
    ("name", "text", "files"),
    [
        ("a.mhd", b"NDims = 3\r\nelementdatafile=scan 1.raw\r\n", 2),
        ("a.mhd", b"NDims = 3\nElementDataFile = LOCAL\n\xff\x00", 1),
        ("a.mhd", b"ElementDataFile = LIST\nscan 1.raw\n", 1),
        ("a.mhd", b"ElementDataFile = scan\x001.raw\n", 1),
        ("a.mhd", b"", 1),
        ("a.NHDR", b"NRRD0004\ndatafile: ./scan 1.raw", 2),
        ("a.nhdr", b"NRRD0004\ndata file: scan%d.raw 1 9 1\n", 1),
        ("a.txt", b"data file: scan 1.raw\n", 1),
    ],
)
def test_which_file_a_header_names(tmp_path: Path, name: str, text: bytes, files: int) -> None:
    (tmp_path / "scan 1.raw").write_bytes(b"voxels")
    (tmp_path / name).write_bytes(text)
    facts = file_facts(tmp_path / name)
    assert facts is not None
    assert (facts["files"], facts["bytes"]) == (files, len(text) + 6 * (files - 1))


def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, (1, 1))
    ledger.file.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        ledger.done(FROM, [result(tmp_path)], {})
    with pytest.raises(InputError, match="cannot be read"):
        Ledger(tmp_path, (1, 1))


def test_states_are_those_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "batch.md").read_text("utf-8")
    for state in (DONE, FAILED, "fault"):
        assert f"`{state}`" in text
