"""The translation of a sequence: item by item, into a new sequence that plays beside it."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import modality

from . import results
from .batch import SCALAR, Step
from .exchange import Inbox
from .jobs import TranslateJob, choicesOf, mapsOf, readOn

SEQUENCE = "vtkMRMLSequenceNode"


def sequenceOf(node):
    """The sequence whose item a volume shows, and the browser that plays it; (None, None) for any other volume."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        sequence = browser.GetSequenceNode(node) if node is not None else None
        if sequence is not None:
            return sequence, browser
    return None, None


@dataclasses.dataclass(frozen=True)
class _ItemJob(TranslateJob):
    """The translation of a volume that is in the scene for this alone.

    What comes out is not added to the scene but to `sequences`, by the field of the result; each item at its own time,
    since copying them all at the end would hold the application up.
    """

    value: str = ""
    sequences: Any = None

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> dict:
        made = {
            key: results.newVolume(readOn(folder, result[key], self.inputNode), self.inputNode)
            for key in self.sequences
            if result.get(key) is not None
        }
        for key, node in made.items():  # all of them or none
            self.sequences[key].SetDataNodeAtValue(node, self.value)
        return {"modality": result["modality"], "provenance": result["provenance"], "sequences": self.sequences}


class _Item(Step):
    """An item of a sequence. Runs look at the scene's volumes, so the item is lent to the scene while it is used."""

    def __init__(self, batch: SequenceJob, index: int, transformID: str, sequences: dict) -> None:
        sequence = batch.sequenceNode
        self._value = sequence.GetNthIndexValue(index)
        super().__init__(f"{sequence.GetIndexName()} {self._value} {sequence.GetIndexUnit()}".strip(), None)
        self._batch = batch
        self._transformID = transformID
        self._sequences = sequences
        self._lent = None

    def make(self) -> TranslateJob:
        batch = self._batch
        item = batch.sequenceNode.GetDataNodeAtValue(self._value)
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
        maps = (batch.uncertainty, batch.cycle)
        return _ItemJob(
            node, batch.model, batch.device, None, batch.maskNode, *maps, value=self._value, sequences=self._sequences
        )

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
        sequences = {key: self._sequence() for key in ("image", "uncertainty", "cycle")}
        count = self.sequenceNode.GetNumberOfDataNodes()
        return [_Item(self, index, transformID, sequences) for index in range(count)]

    def where(self, number: int, total: int) -> str:
        return _("Item {number} of {total}").format(number=number, total=total)

    def gather(self, made: list) -> list:
        """Put the sequences of what was made into the scene; returns the volume that shows the synthetic image."""
        if not made or not slicer.mrmlScene.IsNodePresent(self.sequenceNode):
            return []
        browser, shown = self._browser()
        source = shown if shown is not None else self.sequenceNode
        facts, sequences = made[0], made[0]["sequences"]
        target = modality(facts["modality"])
        suffix = _("[synthetic {modality}]").format(modality=target.name)
        name = source.GetName()
        kinds = [("image", suffix, results.SYNTHETIC, None)]
        kinds += [(key, f"[{title}]", kind, look) for key, title, kind, look in mapsOf(target, self.model)]
        with results.Additions() as additions:
            pairs = {}
            for key, title, kind, look in kinds:
                if sequences[key].GetNumberOfDataNodes() == 0:
                    continue
                sequence = additions.add(sequences[key], f"{name} {title} [{_('sequence')}]")
                # What the views show of the sequence: the browser fills it with one item or another.
                volume = slicer.mrmlScene.CreateNodeByClass(SCALAR)
                volume.UnRegister(None)
                volume.CopyContent(sequence.GetNthDataNode(0))
                volume = additions.add(volume, f"{name} {title}")
                if look is None:
                    results.setQuantity(volume, target)
                    results.setWindow(volume, target)
                else:
                    results.showAsSpread(volume, look)
                    pairs["image"][1].SetNodeReferenceID(results.PREFIX + key, volume.GetID())
                if shown is not None:
                    results.followTransform(volume, shown)
                items = [sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes())]
                for node in items:
                    node.SetName(f"{name} {title}")
                for node in (sequence, volume, *items):
                    self._state(node, kind, facts)
                pairs[key] = sequence, volume
            new = [node for pair in pairs.values() for node in pair]
            additions.folderBeside(source, f"{name} [MRITranslate {self.model}]", new)
            if browser is None:
                browser = additions.add(slicer.vtkMRMLSequenceBrowserNode(), f"{name} {suffix} [{_('browser')}]")
                browser.SetAndObserveMasterSequenceNodeID(self.sequenceNode.GetID())
            modifying = browser.StartModify()  # or Slicer makes volumes of its own for the new sequences at once
            for sequence, volume in pairs.values():
                browser.AddSynchronizedSequenceNodeID(sequence.GetID())
                browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
                browser.AddProxyNode(volume, sequence, False)
            browser.EndModify(modifying)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
            return [pairs["image"][1]]

    def _sequence(self):
        """An empty sequence with the index of the one that is translated, not yet in the scene."""
        sequence = slicer.vtkMRMLSequenceNode()
        sequence.SetIndexName(self.sequenceNode.GetIndexName())
        sequence.SetIndexUnit(self.sequenceNode.GetIndexUnit())
        sequence.SetIndexType(self.sequenceNode.GetIndexType())
        return sequence

    def _state(self, node, kind: str, facts: dict) -> None:
        results.setProvenance(node, kind, self.sequenceNode, facts["provenance"], choicesOf(self))
