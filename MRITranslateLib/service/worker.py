"""The worker's loop: one thread reads requests, the main thread works, a third reports progress.

Only the standard library and numpy are imported here, so that the worker is ready at once.
"""

from __future__ import annotations

import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from .. import __version__
from . import messages
from .jobs import Jobs, failure
from .messages import LineBuffer, ProtocolError, Request
from .volumes import remove_folder

#: The protocol asks for four reports a second; twice that leaves room for a busy machine.
HEARTBEAT_S = 0.125
#: How long a job may take to notice that nobody listens any more.
LEAVE_S = 3.0


@dataclass
class _Job:
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Report:
    """Where the running job stands."""

    id: str
    started: float
    fraction: float = 0.0
    stage: str = "Starting"
    done: int = 0
    total: int = 0

    def line(self) -> bytes:
        elapsed = time.monotonic() - self.started
        # A guess from the first hundredth of the work would jump about.
        remaining = elapsed * (1.0 - self.fraction) / self.fraction if self.fraction >= 0.02 and elapsed > 0.5 else None
        return messages.progress(self.id, self.fraction, self.stage, self.done, self.total, remaining)


class Worker:
    """Serves one client over two file descriptors; the exchange folder is removed when the service ends.

    Args:
        folder: The exchange folder, as `prepare_folder` returns it.
        requests, events: File descriptors to read requests from and to write events to.
    """

    def __init__(self, folder: Path, requests: int, events: int) -> None:
        self._folder = folder
        self._requests = requests
        self._events = events
        self._jobs = Jobs(folder)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending: dict[str, _Job] = {}
        self._lock = threading.Lock()  # guards _pending and _report; never held while writing, which may block
        self._pipe = threading.Lock()  # keeps lines whole, and a request's progress before its result
        self._report: _Report | None = None
        self._left = threading.Event()

    def serve(self) -> int:
        """Works until the client says shutdown or closes the stream, or SIGTERM comes; returns the exit code."""
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        try:
            versions = {"mritranslate": __version__, "python": platform.python_version(), "numpy": np.__version__}
            self._send(messages.ready(versions, os.getpid()))
            threading.Thread(target=self._read, name="requests", daemon=True).start()
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
            while (job := self._queue.get()) is not None:
                self._work(job)
            return 0
        except _Leave as leave:
            return 128 + leave.number
        finally:
            self._left.set()
            remove_folder(self._folder)

    # ------------------------------------------------------------------------------------------ the main thread

    def _work(self, job: _Job) -> None:
        request = job.request
        with self._lock:
            if self._pending.get(request.id) is not job:
                return  # cancelled while it waited
            self._report = _Report(request.id, time.monotonic())
        with self._reporting(request.id):
            try:
                value = self._jobs.run(request.method, request.params, self._progress, job.cancelled.is_set)
                line = messages.result(request.id, request.method, value)
            except Exception as error:
                self._jobs.take_back()
                kind, sentence = failure(error)
                if kind == "internal":
                    traceback.print_exc(file=sys.stderr)
                line = messages.error(request.id, kind, sentence)
        self._send(line)

    @contextmanager
    def _reporting(self, id: str) -> Iterator[None]:
        """Progress events go out inside, and none after."""
        self._beat_once()
        try:
            yield
        finally:
            with self._lock:
                self._report = None
                self._pending.pop(id, None)

    def _progress(self, fraction: float, stage: str, done: int, total: int) -> None:
        with self._lock:
            report = self._report
            if report is None:
                return
            fresh = stage != report.stage
            report.fraction, report.stage, report.done, report.total = fraction, stage, done, total
        if fresh:
            self._beat_once()

    # ------------------------------------------------------------------------------------------ the other threads

    def _beat(self) -> None:
        while not self._left.wait(HEARTBEAT_S):
            self._beat_once()

    def _beat_once(self) -> None:
        with self._pipe:
            with self._lock:
                line = self._report.line() if self._report is not None else b""
            self._write(line)

    def _read(self) -> None:
        buffer = LineBuffer()
        while data := self._receive():
            for line in buffer.feed(data):
                self._take(line)
        self._abandon()

    def _receive(self) -> bytes:
        try:
            return os.read(self._requests, 1 << 16)
        except OSError:
            return b""

    def _take(self, line: bytes) -> None:
        try:
            request = messages.parse_request(line)
            if request.method == "cancel":
                self._cancel(request)
            elif request.method == "shutdown":
                self._cancel_all()
                self._send(messages.result(request.id, "shutdown", {}))
                self._queue.put(None)
            else:
                self._enqueue(request)
        except ProtocolError as error:
            self._send(messages.error(error.id, "input", str(error)))

    def _enqueue(self, request: Request) -> None:
        job = _Job(request)
        with self._lock:
            if request.id in self._pending:
                raise ProtocolError(f"The id {request.id!r} is still in use; give each request its own.", request.id)
            self._pending[request.id] = job
        self._queue.put(job)

    def _cancel(self, request: Request) -> None:
        id = request.params["id"]
        with self._lock:
            job = self._pending.get(id)
            waiting = job is not None and (self._report is None or self._report.id != id)
            if waiting:
                del self._pending[id]
        if job is not None:
            job.cancelled.set()
        self._send(messages.result(request.id, "cancel", {"cancelled": job is not None}))
        if waiting:
            self._send(messages.error(id, "cancelled", "The work was cancelled before it began."))

    def _cancel_all(self) -> None:
        with self._lock:
            for job in self._pending.values():
                job.cancelled.set()

    def _abandon(self) -> None:
        """The client is gone: stop working, and leave even if the job does not notice."""
        self._cancel_all()
        self._queue.put(None)
        if not self._left.wait(LEAVE_S):
            remove_folder(self._folder)
            os._exit(1)

    # ------------------------------------------------------------------------------------------ the pipe

    def _send(self, line: bytes) -> None:
        with self._pipe:
            self._write(line)

    def _write(self, line: bytes) -> None:
        """Writes one whole line; the caller holds `_pipe`."""
        try:
            while line:
                line = line[os.write(self._events, line) :]
        except BrokenPipeError:
            # The client is gone; the reading thread meets the end of its stream and ends the service.
            return


class _Leave(BaseException):
    """A signal asks the process to end; no `except Exception` of a library may stop it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _leave(number: int, frame: FrameType | None) -> None:
    raise _Leave(number)
