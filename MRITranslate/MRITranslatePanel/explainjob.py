"""The explanation as a job: what is asked of the worker, and the nodes that come of the answer."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError

from . import results, scene, tables
from .exchange import Inbox, Outbox
from .jobs import checkOutput, readOn, write, writeMask, writeNode

REGION, VOXEL, REALISM, ERROR, CLASS, MATCH = "region", "voxel", "realism", "error", "class", "match"
TARGETS = (REGION, VOXEL, REALISM, ERROR, CLASS, MATCH)
_VOLUME, _LABELS, _TABLE = "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode", "vtkMRMLTableNode"


class Explained(tuple):
    """The nodes of an explanation. It unpacks into the first two; all are attributes::

        heatMap, levels = logic.explain(t1Node, "t1_to_ct", regionNode=segmentation)
        explained = logic.explain(t1Node, "t1_to_ct", regionNode=segmentation, checkMap=True)
        print(explained.verdict, explained.table.GetCellText(4, 1))

    Attributes:
        heatMap: Scalar volume, 0 to 1.
        levels: Label map of the heat map's levels.
        table: Table of the levels: name, volume in ml, mean heat, mean of the input.
        shares: Table of the part of the heat in each segment of anatomyNode; None without one.
        chart: Plot chart of the deletion and insertion curves; None unless checkMap was asked for.
        besideHeatMap: The same map of the reference, or of pictures the model made; None where there is none.
        passes: Whether the map passed its check; None unless checkMap was asked for.
        verdict: What the check found, for people; "" unless checkMap was asked for.
        evidence: Where the heat lies, for people; "" without anatomyNode.
    """

    def __new__(cls, heatMap, levels, **more):
        made = tuple.__new__(cls, (heatMap, levels))
        made.heatMap, made.levels = heatMap, levels
        made.table, made.shares, made.chart = more["table"], more["shares"], more["chart"]
        made.besideHeatMap, made.passes = more["beside"], more["passes"]
        made.verdict, made.evidence = more["verdict"], more["evidence"]
        return made


@dataclasses.dataclass(frozen=True)
class ExplainJob:
    """Where in the input a model looks for what it puts into a region, or for what makes its output realistic.

    Attributes:
        inputNode, model, device: As for TranslateJob; the model of target "class" is a classifier.
        target: "region" (needs regionNode or plane), "voxel" (needs voxel or pointNode), "realism" (may have
            referenceNode, judged beside it), "error" (needs referenceNode), "class" (needs className) or "match" (of an
            X-ray with its report).
        regionNode: Segmentation (its visible segments) or label map, on any grid, or markups ROI.
        segment: Identifier or name of one segment of regionNode, which then is the region.
        plane: (axis, index): only what of the region (without one: of the head) lies in this plane of the input's
            voxels is explained, at once. Axis 0 runs along the columns, 1 along the rows, 2 along the slices. The nodes
            of an earlier such run are overwritten.
        voxel: Index (i, j, k) in the input volume.
        pointNode: Markups node whose first point is the voxel.
        referenceNode: The true image on the input's grid.
        className: One of the classifier's classes.
        report: Of an X-ray, for "match" and "realism"; None takes the one that the X-ray was made from. Beside it the
            model makes another X-ray of that report.
        textEncoder: As of RadiographJob.
        method: Name of the explanation method, such as "gradcam".
        layer: Name of the network's layer to look at, several with commas between them, or None for the network's own
            choice.
        quantiles, thresholds: Where the levels begin, instead of the usual quantiles; one of the two.
        speckMl: Specks of a level smaller than this are lowered by a level (millilitres).
        anatomyNode: Segmentation or label map; the part of the heat in each of its segments is counted.
        checkMap: Put the map itself to the test (deletion, insertion, a randomised network); takes many times longer.
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
    plane: Optional[tuple] = None
    pointNode: Optional[Any] = None
    className: Optional[str] = None
    quantiles: Optional[tuple] = None
    thresholds: Optional[tuple] = None
    speckMl: float = 0.0
    anatomyNode: Optional[Any] = None
    checkMap: bool = False
    report: Optional[str] = dataclasses.field(default=None, repr=False)
    textEncoder: Optional[str] = None
    segment: str = ""
    REQUEST = "explain"

    def _inputs(self) -> list:
        used = {
            REGION: self.regionNode,
            VOXEL: self.pointNode,
            ERROR: self.referenceNode,
            REALISM: self.referenceNode,
        }.get(self.target)
        return [node for node in (self.inputNode, used, self.anatomyNode) if node is not None]

    def nodes(self) -> list:
        return [*self._inputs(), *(node for node in (self.heatMapNode, self.levelsNode) if node is not None)]

    def check(self) -> None:
        scene.checkScan(self.inputNode, _("The input volume"))
        if self.target not in TARGETS:
            raise InputError(
                _('"{target}" cannot be explained; use {known}.').format(target=self.target, known=", ".join(TARGETS))
            )
        if self.target == ERROR or (self.target == REALISM and self.referenceNode is not None):
            scene.checkScan(self.referenceNode, _("The reference volume"))
        if self.target == VOXEL and self.voxel is None and self.pointNode is None:
            raise InputError(_("The voxel is missing; give its index (i, j, k) in the input volume, or a point."))
        if self.target == CLASS and not self.className:
            raise InputError(_("The class is missing; choose one of the classifier's classes."))
        if self._report() in {MATCH: (None, ""), REALISM: ("",)}.get(self.target, ()):
            raise InputError(_("The report of the X-ray is missing; write it, or choose a text node."))
        if self.plane is not None and self.target != REGION:
            raise InputError(_("Only a region can be explained slice by slice; explain the volume."))
        checkOutput(self.heatMapNode, _VOLUME, self._inputs())
        checkOutput(self.levelsNode, _LABELS, self._inputs())

    def params(self, folder: Outbox) -> dict:
        levels = {"min_ml": float(self.speckMl)}
        if self.quantiles is not None:
            levels["quantiles"] = [float(value) for value in self.quantiles]
        if self.thresholds is not None:
            levels["thresholds"] = [float(value) for value in self.thresholds]
        params = {
            "target": self._target(folder),
            "image": writeNode(folder, self.inputNode),
            "model": self.model,
            "method": self.method,
            "layer": self.layer or None,
            "device": self.device,
            "levels": levels,
            "check": self.checkMap,
        }
        if self.anatomyNode is not None:
            labels, names = scene.labelArray(self.anatomyNode, self.inputNode)
            params["segments"] = {
                "labels": write(folder, labels, scene.geometryOfNode(self.inputNode)),
                "names": {str(label): names[label] for label in np.unique(labels).tolist() if label in names},
            }
        return params

    def _target(self, folder: Outbox) -> dict:
        if self.target == REGION and self.plane is not None:
            mask = None if self.regionNode is None else self._region(folder)
            axis, index = self.plane
            return {"kind": "slice", "axis": int(axis), "index": int(index), "mask": mask}
        if self.target == REGION:
            return {"kind": REGION, "mask": self._region(folder)}
        if self.target == VOXEL:
            return {"kind": VOXEL, "index": [int(value) for value in self._voxel()]}
        if self.target == CLASS:
            return {"kind": CLASS, "name": self.className}
        target: dict[str, Any] = {"kind": self.target}
        if self.target in (REALISM, ERROR) and self.referenceNode is not None:
            target["reference"] = writeNode(folder, self.referenceNode)
        if self.target in (REALISM, MATCH):
            seed = results.seedOf(self.inputNode)
            if seed is not None:  # the model is to make others to compare with, not the same once more
                target["seed"] = (seed + 1) % 2**32
            if self._report() is not None:
                target["report"], target["text_encoder"] = self._report(), self.textEncoder
        return target

    def _region(self, folder: str) -> dict:
        return writeMask(folder, self.regionNode, self.inputNode, self.segment)

    def _report(self) -> Optional[str]:
        """None where there is none, "" where it says nothing."""
        report = results.reportOf(self.inputNode) if self.report is None else self.report
        return None if report is None else report if report.strip() else ""

    def _voxel(self) -> tuple:
        if self.voxel is not None:
            return self.voxel
        if self.pointNode.GetNumberOfControlPoints() == 0:
            raise InputError(_('"{name}" has no point; place one.').format(name=self.pointNode.GetName()))
        point = [0.0, 0.0, 0.0]
        self.pointNode.GetNthControlPointPositionWorld(0, point)
        return scene.voxelAt(point, self.inputNode)

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> Explained:
        nodes = _Nodes(self, result["provenance"], additions)
        heatMap = nodes.volume(results.HEAT_MAP, _("heat map"), readOn(folder, result["heatmap"], self.inputNode))
        levels = nodes.volume(results.HEAT_LEVELS, _("heat levels"), readOn(folder, result["levels"], self.inputNode))
        results.showAsHeatMap(heatMap)
        colours = results.levelColours(additions, list(result["level_names"]))
        levels.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        table = nodes.table(results.HEAT_TABLE, _("heat table"), tables.levels(result["table"]))
        shares = chart = beside = passes = None
        verdict = evidence = ""
        found = result["faithfulness"]
        if found is not None:
            chart = nodes.chart(found)
            passes, verdict = found["passes"], found["sentence"]
        if result["shares"]:
            shares = nodes.table(results.HEAT_SHARES, _("heat shares"), tables.shares(result["shares"]))
            evidence = result["share_sentence"] + "."
        if result["beside"] is not None:
            beside = self._beside(nodes, result["beside"], folder)
        nodes.gather()
        return Explained(
            heatMap,
            levels,
            table=table,
            shares=shares,
            chart=chart,
            beside=beside,
            passes=passes,
            verdict=verdict,
            evidence=evidence,
        )

    def _beside(self, nodes: _Nodes, result: dict, folder: Inbox):
        """The heat map of what was judged beside the input; that image too where it is not in the scene yet."""
        if self.referenceNode is None:
            nodes.free(results.COMPARED, result["title"], folder.array(result["image"]), result["image"])
        title = _("heat map of {title}").format(title=result["title"])
        array = folder.array(result["heatmap"])
        node = nodes.free(results.HEAT_MAP, title, array, result["heatmap"])
        results.showAsHeatMap(node)
        return node


class _Nodes:
    """Makes, or overwrites, the nodes of one explanation: named alike, in one folder, each with its provenance."""

    def __init__(self, job: ExplainJob, provenance: dict, additions: results.Additions) -> None:
        self._job = job
        self._provenance = provenance
        self._additions = additions
        self._new = []
        what = _("slice") if job.plane is not None else job.className if job.target == CLASS else job.target
        self._about = _("{model}, {what}").format(model=job.model, what=what)
        self._parameters = {
            "model": job.model,
            "target": job.target,
            "method": job.method,
            "layer": job.layer,
            "voxel": job.voxel,
            "plane": job.plane,
            "segment": job.segment,
            "class": job.className,
            "device": job.device,
            "check": job.checkMap,
        }

    def volume(self, kind: str, title: str, array: np.ndarray):
        """On the input's grid, into the node that was chosen for it or the one of the last slice, or a new one."""
        job = self._job
        className = _LABELS if kind == results.HEAT_LEVELS else _VOLUME
        name = self._name(title)
        node = {results.HEAT_MAP: job.heatMapNode, results.HEAT_LEVELS: job.levelsNode}[kind]
        node = node or self._earlier(name, kind)
        if node is None:
            node = self._add(results.newVolume(array, job.inputNode, className), name, kind)
        else:
            results.fillVolume(node, array, job.inputNode)
            node.CreateDefaultDisplayNodes()
            self._state(node, kind)
        results.followTransform(node, job.inputNode)
        return node

    def free(self, kind: str, title: str, array: np.ndarray, geometry: dict):
        """A new volume on a grid of its own."""
        node = self._add(results.newVolumeOfGeometry(array, geometry), self._name(title), kind)
        results.followTransform(node, self._job.inputNode)
        return node

    def table(self, kind: str, title: str, columns: list):
        name = self._name(title)
        node = self._earlier(name, kind)
        if node is not None:
            self._state(node, kind)
            return tables.fill(node, columns)
        return self._add(tables.fill(slicer.vtkMRMLTableNode(), columns), name, kind)

    def chart(self, faithfulness: dict):
        title = _("check of the heat map")
        name = self._name(title)
        node = self._earlier(name, results.CHECK_CHART)
        table = self.table(results.CHECK_CURVES, _("check curves"), tables.curves(faithfulness))
        if node is not None:  # its series show the table, which is filled anew
            self._state(node, results.CHECK_CHART)
            return node
        node, series = tables.chart(faithfulness, name, table)
        for one in series:
            self._add(one, one.GetName(), results.CHECK_CURVES, unique=False)  # these names are the chart's legend
            one.SetAndObserveTableNodeID(table.GetID())
        self._add(node, name, results.CHECK_CHART)
        for one in series:
            node.AddAndObservePlotSeriesNodeID(one.GetID())
        return node

    def gather(self) -> None:
        folder = _("{name} [MRITranslate {about}]").format(name=self._job.inputNode.GetName(), about=self._about)
        self._additions.folderBeside(self._job.inputNode, folder, self._new)

    def _name(self, title: str) -> str:
        job = self._job
        return _("{name} [{title} of {about}]").format(name=job.inputNode.GetName(), title=title, about=self._about)

    def _earlier(self, name: str, kind: str):
        """The node of an earlier explanation of a slice of the same input: scrolling must not fill the scene."""
        if self._job.plane is None:
            return None
        node = slicer.mrmlScene.GetFirstNodeByName(name)
        same = results.sourceOf(node) is self._job.inputNode
        return node if same and node.GetAttribute(results.KIND) == kind else None

    def _add(self, node, name: str, kind: str, unique: bool = True):
        node = self._additions.add(node, name, unique)
        self._new.append(node)
        self._state(node, kind)
        return node

    def _state(self, node, kind: str) -> None:
        results.setProvenance(node, kind, self._job.inputNode, self._provenance, self._parameters)
