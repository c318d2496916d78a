"""How fast a run is, and how much of the time it waits for data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Times the steps since `start`.

    Attributes:
        seconds_waited: Spent in `waiting`.
    """

    def __init__(self) -> None:
        self.start(0)

    def start(self, step: int) -> None:
        """Begin anew at a step."""
        self._first, self._since, self.seconds_waited = step, time.monotonic(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in here is waiting for data."""
        began = time.monotonic()
        yield
        self.seconds_waited += time.monotonic() - began

    def left(self, step: int, steps: int) -> float:
        """Seconds to the last of `steps`, at the speed so far."""
        return (time.monotonic() - self._since) / max(1, step - self._first) * (steps - step)

    def figures(self, step: int, batch_size: int) -> dict[str, float]:
        """Speed and wait, for the log."""
        seconds = time.monotonic() - self._since
        return {
            "images per second": (step - self._first) * batch_size / seconds,
            "share of waiting for data": self.seconds_waited / seconds,
        }
