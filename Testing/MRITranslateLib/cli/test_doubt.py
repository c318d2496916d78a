"""`mritranslate translate` with its maps of doubt: what it writes, and what it refuses."""

from pathlib import Path

import SimpleITK as sitk

from ..packages import tiny_package
from .cases import Files, Run, refused

TWO = {"network": {"name": "resnet9", "parameters": {"width": 2, "blocks": 1}}}


def test_the_spread_and_what_does_not_come_back(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    back = tiny_package(tmp_path / "back", name="back", source="T2", target="T1")
    made, spread, lost = (results / f"{name}.nii.gz" for name in ("t2", "spread", "lost"))
    ended = run("translate", files.t1, "-m", files.package, "-o", made, "--device", "cpu", "--json", "--cycle", lost)
    refused(ended, results, "names no model for the way back")
    options = ("--uncertainty", spread, "--cycle", lost, "--inverse", back)
    ended = run("translate", files.t1, "-m", files.package, "-o", made, "--device", "cpu", "--json", *options)
    assert ended.code == 0, ended.err
    for key, path in (("output", made), ("uncertainty", spread), ("cycle", lost)):
        assert ended.json[key] == str(path)
        image = sitk.ReadImage(str(path))
        assert image.GetSize() == sitk.ReadImage(str(files.t1)).GetSize()
        assert sitk.GetArrayFromImage(image).max() > 0
    assert ended.json["provenance"]["uncertainty"] == "augmentation"
    assert ended.json["provenance"]["calibration"] == "none"
    assert ended.json["provenance"]["cycle"].startswith("back 1.0.0")


def test_an_ensemble(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    other = tiny_package(tmp_path / "other", name="other", **TWO)
    options = ("-o", results / "t2.nrrd", "--uncertainty", results / "spread.nrrd", "--ensemble", other)
    ended = run("translate", files.t1, "-m", files.package, "--device", "cpu", *options)
    assert ended.code == 0, ended.err
    assert {path.name for path in results.iterdir()} == {"t2.nrrd", "spread.nrrd"}


def test_what_is_refused(run: Run, files: Files, results: Path) -> None:
    plain = ("translate", files.t1, "-m", files.package, "-o", results / "t2.nii.gz", "--device", "cpu")
    spread = ("--uncertainty", results / "spread.nii.gz")
    for options, words in (
        (("--ensemble", files.package), "need --uncertainty"),
        (("--uncertainty-method", "dropout"), "need --uncertainty"),
        (("--inverse", files.package), "--inverse needs --cycle"),
        ((*spread, "--uncertainty-method", "dropout", "--ensemble", files.package), "not both"),
        ((*spread, "--uncertainty-method", "dropout"), "has no dropout"),
        ((*spread, "--ensemble", files.package), "with other weights"),
        (("--uncertainty", results / "t2.nii.gz"), "an output already"),
    ):
        refused(run(*plain, *options), results, words)
