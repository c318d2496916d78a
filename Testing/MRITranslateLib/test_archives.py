"""Packages as .zip files: the good ones are added, whatever an attacker packs is refused and leaves nothing."""

import os
import random
import shutil
import stat
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from MRITranslateLib import archives, catalog
from MRITranslateLib.errors import Cancelled, InputError, PackageError
from MRITranslateLib.package import load_package
from Testing.MRITranslateLib.packages import language_model, tiny_package
from Testing.MRITranslateLib.webserver import zipped

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny")


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(folder))
    return folder


def refused(archive: Path, user_folder: Path, *words: str) -> None:
    """One sentence, and nothing left behind."""
    with pytest.raises(InputError) as caught:
        catalog.add_model(archive)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for word in words:
        assert word in sentence
    assert not user_folder.exists() or list(user_folder.iterdir()) == []


@pytest.mark.parametrize("within", ["", "tiny/", "Ein Ordner/"])
def test_a_packed_package_is_added(pristine: Path, user_folder: Path, tmp_path: Path, within: str) -> None:
    archive = zipped(pristine, tmp_path / "a file.zip", within)
    stages = []
    added = catalog.add_model(archive, progress=lambda fraction, stage, done, total: stages.append((stage, fraction)))
    assert added == user_folder / "tiny"
    assert {path.name: path.read_bytes() for path in added.iterdir()} == {
        path.name: path.read_bytes() for path in pristine.iterdir()
    }
    load_package("tiny").verify()
    assert list(user_folder.iterdir()) == [added]
    assert {stage for stage, _ in stages} == {"Unpacking", "Checking the package"}
    assert [fraction for _, fraction in stages] == sorted(fraction for _, fraction in stages)
    with pytest.raises(InputError, match="exists already"):
        catalog.add_model(archive)
    assert list(user_folder.iterdir()) == [added]


def test_a_language_model_comes_along(user_folder: Path, tmp_path: Path) -> None:
    package = tiny_package(tmp_path / "report", task="radiograph", extra_files=language_model(tmp_path / "bert"))
    archive = zipped(package, tmp_path / "r.zip", "tiny_report/")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.mkdir("tiny_report/text")
    added = catalog.add_model(archive)
    assert sorted(path.name for path in (added / "text").iterdir()) == sorted(
        path.name for path in (package / "text").iterdir()
    )


def test_the_card_stands_for_its_folder(pristine: Path, user_folder: Path) -> None:
    """What a file dialog can choose."""
    assert catalog.add_model(pristine / "model.json") == user_folder / "tiny"


Hostile = dict[str, tuple[str, str]]
NAMES: Hostile = {
    "out of the folder": ("../model.json", "no model package has"),
    "out of a folder within": ("tiny/../../model.json", "no model package has"),
    "absolute": ("/model.json", "no model package has"),
    "with a drive": ("C:/model.json", "no model package has"),
    "backslashes": ("..\\model.json", "no model package has"),
    "a program": ("setup.py", "no model package has"),
    "a pickle": ("weights.pt", "no model package has"),
    "deeper": ("text/more/config.json", "no model package has"),
    "line end": ("model.json\n", "no model package has"),
}


@pytest.mark.parametrize(("name", "words"), NAMES.values(), ids=NAMES.keys())
def test_names_that_no_package_has(pristine: Path, user_folder: Path, tmp_path: Path, name: str, words: str) -> None:
    archive = zipped(pristine, tmp_path / "bad.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, b"x")
    refused(archive, user_folder, words)
    assert sorted(path.name for path in tmp_path.iterdir()) in (["bad.zip"], ["bad.zip", "models"])


def test_links_and_devices(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR):
        archive = zipped(pristine, tmp_path / "bad.zip")
        with zipfile.ZipFile(archive, "a") as opened:
            info = zipfile.ZipInfo("text/vocab.txt")
            info.external_attr = (kind | 0o644) << 16
            opened.writestr(info, "/etc/passwd")
        refused(archive, user_folder, "link or a special file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    archive = zipped(pristine, tmp_path / "bad.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("README.md", "another one")
    refused(archive, user_folder, "twice")
    archive = zipped(pristine, tmp_path / "bad.zip", "tiny/")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("README.md", "beside the folder")
    refused(archive, user_folder, "no model package has")


def test_a_bomb(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    (bomb := Path(shutil.copytree(pristine, tmp_path / "bomb")) / "weights.safetensors").write_bytes(bytes(300 << 20))
    archive = zipped(bomb.parent, tmp_path / "bad.zip")
    assert archive.stat().st_size < 1 << 20
    refused(archive, user_folder, "would grow", "314,572,800")


def patched(archive: Path, name: bytes, offset: int, value: int) -> Path:
    """Change a 4-byte field of an entry of the table of contents."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(name))
    data[start + offset : start + offset + 4] = value.to_bytes(4, "little")
    archive.write_bytes(data)
    return archive


def test_sizes_that_are_not_true(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    size = (pristine / "weights.safetensors").stat().st_size
    for declared, words in ((2**32 - 2, "are allowed"), (size + 100, "size"), (size - 100, "not a complete .zip")):
        archive = patched(zipped(pristine, tmp_path / "bad.zip"), b"weights.safetensors", 24, declared)
        refused(archive, user_folder, words)
    refused(patched(zipped(pristine, tmp_path / "bad.zip"), b"model.json", 24, 1 << 21), user_folder, "are allowed")


def test_a_table_of_contents_that_fills_the_memory(user_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for number in range(20_000):
            opened.writestr(f"{number:050}", b"")
    refused(archive, user_folder, "not a complete .zip")


def test_what_is_no_archive(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    archive = zipped(pristine, tmp_path / "cut.zip")
    archive.write_bytes(archive.read_bytes()[:-3000])
    refused(archive, user_folder, "not a complete .zip")
    data = bytearray(zipped(pristine, archive).read_bytes())
    data[-6:-2] = (int.from_bytes(data[-6:-2], "little") + 1000).to_bytes(4, "little")  # where the contents begin
    archive.write_bytes(data)
    refused(archive, user_folder, "not a complete .zip")
    for content in (b"", b"PK", b"<html>", bytes(5000)):
        archive.write_bytes(content)
        refused(archive, user_folder, "not a complete .zip")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("README.md", "only that")
    refused(archive, user_folder, "no model.json")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("model.json", "{}")
    refused(archive, user_folder, "unusual")
    refused(patched(zipped(pristine, archive), b"model.json", 8, 1), user_folder, "encrypted")
    refused(tmp_path / "missing.zip", user_folder, "There is no")


def test_a_broken_package_in_a_sound_archive(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(pristine, tmp_path / "bad"))
    content = bytearray((bad / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (bad / "weights.safetensors").write_bytes(content)
    refused(zipped(bad, tmp_path / "bad.zip"), user_folder, "SHA-256")
    (bad / "README.md").unlink()
    shutil.copyfile(pristine / "weights.safetensors", bad / "weights.safetensors")
    refused(zipped(bad, tmp_path / "bad.zip"), user_folder, "README.md")


def test_damaged_archives_only_get_a_sentence(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    """Bytes changed at random, most of them where zip's own structures are."""
    archive = zipped(pristine, tmp_path / "bad.zip")
    sound = archive.read_bytes()
    picked = random.Random(7)
    refusals = []
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(picked.choice((1, 3, 20))):
            place = picked.randrange(max(0, len(data) - 900), len(data)) if picked.random() < 0.8 else 0
            data[place + (0 if place else picked.randrange(100))] = picked.randrange(256)
        archive.write_bytes(data[: picked.choice((len(data), len(data) - picked.randrange(400)))])
        into = tmp_path / "into"
        into.mkdir()
        try:
            archives.unpack(archive, into)
        except PackageError as error:
            refusals.append(str(error))
        shutil.rmtree(into)
    assert len(refusals) > 50
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in refusals)


def test_cancelling_leaves_nothing(pristine: Path, user_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        catalog.add_model(zipped(pristine, tmp_path / "t.zip"), cancel=lambda: True)
    with pytest.raises(Cancelled):
        catalog.add_model(pristine, cancel=lambda: True)
    assert list(user_folder.iterdir()) == []
    asked = iter((False, False, True))
    with pytest.raises(Cancelled):  # between two pieces
        archives.unpack(tmp_path / "t.zip", tmp_path, cancel=lambda: next(asked))
    with pytest.raises(StopIteration):
        next(asked)


def test_bytes_are_counted_as_people_read_them() -> None:
    assert archives.counted("Unpacking", 2_400_000, 12_000_000) == ("Unpacking (MB)", 2, 12)
    assert archives.counted("Unpacking", 100, 12_000) == ("Unpacking", 0, 1)


def test_no_room(pristine: Path, user_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 5_000_000, 5_000_000))
    for source in (zipped(pristine, tmp_path / "t.zip"), pristine):
        refused(source, user_folder, "5 MB free", "17 MB are needed")


def test_leftovers_of_a_killed_process_go_a_day_later(
    pristine: Path, user_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, age in ((".adding-old", 2 * 24 * 3600), (".adding-new", 60)):
        (user_folder / name).mkdir(parents=True)
        (user_folder / name / "weights.safetensors").write_bytes(b"half")
        os.utime(user_folder / name, (time.time() - age,) * 2)
    catalog.add_model(zipped(pristine, tmp_path / "t.zip"))
    assert sorted(path.name for path in user_folder.iterdir()) == [".adding-new", "tiny"]
