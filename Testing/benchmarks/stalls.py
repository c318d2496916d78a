"""How long the application's event loop was held up: a timer that should have come, and by how much it was late."""

import time
from pathlib import Path

INTERVAL_MS = 5
_SCHEDULER = Path("/proc/thread-self/schedstat")


def _waited() -> float:
    """Seconds that this thread was ready to run and other processes had the processor; 0 where it cannot be told."""
    return int(_SCHEDULER.read_text(encoding="utf-8").split()[1]) / 1e9 if _SCHEDULER.exists() else 0.0


class Stalls:
    """Within its `with` block, the gaps between the turns of the event loop, in ms.

    A busy machine must not blame the application: the time in which the thread waited for a processor is taken off.
    What it computed, and what it waited for a disk or another process, stays.

    Attributes:
        gaps: Of every turn, without the time that it waited for a processor.
        wall: The same with it.
    """

    def __init__(self) -> None:
        import qt

        self.gaps: list[float] = []
        self.wall: list[float] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def __enter__(self) -> "Stalls":
        self._last = time.perf_counter(), _waited()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()

    def _tick(self) -> None:
        now, waited = time.perf_counter(), _waited()
        gap = now - self._last[0]
        self.wall.append(1000 * gap)
        self.gaps.append(1000 * max(0.0, gap - (waited - self._last[1])))
        self._last = now, waited

    @property
    def longest(self) -> float:
        """The longest gap in ms."""
        return max(self.gaps)
