"""One job from its check to its nodes in the scene, with the scene watched meanwhile; and who starts such runs."""

from __future__ import annotations

import time

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.service import volumes

from . import dependencies
from .results import Additions
from .worker import Worker, sharedWorker


def _volumesOf(value):
    """Every volume description within a request's parameters or a result."""
    if isinstance(value, dict):
        if "array" in value:
            yield value
        for part in value.values():
            yield from _volumesOf(part)


class Run:
    """Runs a job on the worker. Nothing is added to the scene before the result is complete.

    A quiet run (see Worker) gives way to another one.
    Closing the scene or removing an input node stops the run with a sentence. After `begin`, exactly one of
    `onFinished(nodes, warnings)` and `onFailed(error)` is called, from the event loop.
    """

    def __init__(self, worker: Worker, job, onProgress, onFinished, onFailed, quiet: bool = False) -> None:
        self.job = job
        self._quiet = quiet
        self._worker = worker
        self._onProgress = onProgress
        self._onFinished = onFinished
        self._onFailed = onFailed
        self._watched = []
        self._observations = []
        self._folder = None
        self._sent = []
        self._reason = ""

    def begin(self) -> None:
        """Check the job, write its arrays and send it.

        Raises:
            InputError: The job cannot be run; nothing was started and no callback will come.
        """
        self.job.check()
        self._worker.checkFree(self._quiet)
        self._watched = [node.GetID() for node in self.job.nodes()]
        self._folder = self._worker.folder()
        params = self.job.params(self._folder)
        self._sent = list(_volumesOf(params))
        self._watch()
        try:
            self._worker.request(self.job.REQUEST, params, self._onProgress, self._onResult, self._onError, self._quiet)
        except Exception:
            self._end()
            raise

    def cancel(self, reason: str = "") -> None:
        """Stop; `onFailed` gets a Cancelled that carries the reason."""
        self._reason = self._reason or reason or _("The run was cancelled.")
        self._worker.cancel(self._quiet)

    def _watch(self) -> None:
        scene = slicer.mrmlScene
        for event, answer in (
            (scene.StartCloseEvent, self._onSceneClosed),
            (slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved),
        ):
            self._observations.append(scene.AddObserver(event, answer))

    def _onSceneClosed(self, caller, event) -> None:
        self.cancel(_("The scene was closed, so the run was stopped."))

    def _onNodeRemoved(self, caller, event) -> None:
        if any(slicer.mrmlScene.GetNodeByID(identity) is None for identity in self._watched):
            self.cancel(_("A volume that the run needs was removed, so the run was stopped."))

    def _end(self, *received) -> None:
        """Stop watching; delete the arrays that were exchanged."""
        for tag in self._observations:
            slicer.mrmlScene.RemoveObserver(tag)
        self._observations = []
        for volume in [*self._sent, *received]:
            volumes.remove_array(self._folder, volume)

    def _onResult(self, result: dict, folder: str) -> None:
        error = None
        try:
            if self._reason:  # the result was on its way when the scene was closed
                raise Cancelled(self._reason)
            with Additions() as additions:
                nodes = self.job.deliver(result, folder, additions)
        except Exception as problem:  # whatever it was, the caller must hear of it exactly once
            error = problem
        finally:
            self._end(*_volumesOf(result))
        if error is not None:
            self._onFailed(error)
        else:
            self._onFinished(nodes, list(result.get("warnings", [])))

    def _onError(self, error: Exception) -> None:
        self._end()
        self._onFailed(Cancelled(self._reason) if self._reason and isinstance(error, Cancelled) else error)


class Runner:
    """Starts runs on the shared worker, one at a time: the half of the scripting interface that knows no jobs."""

    def __init__(self) -> None:
        self._run = None
        self._quietRun = None

    @property
    def running(self) -> bool:
        """Whether a job of this logic is under way."""
        return self._run is not None

    def start(self, job, onProgress=None, onFinished=None, onFailed=None) -> None:
        """Start a job and return at once; callbacks come from the event loop.

        Args:
            onProgress: (fraction, stage, done, total, seconds left or None)
            onFinished: (node or nodes, warnings)
            onFailed: (error)

        Raises:
            InputError: The job cannot be started; then no callback comes.
        """
        if self.running:
            raise InputError(_("Another run is under way; wait for its end or cancel it."))
        dependencies.ensure()

        def finished(nodes, warnings):
            self._run = None
            if onFinished:
                onFinished(nodes, warnings)

        def failed(error):
            self._run = None
            if onFailed:
                onFailed(error)

        self._run = Run(sharedWorker(), job, onProgress or _ignoreProgress, finished, failed)
        try:
            self._run.begin()
        except BaseException:
            self._run = None
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
        """Stop the job under way; its onFailed gets a Cancelled. Without one, nothing happens."""
        if self.running:
            self._run.cancel()

    def wait(self, job):
        """Run a job to its end while the application stays responsive; what it delivers, or its error raised."""
        outcome = {}

        def finished(nodes, warnings):
            outcome["nodes"] = nodes

        def failed(error):
            outcome["error"] = error

        self.start(job, None, finished, failed)
        while not outcome:
            slicer.app.processEvents()
            time.sleep(0.005)
        if "error" in outcome:
            raise outcome["error"]
        return outcome["nodes"]


def _ignoreProgress(fraction, stage, done, total, remaining) -> None:
    """For callers that do not want to hear of progress."""
