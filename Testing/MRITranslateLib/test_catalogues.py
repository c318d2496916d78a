"""Addresses that are fetched from, and the catalogues that lie there: every byte of them is checked."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from MRITranslateLib.download import check_entry, choose, read_catalogue
from Testing.MRITranslateLib.webserver import Page, Site, entry, serving

from .test_download import PATH, refused


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only its size and hash count here."""
    made = tmp_path_factory.mktemp("packages") / "tiny.zip"
    made.write_bytes(b"PK" * 10_000)
    return made


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.mark.parametrize(
    "address",
    [
        "",
        "catalogue.json",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://localhost/c.json",
        "data:application/json,[]",
        "http://example.org/c.json",
        "http://localhost.example.org/c.json",
        "http://127.0.0.1@example.org/c.json",
        "https://",
        "https:///c.json",
        "https://user:secret@example.org/c.json",
        "https://example.org:port/c.json",
        "https://[::1/c.json",
        "https://example.org/c json",
        "https://example.org/c\r\nHost: other",
        "https://example.org/" + "c" * 3000,
        "https://exämple.org/",
    ],
)
def test_addresses_that_are_not_fetched(address: str) -> None:
    assert "secret" not in refused(lambda: read_catalogue(address))


def test_a_catalogue_is_read(site: Site, archive: Path) -> None:
    address = site.offer(archive)
    (found,) = read_catalogue(address)
    assert (found.name, found.title, found.source, found.target) == ("tiny", "Model tiny", "T1", "T2")
    assert found.url == f"{site.address}{PATH}"
    assert found.bytes == archive.stat().st_size
    refused(lambda: choose([found], "tinny"), "tiny")
    refused(lambda: choose([], "tiny"), "empty")
    assert check_entry(vars(found)) == found


BAD = {
    "name": ["", "../x", "Tiny", "a" * 65, 3, None, "tiny\n"],
    "title": ["", "a\nb", "x" * 201, None],
    "source": ["T9", None, ["T1"]],
    "target": ["brain", 2],
    "version": ["", 1.0],
    "url": ["http://example.org/x.zip", "file:///x.zip", "//example.org/x", "", "https://[", None],
    "bytes": [0, -1, 1.5, True, "5", 10**12, None],
    "sha256": ["", "0" * 63, "g" * 64, None],
    "licence": ["", "\x1b[2J", None],
}


def test_every_field_of_a_catalogue_is_checked(site: Site, archive: Path) -> None:
    address = site.offer(archive)
    for key, values in BAD.items():
        for value in values:
            site.pages["/catalogue.json"].body = json.dumps([entry(archive), entry(archive, **{key: value})]).encode()
            refused(lambda: read_catalogue(address), "model 2", key)


def test_what_is_no_catalogue(site: Site, archive: Path) -> None:
    address = site.offer(archive)
    page = site.pages["/catalogue.json"]
    for content, words in (
        (b"<html>hello</html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"", "not JSON"),
        (b"{}", "not a list"),
        (json.dumps([{}] * 201).encode(), "200"),
        (b"[3]", "not a record"),
        (json.dumps([entry(archive), entry(archive)]).encode(), "twice"),
        (b" " * (2 << 20), "larger than 256 KiB"),
    ):
        page.body = content
        refused(lambda: read_catalogue(address), words)
    page.body, page.breaks_after = b"[]" + b" " * 100, 2
    refused(lambda: read_catalogue(address), "broke off")


def test_the_catalogue_of_the_documents_is_one(site: Site) -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    site.pages["/catalogue.json"] = Page(re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0].encode())
    (found,) = read_catalogue(f"{site.address}/catalogue.json")
    assert found.url == f"{site.address}/flair_to_t1-0.2.0.zip"


def test_the_largest_catalogue_fits_into_a_line_of_the_protocol(site: Site, archive: Path) -> None:
    from MRITranslateLib.service import messages

    address = site.offer(archive)
    base = entry(archive, url="x" * (1000 - len(site.address) - 1), version="𝔳")
    rest = (1 << 18) // 200 - len(json.dumps(base, ensure_ascii=False).encode()) - 20
    assert rest > 0
    many = [{**base, "name": f"tiny_{number}", "title": "𝔱" * min(200, rest // 4)} for number in range(200)]
    site.pages["/catalogue.json"].body = json.dumps(many, ensure_ascii=False).encode()
    entries = read_catalogue(address)
    assert messages.result("r1", "catalogue", {"entries": [vars(entry) for entry in entries]})
