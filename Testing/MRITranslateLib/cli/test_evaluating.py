"""`mritranslate evaluate`: one pair, many pairs, two methods, tables and reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from .cases import Files, Run, anatomy, refused, write

PATIENT = Path(__file__).parents[4] / "shared" / "data" / "brain_t1_t2_flair" / "mscs_p07"
CASES = ("one", "two", "three")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three cases, two methods, masks, in the formats that people mix; the second method errs twice as much."""
    random = np.random.default_rng(0)
    mask = (anatomy() > 0).astype(np.uint8)
    for folder in ("true", "first", "second", "masks"):
        (tmp_path / folder / "sub").mkdir(parents=True)
    for number, name in enumerate(CASES):
        noise = random.normal(0.0, 20.0 + 5.0 * number, mask.shape).astype(np.float32)
        write(tmp_path / "true" / "sub" / f"{name}.nii.gz", anatomy())
        write(tmp_path / "first" / "sub" / f"{name}.nrrd", anatomy() + noise)
        write(tmp_path / "second" / "sub" / f"{name}.mha", anatomy() + 2.0 * noise)
        write(tmp_path / "masks" / "sub" / f"{name}.nii.gz", mask)
    return tmp_path


def test_evaluate(run: Run, files: Files) -> None:
    ended = run("evaluate", files.t1, files.t1, "--modality", "mr", "--input", files.t1, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["scores"]["ssim"] == pytest.approx(1.0)
    assert ended.json["scores"]["psnr"] is None  # infinite
    ended = run("evaluate", files.ct, files.ct, "--modality", "CT", "--protocol", "synthrad2025", "--mask", files.mask)
    assert ended.code == 0, ended.err
    (line,) = (line for line in ended.out.splitlines() if line.startswith("ms_ssim"))
    assert line.split()[1] == "1.0000"
    assert "range 4095 HU" in line
    assert "window 7x7x7 uniform at five scales" in line
    assert "given mask" in line


def test_evaluate_with_a_report(run: Run, files: Files, results: Path) -> None:
    page = results / "report.html"
    ended = run("evaluate", files.ct, files.ct, "--modality", "CT", "--report", page, "--json")
    assert ended.code == 0, ended.err
    text = page.read_text("utf-8")
    assert files.ct.name in text
    assert "Dice coefficient, bone" in text
    page.unlink()
    both = results / "scores.json"
    told = run("evaluate", files.t1, files.t1, "--input", files.t1, "--report", both, "--json").json
    written = json.loads(both.read_text(encoding="utf-8"))
    assert written["scores"] == told["scores"]  # measured once, with the input's best map
    assert "psnr_oracle" in written["scores"]
    both.unlink()
    bad = ("--report", results / "report.pdf")
    refused(run("evaluate", files.ct, files.ct, "--modality", "CT", *bad), results, "must end with .html")


@pytest.mark.skipif(not PATIENT.is_dir(), reason="the shared folder with the patients is absent")
def test_evaluate_a_real_patient(run: Run) -> None:
    t1, t2 = PATIENT / "t1.nii.gz", PATIENT / "t2.nii.gz"
    scores = run("evaluate", t2, t1, "--modality", "MR", "--input", t1, "--json").json["scores"]
    assert scores["psnr_oracle"] == pytest.approx(20.7, abs=0.05)


def test_help_says_what_the_arguments_are(run: Run) -> None:
    assert "The true volume, or a folder of them." in run("evaluate", "--help").out


def test_another_grid_is_refused_or_resampled(run: Run, files: Files, results: Path) -> None:
    head = sitk.ReadImage(str(files.t1))
    moved = results.parent / "moved.nii.gz"
    sitk.WriteImage(head[1:], str(moved))
    refused(run("evaluate", files.t1, moved), results, "another grid", "--resample")
    ended = run("evaluate", files.t1, moved, "--resample")
    assert ended.code == 0, ended.err
    (line,) = (line for line in ended.out.splitlines() if line.startswith("resampled"))
    assert "35 x 32 x 6 voxels" in line
    assert "linearly" in line


def test_folders_are_paired_by_name_and_summarised(run: Run, folders: Path) -> None:
    ended = run("evaluate", folders / "true", folders / "first", "--mask", folders / "masks", "--json")
    assert ended.code == 0, ended.err
    made = ended.json
    assert [case["name"] for case in made["cases"]] == ["sub/one", "sub/three", "sub/two"]
    values = [case["scores"]["mae"] for case in made["cases"]]
    assert made["figures"]["mae"]["mean"] == pytest.approx(np.mean(values))
    assert made["figures"]["mae"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert made["figures"]["mae"]["median"] == pytest.approx(np.median(values))
    assert min(values) <= made["figures"]["mae"]["low"] <= made["figures"]["mae"]["high"] <= max(values)
    assert made["facts"]["mask"] == "given mask"
    assert made["differences"] == {}


def test_two_methods_are_tested_case_by_case(run: Run, folders: Path) -> None:
    arguments = ("evaluate", folders / "true", folders / "first", "--other", folders / "second")
    made = run(*arguments, "--json").json
    assert made["methods"] == ["first", "second"]
    apart = made["differences"]["mae"]
    assert apart["mean"] == pytest.approx(made["figures"]["mae"]["mean"] - made["others"]["mae"]["mean"])
    assert apart["mean"] < 0.0
    assert apart["p"] == pytest.approx(0.25)  # the least that three cases can give
    told = run(*arguments).out
    assert "first minus second" in told
    assert "Wilcoxon" in told


def test_a_table_and_reports_of_every_kind(run: Run, folders: Path, results: Path) -> None:
    lines = [f"{name},true/sub/{name}.nii.gz,first/sub/{name}.nrrd,masks/sub/{name}.nii.gz" for name in CASES]
    table = folders / "pairs.csv"
    table.write_text("\n".join(["name,reference,prediction,mask", *lines]) + "\n", encoding="utf-8")
    files = [results / f"scores.{ending}" for ending in ("html", "csv", "json")]
    reports = [argument for file in files for argument in ("--report", file)]
    ended = run("evaluate", "--pairs", table, *reports)
    assert ended.code == 0, ended.err
    page, rows, facts = (file.read_text(encoding="utf-8") for file in files)
    assert page.count("data:image/png;base64,") == 1
    assert "not for diagnosis" in page
    assert rows.splitlines()[0].startswith("case,method,mae,psnr,ssim")
    assert len(rows.splitlines()) == 4
    assert {case["name"] for case in json.loads(facts)["cases"]} == set(CASES)


def test_a_broken_case_is_named_and_left_out(run: Run, folders: Path) -> None:
    (folders / "first" / "sub" / "two.nrrd").write_bytes(b"NRRD0004\nbroken")
    write(folders / "first" / "sub" / "four.nrrd", anatomy())
    ended = run("evaluate", folders / "true", folders / "first", "--json")
    assert ended.code == 2
    assert [case["name"] for case in ended.json["cases"]] == ["sub/one", "sub/three"]
    assert [case["name"] for case in ended.json["failed"]] == ["sub/two"]
    assert "Left out: sub/two." in ended.err
    assert "Left out for lack of a partner: 1 x prediction (sub/four)." in ended.err
    assert "1 of 3 pairs could not be evaluated" in ended.err


def test_a_report_overwrites_no_input(run: Run, files: Files, folders: Path, results: Path) -> None:
    table = folders / "pairs.csv"
    text = "reference,prediction\ntrue/sub/one.nii.gz,first/sub/one.nrrd\n"
    table.write_text(text, encoding="utf-8")
    refused(run("evaluate", "--pairs", table, "--report", table), results, "is an input or a report already")
    assert table.read_text(encoding="utf-8") == text
    twice = ("--report", results / "a.html", "--report", results / "a.html")
    refused(run("evaluate", files.t1, files.t1, *twice), results, "is an input or a report already")


def test_what_cannot_be_evaluated(run: Run, files: Files, folders: Path, results: Path) -> None:
    true, first = folders / "true", folders / "first"
    table = folders / "pairs.csv"
    table.write_text("reference,prediktion\na,b\n", encoding="utf-8")
    for words, arguments in (
        (("two folders", "--pairs"), (true,)),
        (("is no folder",), (true, files.t1)),
        (("--other", "folders"), (files.t1, files.t1, "--other", first)),
        (("names all files",), (true, first, "--pairs", table)),
        (('no column "prediction"',), ("--pairs", table)),
        (("is named as one",), (true, folders / "masks" / "..", "--mask", first)),
        (('no mask called "sub/one"',), (true, first, "--mask", results)),
    ):
        refused(run("evaluate", *arguments), results, *words)
