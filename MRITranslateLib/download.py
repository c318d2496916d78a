"""Models from a catalogue on the Internet: what it offers, and one of them into the user's folder.

A catalogue is a JSON file, a list of {name, title, source, target, version, url, bytes, sha256, licence}; url is the
address of the package's .zip file, relative to the catalogue's or whole. Nothing is asked of any server before the user
asks for it. A download goes into a file of its own within the user's folder of models and is resumed where it broke
off; only when its size and hash are those of the catalogue is it unpacked, checked and put in place, in one step.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin

from . import catalog, fetching, files
from .archives import counted
from .errors import Cancelled, InputError, PackageError, printable
from .fetching import BadStatus, BrokenOff
from .folders import check_space, unwritable
from .modality import MODALITIES

MOST_CATALOGUE_BYTES = 1 << 18
MOST_ENTRIES = 200
"""So that a catalogue fits into a line of the worker's protocol, whatever letters it is written in."""
MOST_BYTES = 3 * files.MOST_WEIGHTS_BYTES
"""Of a package: two networks and a language model."""
UNFINISHED = ".download"
"""Folder of the downloads that are not finished, within the user's folder of models."""
_STALE_S = 30 * 24 * 3600
"""After so long an unfinished download is removed when the next one begins."""
_PIECE = 1 << 20
_DOWNLOAD = 0.9
"""Share of the work; the rest is checking and unpacking."""

Progress = Callable[[float, str, int, int], None]
Cancel = Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of a catalogue.

    Attributes:
        name, title, source, target, version: As on its card; source and target are "" where its task has none.
        url: Address of the package's .zip file.
        bytes, sha256: Of that file; the hash in small hexadecimal digits.
        licence: Of the weights.
    """

    name: str
    title: str
    source: str
    target: str
    version: str
    url: str
    bytes: int
    sha256: str
    licence: str


def read_catalogue(address: str, cancel: Cancel | None = None) -> list[Entry]:
    """Fetch a catalogue and check it.

    Raises:
        InputError: The address is not allowed, nothing can be fetched from it, or it is no catalogue; see `fetching`.
        Cancelled: `cancel` said so.
    """
    text = b""
    with fetching.get(address, {}, cancel) as answer:
        for piece in answer:
            text += piece
            if len(text) > MOST_CATALOGUE_BYTES:
                raise InputError(
                    f'The catalogue at "{fetching.shown(address)}" is larger than {MOST_CATALOGUE_BYTES >> 10} KiB; '
                    "check the address."
                )
        if answer.length is not None and answer.length != len(text):
            raise BrokenOff(f'The connection to "{fetching.shown(address)}" broke off; try again.')
    where = f'The catalogue at "{fetching.shown(address)}"'
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is not JSON; check the address, it may be that of a page about it.") from None
    if not isinstance(listed, list) or len(listed) > MOST_ENTRIES:
        raise InputError(f"{where} is not a list of at most {MOST_ENTRIES} models; check the address.")
    entries = [_entry(item, address, f"{where}, model {number},") for number, item in enumerate(listed, 1)]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f'{where} offers "{name}" twice; ask who publishes it.')
    return entries


def choose(entries: list[Entry], name: str) -> Entry:
    """The entry of a name. Raises InputError with the nearest names."""
    for entry in entries:
        if entry.name == name:
            return entry
    names = [entry.name for entry in entries]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5) or names[:20]
    advice = f"it offers {', '.join(near)}" if near else "it is empty"
    raise InputError(f'The catalogue offers no model "{printable(name, 80)}"; {advice}.')


def check_entry(facts: dict[str, Any]) -> Entry:
    """An entry that came from somewhere else than `read_catalogue`. Raises InputError."""
    return _entry(facts, "", "The entry")


def download_model(entry: Entry, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """Download a model and add it; what was there of an earlier try is not fetched again.

    Args:
        progress: Called with (fraction, stage, done, total), counted as the stage says.
        cancel: Asked ten times a second; what has arrived is kept.

    Returns:
        The folder of the new model.

    Raises:
        InputError: A model of that name exists, the user's folder cannot be written or has no room, or the server
            cannot be reached, refuses, or sends something else than the catalogue promises. What has arrived is kept
            where that helps another try, see BrokenOff, and removed where it does not.
        PackageError: What was downloaded is no sound package.
        Cancelled: `cancel` said so.
    """
    tell = progress or (lambda fraction, stage, done, total: None)
    ask = cancel or (lambda: False)
    catalog.check_free_name(entry.name)
    folder = catalog.models_folder() / UNFINISHED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with _part(folder, entry) as (path, part):
            have = part.seek(0, os.SEEK_END)
            check_space(catalog.models_folder(), entry.bytes - have + entry.bytes)  # the file, and its contents
            _fetch(entry, path, part, tell, ask)
            _check(entry, path, part, tell, ask)
            part.flush()
            try:
                added = catalog.add_model(
                    path, entry.name, lambda fraction, *rest: tell(_DOWNLOAD + (1 - _DOWNLOAD) * fraction, *rest), ask
                )
            except PackageError:
                _start_over(path, part)
                raise
            _start_over(path, part)
            return added
    except OSError as error:
        raise unwritable(folder.parent, error) from None
    finally:
        with contextlib.suppress(OSError):  # it holds another download, or never was
            folder.rmdir()


def _entry(item: Any, address: str, where: str) -> Entry:
    if not isinstance(item, dict):
        raise InputError(f"{where} is not a record; ask who publishes it.")

    def text(key: str, pattern: str) -> str:
        value = item.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value) or not value.isprintable():
            raise InputError(f"{where} has no usable {key}; ask who publishes it.")
        return value

    size = item.get("bytes")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= MOST_BYTES:
        raise InputError(f"{where} has no usable bytes; ask who publishes it.")
    contrasts = "|".join(("", *MODALITIES))
    try:
        url = fetching.check_address(urljoin(address, text("url", r"\S{1,1000}")))
    except InputError as error:
        raise InputError(f"{where} has no usable url: {error}") from None
    except ValueError:
        raise InputError(f"{where} has no usable url; ask who publishes it.") from None
    return Entry(
        name=text("name", catalog.NAME_PATTERN),
        title=text("title", r".{1,200}"),
        source=text("source", contrasts),
        target=text("target", contrasts),
        version=text("version", r".{1,40}"),
        url=url,
        bytes=size,
        sha256=text("sha256", r"[0-9a-fA-F]{64}").lower(),
        licence=text("licence", r".{1,300}"),
    )


def _sweep(folder: Path) -> None:
    """Remove what was left unfinished long ago."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_S:
                path.unlink()


@contextlib.contextmanager
def _part(folder: Path, entry: Entry) -> Iterator[tuple[Path, BinaryIO]]:
    """The file of an unfinished download, open for reading and writing and locked; other bytes have another file."""
    path = folder / f"{entry.name}-{entry.sha256[:16]}.part"
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666
    )
    with os.fdopen(descriptor, "r+b", buffering=0) as part:
        if not _lock(part) or os.fstat(part.fileno()).st_nlink == 0:  # or another one has just finished with it
            raise InputError(f'"{entry.name}" is being downloaded by another program already; wait for it.')
        try:
            yield path, part
        finally:
            empty = part.seek(0, os.SEEK_END) == 0
            if empty:
                _forget(path)
    if empty and os.name == "nt":
        _forget(path)


def _lock(part: Any) -> bool:
    """Keep other processes away until the file is closed; False if one has it. What cannot be locked is used so."""
    try:
        import fcntl
    except ImportError:  # on Windows: what two programs have mixed, the hash finds
        return True
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _tag(path: Path) -> Path:
    """The file beside an unfinished download with the server's name of the version that it is of."""
    return path.with_suffix(".etag")


def _forget(path: Path) -> None:
    for each in (path, _tag(path)):
        with contextlib.suppress(OSError):  # on Windows not while it is open
            each.unlink(missing_ok=True)


def _start_over(path: Path, part: BinaryIO) -> None:
    part.seek(0)
    part.truncate()
    _tag(path).unlink(missing_ok=True)


def _fetch(entry: Entry, path: Path, part: BinaryIO, tell: Progress, ask: Cancel) -> None:
    """Make the file as long as the catalogue says."""
    have = part.seek(0, os.SEEK_END)
    if have > entry.bytes:
        _start_over(path, part)
        have = 0
    if have == entry.bytes:
        return
    try:
        _receive(entry, path, part, have, tell, ask)
    except BadStatus as error:
        if error.status != 416 or not have:
            raise
        _start_over(path, part)  # the server has no such rest
        _receive(entry, path, part, 0, tell, ask)


def _receive(entry: Entry, path: Path, part: BinaryIO, have: int, tell: Progress, ask: Cancel) -> None:
    place = f'"{fetching.shown(entry.url)}"'
    try:
        with fetching.get(entry.url, _rest_headers(path, have), ask) as answer:
            if answer.status == 206 and not _begins_at(answer, have):
                _start_over(path, part)
                have = 0
                raise BrokenOff(f"{place} sent another part than it was asked for; try again from the beginning.")
            if answer.status != 206:  # it knows no ranges, or has another version by now: the whole file comes
                _start_over(path, part)
                have = 0
            if answer.length is not None and answer.length != entry.bytes - have:
                _start_over(path, part)
                raise InputError(
                    f"{place} has {answer.length + have:,} bytes, the catalogue says {entry.bytes:,}; "
                    "ask who publishes it."
                )
            _remember_tag(answer, path)
            part.seek(have)
            for piece in answer:
                have += len(piece)
                if have > entry.bytes:
                    _start_over(path, part)
                    raise InputError(
                        f"{place} sends more than the {entry.bytes:,} bytes that the catalogue states; "
                        "ask who publishes it."
                    )
                _write(path, part, piece)
                tell(downloaded(have, entry.bytes), *counted("Downloading", have, entry.bytes))
    except BrokenOff as error:
        if not have:
            raise
        raise _kept(have, entry, str(error)) from None
    if have < entry.bytes:
        raise _kept(have, entry, f"The connection to {place} broke off; try again.")


def downloaded(have: int, total: int) -> float:
    """How much of the work is done when `have` of `total` bytes are there.

    Divided first: rounding must not lift the end above what follows.
    """
    return _DOWNLOAD * (have / total)


def _kept(have: int, entry: Entry, sentence: str) -> BrokenOff:
    start = sentence.rpartition("; ")[0] or sentence.rstrip(".")
    return BrokenOff(f"{start}; {have / 1e6:,.1f} of {entry.bytes / 1e6:,.1f} MB are kept, try again to get the rest.")


def _write(path: Path, part: BinaryIO, piece: bytes) -> None:
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[part.write(rest) :]
    except OSError:
        _start_over(path, part)  # on a full disk nothing of it may stay
        raise


def _rest_headers(path: Path, have: int) -> dict[str, str]:
    if not have:
        return {}
    headers = {"Range": f"bytes={have}-"}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        headers["If-Range"] = _tag(path).read_text("ascii")
    return headers


def _remember_tag(answer: fetching.Answer, path: Path) -> None:
    """Without a tag, or with a weak one that does not mean the same bytes, the hash alone tells whether parts fit."""
    tag = answer.headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', tag):
        _tag(path).write_text(tag, "ascii")


def _begins_at(answer: fetching.Answer, have: int) -> bool:
    found = re.match(r"bytes (\d{1,15})-", answer.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == have


def _check(entry: Entry, path: Path, part: BinaryIO, tell: Progress, ask: Cancel) -> None:
    tell(_DOWNLOAD, "Checking the download", 0, 1)
    digest = hashlib.sha256()
    part.seek(0)
    while piece := part.read(_PIECE):
        digest.update(piece)
        if ask():
            raise Cancelled
    if digest.hexdigest() != entry.sha256:
        _start_over(path, part)
        raise InputError(
            f'The file that was downloaded for "{entry.name}" is not the one that the catalogue describes (its SHA-256 '
            "differs) and was deleted; try again, and ask who publishes it if this repeats."
        )
