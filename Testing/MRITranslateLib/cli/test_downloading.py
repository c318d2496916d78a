"""`mritranslate models` with .zip files and catalogues."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from MRITranslateLib.download import UNFINISHED
from Testing.MRITranslateLib.packages import tiny_package
from Testing.MRITranslateLib.webserver import Site, serving, until, zipped

from .cases import Run, refused

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    return zipped(tiny_package(folder / "tiny"), folder / "tiny.zip")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def test_add_a_zip_file(run: Run, archive: Path, results: Path) -> None:
    ended = run("models", "add", archive)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Added tiny: ")
    assert run("models", "verify", "tiny").code == 0
    refused(run("models", "add", archive), results, "exists already")
    (results / "page.zip").write_text("<html>")
    again = run("models", "add", results / "page.zip")
    assert again.code == 2
    assert "not a complete .zip" in again.err


def test_catalogue_and_download(run: Run, archive: Path, site: Site, results: Path, tmp_path: Path) -> None:
    address = site.offer(archive)
    listed = run("models", "catalogue", "--catalogue", address)
    assert listed.code == 0, listed.err
    assert listed.out.startswith("tiny  T1 to T2, Model tiny, 1.0.0, 0.0 MB, Apache-2.0")
    assert "installed" not in listed.out
    (entry,) = run("models", "catalogue", "--catalogue", address, "--json").json["entries"]
    assert entry["url"] == f"{site.address}/tiny.zip"
    refused(run("models", "download", "tinny", "--catalogue", address), results, "tiny")
    site.pages["/tiny.zip"].breaks_after = 20_000
    broken = run("models", "download", "tiny", "--catalogue", address)
    refused(broken, results, "broke off", "are kept")
    site.pages["/tiny.zip"].breaks_after = None
    ended = run("models", "download", "tiny", "--catalogue", address, "--json")
    assert ended.json == {"model": "tiny", "folder": str(tmp_path / "models" / "tiny")}
    assert site.asked("/tiny.zip")[-1]["range"] == "bytes=20000-"
    assert ", installed" in run("models", "catalogue", "--catalogue", address).out
    asked = len(site.requests)
    refused(run("models", "download", "tiny", "--catalogue", address), results, "exists already")
    assert len(site.requests) == asked


def test_the_catalogue_of_the_environment(run: Run, archive: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("models", "download", "tiny").code == 2  # no address
    monkeypatch.setenv("MRITRANSLATE_CATALOGUE", site.offer(archive))
    assert run("models", "download", "tiny").code == 0


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_an_interrupted_download_is_resumed(
    run: Run, archive: Path, site: Site, tmp_path: Path, how: signal.Signals
) -> None:
    address = site.offer(archive)
    site.pages["/tiny.zip"].pause_s = 0.3
    command = [sys.executable, "-m", "MRITranslateLib.cli", "models", "download", "tiny", "--catalogue", address]
    environment = {**os.environ, "MRITRANSLATE_MODELS": str(tmp_path / "models")}
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a test run in the background hands down "ignore"
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, encoding="utf-8", preexec_fn=heeding
    )
    parts = tmp_path / "models" / UNFINISHED
    until(lambda: any(path.stat().st_size for path in parts.glob("*.part")), 60)
    process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (130 if how == signal.SIGINT else -how), errors
    (part,) = parts.glob("*.part")
    kept = part.stat().st_size
    site.pages["/tiny.zip"].pause_s = 0.0
    assert run("models", "download", "tiny", "--catalogue", address).code == 0
    assert site.asked("/tiny.zip")[-1]["range"] == f"bytes={kept}-"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny"]
    assert json.loads((tmp_path / "models" / "tiny" / "model.json").read_text(encoding="utf-8"))["name"] == "tiny"
