"""A model package from a .zip file, hostile until checked.

An archive may hold the files that a package may have (see `files`), at its top or within one folder, and nothing else:
no other name, hence no path out of the folder, no link, no name twice, nothing encrypted. Sizes are bounded by what the
archive declares before anything is written, and again while it is unpacked. Whether the files make a sound package is
`package`'s to say. Standard library only.
"""

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from . import files
from .errors import Cancelled, InputError, PackageError
from .folders import check_space

_PIECE = 1 << 20
_MOST_DIRECTORY_BYTES = 1 << 20
"""Of an archive's table of contents; that of a package has a dozen entries of about 100 bytes."""
_MOST_RATIO = 100
"""Weights shrink by a tenth, texts to a tenth."""
_FREE_OF_RATIO = 1 << 20
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_]{0,63}\Z")
_ATTRIBUTES = {False: (0, stat.S_IFREG), True: (0, stat.S_IFDIR)}
"""Kinds of entries by whether they are folders; 0 where the archive does not tell."""

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises on what is no archive, or a damaged one."""

Progress = Callable[[float, str, int, int], None]
Cancel = Callable[[], bool]


class _Bounded(io.FileIO):
    """A file that is not read in one piece beyond a limit: zipfile reads a table of contents at once, however large."""

    def read(self, size: int | None = -1, /) -> bytes:
        limit = _MOST_DIRECTORY_BYTES + 1
        data = super().read(limit if size is None or size < 0 else min(size, limit))
        if len(data) == limit:
            raise zipfile.BadZipFile("the table of contents is too large")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, OverflowError):
            raise zipfile.BadZipFile("it points out of the file") from None


def counted(stage: str, done: int, total: int) -> tuple[str, int, int]:
    """A stage with bytes as people read them: in megabytes (of a million bytes), unless there are too few to count."""
    done, total = round(done / 1e6), max(1, round(total / 1e6))
    return (f"{stage} (MB)" if total > 1 else stage), done, total


def unpack(archive: Path, into: Path, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """Unpack a package into a new folder within `into`.

    Args:
        archive: The .zip file; its ending does not matter.
        into: An existing folder. What was unpacked before a problem stays there: the caller removes it.
        progress: Called with (fraction, stage, done, total), counted as the stage says.
        cancel: Asked between pieces.

    Returns:
        The folder of the package, which is not checked yet.

    Raises:
        PackageError: It is no archive of a package, or not to be trusted; nothing beyond the bounds was written.
        InputError: It cannot be read, or the disk has no room for it.
        Cancelled: `cancel` said so.
        OSError: The files cannot be written.
    """
    name = archive.name
    try:
        file = _Bounded(archive)
    except OSError as error:
        raise InputError(f'"{archive}" cannot be read ({error.strerror}); check it and its permissions.') from None
    with file:
        try:
            with zipfile.ZipFile(file) as opened:
                entries = _entries(opened, name)
                check_space(into, sum(entry.file_size for entry in entries.values()))
                folder = into / (archive.stem if _PLAIN.match(archive.stem) else "package")  # sentences name it
                return _write(opened, entries, folder, name, progress, cancel)
        except InputError:
            raise
        except _DAMAGED:
            raise PackageError(
                f'"{name}" is not a complete .zip file; download or copy it again, or give the folder of a package.'
            ) from None


def _entries(opened: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The files to unpack by their names in the package, with every entry of the archive checked."""
    entries: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    tops = {info.filename.partition("/")[0] for info in opened.infolist() if "/" in info.filename}
    # One folder around everything is how people pack; "text" is a package's own.
    within = f"{tops.pop()}/" if files.CARD not in opened.namelist() and len(tops) == 1 else ""
    for info in opened.infolist():
        shown = ascii(info.orig_filename)[:80]
        if info.filename in seen or info.orig_filename != info.filename:
            raise PackageError(f'"{name}" holds {shown} twice or in disguise; do not use this file.')
        seen.add(info.filename)
        short = info.filename.removeprefix(within)
        allowed = ("", "text/") if info.is_dir() else files.ALL
        if short not in allowed or not info.filename.startswith(within) or within in ("../", "./", "/"):
            raise PackageError(
                f'"{name}" holds {shown}, which no model package has; get another file, or unpack it and look at it.'
            )
        if stat.S_IFMT(info.external_attr >> 16) not in _ATTRIBUTES[info.is_dir()]:
            raise PackageError(f'{shown} of "{name}" is a link or a special file; do not use this file.')
        if info.flag_bits & 1:
            raise PackageError(f'"{name}" is encrypted; unpack it yourself and add the folder.')
        if info.is_dir():
            continue
        _check_size(info, files.MOST_BYTES[short], name, shown)
        entries[short] = info
    if files.CARD not in entries:
        raise PackageError(f'"{name}" has no {files.CARD}, so it is not a model package; get another file.')
    return entries


def _check_size(info: zipfile.ZipInfo, most: int, name: str, shown: str) -> None:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackageError(f'"{name}" is compressed in an unusual way; pack it as an ordinary .zip file.')
    if info.file_size > most:
        raise PackageError(
            f'{shown} of "{name}" would have {info.file_size:,} bytes, at most {most:,} are allowed; '
            "do not use this file."
        )
    if info.file_size > _FREE_OF_RATIO + _MOST_RATIO * info.compress_size:
        raise PackageError(
            f'{shown} of "{name}" would grow from {info.compress_size:,} to {info.file_size:,} bytes, '
            "which no weights do; do not use this file."
        )


def _write(
    opened: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    folder: Path,
    name: str,
    progress: Progress | None,
    cancel: Cancel | None,
) -> Path:
    total = sum(entry.file_size for entry in entries.values())
    done = 0
    folder.mkdir()
    for short, info in entries.items():
        path = folder / short
        path.parent.mkdir(exist_ok=True)
        left = info.file_size
        with opened.open(info) as source, path.open("xb") as target:
            # Reading to the very end compares the check sum.
            while piece := source.read(_PIECE):
                left -= len(piece)
                if cancel is not None and cancel():
                    raise Cancelled
                if left < 0:
                    break
                target.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done / max(total, 1), *counted("Unpacking", done, total))
        if left:
            raise PackageError(f'"{short}" of "{name}" does not have the size that it declares; get the file again.')
    return folder
