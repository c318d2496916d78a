"""The worker adds, checks, downloads and removes models."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.service.client import WorkerClient
from Testing.MRITranslateLib.packages import tiny_package
from Testing.MRITranslateLib.webserver import Site, serving, zipped


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def worker(user_folder: Path) -> Iterator[WorkerClient]:
    with WorkerClient(environment={"OMP_NUM_THREADS": "1", "MRITRANSLATE_MODELS": str(user_folder)}) as client:
        yield client


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    return zipped(tiny_package(folder / "tiny"), folder / "tiny.zip")


@pytest.fixture
def site(archive: Path) -> Iterator[Site]:
    with serving() as site:
        site.offer(archive)
        yield site


def test_the_life_of_a_model(worker: WorkerClient, user_folder: Path, archive: Path) -> None:
    for source in (archive, archive.with_suffix("")):
        assert worker.request("add_model", {"source": str(source)}) == {"name": "tiny"}
        (answer,) = worker.request("verify", {"model": "tiny"})["models"]
        assert answer == {"name": "tiny", "ok": True, "sentence": "tiny 1.0.0 is complete and unaltered."}
        weights = user_folder / "tiny" / "weights.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        (user_folder / "empty").mkdir()
        answers = {answer["name"]: answer for answer in worker.request("verify", {"model": None})["models"]}
        assert [name for name, answer in answers.items() if not answer["ok"]] == ["empty", "tiny"]
        assert "SHA-256" in answers["tiny"]["sentence"]
        assert "no model.json" in answers["empty"]["sentence"]
        assert answers["t1_to_t2"]["ok"]
        for name in ("empty", "tiny"):
            assert worker.request("remove_model", {"name": name}) == {"name": name}
        assert list(user_folder.iterdir()) == []
    for method, params in (("verify", {"model": "tiny"}), ("remove_model", {"name": "tiny"})):
        with pytest.raises(InputError, match='no model "tiny"'):
            worker.request(method, params)
    with pytest.raises(InputError, match="stays"):
        worker.request("remove_model", {"name": "t1_to_t2"})
    with pytest.raises(InputError, match="There is no"):
        worker.request("add_model", {"source": str(user_folder / "nothing.zip")})


def test_a_download_with_reports_is_cancelled_and_resumed(worker: WorkerClient, user_folder: Path, site: Site) -> None:
    address = f"{site.address}/catalogue.json"
    (entry,) = worker.request("catalogue", {"address": address})["entries"]
    site.pages["/tiny.zip"].pause_s = 0.2
    stop = threading.Event()
    stages = []

    def heard(event: object) -> None:
        stages.append(event.fields["stage"])  # type: ignore[attr-defined]
        if event.fields["fraction"] > 0.3:  # type: ignore[attr-defined]
            stop.set()

    pid = worker.pid
    with pytest.raises(Cancelled):
        worker.request("download", {"entry": entry}, heard, stop.is_set)
    assert worker.pid == pid
    assert "Downloading" in stages
    assert len(list((user_folder / ".download").glob("*.part"))) == 1
    site.pages["/tiny.zip"].pause_s = 0.0
    assert worker.request("download", {"entry": entry}) == {"name": "tiny"}
    assert "range" in site.asked("/tiny.zip")[-1]
    assert [path.name for path in user_folder.iterdir()] == ["tiny"]
    shutil.rmtree(user_folder / "tiny")
    with pytest.raises(InputError, match="is not fetched"):
        worker.request("download", {"entry": {**entry, "url": "file:///etc/passwd"}})
    with pytest.raises(InputError, match="nothing at"):
        worker.request("catalogue", {"address": f"{site.address}/else.json"})
