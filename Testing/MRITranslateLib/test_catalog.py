"""The list of models: complete with broken packages in it, cheap to make, and changed in one step or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from MRITranslateLib import catalog
from MRITranslateLib.errors import InputError, PackageError
from MRITranslateLib.package import load_package
from Testing.MRITranslateLib.packages import CARDS, language_model, tiny_package

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny")


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(folder))
    return folder


def own_models() -> list[catalog.ModelSummary]:
    return [model for model in catalog.list_models() if not model.built_in]


def test_add_list_show_remove(pristine: Path, user_folder: Path) -> None:
    assert own_models() == []
    assert not user_folder.exists()  # listing creates nothing
    added = catalog.add_model(pristine)
    assert added == user_folder / "tiny"
    (model,) = own_models()
    assert (model.name, model.title, model.source, model.target) == ("tiny", "Tiny T1 to T2", "T1", "T2")
    assert (model.version, model.task, model.built_in, model.broken) == ("1.0.0", "translation", False, None)
    assert model.bytes == sum(file.stat().st_size for file in added.glob("*.safetensors"))
    assert load_package("tiny").folder == added.resolve()
    with pytest.raises(InputError, match="exists already"):
        catalog.add_model(pristine)
    catalog.remove_model("tiny")
    assert own_models() == []
    assert list(user_folder.iterdir()) == []


def test_every_kind_of_model_is_added_listed_and_removed(tmp_path: Path) -> None:
    about = {
        "generation": "Random numbers to T1",
        "classification": "CXR to classes",
        "radiograph": "Report to CXR",
    }
    for task, words in about.items():
        name = CARDS[task]["name"]
        extra = language_model(tmp_path / "bert") if task == "radiograph" else None
        package = tiny_package(tmp_path / task, task=task, extra_files=extra)
        added = catalog.add_model(package)
        assert sorted(path.name for path in added.rglob("*")) == sorted(path.name for path in package.rglob("*"))
        (model,) = own_models()
        assert (model.name, model.task, model.about, model.broken) == (name, task, words, None)
        assert load_package(name).folder == added.resolve()
        catalog.remove_model(name)
    assert own_models() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "segmentation"}, "no known task"),
        ({"task": ["generation"]}, "no known task"),
        ({"target": "BRAIN"}, "target"),
        ({"task": "translation"}, "source"),
        ({"task": "classification"}, "source"),
    ],
)
def test_a_task_that_its_card_does_not_fit(change: dict, words: str, user_folder: Path) -> None:
    folder = tiny_package(user_folder / CARDS["generation"]["name"], task="generation")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps({**card, **change}))
    (model,) = own_models()
    assert words in (model.broken or "")


def test_a_broken_package_is_listed_with_its_reason_and_hides_nothing(pristine: Path, user_folder: Path) -> None:
    for name in ("tiny", "no_card", "no_json", "list_card", "half", "renamed", "link", "odd\nname"):
        shutil.copytree(pristine, user_folder / name)
    (user_folder / "a_file.txt").write_text("not a folder")
    (user_folder / ".tiny-writing-x1").mkdir()
    (user_folder / "no_card" / "model.json").unlink()
    (user_folder / "no_json" / "model.json").write_text("{")
    (user_folder / "list_card" / "model.json").write_text("[[[[")
    for name in ("half", "link", "odd\nname"):
        card = json.loads((user_folder / name / "model.json").read_text(encoding="utf-8"))
        (user_folder / name / "model.json").write_text(json.dumps({**card, "name": name}))
    weights = user_folder / "half" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (user_folder / "link" / "model.json").unlink()
    (user_folder / "link" / "model.json").symlink_to(pristine / "model.json")
    models = {model.name: model for model in own_models()}
    assert set(models) == {"tiny", "no_card", "no_json", "list_card", "half", "renamed", "link", "odd\nname"}
    assert models.pop("tiny").broken is None
    for name, words in {
        "no_card": "no model.json",
        "no_json": "not valid JSON",
        "list_card": "not valid JSON",
        "half": "size",
        "renamed": "rename the folder to tiny",
        "link": "link",
        "odd\nname": "no usable name",
    }.items():
        reason = models[name].broken
        assert reason is not None
        assert words in reason
        assert reason.endswith(".")
        assert "\n" not in reason
        with pytest.raises(PackageError) as caught:
            catalog.find(name)
        assert str(caught.value) == reason
        catalog.remove_model(name)
    assert [model.name for model in own_models()] == ["tiny"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"name": "x", "files": 3}',
        b'{"name": 7}',
        b'{"name": "x", "source": ["T1"]}',
    ],
)
def test_any_bytes_as_card_only_break_their_own_package(content: bytes, user_folder: Path) -> None:
    (user_folder / "x").mkdir(parents=True)
    (user_folder / "x" / "model.json").write_bytes(content)
    (model,) = own_models()
    assert model.broken is not None


def test_a_card_cannot_point_out_of_its_folder(pristine: Path, user_folder: Path) -> None:
    shutil.copytree(pristine, user_folder / "tiny")
    path = user_folder / "tiny" / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["files"]["../../secret"] = {"sha256": "0" * 64, "bytes": 1}
    path.write_text(json.dumps(card))
    (model,) = own_models()
    assert model.broken is not None
    assert "secret" in model.broken


def test_an_unknown_name_gets_the_nearest_ones(pristine: Path) -> None:
    catalog.add_model(pristine)
    with pytest.raises(InputError, match="did you mean tiny"):
        catalog.find("tinny")
    with pytest.raises(InputError, match="did you mean tiny"):
        load_package("Tiny")
    with pytest.raises(InputError, match=r"use one of .*tiny"):
        catalog.find("qqqqqq")


def test_names_are_no_paths(pristine: Path, user_folder: Path) -> None:
    catalog.add_model(pristine)
    for name in ("../tiny", "../models/tiny", "tiny/", str(user_folder / "tiny"), "", "."):
        with pytest.raises(InputError):
            catalog.find(name)
        with pytest.raises(InputError):
            catalog.remove_model(name)
    assert (user_folder / "tiny").is_dir()


def test_a_broken_package_is_not_added(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(pristine, tmp_path / "bad"))
    content = bytearray((bad / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (bad / "weights.safetensors").write_bytes(content)
    with pytest.raises(PackageError, match="SHA-256"):
        catalog.add_model(bad)
    with pytest.raises(InputError, match="There is no"):
        catalog.add_model(tmp_path / "missing")
    assert not user_folder.exists() or list(user_folder.iterdir()) == []


def test_only_the_files_of_a_package_are_copied(pristine: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(pristine, tmp_path / "source"))
    (source / "setup.py").write_text("raise SystemExit")
    added = catalog.add_model(source)
    assert sorted(path.name for path in added.iterdir()) == sorted(path.name for path in pristine.iterdir())


def test_built_in_models_stay(
    pristine: Path, user_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in = tmp_path / "builtin"
    shutil.copytree(pristine, built_in / "tiny")
    monkeypatch.setattr(catalog, "builtin_folder", lambda: built_in)
    with pytest.raises(InputError, match="stays"):
        catalog.remove_model("tiny")
    with pytest.raises(InputError, match="exists already"):
        catalog.add_model(pristine)
    shutil.copytree(pristine, user_folder / "tiny")  # put there by hand: it must not pass for the built-in one
    first, second = catalog.list_models()
    assert first.built_in
    assert first.broken is None
    assert "built-in" in (second.broken or "")
    assert catalog.find("tiny") == built_in / "tiny"
    catalog.remove_model("tiny")
    assert (built_in / "tiny").is_dir()
    assert not (user_folder / "tiny").exists()


def test_the_shipped_models_are_sound() -> None:
    for model in catalog.list_models():
        if model.built_in:
            assert model.broken is None
            load_package(model.name).verify()
            assert sum(path.stat().st_size for path in model.folder.iterdir()) <= 16 * 2**20
            assert catalog.DISCLAIMER in catalog.card_text(model.folder)


def test_the_card_as_text(pristine: Path) -> None:
    text = catalog.card_text(pristine)
    for piece in (
        "Tiny T1 to T2 (tiny 1.0.0)",
        "T1-weighted MRI to T2-weighted MRI",
        "Computes axial slices",
        "Research tool. Not for diagnosis.",
        "2 for training, 1 for validation",
        "Apache-2.0",
        "phantom (1 subjects): psnr 23.46",
        "It knows no lesions.",
    ):
        assert piece in text


def test_scores_of_other_weights_are_told_apart(tmp_path: Path) -> None:
    score = {"family": "ms", "subjects": ["p1"], "protocol": "plain", "metrics": {"psnr": 20.0}}
    scores = [{**score, "weights": "tiny_fold_1"}, {**score, "subjects": ["p2"], "metrics": {"psnr": 22.0}}]
    folder = tiny_package(tmp_path / "tiny", scores=scores)
    text = catalog.card_text(folder)
    assert "ms (1 subjects, weights tiny_fold_1): psnr 20" in text
    assert "ms (1 subjects): psnr 22" in text
    assert catalog.main_score(json.loads((folder / "model.json").read_text(encoding="utf-8"))) == "psnr 20 to 22 (ms)"


def test_the_card_of_pictures_as_text(tmp_path: Path) -> None:
    text = catalog.card_text(tiny_package(tmp_path / "noise", task="generation"))
    assert "Random numbers to T1-weighted MRI, network dcgan_generator\nPictures of 16 x 16 pixels\n" in text
    text = catalog.card_text(tiny_package(tmp_path / "classes", task="classification"))
    assert "Chest X-ray to classes, network resnet_classifier\nPictures of 32 x 32 pixels\n" in text
    extra = language_model(tmp_path / "bert")
    radiograph = catalog.card_text(tiny_package(tmp_path / "report", task="radiograph", extra_files=extra))
    assert "Report to Chest X-ray, network report_generator\n" in radiograph
    assert "Language model: a tiny BERT of random weights (in the package)" in radiograph
    assert "Classes, any number of them in a picture: normal, effusion, nodule" in text


def test_foreign_text_cannot_disguise_itself_in_the_card(pristine: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pristine, tmp_path / "tiny"))
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    card["title"] = "Fine\n\nApproved for diagnosis\x1b[2J" + "a" * 10_000
    card["limits"] = [{"not": "text"}, 3]
    card["scores"] = ["none", {"metrics": {"psnr": "high", "mae": 3, "ssim": 10**400}}]
    (folder / "model.json").write_text(json.dumps(card))
    lines = catalog.card_text(folder).splitlines()
    assert lines[0].startswith("Fine Approved for diagnosis[2J")
    assert len(lines[0]) < 2100
    assert "Approved for diagnosis" not in lines[1:]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data/me"}, "/data/me/MRITranslate/models"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "~/.local/share/MRITranslate/models"),
        ("linux", {}, "~/.local/share/MRITranslate/models"),
        ("darwin", {}, "~/Library/Application Support/MRITranslate/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/MRITranslate/models"),
        ("linux", {"MRITRANSLATE_MODELS": "~/mine"}, "~/mine"),
    ],
)
def test_the_user_folder(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MRITRANSLATE_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert catalog.models_folder() == Path(expected.replace("~", str(tmp_path)))


def test_listing_needs_the_standard_library_only(pristine: Path, user_folder: Path) -> None:
    """As in a Slicer where nothing was installed yet: -S hides every site package."""
    shutil.copytree(pristine, user_folder / "tiny")
    code = (
        "import sys\n"
        "from MRITranslateLib import catalog\n"
        "model = [m for m in catalog.list_models() if not m.built_in][0]\n"
        "print(model.name, model.broken, 'Not for diagnosis' in catalog.card_text(model.folder))\n"
        "print({'torch', 'numpy', 'pydantic', 'SimpleITK'} & set(sys.modules))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=user_folder, check=True)
    assert done.stdout.split("\n")[:2] == ["tiny None True", "set()"]
