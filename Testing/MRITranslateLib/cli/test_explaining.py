"""`mritranslate explain` on small packages and volumes: everything it writes, and what it refuses."""

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MRITranslateLib.levels import read_segments
from MRITranslateLib.package import load_package

from ..packages import tiny_package
from .cases import Ended, Files, Run, refused


@pytest.fixture
def anatomy(files: Files, tmp_path: Path) -> Path:
    mask = sitk.ReadImage(str(files.mask))
    path = tmp_path / "anatomy.nii.gz"
    sitk.WriteImage(sitk.Cast(mask != 0, sitk.sitkUInt8) + 1, str(path))
    return path


def explained(run: Run, files: Files, results: Path, *more: object) -> Ended:
    heat = results / "heat.nii.gz"
    return run("explain", files.t1, "-m", files.package, "-o", heat, "--region", files.mask, "--device", "cpu", *more)


def test_everything_that_it_writes(run: Run, files: Files, results: Path, anatomy: Path) -> None:
    names = ("levels.seg.nrrd", "raw.nrrd", "table.csv", "figure.png")
    levels, raw, table, figure = (results / name for name in names)
    ended = explained(
        run,
        files,
        results,
        *("--levels", levels, "--raw", raw, "--table", table, "--figure", figure, "--segments", anatomy, "--json"),
        *("--check", "--method", "hirescam", "--threshold", 0.2, "--threshold", 0.6),
    )
    assert ended.code == 0, ended.err
    assert {path.name for path in results.iterdir()} == {"heat.nii.gz", *names}
    facts = ended.json
    assert facts["level_names"] == ["little or none", "heat from 0.2", "heat from 0.6"]
    assert sum(facts["shares"].values()) == pytest.approx(1)
    assert facts["faithfulness"]["sentence"].split()[0] in ("Passes:", "No", "Cannot")
    assert len(facts["faithfulness"]["deletion"]["explained"]) == len(facts["faithfulness"]["deletion"]["fractions"])
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == facts["level_names"]
    volume = sitk.ReadImage(str(files.t1))
    whole = np.prod(volume.GetSize()) * np.prod(volume.GetSpacing()) / 1000
    assert sum(float(row["ml"]) for row in rows) == pytest.approx(whole)
    assert read_segments(levels).names[2] == "heat from 0.6"
    heat = sitk.GetArrayFromImage(sitk.ReadImage(str(results / "heat.nii.gz")))
    signed = sitk.GetArrayFromImage(sitk.ReadImage(str(raw)))
    assert np.clip(signed / signed.max(), 0, 1) == pytest.approx(heat, abs=1e-5)
    with Image.open(figure) as picture:
        assert picture.width > 1000
        assert np.asarray(picture.convert("L")).std() > 20


def test_for_people(run: Run, files: Files, results: Path, anatomy: Path) -> None:
    ended = explained(run, files, results, "--segments", anatomy)
    assert ended.code == 0, ended.err
    assert "strongest 3 %" in ended.out
    assert "% of the evidence lies in label" in ended.out
    assert "--check" in ended.err


def test_the_real_image_beside(run: Run, files: Files, results: Path) -> None:
    ended = run(
        *("explain", files.t1, "-m", files.package, "--realism", "--reference", files.t1, "--device", "cpu", "--json"),
        *("-o", results / "heat.nii.gz", "--beside", results / "beside.nii.gz", "--figure", results / "both.png"),
    )
    assert ended.code == 0, ended.err
    pair = [sitk.GetArrayFromImage(sitk.ReadImage(str(results / name))) for name in ("heat.nii.gz", "beside.nii.gz")]
    assert max(heat.max() for heat in pair) == pytest.approx(1)
    assert (results / "both.png").stat().st_size > 10_000


def test_a_class_of_pictures(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    package = tiny_package(tmp_path / "classes", task="classification")
    name = load_package(package).card.classes[1]
    ended = run(
        *("explain", files.t1, "-m", package, "--class", name, "-o", results / "heat.nii.gz", "--json"),
        *("--figure", results / "why.png", "--method", "hirescam"),
    )
    assert ended.code == 0, ended.err
    assert name in ended.json["provenance"]["explained"]
    heat = sitk.ReadImage(str(results / "heat.nii.gz"))
    assert heat.GetSize() == sitk.ReadImage(str(files.t1)).GetSize()


def test_a_class_that_does_not_exist(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    package = tiny_package(tmp_path / "classes", task="classification")
    ended = run("explain", files.t1, "-m", package, "--class", "no such class", "-o", results / "heat.nii.gz")
    refused(ended, results, "no such class")


def test_what_is_refused(run: Run, files: Files, results: Path, anatomy: Path) -> None:
    refused(explained(run, files, results, "--realism"), results, "exactly one")
    refused(explained(run, files, results, "--beside", results / "b.nii.gz"), results, "--beside")
    refused(explained(run, files, results, "--table", results / "table.txt"), results, ".csv")
    refused(explained(run, files, results, "--figure", results / "no" / "f.png"), results, "does not exist")
    refused(explained(run, files, results, "--quantile", 1.5), results, "between 0 and 1")
    refused(explained(run, files, results, "--min-ml", -1), results, "0 ml or more")
    refused(explained(run, files, results, "--segments", results / "none.nrrd"), results, "does not exist")
    refused(explained(run, files, results, "--class", "glioma"), results, "exactly one")
