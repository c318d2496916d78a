"""One GET of a public file: addresses that are allowed, bounded waiting, and a sentence for whatever goes wrong.

Standard library only; nothing is fetched at import. A server learns what any GET tells it and the name of this program,
nothing of the machine or of what is done on it.
"""

import http.client
import queue
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

from . import __version__
from .errors import Cancelled, InputError, printable

TIMEOUT_S = 20.0
"""How long a server may be silent."""
_POLL_S = 0.1
_PIECE = 1 << 16
_WAITING_PIECES = 16
_LONGEST_ADDRESS = 1000
_LOCAL = ("localhost", "127.0.0.1", "::1")

Cancel = Callable[[], bool]


class BrokenOff(InputError):
    """The connection failed, or ended too early: another try may do better."""


class BadStatus(InputError):
    """The server refused; `status` is HTTP's number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_address(address: str) -> str:
    """The address, if it is one that may be fetched from: https, or http on this computer itself.

    Raises:
        InputError: It is not; the sentence says why.
    """
    try:
        parts = urlsplit(address)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        raise InputError(
            f'"{printable(address, 200)}" is not an address; give one that begins with https://.'
        ) from None
    if not address.isascii() or not address.isprintable() or " " in address or len(address) > _LONGEST_ADDRESS:
        raise InputError(f'"{printable(address, 200)}" is not an address; give one that begins with https://.')
    local = parts.scheme == "http" and parts.hostname in _LOCAL
    if not (parts.scheme == "https" or local) or not parts.hostname or not port_is_number:
        raise InputError(f'"{printable(address, 200)}" is not fetched; give an address that begins with https://.')
    if parts.username is not None or parts.password is not None:
        raise InputError("An address with a user name or a password is not fetched; give one without.")
    return address


def shown(address: str) -> str:
    """The address for a sentence: without its query, which may be a secret."""
    parts = urlsplit(address)
    return printable(f"{parts.scheme}://{parts.netloc}{parts.path}", 200)


class Answer:
    """What a server sends.

    Attributes:
        status: HTTP's number, 200 or 206.
        headers: By name, in any case of letters.
    """

    def __init__(self, status: int, headers: Message, pieces: Iterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """The pieces of the body as they come. Raises BrokenOff if the connection fails, Cancelled."""
        return self._pieces

    @property
    def length(self) -> int | None:
        """Bytes of the body as the server states them, None if it does not."""
        stated = self.headers.get("Content-Length", "")
        return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None


@contextmanager
def get(address: str, headers: Mapping[str, str], cancel: Cancel | None = None) -> Iterator[Answer]:
    """Ask a server for a file; the connection is given up after the block.

    Args:
        address: See `check_address`. A server may send on to another path of its own, nowhere else.
        headers: Of the request, beside the name of this program.
        cancel: Asked ten times a second, also while the server is silent.

    Raises:
        InputError: The address is not allowed, or the server sends on to another server.
        BadStatus: The server refuses.
        BrokenOff: It cannot be reached, or does not answer in time.
        Cancelled: `cancel` said so.
    """
    check_address(address)
    request = urllib.request.Request(address, headers={"User-Agent": f"MRITranslate/{__version__}", **headers})
    reader = _Reader(request, cancel or (lambda: False))
    try:
        status, received = reader.next()
        yield Answer(status, received, iter(reader.next, None))
    finally:
        reader.left.set()


class _Reader:
    """Reads an answer in a thread of its own, since a wait for a silent server cannot be interrupted otherwise.

    A thread that is left in such a wait ends with the time-out of its connection.
    """

    def __init__(self, request: urllib.request.Request, cancel: Cancel) -> None:
        self._request = request
        self._cancel = cancel
        self._items: queue.Queue[Any] = queue.Queue(_WAITING_PIECES)
        self.left = threading.Event()
        threading.Thread(target=self._read, name="fetching", daemon=True).start()

    def next(self) -> Any:
        """First (status, headers), then pieces of the body, then None."""
        while True:
            if self._cancel():
                raise Cancelled
            try:
                item = self._items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, Exception):
                raise _explain(item, self._request.full_url) from None
            return item

    def _read(self) -> None:
        try:
            with _opener(self._request.full_url).open(self._request, timeout=TIMEOUT_S) as response:
                self._put((response.status, response.headers))
                while not self.left.is_set() and (piece := response.read1(_PIECE)):
                    self._put(piece)
                self._put(None)
        except Exception as error:  # whatever it is, the other thread waits for it
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self.left.is_set():
            try:
                self._items.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue


class _WithinTheServer(urllib.request.HTTPRedirectHandler):
    """Follows a server to another of its own addresses only: the user agreed to this server."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if _origin(newurl) != _origin(req.full_url):
            parts = urlsplit(newurl)
            raise InputError(
                f'"{shown(req.full_url)}" sends on to {printable(parts.scheme, 20)}://{printable(parts.netloc, 100)}, '
                "which is not followed; use that address itself if you trust it."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts: SplitResult = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _opener(address: str) -> urllib.request.OpenerDirector:
    """Understands http and https and nothing else: urllib's own also reads files of this computer."""
    local = urlsplit(address).hostname in _LOCAL
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if local else None),  # None: as the system says
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _WithinTheServer(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _explain(error: Exception, address: str) -> Exception:
    """A sentence for what went wrong with a connection."""
    if isinstance(error, InputError):
        return error
    place = f'"{shown(address)}"'
    if isinstance(error, urllib.error.HTTPError):
        return BadStatus(_refusal(error.code, place), error.code)
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return BrokenOff(f"{place} cannot prove who it is (its certificate is not accepted); ask who runs it.")
    if isinstance(reason, ssl.SSLError):
        return BrokenOff(f"No secure connection to {place} could be made; check the address.")
    if isinstance(reason, TimeoutError):
        return BrokenOff(f"{place} did not answer within {TIMEOUT_S:g} s; try again later.")
    if isinstance(reason, socket.gaierror):
        return BrokenOff(f"The server of {place} was not found; check the address and the network connection.")
    if isinstance(reason, ConnectionRefusedError):
        return BrokenOff(f"The server of {place} accepts no connection; check the address, or try again later.")
    if isinstance(reason, OSError | http.client.HTTPException | ValueError):
        return BrokenOff(f"The connection to {place} broke off; try again.")
    return error


def _refusal(status: int, place: str) -> str:
    if status in (404, 410):
        return f"There is nothing at {place} (the server says {status}); check the address, or ask who publishes it."
    if status in (401, 403, 407):
        return f"{place} is not for everybody (the server says {status}); ask who publishes it."
    if 300 <= status < 400:
        return f"{place} sends on in circles or to no allowed address; ask who publishes it."
    return f"The server refuses {place} (it says {status}); try again later, or ask who publishes it."
