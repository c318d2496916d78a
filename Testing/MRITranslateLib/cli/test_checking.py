"""`mritranslate check`: what an image looks like, and whether a model can take it."""

from pathlib import Path

import pytest

from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import write_volume

from .cases import Files, Run


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    head = phantom(seed=7, shape=(24, 64, 64))
    for name in ("t1", "t2", "ct"):
        write_volume(getattr(head, name), folder / f"{name}.nii.gz")
    return folder


def test_without_a_model_it_names_those_that_fit(run: Run, scans: Path) -> None:
    ended = run("check", scans / "t1.nii.gz", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["contrast"] == "T1"
    assert {"t1_to_t2", "t1_to_ct"} <= set(ended.json["models"])
    assert "T1-weighted MRI" in run("check", scans / "t1.nii.gz").out
    assert "t1_to_t2" not in run("check", scans / "t2.nii.gz", "--json").json["models"]


def test_with_a_model_it_says_ok_warns_or_refuses(run: Run, scans: Path, files: Files) -> None:
    good = run("check", scans / "t1.nii.gz", "-m", files.package, "--json")
    assert (good.code, good.json["outcome"], good.json["reasons"]) == (0, "ok", [])
    other = run("check", scans / "t2.nii.gz", "-m", files.package, "--json")
    assert (other.code, other.json["outcome"]) == (0, "warn")
    assert "This looks like a T2-weighted MRI" in other.err
    ct = run("check", scans / "ct.nii.gz", "-m", files.package, "--json")
    assert (ct.code, ct.json["outcome"]) == (2, "refuse")
    assert ct.err.startswith("Error: This image looks like a CT")
