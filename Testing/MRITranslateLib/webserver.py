"""A web server of this computer with bad days, and packages to serve: for the tests of downloads."""

import hashlib
import json
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Page:
    """What the server does at one path.

    Attributes:
        body: The file.
        ranges: Whether it knows parts of files; shifted: it then sends another part than it was asked for.
        tag: Its ETag, or "".
        breaks_after: Bytes of the body after which it closes the connection, without a word.
        stated: What it says the length is; "" says nothing, None the truth.
        status, location: An answer without the body.
        hangs_s: How long it is silent before it answers; pause_s: before each 10 kB.
    """

    body: bytes = b""
    ranges: bool = True
    shifted: bool = False
    tag: str = ""
    breaks_after: int | None = None
    stated: str | None = None
    status: int = 200
    location: str = ""
    hangs_s: float = 0.0
    pause_s: float = 0.0


@dataclass
class Site:
    """The running server: its pages by path, and what it was asked."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def offer(self, *archives: Path, **changes: Any) -> str:
        """Serve these .zip files, and a catalogue of them; `changes` of its entries. The catalogue's address."""
        entries = [entry(archive, **changes) for archive in archives]
        for archive in archives:
            self.pages[f"/{archive.name}"] = Page(archive.read_bytes())
        self.pages["/catalogue.json"] = Page(json.dumps(entries).encode())
        return f"{self.address}/catalogue.json"

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of the requests for a path."""
        return [headers for asked, headers in self.requests if asked == path]


@contextmanager
def serving(certificate: Path | None = None, key: Path | None = None) -> Iterator[Site]:
    """A server on this computer; with a certificate and its key it speaks https."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            page = site.pages.get(self.path, Page(status=404))
            site.closed.wait(page.hangs_s)
            if page.status != 200:
                self.send_response(page.status)
                if page.location:
                    self.send_header("Location", page.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(page)

        def _send(self, page: Page) -> None:
            body, first = page.body, 0
            asked = self.headers.get("Range", "")
            same = self.headers.get("If-Range", page.tag) == page.tag
            if asked and page.ranges and same:
                first = int(asked.removeprefix("bytes=").rstrip("-"))
                if first >= len(body):
                    self.send_response(416)
                    self.end_headers()
                    return
                first -= 7 if page.shifted else 0
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                body = body[first:]
            else:
                self.send_response(200)
            if page.tag:
                self.send_header("ETag", page.tag)
            stated = str(len(body)) if page.stated is None else page.stated
            if stated:
                self.send_header("Content-Length", stated)
            self.end_headers()
            until = len(body) if page.breaks_after is None else page.breaks_after
            for start in range(0, until, 10_000):
                if page.pause_s and site.closed.wait(page.pause_s):
                    return
                try:
                    self.wfile.write(body[start : min(start + 10_000, until)])
                except OSError:  # the client has left
                    return

        def log_message(self, *_: object) -> None:
            """Tests look at what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site = Site(f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def zipped(package: Path, archive: Path, within: str = "") -> Path:
    """A package's folder as a .zip file, in a folder `within` it ("name/") or at its top."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                opened.write(path, within + path.relative_to(package).as_posix())
    return archive


def entry(archive: Path, **changes: Any) -> dict[str, Any]:
    """What a catalogue says of a .zip file that is named like its model."""
    content = archive.read_bytes()
    return {
        "name": archive.stem,
        "title": f"Model {archive.stem}",
        "source": "T1",
        "target": "T2",
        "version": "1.0.0",
        "url": archive.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0",
        **changes,
    }


def until(condition: Any, seconds: float = 20.0) -> None:
    """Wait for something that happens in another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
