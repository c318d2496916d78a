"""The warm worker process as Slicer's event loop sees it: started on first use, one request at a time, never blocking.

The worker is `python -m MRITranslateLib.service`; its protocol is `MRITranslateLib.service.messages`. QProcess reports
its lines as they come. When the process dies for any reason, the request ends with one readable error and
the next request starts a fresh process.
"""

from __future__ import annotations

import collections
import logging
import os
import sys
import tempfile

import qt
import slicer
from slicer.i18n import tr as _

import MRITranslateLib
from MRITranslateLib.errors import Cancelled, InputError, OutOfMemory
from MRITranslateLib.service import messages

from .exchange import Inbox, Outbox
from .process_tree import killTree

GRACE_MS = 700
"""Time that the worker has to obey a cancel message before its processes are killed: a second in all for the person who
pressed Cancel. The loops ask after every batch, so that only a slow batch, or the start of torch, costs the process."""
SILENCE_MS = 10_000
"""The worker reports four times a second. Only the loading of a large library from a slow disk keeps it as quiet as
this; after that time, and after each further such time, the user hears that he may cancel, which kills it at once."""
QUIT_MS = 1500
"""Time that an idle worker has to leave on its own when the application quits."""
STDERR_LINES = 40


class WorkerError(RuntimeError):
    """The worker failed by no fault of the user; `details` holds the last lines it printed."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class _Request:
    def __init__(self, request, onProgress, onResult, onError, quiet, outbox) -> None:
        self.quiet = quiet
        self.outbox = outbox
        self.result = self.inbox = None
        self.request = request
        self.onProgress = onProgress
        self.onResult = onResult
        self.onError = onError
        self.sent = False
        self.cancelled = False
        self.fraction = 0.0


class _Session:
    """The life of one process: its QProcess, its private folder and what it has said so far."""

    def __init__(self) -> None:
        # Readable by its owner only; removed at the latest when Python ends. Windows refuses to delete files that are
        # still mapped somewhere; those the worker removes when it ends.
        self._folder = tempfile.TemporaryDirectory(prefix="MRITranslate-", ignore_cleanup_errors=True)
        self.folder = self._folder.name
        self.process = qt.QProcess()
        self.lines = messages.LineBuffer()
        self.errors = collections.deque(maxlen=STDERR_LINES)
        self.ready = False
        self.pid = 0
        self.silent = 0
        """How many times SILENCE_MS have passed since it said anything."""

    def start(self) -> None:
        environment = qt.QProcessEnvironment.systemEnvironment()
        library = os.path.dirname(os.path.dirname(os.path.abspath(MRITranslateLib.__file__)))
        paths = [library, environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        environment.insert("PYTHONSAFEPATH", "1")  # or a file in the current folder could pass for one of our libraries
        environment.insert("PYTHONUNBUFFERED", "1")
        self.process.setProcessEnvironment(environment)
        self.process.start(sys.executable, ["-m", "MRITranslateLib.service", "--folder", self.folder])

    def readErrors(self) -> None:
        text = bytes(self.process.readAllStandardError().data()).decode("utf-8", "replace")
        self.errors.extend(line for line in text.splitlines() if line.strip())

    def kill(self) -> None:
        pids = {self.pid, int(self.process.processId())} - {0}
        for pid in pids:
            killTree(pid)

    def removeFolder(self) -> None:
        self._folder.cleanup()


class Worker:
    """Requests to the worker process, one at a time; callbacks come from the event loop.

    Beside that one there may be a quiet request, a short one that nobody waits for: it gives way to the other.
    `onProgress(fraction, stage, done, total, remainingSeconds or None)`, then exactly one of `onResult(result, inbox)`
    and `onError(error)`, where error is an InputError, OutOfMemory, Cancelled or WorkerError. Large arrays are written
    before a request is sent, and read before its result is given, in pieces from the event loop. The files of the
    result are there until `onResult` returns.
    """

    def __init__(self) -> None:
        self.graceMs = GRACE_MS
        self.silenceMs = SILENCE_MS
        self._session = None
        self._current = None
        self._quiet = None
        self._count = 0
        self._stopping = False
        self._grace = qt.QTimer()
        self._grace.setSingleShot(True)
        self._grace.connect("timeout()", self._onGraceOver)
        self._silence = qt.QTimer()
        self._silence.connect("timeout()", self._onSilence)
        self._pieces = qt.QTimer()
        self._pieces.setInterval(0)
        self._pieces.connect("timeout()", self._onPiece)
        slicer.app.connect("aboutToQuit()", self.stop)

    @property
    def busy(self) -> bool:
        return self._current is not None

    @property
    def busyQuietly(self) -> bool:
        """Whether a quiet request is under way."""
        return self._quiet is not None

    @property
    def processId(self) -> int:
        """The process id of the running worker, 0 if there is none."""
        return self._session.pid or int(self._session.process.processId()) if self._session else 0

    def checkFree(self, quiet: bool = False) -> None:
        """Raises InputError while a request is under way; for a quiet one, while another quiet one is."""
        if (self._quiet if quiet else self._current) is not None:
            raise InputError(_("Another run is under way; wait for its end or cancel it."))

    def folder(self) -> str:
        """The folder for arrays to send with the next request. Starts the process if it is not running.

        Raises:
            WorkerError: The process cannot be started (on Windows this is known at once, elsewhere a moment later).
            InputError: There is no room for the folder.
            Cancelled: It is being stopped.
        """
        if self._stopping:
            raise Cancelled(_("The run was cancelled."))
        if self._session is not None and not os.path.isdir(self._session.folder):
            self.stop()  # some systems empty their temporary folder from time to time
        if self._session is None:
            try:
                self._start()
            except OSError as error:
                sentence = _("No temporary folder could be made ({reason}); make room on the disk and run again.")
                raise InputError(sentence.format(reason=error.strerror)) from error
        if self._session is None:
            raise WorkerError(_noStart())
        return self._session.folder

    def request(
        self,
        method: str,
        params: dict,
        onProgress,
        onResult,
        onError,
        quiet: bool = False,
        outbox: Outbox | None = None,
    ) -> None:
        """Send one request; see the class for the callbacks.

        Args:
            outbox: The arrays that `params` speak of.

        Raises:
            InputError: Another request (of its kind, quiet or not) is under way, or the parameters break the protocol.
        """
        self.checkFree(quiet)
        self._count += 1
        request = messages.Request(f"r{self._count}", method, params)
        request.line()  # says now, not later, if the parameters are wrong
        made = _Request(request, onProgress, onResult, onError, quiet, outbox or Outbox(self.folder()))
        if quiet:
            self._quiet = made
        else:
            self.cancel(quiet=True)
            self._current = made
            logging.info("MRITranslate: %s started", method)
            self._listen(self._session)
        self._proceed(made)
        if not self._session.ready:
            onProgress(0.0, _("Starting the computing process"), 0, 0, None)

    def cancel(self, quiet: bool = False) -> None:
        """Ask the worker to stop. Without a request, nothing happens.

        It is killed if it does not within `graceMs`, unless the request is the quiet one, which is soon over anyway.
        """
        request = self._quiet if quiet else self._current
        if request is None or request.cancelled:
            return
        request.cancelled = True
        if self._session.silent and not quiet:
            self._session.kill()  # it would not hear; _onFinished ends the request
        elif request.sent and request.result is None:
            self._count += 1
            cancel = messages.Request(f"r{self._count}", "cancel", {"id": request.request.id})
            self._session.process.write(cancel.line())
            if not quiet:
                self._grace.start(self.graceMs)
        else:
            self._fail(request, Cancelled(_("The run was cancelled.")))

    def stop(self) -> None:
        """End the process and remove its folder. A request under way ends as cancelled, and so does what waits for it:
        else the next one would start a process again while the application quits."""
        session, self._session = self._session, None
        self._grace.stop()
        self._silence.stop()
        if session is not None:
            session.process.blockSignals(True)
            if self._requests() or not session.ready:
                session.kill()
            session.process.closeWriteChannel()  # the end of its input tells the worker to leave
            if not session.process.waitForFinished(QUIT_MS):
                session.kill()
                session.process.waitForFinished(QUIT_MS)
            session.process.deleteLater()
            session.removeFolder()
        self._stopping = True
        try:
            for request in self._requests():
                self._fail(request, Cancelled(_("The run was cancelled.")))
        finally:
            self._stopping = False

    # The process reports

    def _start(self) -> None:
        session = _Session()
        process = session.process
        process.connect("readyReadStandardOutput()", lambda: self._onOutput(session))
        process.connect("readyReadStandardError()", session.readErrors)
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: self._onFinished(session, code))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda error: self._onError(session, error))
        self._session = session
        session.start()

    def _requests(self) -> list:
        return [request for request in (self._quiet, self._current) if request is not None]

    def _proceed(self, request: _Request) -> None:
        """Do what comes next of a request, as far as it can be done at once."""
        if not request.outbox.done or (request.inbox is not None and not request.inbox.done):
            self._pieces.start()
        elif request.inbox is not None:
            self._end(request)
            try:
                request.onResult(request.result, request.inbox)
            finally:
                request.inbox.remove()
        elif self._session.ready and not request.sent:
            request.sent = True
            self._session.process.write(request.request.line())

    def _onPiece(self) -> None:
        self._pieces.stop()
        for request in self._requests():
            if request not in self._requests():  # the end of the one before has stopped it
                continue
            try:
                (request.inbox or request.outbox).step()
            except Exception as error:
                self._fail(request, error)
            else:
                self._proceed(request)

    def _onOutput(self, session: _Session) -> None:
        try:
            for line in session.lines.feed(bytes(session.process.readAllStandardOutput().data())):
                event = messages.parse_event(line)
                if session is not self._session:  # stopped while it was speaking
                    return
                self._listen(session)
                self._onEvent(session, event)
        except messages.ProtocolError as error:
            logging.error("MRITranslate: the worker broke the protocol: %s", error)
            session.kill()  # what follows cannot be trusted; _onFinished tells the user

    def _onEvent(self, session: _Session, event) -> None:
        if event.event == "ready":
            session.ready, session.pid = True, event.fields["pid"]
            for request in self._requests():
                self._proceed(request)
            return
        current = next((request for request in self._requests() if request.request.id == event.id), None)
        if current is None:
            return  # the answer to a cancel message, or the end of a request that nobody waits for
        if event.event == "progress":
            fields = event.fields
            current.fraction = fields["fraction"]
            current.onProgress(
                fields["fraction"], fields["stage"], fields["done"], fields["total"], fields["remaining_s"]
            )
        elif event.event == "result":
            current.result = messages.check_result(current.request.method, event.fields["result"])
            current.inbox = Inbox(session.folder, current.result)
            self._proceed(current)
        elif event.event == "error":
            self._fail(current, self._error(event.fields["kind"], event.fields["message"], session))

    def _error(self, kind: str, message: str, session: _Session) -> Exception:
        if kind == "cancelled":
            return Cancelled(_("The run was cancelled."))
        if kind == "internal":
            return WorkerError(message, "\n".join(session.errors))
        return OutOfMemory(message) if kind == "memory" else InputError(message)

    def _onFinished(self, session: _Session, code: int) -> None:
        session.readErrors()
        self._onOutput(session)
        session.removeFolder()
        if session is not self._session:
            return
        self._session = None
        session.process.deleteLater()
        for request in self._requests():
            if request.cancelled:
                self._fail(request, Cancelled(_("The run was cancelled.")))
                continue
            message = _(
                "The computing process ended unexpectedly (code {code}), perhaps for lack of memory; run it again, "
                "with a smaller volume if this repeats."
            ).format(code=code)
            self._fail(request, WorkerError(message, "\n".join(session.errors)))

    def _onError(self, session: _Session, error) -> None:
        if int(error) != 0:  # all but FailedToStart are followed by finished()
            return
        session.removeFolder()
        if session is self._session:
            self._session = None
            for request in self._requests():
                self._fail(request, WorkerError(_noStart(), session.process.errorString()))

    def _onGraceOver(self) -> None:
        if self.busy and self._session is not None:
            logging.warning("MRITranslate: the worker did not stop in time and is killed")
            self._session.kill()

    def _listen(self, session: _Session) -> None:
        """It has spoken, or is about to."""
        session.silent = 0
        if self._current is not None:
            self._silence.start(self.silenceMs)

    def _onSilence(self) -> None:
        current = self._current
        if current is None or self._session is None:
            self._silence.stop()
            return
        if (self._session.ready and not current.sent) or current.result is not None:
            return  # arrays are on their way: it is Slicer's turn
        self._session.silent += 1
        seconds = self._session.silent * self.silenceMs // 1000
        sentence = _("No sign of life from the computing process for {seconds} s; wait, or cancel and run again")
        current.onProgress(current.fraction, sentence.format(seconds=seconds), 0, 0, None)

    def _end(self, request: _Request) -> None:
        if request.quiet:
            self._quiet = None
            return
        self._grace.stop()
        self._silence.stop()
        self._current = None
        logging.info("MRITranslate: %s ended", request.request.method)

    def _fail(self, request: _Request, error: Exception) -> None:
        self._end(request)
        if request.inbox is not None:
            request.inbox.remove()
        if isinstance(error, WorkerError) and error.details:
            logging.debug("MRITranslate: the worker's last lines:\n%s", error.details)
        request.onError(error)


def _noStart() -> str:
    return _("The computing process could not be started; reinstall the MRITranslate extension.")


_shared = None


def sharedWorker() -> Worker:
    """The worker of this application: the panel, the console and self tests keep one process warm together."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared
