"""What a batch has done so far: a line of JSON for every volume, one file for every shard, so that no two processes
write the same file. Standard library only.

A line tells what a result was made from; a result counts as done while that, and the result's files themselves, are
still the same.
"""

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..folders import unwritable

Facts = Mapping[str, Any]
DONE, FAILED, FAULT = "done", "failed", "fault"
"""States of a volume: translated; something to mend in its input; the program failed inside."""

_HEADER_BYTES = 1 << 16
_DATA_FILE = re.compile(rb"^[ \t]*(?:ElementDataFile[ \t]*=|data ?file:)[ \t]*([^\r\n]+?)[ \t]*$", re.MULTILINE | re.I)
"""Where the header of a MetaImage (.mhd) or NRRD (.nhdr) file names the file of the voxels."""


def file_facts(path: Path) -> dict[str, int] | None:
    """By what a changed file is noticed: number of files (those of a folder with a DICOM series; a header and the file
    of its voxels), bytes, and time of the last change in nanoseconds; None where there is nothing.

    Voxels are not read: with thousands of volumes on a file server that would take longer than to look at the times.
    """
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                states = [entry.stat() for entry in entries if entry.is_file()]
        else:
            states = [path.stat(), *_detached(path)]
    except (OSError, ValueError):  # a ValueError: a name that holds a NUL
        return None
    newest = max((state.st_mtime_ns for state in states), default=0)
    return {"files": len(states), "bytes": sum(state.st_size for state in states), "modified_ns": newest}


def _detached(path: Path) -> Iterator[os.stat_result]:
    """The state of the file that a header names for its voxels, where it names a single one."""
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return
    with path.open("rb") as file:
        found = _DATA_FILE.search(file.read(_HEADER_BYTES).replace(b"\r\n", b"\n"))
    if found is not None:
        data = path.parent / os.fsdecode(found[1])
        if os.path.isfile(data):  # and not LOCAL, LIST or a pattern of many names
            yield data.stat()


class Ledger:
    """The ledgers of all shards in a folder to read, and that of one shard to write.

    Args:
        folder: Of the results; it exists.
        shard: (i, n): the i-th of n.

    Raises:
        InputError: A ledger cannot be read.

    Attributes:
        file: The ledger of this shard, made with its first line.
    """

    def __init__(self, folder: Path, shard: tuple[int, int]) -> None:
        self.file = folder / f"batch-{shard[0]}-of-{shard[1]}.jsonl"
        self._folder, self._lock = folder, threading.Lock()
        self._done: dict[str, list[dict[str, Any]]] = {}
        for file in sorted(folder.glob("batch-*-of-*.jsonl")):
            for entry in _entries(file):
                if entry.get("state") == DONE and isinstance(entry.get("outputs"), dict):
                    for output in entry["outputs"]:
                        self._done.setdefault(output, []).append(entry)

    def holds(self, made_from: Facts, outputs: list[Path]) -> bool:
        """Whether these outputs were made from exactly this, and are as they were written."""
        here = self._facts_of(outputs)
        if None in here.values():
            return False
        return any(
            entry["outputs"] == here and all(entry.get(key) == value for key, value in made_from.items())
            for entry in self._done.get(next(iter(here)), ())
        )

    def done(self, made_from: Facts, outputs: list[Path], more: Facts) -> None:
        """Note that outputs, which are complete, were made.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._append({"state": DONE, **made_from, "outputs": self._facts_of(outputs), **more})

    def failed(self, state: str, sentence: str, more: Facts) -> None:
        """Note that there is no result, and why.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._append({"state": state, **more, "error": sentence})

    def _facts_of(self, outputs: list[Path]) -> dict[str, dict[str, int] | None]:
        return {path.relative_to(self._folder).as_posix(): file_facts(path) for path in outputs}

    def _append(self, entry: Facts) -> None:
        """One write for one line: what a kill leaves behind is at worst a line without an end."""
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            with self._lock, self.file.open("a+b", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                if end > 0:
                    file.seek(end - 1)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            raise unwritable(self.file, error) from None


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger that are whole."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f'"{file}" cannot be read ({error.strerror}); check its permissions.') from None
    for line in text.split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
