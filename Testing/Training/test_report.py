"""report.html: one file that shows the run as it was, whatever names its subjects have."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from Testing.MRITranslateLib.packages import tiny_package
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.report import write_report
from Training.runfolder import RunFolder
from Training.samples import Samples, read_sheet, save_sheet

HOSTILE = "<script>alert('x')</script>&\"p1"
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what a reader would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.words).split())


def sheet(value: float, rows: int = 4, size: int = 40) -> Samples:
    tile = lambda grey: np.full((size, size), grey)  # noqa: E731
    tiles = [[tile(0.2), tile(value), tile(0.8), tile(abs(value - 0.8))] for _ in range(rows)]
    return Samples(("T1, input", "T2, synthetic", "T2, truth", "difference"), ["", *"bcdefgh"][:rows], tiles, 1)


@pytest.fixture
def run(config_file, tmp_path) -> RunFolder:
    """A run of ten epochs, best at the sixth, with two subjects."""
    config = load_config(Pix2PixConfig, config_file, ["--epochs", "10", "--package.title", "A < B & C"])
    folder = RunFolder(tmp_path / "run", resume=False)
    folder.save_config(config)
    folder.save_split({"train": ["ms_a"], "validation": [HOSTILE, "p2"], "test": []})
    for epoch in (1, 2, 4, 6, 8, 10):
        psnr = 20 - abs(epoch - 6)
        scores = {"psnr": psnr, "mae": 0.1 / epoch, "dice_dark": 0.5}
        scores |= {f"psnr {HOSTILE}": psnr - 1, "psnr p2": psnr + 1, f"mae {HOSTILE}": 0.2, "mae p2": 0.15}
        speed = {"images per second": 12.5, "share of waiting for data": 0.004 * epoch}
        kept = {"kept": float(epoch <= 6)}
        losses = {"loss": 1 / epoch**2, "generator": 0.5}
        folder.log(epoch, 4 * epoch, {"loss": losses, "validation": scores, "speed": speed, "weights": kept})
        folder.save_samples(epoch, 4 * epoch, sheet(epoch / 10))
    return folder


def page(folder: RunFolder) -> Page:
    write_report(folder)
    return Page((folder.path / "report.html").read_text(encoding="utf-8"))


def test_the_report_tells_the_run_at_a_glance(run):
    seen = page(run).seen
    for words in (
        "A < B & C",
        "Training run of pix2pix · T1 to T2 · tiny 0.1.0",
        "A research tool, not for diagnosis",
        "10 of 10",
        "epoch 6 PSNR 20.00 dB",
        "12.5 images/s",
        "4.0 %",
        "pix2pix_unet (in_channels 3",
        "10 epochs of 4 steps, 2 samples a step",
        "train: 1",
        "validation: 2",
    ):
        assert words in seen, words
    assert "holds the step up" not in seen


def test_the_table_gives_the_kept_and_the_last_validation_of_every_subject(run):
    table = page(run).tables[0]
    assert table[0] == ["", "Kept, epoch 6", "Last, epoch 10"]
    assert table[1] == ["PSNR (dB) ↑", "MAE (% of full scale) ↓"] * 2
    assert table[2] == ["Mean", "20.00", "1.67", "16.00", "1.00"]
    assert table[3] == [HOSTILE, "19.00", "20.00", "15.00", "20.00"]
    assert table[4] == ["p2", "21.00", "15.00", "17.00", "15.00"]


def test_the_page_stands_alone_and_foreign_text_cannot_act(run):
    (run.path / "alignment").mkdir()
    Image.new("RGB", (80, 60), "gray").save(run.path / "alignment" / "a'onload='b<i>.png")
    parsed = page(run)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "iframe", "i", "object", "form"}
    for tag, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        assert "href" not in attributes
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    text = (run.path / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "<script" not in text
    assert HOSTILE in parsed.seen
    assert sum(tag == "img" for tag, _ in parsed.tags) == 3  # samples, evolution, alignment
    charts = sum(tag == "svg" for tag, _ in parsed.tags)
    assert charts == 5  # psnr, mae, dice, two losses
    assert not list(run.path.rglob("*.writing"))


def test_the_page_stays_small(run):
    noise = np.random.default_rng(0).random((1200, 1600))
    run.save_samples(12, 48, noise)
    (run.path / "alignment").mkdir()
    for number in range(40):
        picture = Image.fromarray((noise[:500, :500] * 255).astype(np.uint8))
        picture.save(run.path / "alignment" / f"s{number:02d}.png")
    parsed = page(run)
    assert (run.path / "report.html").stat().st_size < 3_000_000
    assert 2 <= sum(tag == "img" for tag, _ in parsed.tags) <= 14
    assert "more in the run's folder alignment" in parsed.seen


def test_the_exported_package_is_shown_with_its_scores(run):
    score = {"family": "p<b>", "subjects": ["p1", "p2"], "protocol": "plain; mask", "metrics": {"psnr": 21.23456}}
    package = tiny_package(run.path / "export", scores=[score], title="Tiny <i>")
    (run.path / "export-reverse").mkdir()
    (run.path / "export-reverse" / "model.json").write_text("{")  # being written
    parsed = page(run)
    assert f"mritranslate models add {package}" in parsed.seen
    assert "Tiny <i>" in parsed.seen
    assert parsed.tables[1] == [["", "psnr"], ["p<b>, 2", "21.23"]]
    assert "plain; mask" in parsed.seen
    assert "Is a generated picture a copy?" not in parsed.seen


def test_neighbours_are_shown_and_families_without_common_figures_have_tables_of_their_own(run):
    scores = [
        {"family": family, "subjects": ["p1"], "protocol": "plain", "metrics": metrics}
        for family, metrics in (("a", {"fid": 1}), ("b", {"auroc": 0.5}), ("c", {"fid": 2, "kid": 3}))
    ]
    tiny_package(run.path / "export", scores=scores)
    run.save_drawing("neighbours.png", lambda file: save_sheet(np.zeros((60, 80)), file))
    parsed = page(run)
    assert parsed.tables[1:3] == [
        [["", "fid", "kid"], ["a, 1", "1", ""], ["c, 1", "2", "3"]],
        [["", "auroc"], ["b, 1", "0.5"]],
    ]
    assert "Is a generated picture a copy?" in parsed.seen
    assert sum(tag == "img" for tag, _ in parsed.tags) == 3  # samples, evolution, neighbours


def test_waiting_for_data_is_pointed_at(run):
    run.log(11, 44, {"speed": {"images per second": 1.0, "share of waiting for data": 0.2}})
    assert "20.0 %" in page(run).seen
    assert "the data loader holds the step up" in page(run).seen


def test_the_evolution_shows_one_sample_from_first_to_last(run):
    write_report(run)
    figure = read_sheet(run.path / "evolution.png")
    assert list(figure.columns) == ["T1, input", *(f"epoch {n}" for n in (1, 2, 4, 6, 10)), "T2, truth"]
    assert len(figure.tiles) == 3
    greys = [float(tile[100, 100, 0]) for tile in figure.tiles[1]]
    assert greys == pytest.approx([0.2, 0.1, 0.2, 0.4, 0.6, 1.0, 0.8], abs=0.01)


def test_plain_pictures_evolve_whole(tmp_path):
    folder = RunFolder(tmp_path / "run", resume=False)
    for epoch in (1, 145):
        folder.log(epoch, epoch, {"validation": {"fid": 3.0, "kid": 0.1}})
        folder.save_samples(epoch, epoch, np.full((64, 96), epoch / 200))
    seen = page(folder).seen
    figure = read_sheet(folder.path / "evolution.png")
    assert list(figure.columns) == ["epoch 1", "epoch 145"]
    assert "FID ↓" in seen
    assert "per subject" not in seen


def test_a_run_without_pictures_or_with_damaged_files_has_its_report(tmp_path, config_file):
    folder = RunFolder(tmp_path / "run", resume=False)
    write_report(folder)
    assert not (folder.path / "report.html").exists()  # nothing to tell yet
    folder.log(1, 1, {"loss": {"loss": float("nan")}})
    assert "Losses" not in page(folder).seen
    folder.log(2, 2, {"loss": {"loss": 0.5}})
    (folder.path / "config.yaml").write_text("a: [1,")
    (folder.path / "samples").mkdir()
    for epoch in (1, 2):
        (folder.path / "samples" / f"epoch-{epoch:04d}.png").write_bytes(b"no picture")
    seen = page(folder).seen
    assert "Losses" in seen
    assert "run" in seen
    assert not (folder.path / "evolution.png").exists()


def test_the_style_is_installed_with_the_software():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert "report.css" in project["tool"]["setuptools"]["package-data"]["Training"]
