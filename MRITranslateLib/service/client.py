"""A blocking client of the worker for scripts and tests; Slicer's panel has its own on QProcess.

with WorkerClient() as worker:
    image = worker.put(sitk.ReadImage("t1.nii.gz"))
    result = worker.request("translate", {"image": image, "model": "t1_to_t2"})
    t2 = worker.take(result["image"])
"""

from __future__ import annotations

import collections
import itertools
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, InputError, OutOfMemory
from . import messages
from .messages import Event, LineBuffer, ProtocolError, Request
from .volumes import remove_array

if TYPE_CHECKING:
    import SimpleITK as sitk

#: How often a waiting request looks whether it was cancelled, in seconds.
_POLL_S = 0.05
_ERRORS: dict[str, type[Exception]] = {"input": InputError, "cancelled": Cancelled, "memory": OutOfMemory}


class WorkerError(RuntimeError):
    """The worker crashed, or failed inside; one readable sentence. The next request starts a fresh worker."""


class WorkerClient:
    """Starts a worker on the first request and keeps it warm; one request at a time.

    Args:
        python: The interpreter to run the worker with.
        grace_s: How long a cancelled or closed worker may take before its process tree is killed, in seconds.
        start_s: How long the worker may take to be ready, in seconds.
        environment: Variables to set for the worker beside this process's own.
    """

    def __init__(
        self,
        python: str = sys.executable,
        grace_s: float = 5.0,
        start_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._python = python
        self._grace_s = grace_s
        self._start_s = start_s
        self._environment = dict(environment or {})
        self._numbers = itertools.count(1)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.SimpleQueue[Event | ProtocolError | None] = queue.SimpleQueue()
        self._log: collections.deque[str] = collections.deque(maxlen=200)
        self.versions: dict[str, str] = {}

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """The exchange folder; it stays the same when a worker has crashed, and goes with `close`."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mritranslate-"))
        return self._folder

    @property
    def pid(self) -> int | None:
        """The process id of the running worker, if there is one."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def log(self) -> str:
        """The last lines that the worker and its libraries wrote to standard error."""
        return "".join(self._log)

    def put(self, image: sitk.Image) -> dict[str, Any]:
        """Writes an image into the exchange folder; the description is a value for `request`'s params."""
        from .images import send_image

        return send_image(self.folder, image)

    def take(self, volume: Mapping[str, Any]) -> sitk.Image:
        """The image of a description in a result; its file is deleted."""
        from .images import receive_image

        image = receive_image(self.folder, volume)
        remove_array(self.folder, volume)
        return image

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        progress: Callable[[Event], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Sends one request and waits for its result.

        Args:
            method, params: As the protocol defines them (messages.PARAMS).
            progress: Called with every progress event, at least four times a second.
            cancel: Asked often; True cancels, and kills the worker if it does not stop within the grace.

        Raises:
            InputError: The worker refused the request; one sentence.
            OutOfMemory: It ran out of memory.
            Cancelled: `cancel` said so.
            WorkerError: It crashed, was killed, or failed inside.
        """
        request = Request(f"r{next(self._numbers)}", method, dict(params or {}))
        line = request.line()  # checked before a process is started for it
        self.start()
        self._write(line)
        deadline: float | None = None
        while True:
            if deadline is None and cancel is not None and cancel():
                deadline = time.monotonic() + self._grace_s
                self._write(Request(f"c{next(self._numbers)}", "cancel", {"id": request.id}).line())
            if deadline is not None and time.monotonic() > deadline:
                self._kill()
                raise Cancelled
            event = self._next(_POLL_S)
            if event is None or event.id != request.id:
                continue
            if event.event == "result":
                return messages.check_result(method, event.fields["result"])
            if event.event == "error":
                raise _ERRORS.get(event.fields["kind"], WorkerError)(event.fields["message"])
            if progress is not None:
                progress(event)

    def start(self) -> None:
        """Starts a worker unless one runs, and waits until it is ready. Raises WorkerError."""
        if self.pid is not None:
            return
        self._forget()
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, **self._environment}
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{path}" if path else str(root)
        environment["PYTHONSAFEPATH"] = "1"  # or a file in the current folder could pass for one of our libraries
        process = subprocess.Popen(
            [self._python, "-m", "MRITranslateLib.service", "--folder", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a process group of its own, so that its children can be killed with it
        )
        self._process = process
        self._events = queue.SimpleQueue()
        threading.Thread(target=_read_events, args=(process, self._events), daemon=True).start()
        threading.Thread(target=_read_log, args=(process, self._log), daemon=True).start()
        deadline = time.monotonic() + self._start_s
        while time.monotonic() < deadline:
            event = self._next(_POLL_S)
            if event is not None and event.event == "ready":
                self.versions = event.fields["versions"]
                return
        self._kill()
        raise WorkerError(
            f"The worker was not ready after {self._start_s:g} s; its log ends with: {self._last_words()}."
        )

    def close(self) -> None:
        """Ends the worker and removes the exchange folder; a later request starts afresh."""
        process = self._process
        if process is not None and process.poll() is None:
            self._shut_input(process)
            try:
                process.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                self._kill()
        self._forget()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)  # the worker may be removing it too
            self._folder = None

    def _next(self, timeout: float) -> Event | None:
        """The next event, None if there was none in time. Raises WorkerError if the worker has ended."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(event, Event):
            return event
        if event is not None:  # what this side cannot read, it cannot serve
            self._kill()
            raise WorkerError(f"The worker broke the protocol: {event}")
        raise WorkerError(self._obituary())

    def _write(self, line: bytes) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._obituary()) from None

    def _obituary(self) -> str:
        process = self._process
        assert process is not None
        try:
            code = process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            self._kill()
            return "The worker closed its connection and was stopped; run again, a fresh one starts then."
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            hint = ", often for lack of memory" if name == "SIGKILL" else ""
            how = f"was killed (signal {name}{hint})"
        else:
            how = f"ended with exit code {code}"
        return f"The worker {how}; run again, a fresh one starts then. Its log ends with: {self._last_words()}."

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1].rstrip(".") if lines else "nothing"

    def _kill(self) -> None:
        """Kills the worker with all its children."""
        process = self._process
        if process is None:
            return
        if os.name == "nt":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._shut_input(process)
            process.wait()
            self._log.clear()

    @staticmethod
    def _shut_input(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.close()
        except BrokenPipeError:
            return  # it has ended already


def _read_events(process: subprocess.Popen[bytes], events: queue.SimpleQueue[Event | ProtocolError | None]) -> None:
    assert process.stdout is not None
    buffer = LineBuffer()
    with process.stdout as stream:
        while data := os.read(stream.fileno(), 1 << 16):
            for line in buffer.feed(data):
                try:
                    events.put(messages.parse_event(line))
                except ProtocolError as error:
                    events.put(error)
    events.put(None)


def _read_log(process: subprocess.Popen[bytes], log: collections.deque[str]) -> None:
    assert process.stderr is not None
    with process.stderr as stream:
        for line in stream:
            log.append(line.decode("utf-8", "replace"))
