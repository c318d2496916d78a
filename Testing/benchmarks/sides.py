"""Two sides of a comparison, each in a process of its own, so that each peak of memory is its own; they take turns, so
that both meet the same moods of the machine.

Every line on a side's standard input is one turn; every answer is one line of JSON.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MRITranslateLib.errors import InputError

from . import memory

GIB = 2**30


@dataclass
class Side:
    """A process that repeats one side of the comparison on demand."""

    process: subprocess.Popen[str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def repeat(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise InputError(f"the benchmark's process ended with code {self.process.wait()}; its message is above.")
        self.answers.append(json.loads(line))
        return self.answers[-1]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def seconds(self) -> list[float]:
        """Of every turn but the first, cold one."""
        return [answer["seconds"] for answer in self.answers[1:]]

    def peaks(self) -> dict[str, float]:
        """Peak memory of the process, and what of it was there before."""
        last = self.answers[-1]
        return {f"{key}_gib": round(last[key] / GIB, 2) for key in ("peak", "peak_before", "peak_gpu")}

    def summary(self) -> dict[str, Any]:
        """Seconds of every turn and their median; peaks of memory."""
        return {
            "first_s": round(self.answers[0]["seconds"], 3),
            "seconds": [round(seconds, 3) for seconds in self.seconds()],
            "median_s": round(statistics.median(self.seconds()), 3),
            **self.peaks(),
        }


def start(module: str, *arguments: object) -> Side:
    """Begin a side: a module of this folder, whose `main` gets the arguments as text."""
    command = [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)]
    root = Path(__file__).resolve().parents[2]
    return Side(subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"))


class Turns:
    """What the side's own process has of it.

    Args:
        device: Where it works.
    """

    def __init__(self, device: str) -> None:
        self._device, self._before, self._out = device, memory.peak_bytes(), sys.stdout
        sys.stdout = sys.stderr  # whatever a library prints is no answer

    def wait(self) -> bool:
        """For the next turn; False when there will be none."""
        more = bool(sys.stdin.readline())
        self._started = time.perf_counter()
        return more

    def tell(self, **facts: float) -> None:
        """End the turn: seconds and peaks of memory, beside the given facts."""
        gpu = 0
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()
            gpu = torch.cuda.max_memory_allocated()
        seconds = time.perf_counter() - self._started
        peaks = {"peak": memory.peak_bytes(), "peak_before": self._before, "peak_gpu": gpu}
        print(json.dumps({"seconds": seconds} | facts | peaks), file=self._out, flush=True)
