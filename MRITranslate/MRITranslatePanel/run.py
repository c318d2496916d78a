"""One job from its check to its nodes in the scene, with the scene watched meanwhile."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled

from .exchange import Inbox, Outbox
from .results import Additions
from .worker import Worker


class Run:
    """Runs a job on the worker. Nothing is added to the scene before the result is complete.

    A quiet run (see Worker) gives way to another one.
    `onStarted()` is called when it begins. Closing the scene or removing an input node stops the run with a sentence.
    After `begin`, exactly one of `onFinished(nodes, warnings)` and `onFailed(error)` is called, from the event loop.

    Attributes:
        job: What is run.
        begun: Whether `begin` was called.
        sceneClosed: Whether the run ended because the scene did.
    """

    def __init__(
        self, worker: Worker, job, onProgress, onFinished, onFailed, quiet: bool = False, onStarted=None
    ) -> None:
        self.job = job
        self.begun = self.sceneClosed = False
        self._quiet = quiet
        self._worker = worker
        self._onProgress = onProgress
        self._onFinished = onFinished
        self._onFailed = onFailed
        self._onStarted = onStarted
        self._watched = []
        self._observations = []
        self._outbox = None
        self._reason = ""

    def begin(self) -> None:
        """Check the job and send it; large arrays are written meanwhile.

        Raises:
            InputError: The job cannot be run; nothing was started and no callback will come.
        """
        self.begun = True
        self.job.check()
        self._worker.checkFree(self._quiet)
        if self._onStarted:
            self._onStarted()
        self._watched = [node.GetID() for node in self.job.nodes()]
        self._outbox = Outbox(self._worker.folder())
        if getattr(self.job, "touchesScene", True):
            self._watch()
        try:
            params = self.job.params(self._outbox)
            self._worker.request(
                self.job.REQUEST, params, self._onProgress, self._onResult, self._onError, self._quiet, self._outbox
            )
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

    def fail(self, error: Exception) -> None:
        """End a run that was never begun."""
        self._onFailed(error)

    def _onSceneClosed(self, caller, event) -> None:
        self.sceneClosed = True
        self.cancel(_("The scene was closed, so the run was stopped."))

    def _onNodeRemoved(self, caller, event) -> None:
        if any(slicer.mrmlScene.GetNodeByID(identity) is None for identity in self._watched):
            self.cancel(_("A volume that the run needs was removed, so the run was stopped."))

    def _end(self) -> None:
        """Stop watching; delete the arrays that were sent."""
        for tag in self._observations:
            slicer.mrmlScene.RemoveObserver(tag)
        self._observations = []
        self._outbox.remove()

    def _onResult(self, result: dict, folder: Inbox) -> None:
        additions = Additions()
        try:
            if self._reason:  # the result was on its way when the scene was closed
                raise Cancelled(self._reason)
            with additions:
                nodes = self.job.deliver(result, folder, additions)
        except Exception as error:  # whatever it was, the caller must hear of it exactly once
            self._end()
            self._onFailed(error)
        else:
            self._end()
            # What the caller does with the nodes, showing them above all, gets a turn of the event loop of its own.
            qt.QTimer.singleShot(0, lambda: self._finish(additions, nodes, list(result.get("warnings", []))))

    def _finish(self, additions: Additions, nodes, warnings: list) -> None:
        if additions.present():
            self._onFinished(nodes, warnings)
        else:
            self._onFailed(Cancelled(_("The result was removed as soon as it was made.")))

    def _onError(self, error: Exception) -> None:
        self._end()
        self._onFailed(Cancelled(self._reason) if self._reason and isinstance(error, Cancelled) else error)
