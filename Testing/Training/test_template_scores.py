"""Scores on templates: a package is translated and compared with a CT."""

import numpy as np
import pytest
import SimpleITK as sitk
from typer import Typer
from typer.testing import CliRunner

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.translate import translate
from Testing.MRITranslateLib.packages import tiny_package
from Training.template_scores import bone_dice, main, template_scores

TO_CT = {
    "target": "CT",
    "intensity": {
        "source": {"name": "foreground_median"},
        "target": {"name": "window", "parameters": {"low": -1024, "high": 3071}},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    head = phantom(seed=1, shape=(8, 32, 32))
    for name, image in (
        ("t1_smooth8mm", head.t1),
        ("t1_avg152", head.t1),
        ("t2_smooth8mm", head.t2),
        ("ct_hu_smooth8mm", head.ct),
    ):
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "to_ct", **TO_CT)


def test_dice():
    first = np.array([100.0, 300.0, 400.0, 500.0])
    assert bone_dice(first, first) == 1
    assert bone_dice(first, first[::-1]) == pytest.approx(2 / 3)
    assert bone_dice(first, first * 0) == 0
    assert bone_dice(first * 0, first * 0) == 1


def test_scores_are_those_of_the_translation(folder, package):
    model = load_package(package)
    rows = list(template_scores(model, folder))
    assert [(row.source, row.smoothed) for row in rows] == [
        (name, smoothed) for name in ("t1_smooth8mm", "t1_avg152") for smoothed in (False, True)
    ]
    t1, ct = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("t1_smooth8mm", "ct_hu_smooth8mm"))
    made = sitk.GetArrayFromImage(translate(t1, model, device="cpu").image).astype(float)
    truth = sitk.GetArrayFromImage(ct).astype(float)
    assert rows[0].mae == pytest.approx(np.abs(made - truth)[truth > -500].mean(), rel=1e-4)
    assert rows[0].dice == pytest.approx(bone_dice(truth, made))


def test_a_package_that_takes_t2_gets_the_template_of_t2(folder, tmp_path):
    model = load_package(tiny_package(tmp_path / "tiny", source="T2", **TO_CT))
    assert [row.source for row in template_scores(model, folder)] == ["t2_smooth8mm"] * 2
    with pytest.raises(InputError, match="from T1 or T2"):
        list(template_scores(load_package(tiny_package(tmp_path / "flair", source="FLAIR", **TO_CT)), folder))


def test_a_package_that_makes_no_ct_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="makes no CT"):
        list(template_scores(load_package(tiny_package(tmp_path / "tiny")), folder))


def test_the_command_prints_a_table(folder, package):
    app = Typer()
    app.command()(main)
    outcome = CliRunner().invoke(app, [str(package), str(folder)])
    assert outcome.exit_code == 0, outcome.output
    assert len(outcome.output.splitlines()) == 5
    assert "bone Dice" in outcome.output
    wrong = CliRunner().invoke(app, [str(package), str(folder / "nowhere")])
    assert wrong.exit_code == 2
    assert "does not exist" in wrong.output
