"""Many translations in one go: the volumes of a study, or the items of a sequence, one after the other.

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
from MRITranslateLib.modality import modality

from . import dependencies, results
from .jobs import TranslateJob, mapsOf, readOn

SCALAR, SEQUENCE = "vtkMRMLScalarVolumeNode", "vtkMRMLSequenceNode"


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


def sequenceOf(node):
    """The sequence whose item a volume shows, and the browser that plays it; (None, None) for any other volume."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        sequence = browser.GetSequenceNode(node) if node is not None else None
        if sequence is not None:
            return sequence, browser
    return None, None


class _Step:
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
            _Step(
                node.GetName(),
                TranslateJob(node, self.model, self.device, None, self.maskNode, self.uncertainty, self.cycle),
            )
            for node in volumesOf(self.item)
        ]

    def where(self, number: int, total: int) -> str:
        return _("Volume {number} of {total}").format(number=number, total=total)

    def gather(self, made: list) -> list:
        """The nodes of the batch, of those of its steps."""
        return [node for __, node in made]


class _ItemJob(TranslateJob):
    """The translation of a volume that is in the scene for this alone: what comes out is not added to the scene."""

    def deliver(self, result: dict, folder: str, additions: results.Additions) -> dict:
        found = {"modality": result["modality"], "provenance": result["provenance"]}
        for key in ("image", "uncertainty", "cycle"):
            if result.get(key) is not None:
                array = readOn(folder, result[key], self.inputNode)
                found[key] = results.newVolume(array, self.inputNode)
        return found


class _Item(_Step):
    """An item of a sequence. Runs look at the scene's volumes, so the item is lent to the scene while it is used."""

    def __init__(self, batch: SequenceJob, index: int, transformID: str) -> None:
        sequence = batch.sequenceNode
        self.value = sequence.GetNthIndexValue(index)
        name = f"{sequence.GetIndexName()} {self.value} {sequence.GetIndexUnit()}".strip()
        super().__init__(name, None)
        self._batch = batch
        self._transformID = transformID
        self._lent = None

    def make(self) -> TranslateJob:
        batch = self._batch
        item = batch.sequenceNode.GetDataNodeAtValue(self.value)
        if item is None:
            raise InputError(_("It is no longer in the sequence."))
        node = slicer.mrmlScene.CreateNodeByClass(SCALAR)
        node.UnRegister(None)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetName(f"{batch.sequenceNode.GetName()} {self.name}")
        node.SetAndObserveImageData(item.GetImageData())
        node.CopyOrientation(item)
        self._lent = slicer.mrmlScene.AddNode(node)
        self._lent.SetAndObserveTransformNodeID(self._transformID)
        return _ItemJob(node, batch.model, batch.device, None, batch.maskNode, batch.uncertainty, batch.cycle)

    def needed(self) -> bool:
        return slicer.mrmlScene.IsNodePresent(self._batch.sequenceNode)

    def clean(self) -> None:
        if self._lent is not None and slicer.mrmlScene.IsNodePresent(self._lent):
            slicer.mrmlScene.RemoveNode(self._lent)
        self._lent = None


@dataclasses.dataclass(frozen=True)
class SequenceJob:
    """A synthetic sequence of a sequence of scalar volumes: the same index, and a browser that plays both.

    Items that fail are missing in it; the volume that shows it is then empty.

    Attributes:
        sequenceNode: vtkMRMLSequenceNode of scalar volumes.
        model, device, maskNode, uncertainty, cycle: As for TranslateJob; the maps become sequences too.
    """

    sequenceNode: Any
    model: str
    device: str = "auto"
    maskNode: Optional[Any] = None
    uncertainty: Any = False
    cycle: Any = False

    def check(self) -> None:
        node = self.sequenceNode
        if node is None or not node.IsA(SEQUENCE):
            raise InputError(_("The volume is no item of a sequence; choose one that is, or translate the volume."))
        if node.GetDataNodeClassName() != SCALAR:
            raise InputError(
                _('"{name}" is no sequence of scalar volumes; choose another one.').format(name=node.GetName())
            )

    def _browser(self):
        """The browser that plays the sequence and the volume that it shows, if there are any."""
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            if browser.IsSynchronizedSequenceNode(self.sequenceNode, True):
                return browser, browser.GetProxyNode(self.sequenceNode)
        return None, None

    def steps(self) -> list:
        shown = self._browser()[1]
        transformID = shown.GetTransformNodeID() if shown is not None else None
        return [_Item(self, index, transformID) for index in range(self.sequenceNode.GetNumberOfDataNodes())]

    def where(self, number: int, total: int) -> str:
        return _("Item {number} of {total}").format(number=number, total=total)

    def gather(self, made: list) -> list:
        """Put the sequences of what was made into the scene; returns the volume that shows the synthetic image."""
        if not made or not slicer.mrmlScene.IsNodePresent(self.sequenceNode):
            return []
        browser, shown = self._browser()
        first = made[0][1]
        target = modality(first["modality"])
        suffix = _("[synthetic {modality}]").format(modality=target.name)
        name = (shown or self.sequenceNode).GetName()
        kinds = [("image", suffix, results.SYNTHETIC, None)]
        kinds += [(key, f"[{title}]", kind, look) for key, title, kind, look in mapsOf(target, self.model)]
        with results.Additions() as additions:
            new, volumes = [], {}
            for key, title, kind, look in kinds:
                items = [(value, found[key]) for value, found in made if key in found]
                if not items:
                    continue
                for __, node in items:
                    node.SetName(f"{name} {title}")
                    self._state(node, kind, first)
                sequence = additions.add(self._sequence(items), f"{name} {title} [{_('sequence')}]")
                self._state(sequence, kind, first)
                # What the views show of the sequence: the browser fills it with one item or another.
                volume = slicer.mrmlScene.CreateNodeByClass(SCALAR)
                volume.UnRegister(None)
                volume.CopyContent(items[0][1])
                volume = additions.add(volume, f"{name} {title}")
                self._state(volume, kind, first)
                if look is None:
                    results.setQuantity(volume, target)
                    results.setWindow(volume, target)
                else:
                    results.showAsSpread(volume, look)
                    volumes["image"][1].SetNodeReferenceID(results.PREFIX + key, volume.GetID())
                if shown is not None:
                    results.followTransform(volume, shown)
                volumes[key] = sequence, volume
                new += [sequence, volume]
            additions.folderBeside(shown or self.sequenceNode, f"{name} [MRITranslate {self.model}]", new)
            if browser is None:
                browser = additions.add(slicer.vtkMRMLSequenceBrowserNode(), f"{name} {suffix} [{_('browser')}]")
                browser.SetAndObserveMasterSequenceNodeID(self.sequenceNode.GetID())
            modifying = browser.StartModify()  # or Slicer makes volumes of its own for the new sequences at once
            for sequence, volume in volumes.values():
                browser.AddSynchronizedSequenceNodeID(sequence.GetID())
                browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
                browser.AddProxyNode(volume, sequence, False)
            browser.EndModify(modifying)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
            return [volumes["image"][1]]

    def _sequence(self, items: list):
        """A sequence of nodes with the index of the one that is translated."""
        sequence = slicer.vtkMRMLSequenceNode()
        sequence.SetIndexName(self.sequenceNode.GetIndexName())
        sequence.SetIndexUnit(self.sequenceNode.GetIndexUnit())
        sequence.SetIndexType(self.sequenceNode.GetIndexType())
        for value, node in items:
            sequence.SetDataNodeAtValue(node, value)
        return sequence

    def _state(self, node, kind: str, found: dict) -> None:
        parameters = {
            "model": self.model,
            "device": self.device,
            "masked": self.maskNode is not None,
            "uncertainty": self.uncertainty,
            "cycle": self.cycle,
        }
        results.setProvenance(node, kind, self.sequenceNode, found["provenance"], parameters)


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
        self._made, self._left, self._warnings = [], [], []
        self._begun = None
        self._closed = False
        self._observation = None

    def begin(self) -> None:
        """Start the first translation that can be.

        Raises:
            InputError: None can; no callback will come.
        """
        self._job.check()
        dependencies.ensure()  # asks once, not for each
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
        self._made.append((getattr(self._step, "value", name), outcome))
        self._warnings += [f"{name}: {text}" for text in warnings]
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
                self._finished(Translated(nodes, self._left), [*self._warnings, *out])
        elif self._failed is not None:
            self._failed(error)

    def _nothing(self) -> InputError:
        reasons = " ".join(f"{name}: {reason}" for name, reason in self._left)
        return InputError(_("Nothing could be translated. {reasons}").format(reasons=reasons))
