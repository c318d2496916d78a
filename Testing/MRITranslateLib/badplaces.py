"""Places that cannot be written, for real: without the right to, and on a disk that is full."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_NOBODY = 65534


@contextlib.contextmanager
def without_rights() -> Iterator[Path]:
    """A folder that others may read and this process may not write, also where tests run as root."""
    if os.name == "nt":
        pytest.skip("rights as POSIX has them")
    folder = Path(tempfile.mkdtemp(prefix="mritranslate-test-"))
    root = os.geteuid() == 0
    try:
        folder.chmod(0o555)
        if root:  # permission bits do not bind it
            os.seteuid(_NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: to a writer the same as a disk that is full, except for the words."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
