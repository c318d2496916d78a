"""Many translations in one go, one after the other: of the volumes of a study, or of a sequence (see `sequences`).

A batch is started as a job is (`Scripting.start`). One failure does not stop the rest; cancelling stops the batch and
keeps what is complete.
"""

from __future__ import annotations

import dataclasses
import time
import typing
from typing import Any, Optional

import slicer
import vtk
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled, InputError

from . import dependencies, results
from .jobs import TranslateJob

SCALAR = "vtkMRMLScalarVolumeNode"
MOST_NAMES = 3
"""Of those that share a warning."""


class Translated(typing.NamedTuple):
    """What a batch made.

    Attributes:
        nodes: Synthetic volumes in the order of their inputs; of a sequence the one volume that its browser plays.
        left: (name, reason) of what was left out.
    """

    nodes: list
    left: list


def studyOf(node) -> int:
    """Subject hierarchy item whose volumes belong together: the study of a node, else its folder, else the scene."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemAncestorAtLevel(item, "Study") or hierarchy.GetItemParent(item)


def volumesOf(item: int) -> list:
    """The scalar volumes beneath a subject hierarchy item; of the whole scene, those that lie in no study."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    found = vtk.vtkCollection()
    hierarchy.GetDataNodesInBranch(item, found, SCALAR)
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    # Label maps, vector volumes and the like are of derived classes.
    nodes = [node for node in nodes if node.GetClassName() == SCALAR and not node.GetHideFromEditors()]
    if item != hierarchy.GetSceneItemID():
        return nodes
    return [n for n in nodes if not hierarchy.GetItemAncestorAtLevel(hierarchy.GetItemByDataNode(n), "Study")]


class Step:
    """One translation of a batch."""

    def __init__(self, name: str, job: TranslateJob) -> None:
        self.name = name
        self._job = job

    def make(self) -> TranslateJob:
        """The job.

        Raises:
            InputError: It is not to be translated.
        """
        kind = self._job.inputNode.GetAttribute(results.KIND)
        if kind not in (None, results.PHANTOM):
            raise InputError(_("It was computed by MRITranslate ({kind}).").format(kind=kind))
        return self._job

    def needed(self) -> bool:
        """Whether what is to be translated is still there."""
        return slicer.mrmlScene.IsNodePresent(self._job.inputNode)

    def clean(self) -> None:
        """Nothing to tidy up."""


@dataclasses.dataclass(frozen=True)
class StudyJob:
    """Synthetic images of all scalar volumes of a study, or folder.

    Volumes that the model refuses, and what this module made, are left out, each with the reason.

    Attributes:
        item: Subject hierarchy item, such as `studyOf(volumeNode)`.
        model, device, maskNode, uncertainty, cycle: As for TranslateJob.
    """

    item: int
    model: str
    device: str = "auto"
    maskNode: Optional[Any] = None
    uncertainty: Any = False
    cycle: Any = False

    def check(self) -> None:
        if not volumesOf(self.item):
            raise InputError(_("There is no scalar volume in this study; choose another one."))

    def steps(self) -> list:
        return [
            Step(
                node.GetName(),
                TranslateJob(node, self.model, self.device, None, self.maskNode, self.uncertainty, self.cycle),
            )
            for node in volumesOf(self.item)
        ]

    def where(self, number: int, total: int) -> str:
        return _("Volume {number} of {total}").format(number=number, total=total)

    def gather(self, made: list) -> list:
        """The nodes of the batch, of what its translations delivered."""
        return made


class Batch:
    """Starts the translations of a batch, each when the one before has ended.

    `start` is the runner's; the callbacks are those of a job, but what `onFinished` gets is a Translated.
    """

    def __init__(self, start, job, onProgress, onFinished, onFailed, onStarted=None) -> None:
        self._start = start
        self._job = job
        self._tell, self._finished, self._failed = onProgress, onFinished, onFailed
        self._started = onStarted
        self._steps, self._step, self._number, self._total = [], None, 0, 0
        self._made, self._left, self._warnings = [], [], {}
        self._begun = None
        self._closed = False
        self._observation = None

    def begin(self) -> None:
        """Start the first translation that can be.

        Raises:
            InputError: None can; no callback will come.
        """
        self._job.check()
        dependencies.check()  # says it once, not for each
        self._steps = self._job.steps()
        self._total = len(self._steps)
        self._observation = slicer.mrmlScene.AddObserver(slicer.mrmlScene.StartCloseEvent, self._onSceneClosed)
        if not self._next():
            self._unwatch()
            raise self._nothing()

    def _next(self) -> bool:
        """Start the next translation that can be; False if there is none."""
        while self._steps:
            self._step = self._steps.pop(0)
            self._number += 1
            try:
                self._start(self._step.make(), self._onProgress, self._onDone, self._onError, self._onStarted)
                return True
            except Exception as error:  # whatever it is, it is the matter of this one
                self._leave(error)
        return False

    def _leave(self, error: Exception) -> None:
        self._step.clean()
        self._left.append((self._step.name, str(error)))

    def _onSceneClosed(self, caller, event) -> None:
        self._closed = True

    def _onStarted(self) -> None:
        if self._begun is None:
            self._begun = time.monotonic()
            if self._started is not None:
                self._started()

    def _onProgress(self, fraction: float, stage: str, done: int, total: int, remaining) -> None:
        if self._tell is None:
            return
        past = self._number - 1
        if remaining is not None:
            each = (time.monotonic() - self._begun + remaining) / self._number
            remaining += each * (self._total - self._number)
        where = self._job.where(self._number, self._total)
        self._tell((past + fraction) / self._total, f"{where}: {stage}", done, total, remaining)

    def _onDone(self, outcome, warnings: list) -> None:
        name = self._step.name
        self._made.append(outcome)
        for text in warnings:
            self._warnings.setdefault(text, []).append(name)
        self._step.clean()
        self._goOn()

    def _onError(self, error: Exception) -> None:
        if isinstance(error, Cancelled) and (self._closed or self._step.needed()):
            self._step.clean()
            self._stop(error)
            return
        self._leave(error)
        self._goOn()

    def _goOn(self) -> None:
        if self._closed:
            self._stop(Cancelled(_("The scene was closed, so the run was stopped.")))
        elif not self._next():
            self._end()

    def _unwatch(self) -> None:
        slicer.mrmlScene.RemoveObserver(self._observation)

    def _stop(self, error: Exception) -> None:
        self._unwatch()
        sentence = str(error)
        if self._made and not self._closed:
            try:
                self._job.gather(self._made)
            except Exception as problem:
                error, self._made = problem, []
            else:
                done = _("{done} of {total} are complete and stay in the scene.")
                error = Cancelled(f"{sentence} " + done.format(done=len(self._made), total=self._total))
        if self._failed is not None:
            self._failed(error)

    def _end(self) -> None:
        self._unwatch()
        error = None if self._made else self._nothing()
        if error is None:
            try:
                nodes = self._job.gather(self._made)
            except Exception as problem:  # whatever it was, the caller must hear of it exactly once
                error = problem
        if error is None:
            out = [_('Left out "{name}": {reason}').format(name=name, reason=reason) for name, reason in self._left]
            if self._finished is not None:
                self._finished(Translated(nodes, self._left), [*out, *self._said()])
        elif self._failed is not None:
            self._failed(error)

    def _said(self) -> list[str]:
        """The warnings, each once, with the names of those that it was said of."""
        sentences = []
        for text, names in self._warnings.items():
            whose = ", ".join(names) if len(names) <= MOST_NAMES else _("{count} of them").format(count=len(names))
            if len(names) == len(self._made) > 1:
                whose = _("All")
            sentences.append(f"{whose}: {text}")
        return sentences

    def _nothing(self) -> InputError:
        reasons = " ".join(f"{name}: {reason}" for name, reason in self._left)
        return InputError(_("Nothing could be translated. {reasons}").format(reasons=reasons))
