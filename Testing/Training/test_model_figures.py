"""The pictures of a translator's left-out cases."""

import numpy as np
import pytest
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from Training.model_figures import Case, chosen, left_out_cases, main
from Training.recompute import Scans


def case(subject: str, psnr: float) -> Case:
    empty = np.zeros((4, 4), np.float32)
    return Case(subject, psnr, empty, empty, empty, 1.0)


def test_best_median_and_worst():
    cases = [case(name, -number) for number, name in enumerate("abcde")]
    assert [(rank, one.subject) for rank, one in chosen(cases)] == [("best", "a"), ("median", "c"), ("worst", "e")]
    assert [(rank, one.subject) for rank, one in chosen(cases[:2])] == [("best", "a"), ("worst", "b")]
    assert [rank for rank, _ in chosen(cases[:1])] == ["best"]


def test_cases_are_those_of_the_folds(cross_validated, subjects):
    package = mt.load_package(cross_validated / "all" / "export")
    cases = left_out_cases(package, Scans(subjects), cross_validated / "folds")
    assert sorted(one.subject for one in cases) == ["gl_c", "ms_a", "ms_b"]
    assert [one.psnr for one in cases] == sorted((one.psnr for one in cases), reverse=True)
    stated = {score.subjects[0]: score.metrics["psnr_affine"] for score in package.card.scores}
    for one in cases:
        assert one.psnr == pytest.approx(stated[one.subject], abs=0.01)
        assert one.source.shape == one.made.shape == one.truth.shape
        assert 0.2 < np.percentile(one.truth, 90) <= 1.5

    pretended = [score.model_copy(update={"weights": ""}) for score in package.card.scores]
    package.card = package.card.model_copy(update={"scores": pretended})
    with pytest.raises(InputError, match="tiny: the weights of tiny have seen gl_c"):
        left_out_cases(package, Scans(subjects), cross_validated / "folds")


def test_a_picture_for_each_package(cross_validated, subjects, tmp_path):
    command = Typer()
    command.command()(main)
    folder = cross_validated / "all" / "export"
    where = [
        "--data",
        subjects,
        "--folds",
        cross_validated / "folds",
        "--package",
        folder,
        "--output",
        tmp_path / "new",
    ]
    ended = CliRunner().invoke(command, [str(argument) for argument in where])
    assert ended.exit_code == 0, ended.output
    file = tmp_path / "new" / "tiny.png"
    assert 10_000 < file.stat().st_size < 200_000
    with Image.open(file) as picture:
        assert picture.width == 640
        assert picture.height > 600

    where[3] = tmp_path  # no fold is here
    ended = CliRunner().invoke(command, [str(argument) for argument in where])
    assert ended.exit_code == 1
    assert 'the weights "tiny_fold_1" are not in' in ended.output
