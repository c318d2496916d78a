"""How long it takes until something can be done, each time in a fresh process: `import MRITranslateLib`, the command's
help, and the worker, from the start of its process to its ready event and to the answer to its first request.

The references are a process that does nothing and `import torch`. Every time is from the start of the process until
its code has run, that of the worker until its message has come; what Python takes to unload torch (half a second) is in
none. The worker is started as the panel and the scripts start it. Its first answer needs torch in memory. The bars, on
2 cores: the import 0.3 s, and without torch; the worker's answer, and so its ready event, 8 s.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from MRITranslateLib.errors import InputError
from MRITranslateLib.service.client import WorkerClient

from . import memory
from .report import begin, publish

HELP = "time and peak memory of an import, a command and the worker in fresh processes"
MOST_IMPORT_S = 0.3
MOST_WORKER_S = 8.0
MIB = 2**20
ROOT = Path(__file__).resolve().parents[2]
NOTHING, IMPORT, TORCH = "`python -c pass`", "`import MRITranslateLib`", "`import torch`"
COMMAND, READY, ANSWER = "`mritranslate --help`", "worker: ready", "worker: first answer"
CODE = {
    NOTHING: "pass",
    IMPORT: "import MRITranslateLib",
    TORCH: "import torch",
    COMMAND: "import sys; from MRITranslateLib.cli import main; sys.argv[1:] = ['--help']; sys.exit(main())",
}
_TELL_AT_END = """
import atexit
def tell():
    import sys, time
    now = time.monotonic()
    status = open("/proc/self/status").read()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    print('{"now": %r, "peak": %d, "torch": %d}' % (now, peak, "torch" in sys.modules), file=sys.stderr)
atexit.register(tell)
"""
"""A process that has ended cannot be asked for its peak of memory any more. The clock is the same in all processes."""

Turn = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes of each kind after the first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def main(options: argparse.Namespace) -> int:
    if not Path("/proc/self/status").exists():
        raise InputError("The memory of a fresh process is read from /proc; run this benchmark on Linux.")
    report = begin("startup", "cpu")
    turns: dict[str, list[Turn]] = {name: [] for name in (*CODE, READY, ANSWER)}
    for _ in range(1 + max(1, options.repeats)):
        for name, code in CODE.items():
            turns[name].append(fresh(code))
        for name, turn in worker().items():
            turns[name].append(turn)
    sides = {name: _summary(found) for name, found in turns.items()}
    report |= {
        "sides": sides,
        "import_loads_torch": any(turn["torch"] for turn in turns[IMPORT]),
        "ratio": round(sides[IMPORT]["median_s"] / sides[NOTHING]["median_s"], 2),
        "ratio_worker": round(sides[ANSWER]["median_s"] / sides[TORCH]["median_s"], 2),
        "bars": {"import_s": MOST_IMPORT_S, "worker_s": MOST_WORKER_S, "import_loads_torch": False},
    }
    report["met"] = (
        sides[IMPORT]["median_s"] < MOST_IMPORT_S
        and not report["import_loads_torch"]
        and sides[ANSWER]["median_s"] < MOST_WORKER_S
    )
    return publish(report, *_shown(report), options.json)


def fresh(code: str) -> Turn:
    """Seconds from the start of a Python process until its code has run, its peak of memory in bytes, and whether it
    had torch.
    """
    command = [sys.executable, "-c", _TELL_AT_END + code]
    started = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode != 0:
        raise InputError(
            f"A process of the benchmark ended with code {ended.returncode}: {ended.stderr.strip()[-500:]}"
        )
    told = json.loads(ended.stderr.splitlines()[-1])
    return {"seconds": told["now"] - started, "peak": told["peak"], "torch": told["torch"]}


def worker() -> dict[str, Turn]:
    """A fresh worker: up to its ready event, and up to the answer which devices there are, for which it loads torch."""
    with WorkerClient() as client:
        started = time.monotonic()

        def turn(work: Callable[[], object]) -> Turn:
            work()
            seconds = time.monotonic() - started
            assert client.pid is not None
            return {"seconds": seconds, "peak": memory.peak_bytes_of(client.pid)}

        return {READY: turn(client.start), ANSWER: turn(lambda: client.request("devices"))}


def _summary(turns: list[Turn]) -> dict[str, Any]:
    """The first turn, the others with their median, and the largest peak of memory."""
    seconds = [turn["seconds"] for turn in turns[1:]]
    return {
        "first_s": round(turns[0]["seconds"], 3),
        "seconds": [round(value, 3) for value in seconds],
        "median_s": round(statistics.median(seconds), 3),
        "peak_mib": round(max(turn["peak"] for turn in turns) / MIB, 1),
    }


def _shown(report: dict[str, Any]) -> tuple[str, list[str], list[list[str]], str]:
    """Caption, headings, rows and verdict."""
    sides = report["sides"]
    count = len(sides[NOTHING]["seconds"])
    caption = f"Fresh processes, medians of {count} after a first"
    rows = [
        [name, f"{side['first_s']:.3f}", f"{side['median_s']:.3f}", f"{side['peak_mib']:.0f}"]
        for name, side in sides.items()
    ]
    torch = "with torch in memory" if report["import_loads_torch"] else "without torch"
    imported, ready, answered = (f"{sides[name]['median_s']:.2f} s" for name in (IMPORT, READY, ANSWER))
    verdict = (
        f"The import {imported} (bar {MOST_IMPORT_S:g}) {torch}, {report['ratio']:.2f} times an empty process; the "
        f"worker is ready after {ready} and has answered after {answered} (bar {MOST_WORKER_S:g}), "
        f"{report['ratio_worker']:.2f} times {TORCH}"
    )
    return caption, ["", "first s", "median s", "peak MiB"], rows, verdict
