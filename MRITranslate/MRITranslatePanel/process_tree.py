"""Ending a process together with everything that it has started, on every platform and without further packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def killTree(pid: int) -> None:
    """Kill a process and its descendants at once. A process that has already gone is no error.

    Slicer's Python is started by a launcher, so the process that was started is not yet the one that computes.
    """
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/PID", str(pid), "/T", "/F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    parents = _parents()
    family, grown = [pid], True
    while grown:
        children = [child for child, parent in parents.items() if parent in family and child not in family]
        family.extend(children)
        grown = bool(children)
    for member in family:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _parents() -> dict[int, int]:
    """The parent of every process of this machine."""
    if os.path.isdir("/proc/self"):
        return dict(_linuxParents())
    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines() if line.strip())}


def _linuxParents():
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()  # the program's name, in brackets, may hold anything
        except OSError:  # gone since it was listed
            continue
        yield int(name), int(fields[1])
