"""Many pairs together: what is said where cases differ, what is left out, and reports that nobody can abuse."""

import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.cohort import run
from MRITranslateLib.cohort.pairing import Pair
from MRITranslateLib.cohort.report import write_report
from MRITranslateLib.cohort.run import Cohort, evaluate_cohort
from MRITranslateLib.errors import Cancelled, InputError

from ..test_evaluate import image, waves

SHAPE = (12, 20, 18)


def volume(file: Path, seed: int = 1, shape: tuple[int, int, int] = SHAPE) -> Path:
    sitk.WriteImage(image((100.0 * waves(shape, seed)).astype(np.float32)), str(file))
    return file


def drawn(file: Path) -> Path:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:10, 3:15, 4:14] = 1
    sitk.WriteImage(image(mask), str(file))
    return file


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Three cases of two methods; the masks and inputs are those of the second case alone."""
    made = []
    for name in ("one", "two", "three"):
        files = [volume(tmp_path / f"{name}_{side}.nii.gz", seed) for seed, side in ((1, "r"), (2, "p"), (3, "o"))]
        more = (drawn(tmp_path / "mask.nii.gz"), volume(tmp_path / "input.nii.gz", 4)) if name == "two" else ()
        made.append(Pair(name, *files, *more))
    return made


class Texts(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_masks_and_inputs_of_some_cases_alone(pairs: list[Pair], tmp_path: Path) -> None:
    """Figures that the first case lacks are there, and a mask that differs is not shown as one that holds for all."""
    cohort = evaluate_cohort(pairs)
    assert (cohort.figures["psnr_oracle"].n, cohort.figures["psnr_oracle"].left_out) == (1, 2)
    assert cohort.measured["mae"].mask == "differs"
    assert cohort.measured["mae"].unit == "of full scale"
    assert cohort.measured["psnr_oracle"].mask == "given mask"
    assert "mask" not in cohort.facts
    for ending in ("html", "csv", "json"):
        write_report(cohort, tmp_path / f"scores.{ending}", ("a", "b"))
    tumour = evaluate_cohort([Pair(p.name, p.reference, p.prediction, None, p.mask) for p in pairs], protocol="brasyn")
    assert tumour.figures["ssim_tumour"].n == 1


def test_equal_cases_have_a_report(tmp_path: Path) -> None:
    """Three times the same: an interval without width, whose bar is not negative by rounding."""
    reference, prediction = volume(tmp_path / "r.nii.gz"), volume(tmp_path / "p.nii.gz", 2)
    cohort = evaluate_cohort([Pair(name, reference, prediction) for name in "abc"])
    for one in cohort.figures.values():
        assert one.n == 0 or one.low == one.mean == one.high
    write_report(cohort, tmp_path / "scores.html", ["method"])


def test_what_was_resampled_is_said_for_either_method(pairs: list[Pair], tmp_path: Path) -> None:
    finer = volume(tmp_path / "finer.nii.gz", 3, (12, 20, 30))
    moved = [Pair(pair.name, pair.reference, pair.prediction, finer) for pair in pairs]
    with pytest.raises(InputError, match=r"None of 3 pairs.*another grid"):
        evaluate_cohort(moved)
    cohort = evaluate_cohort(moved, resample=True)
    (told,) = cohort.warnings
    assert told.startswith("Resampled in 3 of 3 cases (one, two, three): of the second method the prediction from 30 x")
    page = write_report(cohort, tmp_path / "scores.html", ("a", "b"))
    assert any("Resampled in 3 of 3" in text for text in Texts(page).texts)
    assert cohort.as_json()["warnings"] == [told]


def test_what_is_left_out_stands_in_the_reports(pairs: list[Pair], tmp_path: Path) -> None:
    broken = Pair("broken", pairs[0].reference, tmp_path / "absent.nii.gz", pairs[0].other)
    cohort = evaluate_cohort([*pairs, broken], warnings=["Left out for lack of a partner: 1 x reference (p9)."])
    assert [name for name, _ in cohort.failed] == ["broken"]
    texts = " ".join(Texts(write_report(cohort, tmp_path / "scores.html", ("a", "b"))).texts)
    assert "reference (p9)" in texts
    assert "broken was left out" in texts


def test_a_fault_in_one_case_loses_no_other(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    true_read = run.read_volume

    def read(path: Path, labels: bool = False) -> sitk.Image:
        if path == pairs[1].prediction:
            raise ZeroDivisionError
        return true_read(path, labels)

    monkeypatch.setattr(run, "read_volume", read)
    cohort = evaluate_cohort(pairs)
    assert [case.name for case in cohort.cases] == ["one", "three"]
    ((name, why),) = cohort.failed
    assert name == "two"
    assert "ZeroDivisionError" in why


def test_it_can_be_cancelled(pairs: list[Pair]) -> None:
    with pytest.raises(Cancelled):
        evaluate_cohort(pairs, cancel=lambda: True)


HOSTILE = '<script>alert("1")</script>&$x^$'


@pytest.fixture
def hostile(pairs: list[Pair]) -> Cohort:
    names = (HOSTILE, "=HYPERLINK(1)", "@x")
    return evaluate_cohort(
        [Pair(name, pair.reference, pair.prediction, pair.other) for name, pair in zip(names, pairs, strict=True)]
    )


def test_no_name_becomes_a_tag_or_a_formula_for_the_eye(hostile: Cohort, tmp_path: Path) -> None:
    """Mathematics that matplotlib cannot parse, tags in a page, formulas in a spreadsheet."""
    page = Texts(write_report(hostile, tmp_path / "scores.html", (HOSTILE, "$x^$" * 20)))
    assert "script" not in page.tags
    assert HOSTILE in page.texts
    table = write_report(hostile, tmp_path / "scores.csv", ("-method", "other"))
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    assert {row[0] for row in rows} == {HOSTILE, "'=HYPERLINK(1)", "'@x"}
    assert {row[1] for row in rows} == {"'-method", "other"}
