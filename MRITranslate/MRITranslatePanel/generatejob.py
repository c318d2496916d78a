"""Pictures from noise, X-rays from a report, and the words that mattered, as jobs (see `jobs`).

A report is patient data: it goes to the worker and into the scene, and nowhere else - no name of a node, no message, no
log and no text of a job (`repr`) holds any of it.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import modality

from . import results, scene, tables
from .exchange import Inbox, Outbox
from .jobs import writeNode

GREY = (0.0, 255.0)
"""The whole range of a picture: what an X-ray is looked at with."""


def _checkCount(count: int) -> None:
    if count < 1:
        raise InputError(_("{count} pictures are none; ask for at least 1.").format(count=count))


def _checkReader(model: str) -> None:
    if not model:
        raise InputError(_("No model that makes X-rays from reports is installed; add one."))


def _checkReport(report: str) -> None:
    if not report.strip():
        raise InputError(_("The report is empty; write one, or choose a text node."))


@dataclasses.dataclass(frozen=True)
class GenerateJob:
    """Pictures of one contrast from random numbers, as the slices of a volume; they are no neighbours of each other.

    The node reference "MRITranslate.verdict" of the volume is the table of what the discriminator says to each.

    Attributes:
        model: Name of an installed model that generates, or the folder of a model package.
        count: Number of pictures.
        seed: Decides them; on one device the same seed gives the same pictures.
        truncation: Largest random number, or None: the smaller, the more usual and the more alike the pictures.
        towards: Another seed: the pictures lie on the way from the first picture of one seed to that of the other.
        device: "auto", "cpu", "cuda", ...
    """

    model: str = "brain_mri"
    count: int = 16
    seed: int = 1
    truncation: Optional[float] = None
    towards: Optional[int] = None
    device: str = "auto"
    REQUEST = "generate"

    def nodes(self) -> list:
        return []

    def check(self) -> None:
        if not self.model:
            raise InputError(_("No model that makes pictures from noise is installed; add one."))
        _checkCount(self.count)

    def params(self, folder: Outbox) -> dict:
        return dataclasses.asdict(self)

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions):
        kind = modality(result["modality"])
        name = _("{model}, seed {seed} [synthetic {modality}, from noise]").format(
            model=result["provenance"]["model"], seed=self.seed, modality=kind.name
        )
        return _addPictures(name, result, folder, additions, None, dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class RadiographJob:
    """Chest X-rays of what a report says, as the slices of a volume: one X-ray is a volume of one slice.

    The report becomes a text node, the volume's node reference "MRITranslate.report". The node reference
    "MRITranslate.verdict" is the table of what the discriminator says to each X-ray.

    Attributes:
        report: The text, in the language of the training reports.
        model: Name of an installed model for radiographs, or the folder of a model package.
        seed: Decides; on one device the same report and seed give the same X-rays.
        count: Number of X-rays, which differ in what the report leaves open.
        textEncoder: Folder or cached name of a BERT checkpoint, for a model that comes without its language model.
        device: As of GenerateJob.
    """

    report: str = dataclasses.field(repr=False)
    model: str = "chest_xray"
    seed: int = 1
    count: int = 1
    textEncoder: Optional[str] = None
    device: str = "auto"
    REQUEST = "radiograph"

    def nodes(self) -> list:
        return []

    def check(self) -> None:
        _checkReader(self.model)
        _checkCount(self.count)
        _checkReport(self.report)

    def params(self, folder: Outbox) -> dict:
        params = dataclasses.asdict(self)
        params["text_encoder"] = params.pop("textEncoder")
        return params

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions):
        name = _("X-ray from a report, seed {seed} [synthetic X-ray]").format(seed=self.seed)
        text = slicer.vtkMRMLTextNode()
        text.SetText(self.report)
        text.SetAttribute(results.KIND, results.REPORT)
        text = additions.add(text, _("Report of an X-ray, seed {seed}").format(seed=self.seed))
        parameters = dataclasses.asdict(self)
        del parameters["report"]
        node = _addPictures(name, result, folder, additions, text, parameters)
        node.SetNodeReferenceID(results.REPORT_ROLE, text.GetID())
        return node


def _addPictures(name: str, result: dict, folder: Inbox, additions: results.Additions, text, parameters: dict):
    """The volume of a result, the table of what the discriminator says to its slices, and their folder."""
    kind = modality(result["modality"])
    array = folder.array(result["image"])
    node = additions.add(results.newVolumeOfGeometry(array, result["image"]), name)
    results.setQuantity(node, kind)
    if kind.kind == "XR":
        node.GetDisplayNode().SetWindowLevelMinMax(*GREY)
    else:
        results.setWindow(node, kind)
    stated = result["provenance"]
    results.setProvenance(node, results.SYNTHETIC, text, stated, parameters)
    new = [node] if text is None else [node, text]
    if result["realism"]:  # empty where the model has no discriminator
        columns = tables.verdicts(result["realism"], result.get("match", []))
        table = additions.add(tables.fill(slicer.vtkMRMLTableNode(), columns), f"{name} [{_('discriminator')}]")
        results.setProvenance(table, results.VERDICT, node, stated, parameters)
        node.SetNodeReferenceID(results.PREFIX + "verdict", table.GetID())
        new.append(table)
    additions.folderBeside(node, _("Generated by {model}").format(model=stated["model"]), new)
    return node


class Words(typing.NamedTuple):
    """Which words of a report raised or lowered a score.

    Attributes:
        table: Table node of the words in the order of the report, with what each added to the score (a logit).
        parts: (text, score) of the words and of what stands between them; joined they give the report.
        html: The report as coloured text.
        asked: What the score is, for people.
        score: Of the report.
        without: Of the report with all its words masked.
    """

    table: Any
    parts: list
    html: str
    asked: str
    score: float
    without: float


@dataclasses.dataclass(frozen=True)
class WordsJob:
    """Which words of a report mattered: for the match with an X-ray, or for a class that a classifier sees in it.

    The words of a class are those that made the generator put it into the X-ray, so that X-ray must be its own.

    Attributes:
        inputNode: Volume of one X-ray, or None for the one that the model makes of the report.
        model: As of RadiographJob.
        report: The text; None takes the report that the X-ray was made from.
        classifier, className: A classifier of chest X-rays and one of its classes; without them the match is asked.
        seed: Of the X-ray that the model makes; None is that of inputNode, or 1.
        textEncoder, device: As of RadiographJob.
    """

    inputNode: Optional[Any]
    model: str = "chest_xray"
    report: Optional[str] = dataclasses.field(default=None, repr=False)
    classifier: Optional[str] = None
    className: Optional[str] = None
    seed: Optional[int] = None
    textEncoder: Optional[str] = None
    device: str = "auto"
    REQUEST = "words"

    def _report(self) -> str:
        return (results.reportOf(self.inputNode) if self.report is None else self.report) or ""

    def nodes(self) -> list:
        return [] if self.inputNode is None else [self.inputNode]

    def check(self) -> None:
        _checkReader(self.model)
        if self.inputNode is not None:
            scene.checkScan(self.inputNode, _("The X-ray"))
            slices = self.inputNode.GetImageData().GetDimensions()[2]
            if slices != 1:
                raise InputError(_("The volume has {count} slices; choose one X-ray.").format(count=slices))
        if self.classifier is not None:
            if not self.className:
                raise InputError(_("The class is missing; choose one of the classifier's classes."))
            name = os.path.basename(os.path.normpath(self.model))  # a package's folder is named like its model
            if self.inputNode is not None and self.inputNode.GetAttribute(results.PREFIX + "Model") != name:
                raise InputError(
                    _("{model} did not make this X-ray of words; ask for the match instead.").format(model=name)
                )
        _checkReport(self._report())

    def params(self, folder: Outbox) -> dict:
        params = {
            "model": self.model,
            "report": self._report(),
            "classifier": self.classifier,
            "class": self.className,
            "text_encoder": self.textEncoder,
            "device": self.device,
            "seed": self._seed(),
        }
        if self.inputNode is not None and self.classifier is None:  # for a class the worker makes it anew
            params["image"] = writeNode(folder, self.inputNode)
        return params

    def _seed(self) -> int:
        return next(seed for seed in (self.seed, results.seedOf(self.inputNode), 1) if seed is not None)

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> Words:
        of = self.inputNode.GetName() if self.inputNode is not None else _("Report")
        about = self.model if self.classifier is None else self.classifier
        what = _("match") if self.classifier is None else self.className
        name = _("{name} [words of {model}, {what}]").format(name=of, model=about, what=what)
        table = additions.add(tables.fill(slicer.vtkMRMLTableNode(), tables.words(result["parts"])), name)
        parameters = dataclasses.asdict(dataclasses.replace(self, inputNode=None, report=None, seed=self._seed()))
        del parameters["inputNode"], parameters["report"]
        results.setProvenance(table, results.WORDS, self.inputNode, result["provenance"], parameters)
        folderName = _("{name} [MRITranslate {about}]").format(name=of, about=_("{model}, words").format(model=about))
        additions.folderBeside(table if self.inputNode is None else self.inputNode, folderName, [table])
        parts = [(part["text"], part["score"]) for part in result["parts"]]
        return Words(table, parts, result["html"], result["asked"], result["score"], result["without"])
