"""What can be asked of the worker, as data: which nodes go in, what the request says, which nodes come out.

Every job has `REQUEST` (the method of the worker), `nodes()` (watched during the run), `check()` (raises InputError),
`params(folder)` (puts the arrays into an Outbox, returns the request's parameters) and `deliver(result, folder,
additions)` (makes the nodes of the result from the arrays of an Inbox).
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Optional

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import modality

from . import regions, results, scene, tables
from .exchange import Inbox, Outbox

PHANTOM_SHAPE = (96, 128, 128)
PHANTOM_LESIONS = 2
"""Of the sample patient: something to explain, and to look for in the synthetic images."""


def write(folder: Outbox, array: np.ndarray, geometry: dict) -> dict:
    return folder.add(array, geometry)


def writeNode(folder: Outbox, node) -> dict:
    return write(folder, slicer.util.arrayFromVolume(node), scene.geometryOfNode(node))


def writeMask(folder: Outbox, maskNode, referenceNode, segment: str = "") -> dict:
    mask = regions.maskArray(maskNode, referenceNode, segment)
    return write(folder, mask, scene.geometryOfNode(referenceNode))


def readOn(folder: Inbox, volume: dict, gridNode) -> np.ndarray:
    """The array of a result that must lie on the grid of `gridNode`."""
    array = folder.array(volume)
    scene.checkSameGrid(gridNode, array, volume)
    return array


def checkOutput(node, className: str, inputs: list) -> None:
    """A chosen output must be in the scene, of the right class and none of the inputs."""
    if node is None:
        return
    if node.GetClassName() != className:
        raise InputError(_('The output "{name}" is of another type; choose another one.').format(name=node.GetName()))
    if any(node is used for used in inputs):
        raise InputError(_("The output is the input itself; choose another output or a new one."))
    if not slicer.mrmlScene.IsNodePresent(node):
        raise InputError(_("The output is no longer in the scene; choose another one."))


def mapsOf(target, model: str) -> tuple:
    """The maps beside a synthetic image of a Modality: (field of the result, title, kind, colour table) each."""
    uncertainty = _("uncertainty of synthetic {modality}").format(modality=target.name)
    cycle = _("difference there and back by {model}").format(model=model)
    return (
        ("uncertainty", uncertainty, results.UNCERTAINTY, results.VIRIDIS),
        ("cycle", cycle, results.CYCLE, results.MAGMA),
    )


def choicesOf(job) -> dict:
    """What the caller chose for a translation, of a volume or of many, as its provenance states it."""
    return {
        "model": job.model,
        "device": job.device,
        "masked": job.maskNode is not None,
        "uncertainty": job.uncertainty,
        "cycle": job.cycle,
    }


@dataclasses.dataclass(frozen=True)
class TranslateJob:
    """A synthetic image of another contrast, on the input's grid.

    Its maps are node references of the synthetic volume: "MRITranslate.uncertainty" and "MRITranslate.cycle".

    Attributes:
        inputNode: Scalar volume of the model's source contrast.
        model: Name of an installed model, or the folder of a model package.
        device: "auto", "cpu", "cuda", ...
        outputNode: Scalar volume to overwrite, or None for a new one.
        maskNode: Segmentation, label map or markups ROI that limits the result, or None.
        uncertainty: Also make a volume of the standard deviation: True (or "augmentation"), "dropout", or names of
            other models for the same contrasts, over which it is then taken.
        cycle: Also make a volume of what does not come back: True takes the way back that the model's card names, a
            name is the model of the way back.
    """

    inputNode: Any
    model: str
    device: str = "auto"
    outputNode: Optional[Any] = None
    maskNode: Optional[Any] = None
    uncertainty: Any = False
    cycle: Any = False
    REQUEST = "translate"

    def _inputs(self) -> list:
        return [node for node in (self.inputNode, self.maskNode) if node is not None]

    def nodes(self) -> list:
        return [*self._inputs(), *([self.outputNode] if self.outputNode else [])]

    def check(self) -> None:
        scene.checkScan(self.inputNode, _("The input volume"))
        checkOutput(self.outputNode, "vtkMRMLScalarVolumeNode", self._inputs())

    def params(self, folder: Outbox) -> dict:
        mask = None if self.maskNode is None else writeMask(folder, self.maskNode, self.inputNode)
        image = writeNode(folder, self.inputNode)
        asked = self.uncertainty
        params = {"image": image, "model": self.model, "device": self.device, "mask": mask}
        if isinstance(asked, (list, tuple)):
            params["ensemble"] = [str(model) for model in asked]
        elif asked:
            params["uncertainty"] = "auto" if asked is True else str(asked)
        if self.cycle:
            params["cycle"] = "auto" if self.cycle is True else str(self.cycle)
        return params

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions):
        array = readOn(folder, result["image"], self.inputNode)
        target = modality(result["modality"])
        suffix = _("[synthetic {modality}]").format(modality=target.name)
        name = self.inputNode.GetName()
        new = []
        if self.outputNode is None:
            node = additions.add(results.newVolume(array, self.inputNode), f"{name} {suffix}")
            new.append(node)
        else:
            node = self.outputNode
            results.fillVolume(node, array, self.inputNode)
            node.CreateDefaultDisplayNodes()
            if suffix not in node.GetName():  # it must never pass for an acquisition
                node.SetName(results.uniqueName(f"{node.GetName()} {suffix}"))
        results.setQuantity(node, target)
        results.setWindow(node, target)
        parameters = choicesOf(self)
        stated = result["provenance"]
        results.setProvenance(node, results.SYNTHETIC, self.inputNode, stated, parameters)
        for key, title, kind, colours in mapsOf(target, self.model):
            if result.get(key) is None:
                continue
            values = readOn(folder, result[key], self.inputNode)
            made = additions.add(results.newVolume(values, self.inputNode), f"{name} [{title}]")
            results.showAsSpread(made, colours)
            results.setProvenance(made, kind, self.inputNode, stated, parameters)
            if kind == results.UNCERTAINTY:
                results.setUnits(made, target)
            node.SetNodeReferenceID(results.PREFIX + key, made.GetID())
            new.append(made)
        for made in [node, *new]:
            results.followTransform(made, self.inputNode)
        additions.folderBeside(self.inputNode, f"{name} [MRITranslate {self.model}]", new)
        return node


class Domain(typing.NamedTuple):
    """Whether a model is made for an image.

    Attributes:
        outcome: "ok", "warn" or "refuse".
        reasons: Sentences for people.
        contrast: What the image looks like, such as "T1"; "" where it resembles nothing that is known.
        probabilities: Of each contrast; they mean nothing where it is "".
    """

    outcome: str
    reasons: list
    contrast: str
    probabilities: dict


@dataclasses.dataclass(frozen=True)
class CheckJob:
    """Whether a volume looks like what a model was made for; nothing is added to the scene.

    Attributes:
        inputNode, model: As for TranslateJob.
    """

    inputNode: Any
    model: str
    REQUEST = "check"

    def nodes(self) -> list:
        return [self.inputNode]

    def check(self) -> None:
        scene.checkScan(self.inputNode, _("The input volume"))

    def params(self, folder: Outbox) -> dict:
        return {"image": writeNode(folder, self.inputNode), "model": self.model}

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions):
        seen = result["contrast"]
        name = seen["name"] if seen["known"] else ""
        return Domain(result["outcome"], result["reasons"], name, seen["probabilities"])


@dataclasses.dataclass(frozen=True)
class EvaluateJob:
    """Scores of a synthetic image against the true one, both on one grid, as a table.

    Attributes:
        referenceNode, predictionNode: Scalar volumes on one grid.
        modality: "MR" or "CT".
        maskNode: Segmentation or label map within which to score, or None.
        protocol: Name of the protocol ("plain", "synthrad2023", ...).
    """

    referenceNode: Any
    predictionNode: Any
    modality: str = "MR"
    maskNode: Optional[Any] = None
    protocol: str = "plain"
    REQUEST = "evaluate"

    def nodes(self) -> list:
        return [node for node in (self.referenceNode, self.predictionNode, self.maskNode) if node is not None]

    def check(self) -> None:
        scene.checkScan(self.referenceNode, _("The reference volume"))
        scene.checkScan(self.predictionNode, _("The volume to evaluate"))

    def params(self, folder: Outbox) -> dict:
        mask = None if self.maskNode is None else writeMask(folder, self.maskNode, self.referenceNode)
        return {
            "reference": writeNode(folder, self.referenceNode),
            "prediction": writeNode(folder, self.predictionNode),
            "modality": self.modality,
            "mask": mask,
            "protocol": self.protocol,
        }

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions):
        name = _("{name} [scores]").format(name=self.predictionNode.GetName())
        node = additions.add(tables.fill(slicer.vtkMRMLTableNode(), tables.scores(result)), name)
        parameters = {"modality": self.modality, "protocol": self.protocol, "masked": self.maskNode is not None}
        results.setProvenance(node, results.SCORES, self.predictionNode, result["facts"], parameters)
        additions.folderBeside(self.predictionNode, name, [node])
        return node


@dataclasses.dataclass(frozen=True)
class PhantomJob:
    """A digital head with all contrasts, CT, tissue labels and lesions on one grid, as a patient of its own.

    Attributes:
        seed: Which head.
        shape: Slices, rows, columns.
        lesions: How many.
    """

    seed: int = 1
    shape: tuple = PHANTOM_SHAPE
    lesions: int = 0
    REQUEST = "phantom"

    def nodes(self) -> list:
        return []

    def check(self) -> None:
        if len(self.shape) != 3:
            raise InputError(_("The phantom's shape must be three numbers: slices, rows, columns."))

    def params(self, folder: Outbox) -> dict:
        return {"seed": self.seed, "shape": [int(extent) for extent in self.shape], "lesions": self.lesions}

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> dict:
        nodes = {}
        parameters = {"seed": self.seed, "shape": list(self.shape), "lesions": self.lesions}
        for key in ("t1", "t2", "flair", "pd", "ct"):
            kind = modality(key)
            node = results.newVolumeOfGeometry(folder.array(result[key]), result[key])
            nodes[key] = additions.add(node, _("Phantom {seed} {modality}").format(seed=self.seed, modality=kind.name))
            results.setQuantity(nodes[key], kind)
            results.setWindow(nodes[key], kind)
        for key, title in (("labels", _("tissues")), ("lesions", _("lesions"))):
            if key == "lesions" and self.lesions == 0:
                continue
            array = np.asarray(folder.array(result[key])).astype(np.int16)
            node = results.newVolumeOfGeometry(array, result[key], "vtkMRMLLabelMapVolumeNode")
            nodes[key] = additions.add(node, _("Phantom {seed} {title}").format(seed=self.seed, title=title))
        colours = results.tissueColours(additions, result["label_names"])
        nodes["labels"].GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        for node in nodes.values():
            results.setProvenance(node, results.PHANTOM, None, {}, parameters)
        additions.study(_("Phantom patient {seed}").format(seed=self.seed), _("Digital head"), nodes.values())
        return nodes
