"""`mritranslate generate` and `mritranslate xray` on tiny packages: files, facts, and what is refused at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from ..packages import language_model, tiny_package
from .cases import Run, refused

REPORT = "Opacity in the left lower lobe. No pleural effusion."


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    return {
        "noise": tiny_package(folder / "noise", task="generation"),
        "xray": tiny_package(folder / "x", task="radiograph", extra_files=language_model(folder / "bert")),
        "findings": tiny_package(folder / "findings", task="classification"),
    }


@pytest.fixture
def noise(packages: dict[str, Path]) -> list[object]:
    return ["generate", "-m", packages["noise"], "--device", "cpu"]


@pytest.fixture
def xray(packages: dict[str, Path]) -> list[object]:
    return ["xray", "-m", packages["xray"], "--device", "cpu"]


def test_generate_writes_pictures_a_volume_a_sheet_and_facts(run: Run, noise: list[object], results: Path) -> None:
    folder = results / "made"
    ended = run(*noise, "-n", 5, "--seed", 3, "-o", folder, "--json")
    assert ended.code == 0, ended.err
    names = [f"synthetic_{number:04d}.png" for number in range(1, 6)]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["contact_sheet.png", "samples.json", "synthetic.nii.gz", *names]
    )
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "synthetic.nii.gz")))
    for number, name in enumerate(names):
        with Image.open(folder / name) as picture:
            assert "not for diagnosis" in picture.text["notice"]
            np.testing.assert_allclose(np.asarray(picture), volume[number], atol=0.51)
    facts = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    assert [sample["file"] for sample in facts["samples"]] == names
    assert all(isinstance(sample["realism"], float) for sample in facts["samples"])
    assert facts["provenance"]["weights_sha256"]
    assert ended.json["seed"] == 3
    again = results / "again"
    assert run(*noise, "-n", 5, "--seed", 3, "-o", again).code == 0
    assert (again / names[2]).read_bytes() != b""
    with Image.open(again / names[2]) as one, Image.open(folder / names[2]) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_generate_replaces_its_own_folder_and_no_other(run: Run, noise: list[object], results: Path) -> None:
    folder = results / "made"
    assert run(*noise, "-n", 3, "-o", folder).code == 0
    assert run(*noise, "-n", 2, "-o", folder, "--truncation", 1.0).code == 0
    assert len(list(folder.glob("synthetic_*.png"))) == 2
    (folder / "thesis.txt").write_text("words")
    ended = run(*noise, "-n", 2, "-o", folder)
    assert ended.code == 2
    assert "thesis.txt" in ended.err
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "words"


def test_generate_on_the_way_and_explained(run: Run, noise: list[object], results: Path) -> None:
    figure = results / "why.png"
    ended = run(*noise, "-n", 4, "--towards", 2, "-o", results / "way", "--explain", figure, "--json")
    assert ended.code == 0, ended.err
    with Image.open(figure) as picture:
        assert picture.width > 500
    shares = ended.json["explained"]["generated"].values()
    assert sum(share["area"] for share in shares) == pytest.approx(1.0, abs=1e-3)
    assert "real" not in ended.json["explained"]


def test_generate_explained_beside_real_pictures(run: Run, noise: list[object], results: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (20, 16), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    ended = run(*noise, "-n", 4, "-o", results / "made", "--explain", results / "why.png", "--real", tmp_path, "--json")
    assert ended.code == 0, ended.err
    assert set(ended.json["explained"]) == {"generated", "real"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-n", 0), "at least 1"),
        (("-n", 1_000_000), "--yes"),
        (("--truncation", 0), "truncation"),
        (("--towards", 1), "different seeds"),
        (("--real", "x"), "--explain"),
        (("--explain", "why.jpg"), ".png"),
        (("-m", "no_such_model"), "no_such_model"),
    ],
)
def test_generate_refuses(run: Run, noise: list[object], results: Path, options: tuple[object, ...], says: str) -> None:
    refused(run(*noise, "-o", results / "made", *options), results, says)


def test_an_x_ray_with_its_words_and_figure(
    run: Run, xray: list[object], packages: dict[str, Path], results: Path
) -> None:
    ended = run(
        *xray, "--text", REPORT, "-o", results / "x.png", "--words", results / "w.html", "--figure", results / "f.png",
        "--class", "nodule", "--classifier", packages["findings"], "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in results.iterdir()) == ["f.png", "w.html", "x.png"]
    with Image.open(results / "x.png") as picture:
        assert picture.size == (16, 16)
        assert picture.mode == "L"
        assert "not for diagnosis" in picture.text["notice"]
        assert not any("lobe" in text for text in picture.text.values())
    page = (results / "w.html").read_text(encoding="utf-8")
    assert "class nodule" in page
    assert "<script" not in page
    assert {word["word"] for word in ended.json["words"]} <= set(REPORT.replace(".", "").split())


def test_x_rays_of_a_table(run: Run, xray: list[object], results: Path, tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text("id,findings,impression\n../a b,Clear lungs.,\nx2,,Effusion.\n")
    ended = run(*xray, "--report", table, "-n", 2, "-o", results / "made", "--json")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in (results / "made").glob("synthetic_*.png")) == [
        "synthetic_001_a_b_01.png",
        "synthetic_001_a_b_02.png",
        "synthetic_002_x2_01.png",
        "synthetic_002_x2_02.png",
    ]
    assert len(ended.json["match"]) == 4


def test_x_rays_as_a_volume_for_people(run: Run, xray: list[object], results: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.txt"
    report.write_text(REPORT)
    ended = run(*xray, "--report", report, "-n", 3, "-o", results / "x.nii.gz")
    assert ended.code == 0, ended.err
    assert sitk.ReadImage(str(results / "x.nii.gz")).GetSize() == (16, 16, 3)
    assert "no evidence" in ended.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "exactly one"),
        (("--text", REPORT, "--report", "r.txt"), "exactly one"),
        (("--text", " "), "empty"),
        (("--report", "missing.txt"), "missing.txt"),
        (("--report", "report.docx"), "is no report"),
        (("--text", REPORT, "-n", 0), "at least 1"),
        (("--text", REPORT, "-n", 2), "room for one"),
        (("--text", REPORT, "--class", "nodule"), "--words or --figure"),
        (("--text", REPORT, "--words", "w.txt"), ".html"),
        (("--text", REPORT, "--text-encoder", "emilyalsentzer/Bio_ClinicalBERT"), "understands no other"),
        (("--text", REPORT, "-m", "t1_to_t2"), "makes no X-rays"),
    ],
)
def test_xray_refuses(run: Run, xray: list[object], results: Path, options: tuple[object, ...], says: str) -> None:
    refused(run(*xray, "-o", results / "x.png", *options), results, says)


def test_a_million_x_rays_are_asked_twice(run: Run, xray: list[object], results: Path) -> None:
    refused(run(*xray, "--text", REPORT, "-n", 1_000_000, "-o", results / "made"), results, "--yes")
    refused(run(*xray, "--text", REPORT, "-o", results / "x.jpg"), results, "must end with .png")
