"""What can be asked of the worker, as data: which nodes go in, what the request says, which nodes come out.

Every job has `REQUEST` (the method of the worker), `nodes()` (watched during the run), `check()` (raises InputError),
`params(folder)` (writes the arrays, returns the request's parameters) and `deliver(result, folder, additions)` (makes
the nodes of the result).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import modality
from MRITranslateLib.service import volumes

from . import results, scene

REGION, VOXEL, REALISM, ERROR = "region", "voxel", "realism", "error"
PHANTOM_SHAPE = (96, 128, 128)
PHANTOM_LESIONS = 2
"""Of the sample patient: something to explain, and to look for in the synthetic images."""


def _write(folder: str, array: np.ndarray, geometry: dict) -> dict:
    return volumes.write_array(folder, array, geometry["spacing"], geometry["origin"], geometry["direction"])


def _writeNode(folder: str, node) -> dict:
    return _write(folder, slicer.util.arrayFromVolume(node), scene.geometryOfNode(node))


def _writeMask(folder: str, maskNode, referenceNode) -> dict:
    return _write(folder, scene.maskArray(maskNode, referenceNode), scene.geometryOfNode(referenceNode))


def _readOn(folder: str, volume: dict, gridNode) -> np.ndarray:
    """The array of a result that must lie on the grid of `gridNode`."""
    array = volumes.read_array(folder, volume)
    scene.checkSameGrid(gridNode, array, volume)
    return array


def _checkOutput(node, className: str, inputs: list) -> None:
    """A chosen output must be in the scene, of the right class and none of the inputs."""
    if node is None:
        return
    if node.GetClassName() != className:
        raise InputError(_('The output "{name}" is of another type; choose another one.').format(name=node.GetName()))
    if any(node is used for used in inputs):
        raise InputError(_("The output is the input itself; choose another output or a new one."))
    if not slicer.mrmlScene.IsNodePresent(node):
        raise InputError(_("The output is no longer in the scene; choose another one."))


@dataclasses.dataclass(frozen=True)
class TranslateJob:
    """A synthetic image of another contrast, on the input's grid.

    Attributes:
        inputNode: Scalar volume of the model's source contrast.
        model: Name of an installed model, or the folder of a model package.
        device: "auto", "cpu", "cuda", ...
        outputNode: Scalar volume to overwrite, or None for a new one.
        maskNode: Segmentation or label map that limits the result, or None.
    """

    inputNode: Any
    model: str
    device: str = "auto"
    outputNode: Optional[Any] = None
    maskNode: Optional[Any] = None
    REQUEST = "translate"

    def _inputs(self) -> list:
        return [node for node in (self.inputNode, self.maskNode) if node is not None]

    def nodes(self) -> list:
        return [*self._inputs(), *([self.outputNode] if self.outputNode else [])]

    def check(self) -> None:
        scene.checkScan(self.inputNode, _("The input volume"))
        _checkOutput(self.outputNode, "vtkMRMLScalarVolumeNode", self._inputs())

    def params(self, folder: str) -> dict:
        mask = None if self.maskNode is None else _writeMask(folder, self.maskNode, self.inputNode)
        image = _writeNode(folder, self.inputNode)
        return {"image": image, "model": self.model, "device": self.device, "mask": mask}

    def deliver(self, result: dict, folder: str, additions: results.Additions):
        array = _readOn(folder, result["image"], self.inputNode)
        target = modality(result["modality"])
        suffix = _("[synthetic {modality}]").format(modality=target.name)
        if self.outputNode is None:
            name = f"{self.inputNode.GetName()} {suffix}"
            node = additions.add(results.newVolume(array, self.inputNode), name)
            additions.folderBeside(self.inputNode, f"{self.inputNode.GetName()} [MRITranslate {self.model}]", [node])
        else:
            node = self.outputNode
            results.fillVolume(node, array, self.inputNode)
            node.CreateDefaultDisplayNodes()
            if suffix not in node.GetName():  # it must never pass for an acquisition
                node.SetName(results.uniqueName(f"{node.GetName()} {suffix}"))
        results.followTransform(node, self.inputNode)
        results.setQuantity(node, target)
        results.setWindow(node, target)
        parameters = {"model": self.model, "device": self.device, "masked": self.maskNode is not None}
        results.setProvenance(node, results.SYNTHETIC, self.inputNode, result["provenance"], parameters)
        return node


@dataclasses.dataclass(frozen=True)
class ExplainJob:
    """Where in the input a model looks for what it puts into a region, or for what makes its output realistic.

    Attributes:
        inputNode, model, device: As for TranslateJob.
        target: "region" (needs regionNode), "voxel" (needs voxel), "realism" or "error" (needs referenceNode).
        regionNode: Segmentation (its visible segments) or label map, on any grid.
        voxel: Index (i, j, k) in the input volume.
        referenceNode: The true image on the input's grid.
        method: Name of the explanation method, such as "gradcam".
        layer: Name of the network's layer to look at, or None for the network's own choice.
        heatMapNode, levelsNode: Nodes to overwrite, or None for new ones.
    """

    inputNode: Any
    model: str
    target: str = REGION
    regionNode: Optional[Any] = None
    voxel: Optional[tuple] = None
    referenceNode: Optional[Any] = None
    method: str = "gradcam"
    layer: Optional[str] = None
    device: str = "auto"
    heatMapNode: Optional[Any] = None
    levelsNode: Optional[Any] = None
    REQUEST = "explain"

    def _inputs(self) -> list:
        used = {REGION: self.regionNode, ERROR: self.referenceNode}.get(self.target)
        return [node for node in (self.inputNode, used) if node is not None]

    def nodes(self) -> list:
        return [*self._inputs(), *(node for node in (self.heatMapNode, self.levelsNode) if node is not None)]

    def check(self) -> None:
        scene.checkScan(self.inputNode, _("The input volume"))
        if self.target == ERROR:
            scene.checkScan(self.referenceNode, _("The reference volume"))
        if self.target == VOXEL and self.voxel is None:
            raise InputError(_("The voxel is missing; give its index (i, j, k) in the input volume."))
        if self.target not in (REGION, VOXEL, REALISM, ERROR):
            raise InputError(
                _('"{target}" cannot be explained; use region, voxel, realism or error.').format(target=self.target)
            )
        _checkOutput(self.heatMapNode, "vtkMRMLScalarVolumeNode", self._inputs())
        _checkOutput(self.levelsNode, "vtkMRMLLabelMapVolumeNode", self._inputs())

    def params(self, folder: str) -> dict:
        target: dict[str, Any] = {"kind": self.target}
        if self.target == REGION:
            target["mask"] = _writeMask(folder, self.regionNode, self.inputNode)
        elif self.target == VOXEL:
            target["index"] = [int(value) for value in self.voxel]
        elif self.target == ERROR:
            target["reference"] = _writeNode(folder, self.referenceNode)
        return {
            "image": _writeNode(folder, self.inputNode),
            "model": self.model,
            "target": target,
            "method": self.method,
            "layer": self.layer,
            "device": self.device,
        }

    def deliver(self, result: dict, folder: str, additions: results.Additions):
        heat = _readOn(folder, result["heatmap"], self.inputNode)
        levels = _readOn(folder, result["levels"], self.inputNode)
        name = self.inputNode.GetName()
        new = []
        heatNode, levelsNode = self.heatMapNode, self.levelsNode
        if heatNode is None:
            title = _("{name} [heat map of {model}, {target}]").format(name=name, model=self.model, target=self.target)
            heatNode = additions.add(results.newVolume(heat, self.inputNode), title)
            new.append(heatNode)
        else:
            results.fillVolume(heatNode, heat, self.inputNode)
            heatNode.CreateDefaultDisplayNodes()
        if levelsNode is None:
            title = _("{name} [heat levels of {model}, {target}]").format(
                name=name, model=self.model, target=self.target
            )
            levelsNode = additions.add(results.newVolume(levels, self.inputNode, "vtkMRMLLabelMapVolumeNode"), title)
            new.append(levelsNode)
        else:
            results.fillVolume(levelsNode, levels, self.inputNode)
            levelsNode.CreateDefaultDisplayNodes()
        additions.folderBeside(self.inputNode, f"{name} [MRITranslate {self.model}, {self.target}]", new)
        results.showAsHeatMap(heatNode)
        colours = results.levelColours(additions, list(result["level_names"]))
        levelsNode.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        parameters = {
            "model": self.model,
            "target": self.target,
            "method": self.method,
            "layer": self.layer,
            "voxel": self.voxel,
            "device": self.device,
        }
        for node, kind in ((heatNode, results.HEAT_MAP), (levelsNode, results.HEAT_LEVELS)):
            results.followTransform(node, self.inputNode)
            results.setProvenance(node, kind, self.inputNode, result["provenance"], parameters)
        return heatNode, levelsNode


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

    def params(self, folder: str) -> dict:
        mask = None if self.maskNode is None else _writeMask(folder, self.maskNode, self.referenceNode)
        return {
            "reference": _writeNode(folder, self.referenceNode),
            "prediction": _writeNode(folder, self.predictionNode),
            "modality": self.modality,
            "mask": mask,
            "protocol": self.protocol,
        }

    def deliver(self, result: dict, folder: str, additions: results.Additions):
        name = _("{name} [scores]").format(name=self.predictionNode.GetName())
        node = additions.add(results.scoresTable(result["scores"]), name)
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

    def params(self, folder: str) -> dict:
        return {"seed": self.seed, "shape": [int(extent) for extent in self.shape], "lesions": self.lesions}

    def deliver(self, result: dict, folder: str, additions: results.Additions) -> dict:
        nodes = {}
        parameters = {"seed": self.seed, "shape": list(self.shape), "lesions": self.lesions}
        for key in ("t1", "t2", "flair", "pd", "ct"):
            kind = modality(key)
            node = results.newVolumeOfGeometry(volumes.read_array(folder, result[key]), result[key])
            nodes[key] = additions.add(node, _("Phantom {seed} {modality}").format(seed=self.seed, modality=kind.name))
            results.setQuantity(nodes[key], kind)
            results.setWindow(nodes[key], kind)
        for key, title in (("labels", _("tissues")), ("lesions", _("lesions"))):
            if key == "lesions" and self.lesions == 0:
                continue
            array = np.asarray(volumes.read_array(folder, result[key])).astype(np.int16)
            node = results.newVolumeOfGeometry(array, result[key], "vtkMRMLLabelMapVolumeNode")
            nodes[key] = additions.add(node, _("Phantom {seed} {title}").format(seed=self.seed, title=title))
        for node in nodes.values():
            results.setProvenance(node, results.PHANTOM, None, {}, parameters)
        additions.study(_("Phantom patient {seed}").format(seed=self.seed), _("Digital head"), nodes.values())
        return nodes
