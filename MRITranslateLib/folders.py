"""Folders that appear complete, in one step, or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

_SPARE_BYTES = 16 << 20
"""Left free on the disk, for whatever else needs some."""
_STALE_S = 24 * 3600
_SCRATCH = ".adding-"


def check_space(folder: Path, needed: int) -> None:
    """Look, before anything is written, whether `needed` bytes find room in `folder`, which need not exist yet.

    Raises:
        InputError: They do not; the sentence gives the numbers.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return  # a file system that does not tell: writing will
    if free < needed + _SPARE_BYTES:
        wanted = needed + _SPARE_BYTES
        raise InputError(
            f'The disk of "{folder}" has {free / 1e6:,.0f} MB free and {wanted / 1e6:,.0f} MB are needed; free some '
            "space or choose another folder."
        )


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A hidden empty folder within `parent`, made if need be; it is gone after the block.

    What a process that was killed left behind more than a day ago goes too.

    Raises:
        InputError: The place cannot be written, or not any more.
    """
    made = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(parent, _SCRATCH)
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        yield made
    except OSError as error:
        raise unwritable(parent, error) from None
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove what processes that were killed left in `parent`: the folders whose names begin with `prefix` and in which
    nothing was made for a day; younger ones may be in use. A place that cannot be read is left as it is."""
    with contextlib.suppress(OSError):
        for old in parent.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):  # another process may be removing it
                if time.time() - old.stat().st_mtime > _STALE_S:
                    shutil.rmtree(old)


def unwritable(place: Path, error: OSError) -> InputError:
    """The sentence for a place that cannot be written."""
    return InputError(f'"{place}" cannot be written ({error.strerror}); free space or choose another folder.')


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place when the block succeeds and vanishes when it fails.

    Whatever lies at `target` is replaced: the caller decides before whether it may be.

    Raises:
        InputError: The place cannot be written.
    """
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-writing-", dir=target.parent))
        yield temporary
        _put_in_place(temporary, target)
    except OSError as error:
        raise unwritable(target, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, target: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o777 & ~umask)  # mkdtemp gives 0700
    if not target.exists():
        os.rename(temporary, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        os.rename(target, old / "package")
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(old / "package", target)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
