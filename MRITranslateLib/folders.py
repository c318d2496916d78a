"""Folders that appear complete, in one step, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


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
        raise InputError(
            f'"{target}" cannot be written ({error.strerror}); free space or choose another folder.'
        ) from None
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
