"""Resident memory of a process. Standard library only: it is no burden on what is measured.

Linux keeps a peak for each program that a process runs, and lets it be reset. Elsewhere the peak of `getrusage` has to
do; on Linux that would count what the parent process had, until the new program began.
"""

import resource
import sys
from pathlib import Path

_SELF = Path("/proc/self")


def peak_bytes() -> int:
    """The largest resident size of this process since its start, or since `reset_peak`."""
    if _SELF.exists():
        return _status(_SELF, "VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_bytes_of(pid: int) -> int:
    """The same of another process that still runs; 0 where the system does not tell."""
    return _status(Path("/proc") / str(pid), "VmHWM") if _SELF.exists() else 0


def resident_bytes() -> int:
    """The resident size of this process now; where the system does not tell, the peak."""
    return _status(_SELF, "VmRSS") if _SELF.exists() else peak_bytes()


def reset_peak() -> None:
    """Let the peak begin at the resident size of now; does nothing where the system cannot."""
    file = _SELF / "clear_refs"
    if file.exists():
        file.write_text("5", encoding="ascii")


def _status(process: Path, key: str) -> int:
    lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024
