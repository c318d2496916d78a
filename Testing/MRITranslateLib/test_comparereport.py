"""Pictures and files of a comparison: whole, self-contained, escaped, atomic."""

import base64
import csv
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MRITranslateLib import comparereport
from MRITranslateLib.compare import Comparison, compare
from MRITranslateLib.comparereport import slices_picture, write_report
from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from MRITranslateLib.reportpage import NOTICE
from MRITranslateLib.scoring.scores import title_of

NAMES = ('CT of "A" & <script>alert(1)</script>', "it's <b>synthetic</b> [synthetic CT]")


@pytest.fixture(scope="module")
def found() -> Comparison:
    head = phantom(seed=3, shape=(20, 40, 44)).ct
    return compare(head, sitk.SmoothingRecursiveGaussian(sitk.Cast(head, sitk.sitkFloat32), 2.0)[:, :, 3:], "CT")


class Page(HTMLParser):
    """Tags, texts and images of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_holds_everything_and_fetches_nothing(found: Comparison, tmp_path: Path) -> None:
    path = write_report(found, tmp_path / "report.html", *NAMES)
    text = path.read_text("utf-8")
    page = Page(text)
    assert set(NAMES) <= set(page.texts)  # as people wrote them, and as text only
    assert not {"script", "b", "link", "iframe"} & set(page.tags)
    assert len(page.sources) == 3
    for source in page.sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert np.ptp(np.asarray(picture.convert("L")).astype(int)) > 100
    assert not re.search(r"https?:|url\(|@import", text)
    assert NOTICE in page.texts
    told = " ".join(page.texts)
    for stated in ("protocol plain", "4095 HU", "where the prediction reaches", "mritranslate", "resampled"):
        assert stated in told
    for name in found.scores.values:
        assert title_of(name) in page.texts
    assert f"{found.scores.values['mae']:.4f}" in page.texts
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_table_can_be_read_back(found: Comparison, tmp_path: Path) -> None:
    path = write_report(found, tmp_path / "scores.csv", *NAMES)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["measure"]: float(row["value"]) for row in rows} == found.scores.values
    assert {row["protocol"] for row in rows} == {"plain"}
    assert rows[0]["unit"] == "HU"


def test_a_figure_that_is_not_finite(tmp_path: Path) -> None:
    head = phantom(seed=3, shape=(8, 24, 24)).t2
    same = compare(head, head)
    assert "infinite" in Page(write_report(same, tmp_path / "a.html", "a", "b").read_text("utf-8")).texts
    assert "psnr,,dB,plain" in write_report(same, tmp_path / "a.csv", "a", "b").read_text(encoding="utf-8").splitlines()


def test_the_patients_right_is_on_the_left_however_the_volume_is_stored() -> None:
    head = phantom(seed=3, shape=(20, 40, 44)).ct
    array = sitk.GetArrayFromImage(head).astype(np.float32)
    array[:, :, :22] += 30.0
    marked = sitk.GetImageFromArray(array)
    marked.CopyInformation(head)
    pictures = []
    for axes in ((False, False, False), (True, False, True)):
        stored = [sitk.Flip(one, axes) for one in (head, marked)]
        with Image.open(io.BytesIO(slices_picture(compare(*stored, "CT")))) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(int))
    assert pictures[0].shape == pictures[1].shape
    # The middle slice of an even number of slices is another one from the other side: alike, not equal.
    assert np.abs(pictures[0] - pictures[1]).mean() < 12
    mirrored = pictures[0][:, ::-1]
    assert np.abs(pictures[0] - mirrored).mean() > 2 * np.abs(pictures[0] - pictures[1]).mean()


def test_files_that_cannot_be_written(found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder.html"
    folder.mkdir()
    for sentence, path in (
        ("must end with .html", tmp_path / "report.pdf"),
        ("does not exist", tmp_path / "nowhere" / "report.html"),
        ("cannot be written", folder),
    ):
        with pytest.raises(InputError, match=sentence):
            write_report(found, path, "a", "b")
    earlier = tmp_path / "report.html"
    earlier.write_text("of last week")

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(comparereport.os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_report(found, earlier, "a", "b")
    assert earlier.read_text(encoding="utf-8") == "of last week"
    assert sorted(os.listdir(tmp_path)) == ["folder.html", "report.html"]
