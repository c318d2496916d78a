"""Downloads from a real server of this computer, on its good days and on its bad ones."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from MRITranslateLib import catalog, download, fetching
from MRITranslateLib.download import check_entry, choose, download_model, read_catalogue
from MRITranslateLib.errors import Cancelled, InputError, PackageError
from MRITranslateLib.package import load_package
from Testing.MRITranslateLib.badplaces import largest_file, without_rights
from Testing.MRITranslateLib.packages import tiny_package
from Testing.MRITranslateLib.webserver import Page, Site, serving, zipped

Usage = namedtuple("Usage", "total used free")
PATH = "/tiny.zip"
HALF = 20_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    made = zipped(tiny_package(folder / "tiny"), folder / "tiny.zip")
    assert made.stat().st_size > 2 * HALF
    return made


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(folder))
    return folder


def offered(site: Site, archive: Path, **page: Any) -> download.Entry:
    """The archive is served, by a page with these manners."""
    address = site.offer(archive)
    for key, value in page.items():
        setattr(site.pages[PATH], key, value)
    return choose(read_catalogue(address), "tiny")


def refused(call: Any, *words: str, kind: type[Exception] = InputError) -> str:
    """One sentence with these words."""
    with pytest.raises(kind) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for word in words:
        assert word in sentence
    return sentence


def nothing_left(user_folder: Path) -> bool:
    return not user_folder.exists() or list(user_folder.iterdir()) == []


def unfinished(user_folder: Path) -> bytes:
    (part,) = (user_folder / download.UNFINISHED).glob("*.part")
    return part.read_bytes()


# ---------------------------------------------------------------------------------------------- good days


def test_a_model_is_downloaded(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive)
    told: list[tuple[float, str, int, int]] = []
    added = download_model(wanted, lambda *report: told.append(report))
    assert added == user_folder / "tiny"
    load_package("tiny").verify()
    assert [path.name for path in user_folder.iterdir()] == ["tiny"]
    assert list(dict.fromkeys(stage for _, stage, _, _ in told)) == [
        "Downloading",
        "Checking the download",
        "Unpacking",
        "Checking the package",
    ]
    fractions = [fraction for fraction, _, _, _ in told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] <= 1


def test_a_complete_download_is_not_beyond_the_check_that_follows() -> None:
    assert {download.downloaded(size, size) for size in range(1, 10_000)} == {0.9}
    assert download.downloaded(0, 7) == 0.0


def test_a_server_learns_the_name_of_the_program_and_nothing_else(site: Site, archive: Path) -> None:
    download_model(offered(site, archive))
    assert [path for path, _ in site.requests] == ["/catalogue.json", PATH]
    for _, headers in site.requests:
        assert set(headers) == {"host", "user-agent", "connection", "accept-encoding"}
        assert headers["user-agent"].partition("/")[0] == "MRITranslate"
        for fact in (sys.platform, os.uname().release, socket.gethostname(), sys.version.split()[0]):
            assert fact not in headers["user-agent"]


def test_nothing_is_fetched_at_import() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import MRITranslateLib.download\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'requests'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------- broken off


@pytest.mark.parametrize("stated", [None, ""], ids=["length stated", "no length"])
@pytest.mark.parametrize("tag", ['"v1"', "", 'W/"v1"'])
def test_what_broke_off_is_resumed(site: Site, archive: Path, user_folder: Path, tag: str, stated: str | None) -> None:
    wanted = offered(site, archive, breaks_after=HALF, tag=tag, stated=stated)
    refused(lambda: download_model(wanted), "broke off", "are kept", "try again", kind=fetching.BrokenOff)
    assert unfinished(user_folder) == archive.read_bytes()[:HALF]
    assert catalog.find("t1_to_t2")
    site.pages[PATH].breaks_after = None
    assert download_model(wanted) == user_folder / "tiny"
    last = site.asked(PATH)[-1]
    assert last["range"] == f"bytes={HALF}-"
    assert last.get("if-range") == (tag if tag == '"v1"' else None)
    assert nothing_but(user_folder, "tiny")


def nothing_but(user_folder: Path, *names: str) -> bool:
    return sorted(path.name for path in user_folder.iterdir()) == sorted(names)


def test_a_server_that_knows_no_ranges_sends_all_again(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, breaks_after=HALF, ranges=False)
    refused(lambda: download_model(wanted), "broke off")
    site.pages[PATH].breaks_after = None
    assert download_model(wanted).is_dir()
    assert "range" in site.asked(PATH)[-1]


def test_another_version_by_now_is_not_mixed_in(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, breaks_after=HALF, tag='"v1"')
    site.pages[PATH].body = bytes(len(site.pages[PATH].body))
    refused(lambda: download_model(wanted), "broke off")
    site.pages[PATH] = Page(archive.read_bytes(), tag='"v2"')
    assert download_model(wanted).is_dir()


def test_another_part_than_the_one_asked_for(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, breaks_after=HALF)
    refused(lambda: download_model(wanted), "broke off")
    site.pages[PATH] = Page(archive.read_bytes(), shifted=True)
    refused(lambda: download_model(wanted), "another part")
    assert nothing_left(user_folder)
    assert download_model(wanted).is_dir()


def test_a_rest_that_the_server_does_not_have(site: Site, archive: Path, user_folder: Path) -> None:
    """The file was longer when the first part was fetched: the server says 416, and all is fetched again."""
    wanted = offered(site, archive, breaks_after=HALF)
    refused(lambda: download_model(wanted), "broke off")
    site.pages[PATH].body, site.pages[PATH].breaks_after = archive.read_bytes()[: HALF - 1], None
    refused(lambda: download_model(wanted), f"{HALF - 1:,} bytes")
    assert len(site.asked(PATH)) == 3
    assert nothing_left(user_folder)


# ---------------------------------------------------------------------------------------------- lies


def test_lies_about_the_length(site: Site, archive: Path, user_folder: Path) -> None:
    size = archive.stat().st_size
    wanted = offered(site, archive, stated=str(size + 1))
    refused(lambda: download_model(wanted), f"{size + 1:,} bytes", f"{size:,}")
    assert nothing_left(user_folder)
    wanted = offered(site, archive, stated="9" * 5000)
    assert download_model(wanted).is_dir()


def test_more_than_was_promised_is_not_taken(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, stated="")
    site.pages[PATH].body += bytes(50 << 20)
    refused(lambda: download_model(wanted), "sends more than", f"{archive.stat().st_size:,}")
    assert nothing_left(user_folder)


def test_less_than_was_promised(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive)
    site.pages[PATH].body = site.pages[PATH].body[:-1]
    refused(lambda: download_model(wanted), f"{archive.stat().st_size - 1:,} bytes")
    assert nothing_left(user_folder)


def test_a_wrong_hash_is_deleted(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive)
    changed = bytearray(site.pages[PATH].body)
    changed[1000] ^= 1
    site.pages[PATH].body = bytes(changed)
    refused(lambda: download_model(wanted), "SHA-256", "was deleted")
    assert nothing_left(user_folder)
    site.pages[PATH].body = archive.read_bytes()
    assert download_model(wanted).is_dir()


def test_a_part_that_was_tampered_with_is_found(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, breaks_after=HALF)
    refused(lambda: download_model(wanted), "broke off")
    (part,) = (user_folder / download.UNFINISHED).glob("*.part")
    part.write_bytes(bytes(HALF))
    site.pages[PATH].breaks_after = None
    refused(lambda: download_model(wanted), "SHA-256")
    assert download_model(wanted).is_dir()


def test_a_bomb_with_the_right_hash(site: Site, user_folder: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "tiny.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("model.json", "{}")
        opened.writestr("weights.safetensors", bytes(200 << 20))
    wanted = offered(site, bomb)
    refused(lambda: download_model(wanted), "would grow", kind=PackageError)
    assert nothing_left(user_folder)


def test_another_model_than_the_catalogue_says(site: Site, user_folder: Path, tmp_path: Path) -> None:
    other = zipped(tiny_package(tmp_path / "p", name="other"), tmp_path / "tiny.zip")
    wanted = offered(site, other)
    refused(lambda: download_model(wanted), '"other"', '"tiny"', kind=PackageError)
    assert nothing_left(user_folder)


# ---------------------------------------------------------------------------------------------- servers


def test_no_file_no_server_no_answer(
    site: Site, archive: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = offered(site, archive)
    for status, words in ((404, "nothing at"), (403, "not for everybody"), (500, "refuses"), (503, "try again later")):
        site.pages[PATH] = Page(status=status)
        refused(lambda: download_model(wanted), words, str(status))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    refused(lambda: read_catalogue(f"http://127.0.0.1:{port}/"), "accepts no connection", kind=fetching.BrokenOff)
    refused(lambda: read_catalogue("https://no-such-host.invalid/c.json"), "network", kind=fetching.BrokenOff)
    refused(
        lambda: read_catalogue(site.address.replace("http", "https") + "/c.json"), "secure", kind=fetching.BrokenOff
    )
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    site.pages[PATH] = Page(archive.read_bytes(), hangs_s=30)
    refused(lambda: download_model(wanted), "did not answer within 0.3 s", kind=fetching.BrokenOff)
    assert nothing_left(user_folder)


def test_a_server_that_cannot_prove_who_it_is(site: Site, archive: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    with serving(certificate, key) as secure:
        address = secure.offer(archive)
        refused(lambda: read_catalogue(address), "certificate", kind=fetching.BrokenOff)
        assert secure.requests == []


def test_silence_in_the_middle(site: Site, archive: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = offered(site, archive, pause_s=2.0)
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    site.pages["/quick.zip"] = Page(archive.read_bytes())
    refused(lambda: download_model(wanted), "did not answer within 0.3 s", kind=fetching.BrokenOff)


def test_a_server_may_send_on_within_itself_only(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive)
    with serving() as other:
        other.pages[PATH] = site.pages.pop(PATH)
        for location in (f"{other.address}{PATH}", f"https://127.0.0.1{PATH}", "https://evil.example/x?token=1"):
            site.pages[PATH] = Page(status=302, location=location)
            refused(lambda: download_model(wanted), "sends on to", "is not followed")
        for location in ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:x/", PATH):
            site.pages[PATH] = Page(status=301, location=location)
            refused(lambda: download_model(wanted))
        assert other.requests == []
        assert nothing_left(user_folder)
        site.pages["/moved.zip"] = Page(archive.read_bytes())
        site.pages[PATH] = Page(status=307, location="/moved.zip")
        assert download_model(wanted).is_dir()


# ---------------------------------------------------------------------------------------------- this computer


def test_cancelling_is_quick_and_keeps_what_has_arrived(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive, pause_s=0.05)
    stop = threading.Event()
    with pytest.raises(Cancelled):
        download_model(wanted, lambda fraction, *_: stop.set() if fraction > 0.2 else None, stop.is_set)
    kept = len(unfinished(user_folder))
    assert kept >= 10_000
    site.pages[PATH].pause_s = 0
    assert download_model(wanted).is_dir()
    assert site.asked(PATH)[-1]["range"] == f"bytes={kept}-"
    site.pages["/catalogue.json"].hangs_s = 30
    began = time.monotonic()
    with pytest.raises(Cancelled):
        read_catalogue(f"{site.address}/catalogue.json", lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 1.0


def test_a_model_that_is_there_already_costs_no_download(site: Site, archive: Path) -> None:
    wanted = offered(site, archive)
    download_model(wanted)
    refused(lambda: download_model(wanted), "exists already")
    assert len(site.asked(PATH)) == 1


def test_two_programs_at_once(site: Site, archive: Path, user_folder: Path) -> None:
    pytest.importorskip("fcntl")
    wanted = offered(site, archive, pause_s=0.05)
    answers: list[str] = []

    def meanwhile(fraction: float, *_: object) -> None:
        if not answers:
            answers.append(refused(lambda: download_model(wanted), "by another program"))

    assert download_model(wanted, meanwhile).is_dir()
    assert answers


def test_a_folder_without_write_permission(site: Site, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = offered(site, archive)
    with without_rights() as folder:
        for place in (folder, folder / "deeper" / "models"):
            monkeypatch.setenv("MRITRANSLATE_MODELS", str(place))
            refused(lambda: download_model(wanted), "cannot be written (Permission denied)", str(place))
        assert list(folder.iterdir()) == []
    assert site.asked(PATH) == []


def test_a_folder_without_write_permission_takes_no_package(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(), without_rights() as folder:
        monkeypatch.setenv("MRITRANSLATE_MODELS", str(folder))
        readable = Path(os.path.realpath("/tmp")) / f"mritranslate-test-{os.getpid()}.zip"
        monkeypatch.setattr("MRITranslateLib.archives.unpack", lambda *_: pytest.fail("it was unpacked somewhere"))
        try:
            readable.write_bytes(b"PK")
            refused(lambda: catalog.add_model(readable), "cannot be written (Permission denied)")
        finally:
            readable.unlink()
        assert list(folder.iterdir()) == []


def test_no_room_is_said_before_anything_is_fetched(
    site: Site, archive: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = check_entry({**vars(offered(site, archive)), "bytes": 3_000_000_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 5 * 10**9, 5 * 10**9))
    refused(lambda: download_model(wanted), "5,000 MB free", "6,017 MB are needed")
    assert site.asked(PATH) == []
    assert nothing_left(user_folder)


def test_a_disk_that_fills_up_in_the_middle(site: Site, archive: Path, user_folder: Path) -> None:
    wanted = offered(site, archive)
    with largest_file(HALF):
        refused(lambda: download_model(wanted), "cannot be written", "free space")
    assert nothing_left(user_folder)
    assert download_model(wanted).is_dir()


def test_a_disk_that_fills_up_while_unpacking(site: Site, user_folder: Path, tmp_path: Path) -> None:
    """The archive fits and is kept, what is in it does not and leaves nothing."""
    package = tiny_package(tmp_path / "tiny")
    (package / "README.md").write_text("A long story.\n" * 30_000)
    wanted = offered(site, zipped(package, tmp_path / "tiny.zip"))
    with largest_file(wanted.bytes):
        refused(lambda: download_model(wanted), "cannot be written")
    assert nothing_but(user_folder, download.UNFINISHED)
    assert len(unfinished(user_folder)) == wanted.bytes
    assert download_model(wanted).is_dir()
    assert len(site.asked(PATH)) == 1  # it was all there


def test_old_leftovers_go(site: Site, archive: Path, user_folder: Path) -> None:
    (folder := user_folder / download.UNFINISHED).mkdir(parents=True)
    for name, days in (("old-1.part", 40), ("new-1.part", 3)):
        (folder / name).write_bytes(b"part")
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    download_model(offered(site, archive))
    assert [path.name for path in folder.iterdir()] == ["new-1.part"]
