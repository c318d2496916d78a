"""Prepared volumes on disk: written whole, checked when they are read, and left there until they are needed."""

import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from MRITranslateLib.errors import InputError

_FORMAT = 3
_SMALL = 1 << 20
"""Arrays of fewer bytes are kept in memory: a mapped file costs a file handle, and pictures come in thousands."""


def safe_name(text: str) -> str:
    """A file name that says the same; what no file system takes is replaced, and a hash keeps names apart."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80]
    return name if name == text and not name.startswith(".") else f"_{name}-{_hash(text)[:8]}"


def fingerprint(path: Path) -> list[list[object]]:
    """What changes when a file, or any file in a folder, is replaced: name, size and time of change."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    found: list[list[object]] = [[str(path.absolute()), 0, 0]]
    return found + [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


class Cache:
    """A folder of arrays with facts about them, each under the hash of everything that shapes it.

    Args:
        folder: None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            _allow_open_files()

    def read(self, name: str, key: object) -> tuple[np.ndarray, dict[str, Any]] | None:
        """The float16 array, mapped from disk if it is large, and its facts; None if there is no sound entry."""
        if self._folder is None:
            return None
        array_file, facts_file = self._files(name, key)
        try:
            facts = json.loads(facts_file.read_text(encoding="utf-8"))
            array = _open(array_file)
            sound = array.dtype == np.float16 and zlib.crc32(array.data.cast("B")) == facts.pop("crc32")
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return (array, facts) if sound else None

    def write(self, name: str, key: object, array: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
        """Keep an array; the facts come last, so that half an entry is none.

        Returns:
            The array, mapped from disk if it is large.

        Raises:
            InputError: The folder cannot be written.
        """
        if self._folder is None:
            return array
        array_file, facts_file = self._files(name, key)
        array = np.ascontiguousarray(array)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=self._folder) as temporary:
                np.save(Path(temporary) / "array.npy", array)
                text = json.dumps({**facts, "crc32": zlib.crc32(array.data.cast("B"))})
                (Path(temporary) / "facts.json").write_text(text, encoding="utf-8")
                os.replace(Path(temporary) / "array.npy", array_file)
                os.replace(Path(temporary) / "facts.json", facts_file)
            return _open(array_file)
        except OSError as error:
            raise InputError(
                f'The cache "{self._folder}" cannot be written ({error.strerror}); choose another data.cache.'
            ) from None

    def _files(self, name: str, key: object) -> tuple[Path, Path]:
        assert self._folder is not None
        stem = f"{safe_name(name)}-{_hash(json.dumps([_FORMAT, key], default=str))[:20]}"
        return self._folder / f"{stem}.npy", self._folder / f"{stem}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _open(file: Path) -> np.ndarray:
    array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return np.array(array) if array.nbytes < _SMALL else array


def _allow_open_files() -> None:
    """Every mapped file holds a handle; many systems let a process have 1024 unless it asks for more."""
    try:
        import resource
    except ImportError:  # Windows counts differently
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
