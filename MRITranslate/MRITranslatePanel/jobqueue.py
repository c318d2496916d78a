"""Who starts runs: the worker does one at a time, so that further ones wait in a line that all of Slicer shares."""

from __future__ import annotations

import functools
import time

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled

from . import dependencies
from .run import Run
from .worker import sharedWorker


class JobQueue:
    """Runs in the order in which they were added; the first one is under way."""

    def __init__(self) -> None:
        self._runs = []

    def add(self, run: Run) -> None:
        """Begin a run, at once if no other is under way.

        Raises:
            Exception: It could not be begun; it is not in the line.
        """
        self._runs.append(run)
        if len(self._runs) == 1:
            try:
                run.begin()
            except BaseException:
                self._runs.remove(run)
                raise

    def ended(self, run: Run) -> None:
        """Take a run that ended, or that shall not be begun, out of the line; the next one begins.

        What waited while its scene was closed has lost its input and ends too.
        """
        self._runs.remove(run)
        losers = [waiting for waiting in self._runs if getattr(waiting.job, "touchesScene", True)]
        if run.sceneClosed and losers:  # its end ends the next one
            losers[0].sceneClosed = True
            losers[0].fail(Cancelled(_("The scene was closed, so the run was stopped.")))
        while self._runs and not self._runs[0].begun:
            first = self._runs[0]
            try:
                first.begin()
            except Exception as error:  # its volume may have been removed meanwhile; its caller hears of it
                first.fail(error)


class Runner:
    """Starts runs on the shared worker: the half of the scripting interface that knows no jobs."""

    def __init__(self) -> None:
        self._runs = []
        self._quietRun = None

    @property
    def running(self) -> bool:
        """Whether a job of this logic is under way or waiting."""
        return bool(self._runs)

    @property
    def waiting(self) -> list:
        """The jobs of this logic that wait for their turn, the next one first."""
        return [run.job for run in self._runs if not run.begun]

    def start(self, job, onProgress=None, onFinished=None, onFailed=None, onStarted=None) -> None:
        """Start a job and return at once; while another one is under way, it waits. Callbacks come from the event loop.

        Args:
            onProgress: (fraction, stage, done, total, seconds left or None)
            onFinished: (node or nodes, warnings)
            onFailed: (error)
            onStarted: () when the job's turn has come

        Raises:
            InputError: The job cannot be started; then no callback comes.
        """
        if getattr(job, "needsPackages", True):
            dependencies.check()
        job.check()
        run = None

        def ended(callback, *outcome):
            self._runs.remove(run)
            try:
                if callback:
                    callback(*outcome)
            finally:
                sharedQueue().ended(run)

        finished, failed = functools.partial(ended, onFinished), functools.partial(ended, onFailed)
        run = Run(sharedWorker(), job, onProgress or _ignoreProgress, finished, failed, onStarted=onStarted)
        self._runs.append(run)
        try:
            sharedQueue().add(run)
        except BaseException:
            self._runs.remove(run)
            raise

    def startQuietly(self, job, onFinished, onFailed) -> None:
        """Start a short job that adds no nodes and gives way to any other: `running` stays False, and a job that is
        started meanwhile cancels it. Callbacks and errors as of `start`; one at a time.
        """

        def finished(outcome, warnings):
            self._quietRun = None
            onFinished(outcome, warnings)

        def failed(error):
            self._quietRun = None
            onFailed(error)

        run = Run(sharedWorker(), job, _ignoreProgress, finished, failed, quiet=True)
        run.begin()  # may raise, and then the one that is under way stays
        self._quietRun = run

    def cancel(self) -> None:
        """Stop the job under way; its onFailed gets a Cancelled, and the next one that waits begins. Without one,
        nothing happens."""
        for run in self._runs:
            if run.begun:
                run.cancel()

    def cancelAll(self) -> None:
        """Stop the job under way, and let none begin that waits; each one's onFailed gets a Cancelled."""
        for run in [run for run in self._runs if not run.begun]:
            run.fail(Cancelled(_("The run was cancelled.")))
        self.cancel()

    def wait(self, job):
        """Run a job to its end while the application stays responsive; what it delivers, or its error raised."""
        outcome = {}

        def finished(nodes, warnings):
            outcome["nodes"] = nodes

        def failed(error):
            outcome["error"] = error

        self.start(job, None, finished, failed)
        waitFor(lambda: outcome)
        if "error" in outcome:
            raise outcome["error"]
        return outcome["nodes"]


def waitFor(condition) -> None:
    """Keep the application responsive until `condition()` holds."""
    while not condition():
        slicer.app.processEvents()
        time.sleep(0.005)


def _ignoreProgress(fraction, stage, done, total, remaining) -> None:
    """For callers that do not want to hear of progress."""


_queue = JobQueue()


def sharedQueue() -> JobQueue:
    """The line of this application: the panel, the console and self tests stand in it together."""
    return _queue
