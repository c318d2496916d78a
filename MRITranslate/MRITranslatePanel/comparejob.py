"""A prediction beside the truth, and the page that reports it, as jobs (see `jobs`)."""

from __future__ import annotations

import base64
import dataclasses
import typing
from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import modality

from . import results, scene, tables
from .exchange import Inbox, Outbox
from .jobs import readOn, write, writeMask, writeNode

ENDINGS = (".html", ".csv")
MOST_NAME = 4000
"""Letters of a name that travel to the worker."""


class Compared(typing.NamedTuple):
    """What a comparison found; nodes unless said otherwise.

    Attributes:
        table: A measure a row: name, value, unit, protocol.
        difference: Scalar volume, prediction minus reference on the reference's grid, in `unit`.
        chart: Plot of the error of each slice; `slices` is its table.
        histogram: Table of the pairs of values that meet, and how often.
        resampled: Scalar volume, the prediction on the reference's grid where it lay on another one, else None.
        scores: Values by measure (float, None where not finite); `titles` and `units` say what they are.
        facts: How it was measured (protocol, data range, mask, ...), texts.
        unit: Of error and difference: "HU" or "of full scale".
        pictures: PNG files, as bytes, of the joint histogram ("histogram") and of the error of each slice ("errors").
        warnings: Sentences for people.
    """

    table: Any
    difference: Any
    chart: Any
    slices: Any
    histogram: Any
    resampled: Any
    scores: dict
    titles: dict
    units: dict
    facts: dict
    unit: str
    pictures: dict
    warnings: list


@dataclasses.dataclass(frozen=True)
class CompareJob:
    """Scores, difference, error of each slice and joint histogram of a synthetic volume against the true one.

    Attributes:
        referenceNode, predictionNode: Scalar volumes. A prediction on another grid, or under other transforms, is
            resampled to the grid of the reference, with a warning.
        modality: "MR" or "CT"; None takes what the reference node's voxel values are declared to be.
        maskNode: Segmentation or label map within which to score, or None.
        protocol: "plain", or for CT "synthrad2023" or "synthrad2025".
    """

    referenceNode: Any
    predictionNode: Any
    modality: Optional[str] = None
    maskNode: Optional[Any] = None
    protocol: str = "plain"
    REQUEST = "compare"

    @property
    def kind(self) -> str:
        return self.modality or results.kindOf(self.referenceNode)

    def nodes(self) -> list:
        return [node for node in (self.referenceNode, self.predictionNode, self.maskNode) if node is not None]

    def check(self) -> None:
        scene.checkScan(self.referenceNode, _("The reference"))
        scene.checkScan(self.predictionNode, _("The prediction"))
        if self.predictionNode is self.referenceNode:
            raise InputError(_("The prediction is the reference itself; choose another volume."))
        if self.protocol != "plain" and self.kind != "CT":
            raise InputError(
                _("The protocol {protocol} scores CT; choose CT, or the plain protocol.").format(protocol=self.protocol)
            )

    def params(self, folder: Outbox) -> dict:
        # What errs in the panel errs before anything is written: the mask is the part that can.
        mask = None if self.maskNode is None else writeMask(folder, self.maskNode, self.referenceNode)
        params = {
            "reference": writeNode(folder, self.referenceNode),
            "prediction": writeNode(folder, self.predictionNode),
            "modality": self.kind,
            "mask": mask,
            "protocol": self.protocol,
        }
        moved = scene.shift(self.referenceNode, self.predictionNode)
        if moved is not None:
            parts, lattice, error = moved
            params["shift"] = {"parts": [write(folder, part, lattice) for part in parts], "error_mm": error}
        return params

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> Compared:
        reference, prediction = self.referenceNode, self.predictionNode
        name = prediction.GetName()
        parameters = {"modality": self.kind, "protocol": self.protocol, "masked": self.maskNode is not None}
        made = []

        def add(node, kind: str, title: str, unique: bool = True):
            node = additions.add(node, title, unique)
            results.setProvenance(node, kind, prediction, result["facts"], parameters)
            node.SetNodeReferenceID(results.REFERENCE_ROLE, reference.GetID())
            made.append(node)
            return node

        def volume(key: str, kind: str, title: str):
            node = results.newVolume(readOn(folder, result[key], reference), reference)
            return add(node, kind, title.format(name=name, reference=reference.GetName()))

        def table(columns: list, kind: str, title: str):
            return add(tables.fill(slicer.vtkMRMLTableNode(), columns), kind, title.format(name=name))

        difference = volume("difference", results.DIFFERENCE, _("{name} [difference to {reference}]"))
        results.showAsDifference(difference, result["reach"])
        results.setUnits(difference, modality("CT" if self.kind == "CT" else "T1"))
        resampled = None
        if result["resampled"] is not None:
            resampled = volume("resampled", results.RESAMPLED, _("{name} [resampled to {reference}]"))
            resampled.SetVoxelValueQuantity(prediction.GetVoxelValueQuantity())
            resampled.SetVoxelValueUnits(prediction.GetVoxelValueUnits())
            results.copyWindow(prediction, resampled)
        scores = table(tables.scores(result), results.SCORES, _("{name} [scores]"))
        slices = table(tables.sliceErrors(result), results.SLICE_ERRORS, _("{name} [error of each slice]"))
        histogram = table(tables.jointHistogram(result), results.JOINT_HISTOGRAM, _("{name} [joint histogram]"))
        chart, series = tables.errorChart(_("Error of each slice"), _("Error of each slice"), slices)
        add(series, results.SLICE_ERRORS, series.GetName(), unique=False).SetAndObserveTableNodeID(slices.GetID())
        add(chart, results.ERROR_CHART, _("{name} [error chart]").format(name=name))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        for node in (difference, resampled):
            if node is not None:
                results.followTransform(node, reference)
        additions.folderBeside(prediction, _("{name} [comparison]").format(name=name), made)
        return Compared(
            scores,
            difference,
            chart,
            slices,
            histogram,
            resampled,
            result["scores"],
            result["titles"],
            {name: how["unit"] for name, how in result["measured"].items()},
            result["facts"],
            result["unit"],
            {key: base64.b64decode(png) for key, png in result["pictures"].items()},
            list(result["warnings"]),
        )


@dataclasses.dataclass(frozen=True)
class ReportJob(CompareJob):
    """A comparison written to a file; nothing is added to the scene.

    Attributes:
        path: The file to write: a page with scores and images if it ends with .html, the scores alone with .csv.
    """

    path: str = ""
    REQUEST = "report"

    def check(self) -> None:
        super().check()
        if not self.path.lower().endswith(ENDINGS):
            raise InputError(_("Say which file to write: it must end with .html (a report) or .csv (the scores)."))

    def params(self, folder: Outbox) -> dict:
        names = {"reference": self.referenceNode.GetName(), "prediction": self.predictionNode.GetName()}
        stated = {key: (name or "")[:MOST_NAME] for key, name in names.items()}
        return {**super().params(folder), "path": self.path, "names": stated}

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> str:
        return result["path"]
