"""A synthetic volume as DICOM files: the job, and the part of the panel that asks for it.

The worker writes the files (MRITranslateLib.dicomexport): hundreds of them would hold the application up. It also reads
the patient from the source's files itself: only their paths are sent to it.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import MODALITIES

from . import results, scene
from .jobs import write
from .sections import allow

FOLDER_SETTING = "MRITranslate/ExportFolder"
DICOM_INSTANCES = "DICOM.instanceUIDs"
"""Attribute that Slicer gives to volumes that it read from DICOM files."""


@dataclasses.dataclass(frozen=True)
class ExportJob:
    """A synthetic volume as one DICOM series, in a new folder within a chosen one; the scene stays as it is.

    Patient, study, frame of reference and references are those of the DICOM files that the volume's source was read
    from, where Slicer's DICOM database still has them; else the patient is an artificial one. Linear parent transforms
    are applied to what is written (a warning says so), others are refused.

    Attributes:
        node: Scalar volume that this module made.
        folder: An existing folder.
    """

    node: Any
    folder: str
    REQUEST = "export_dicom"

    def nodes(self) -> list:
        return [self.node]

    def check(self) -> None:
        scene.checkScan(self.node, _("The volume to export"))
        if not isSynthetic(self.node) or self.node.GetAttribute(results.PREFIX + "Target") not in MODALITIES:
            raise InputError(
                _('"{name}" is no synthetic image of MRITranslate; choose one that is.').format(
                    name=self.node.GetName()
                )
            )
        scene.geometryInWorld(self.node)
        if not os.path.isdir(self.folder):
            raise InputError(_("The folder for the DICOM files does not exist; choose another one."))

    def params(self, folder: str) -> dict:
        stated = {
            key: self.node.GetAttribute(results.PREFIX + name) or ""
            for key, name in (("model", "Model"), ("version", "Version"), ("weights", "WeightsSHA256"))
        }
        display = self.node.GetDisplayNode()
        window = None if display is None else [display.GetWindow(), display.GetLevel()]
        source = _origin(self.node)
        facts = {
            "modality": self.node.GetAttribute(results.PREFIX + "Target"),
            "placed": self.node.GetAttribute(results.PREFIX + "SourceNodeID") is not None,
            "phantom": source is not None and source.GetAttribute(results.KIND) == results.PHANTOM,
            "same_frame": self.node.GetParentTransformNode() is None,
            "window": window,
        }
        array = slicer.util.arrayFromVolume(self.node)
        return {
            "image": write(folder, array, scene.geometryInWorld(self.node)),
            "folder": os.path.abspath(self.folder),
            "source": _filesOf(source),
            "facts": {**stated, **facts},
        }

    def deliver(self, result: dict, folder: str, additions: results.Additions) -> list:
        if self.node.GetParentTransformNode() is not None:
            result["warnings"].append(
                _("The files lie where the transform puts the volume, not where its own grid is.")
            )
        if _instances(_origin(self.node)) and not result["from_source"]:
            result["warnings"].append(
                _("The DICOM files of the input are not in Slicer's database: the patient in the files is artificial.")
            )
        return [os.path.join(result["folder"], name) for name in result["files"]]


def isSynthetic(node) -> bool:
    """Whether a node is a synthetic image that this module made."""
    return node is not None and node.GetAttribute(results.KIND) == results.SYNTHETIC


def _origin(node):
    """What a volume was made of in the end: the source's source, where the source is synthetic too."""
    seen = set()
    while isSynthetic(node) and node.GetID() not in seen:
        seen.add(node.GetID())
        node = results.sourceOf(node)
    return None if isSynthetic(node) else node


def _instances(node) -> list[str]:
    return (node.GetAttribute(DICOM_INSTANCES) or "").split() if node is not None else []


def _filesOf(node) -> list[str]:
    """The DICOM files that a volume was read from, as far as Slicer's database knows them."""
    database = getattr(slicer, "dicomDatabase", None)  # not there before Slicer's DICOM module is set up
    if database is None or not database.isOpen:
        return []
    paths = (database.fileForInstance(uid) for uid in _instances(node))
    return [path for path in paths if path and os.path.isfile(path)]


class ExportSection:
    """The choice of a synthetic volume and the button that writes it; `chooseFolder()` asks the user for a folder."""

    def __init__(self, ui, start, chooseFolder=None) -> None:
        self._ui = ui
        self._start = start
        self.chooseFolder = chooseFolder or _askForFolder
        self._parameters = None
        ui.exportSelector.addAttribute("vtkMRMLScalarVolumeNode", results.KIND, results.SYNTHETIC)
        ui.exportButton.connect("clicked(bool)", self._onExport)

    def refresh(self) -> None:
        """There is nothing to look up on disk."""

    def show(self, parameters) -> None:
        self._parameters = parameters

    def update(self) -> None:
        reason = ""
        if self._parameters is None or self._parameters.exportVolume is None:
            reason = _("Make a synthetic volume first, or choose one.")
        what = _("Write the synthetic volume as a DICOM series, marked as derived and synthetic.")
        allow(self._ui.exportButton, reason, what)

    def _onExport(self) -> None:
        folder = self.chooseFolder()
        if folder:
            node = self._parameters.exportVolume
            self._start(lambda: ExportJob(node, folder), _("Exporting"), self._onExported)

    def _onExported(self, job, files) -> str:
        folder = os.path.dirname(files[0])
        return _('Wrote {count} DICOM files into "{folder}".').format(count=len(files), folder=folder)


def _askForFolder() -> str:
    """The folder that the user chooses, "" for none; it is where the next question begins."""
    settings = qt.QSettings()
    folder = qt.QFileDialog.getExistingDirectory(
        slicer.util.mainWindow(), _("Folder for the DICOM series"), settings.value(FOLDER_SETTING, "")
    )
    if folder:
        settings.setValue(FOLDER_SETTING, folder)
    return folder
