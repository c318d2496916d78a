"""The section of the panel that makes synthetic images: of a volume, of a study, of a sequence."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from . import results
from .batch import StudyJob, studyOf
from .devices import DeviceSection
from .jobs import TranslateJob
from .parameters import Scope
from .sections import DomainSection, ModelSection, allow
from .sequences import SequenceJob, sequenceOf


class TranslateSection(VTKObservationMixin):
    """Shows what the input looks like, the models, the devices; starts the translation that Run asks for.

    `start(makeJob, title, whenDone)` runs a job; `whenDone(job, outcome)` shows the outcome and returns a sentence for
    people.
    """

    def __init__(self, ui, logic, start) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._start = start
        self._parameters = None
        self._models = ModelSection(ui, self._onModelChosen)
        self._domain = DomainSection(ui, logic, self._models)
        self._devices = DeviceSection(ui, logic)
        ui.runButton.connect("clicked(bool)", self._onRun)

    @property
    def model(self):
        """Summary of the chosen model, None if there is none."""
        return self._models.chosen

    def refresh(self) -> None:
        """Look which models there are, and how much memory is free."""
        self._models.refresh()
        self._devices.refresh()

    def enter(self, parameters) -> None:
        """A parameter node comes into use: its model may be one that is installed elsewhere."""
        if self._models.name != parameters.model:
            self._models.choose(parameters.model)
            parameters.model = self._models.name

    def show(self, parameters) -> None:
        """Show what the parameter node does not show by itself; None while there is none."""
        self.removeObservers()
        self._parameters = parameters
        self._devices.show(parameters)
        if parameters is None:
            self._domain.update(None, "")
            return
        if parameters.inputVolume is not None:  # it may be chosen before its voxels are there
            event = slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent
            self.addObserver(parameters.inputVolume, event, self._onVoxels)
        if self._models.name != parameters.model:
            self._models.choose(parameters.model)

    def update(self) -> None:
        """Enable what can be done; a disabled button says in its tool tip why."""
        ui, parameters = self._ui, self._parameters
        scope = parameters.scope if parameters else Scope.VOLUME
        reason = self.reasonNot()
        if not reason and scope == Scope.SEQUENCE and sequenceOf(parameters.inputVolume)[0] is None:
            reason = _("The input is no item of a sequence; choose one that is, or translate this volume.")
        what = {
            Scope.VOLUME: _("Make the synthetic image."),
            Scope.STUDY: _("Make the synthetic images of all volumes of the study, one after the other."),
            Scope.SEQUENCE: _("Make the synthetic images of all items of the sequence, as a new sequence."),
        }
        allow(ui.runButton, reason, what[scope])
        back = self._models.hasWayBack
        ui.cycleCheck.enabled = back
        ui.cycleCheck.toolTip = (
            _("Also translate the synthetic image back, and make a volume of the difference to the input.")
            if back
            else _("No model for the way back from this one is installed.")
        )
        single = scope == Scope.VOLUME
        ui.outputSelector.enabled = single
        ui.outputSelector.toolTip = (
            _("Volume that receives the synthetic image. (Create new volume) never overwrites anything.")
            if single
            else _("Several synthetic images always get new volumes.")
        )
        if parameters:
            self._domain.update(parameters.inputVolume, self._models.name)

    def reasonNot(self, needsModel: bool = True) -> str:
        """What is missing for a run on the input volume, "" if nothing is."""
        if not self._parameters or not self._parameters.inputVolume:
            return _("Choose an input volume, or load the phantom patient.")
        if needsModel and not self._models.name:
            return _("No translation model is installed; see About this model.")
        return ""

    def _onVoxels(self, caller, event) -> None:
        self._domain.update(caller, self._models.name)

    def _onModelChosen(self, name: str) -> None:
        if self._parameters:
            self._parameters.model = name

    def _onRun(self) -> None:
        titles = {
            Scope.VOLUME: _("Translating"),
            Scope.STUDY: _("Translating the study"),
            Scope.SEQUENCE: _("Translating the sequence"),
        }
        scope = self._parameters.scope
        self._start(self._job, titles[scope], self._onMade if scope == Scope.VOLUME else self._onBatch)

    def _job(self):
        parameters = self._parameters
        node, mask = parameters.inputVolume, parameters.translateMask
        maps = {"uncertainty": parameters.uncertainty, "cycle": parameters.cycle and self._models.hasWayBack}
        model, device = self._models.name, parameters.device
        if parameters.scope == Scope.STUDY:
            return StudyJob(studyOf(node), model, device, mask, **maps)
        if parameters.scope == Scope.SEQUENCE:
            return SequenceJob(sequenceOf(node)[0], model, device, mask, **maps)
        return TranslateJob(node, model, device, parameters.outputVolume, mask, **maps)

    def _onMade(self, job, node) -> str:
        self._devices.ask()  # the worker has torch in memory now
        results.showLayers(job.inputNode, node, 1.0)
        if self._parameters:
            self._parameters.exportVolume = node
        return _('Made "{name}".').format(name=node.GetName())

    def _onBatch(self, job, made) -> str:
        self._devices.ask()
        shown = self._parameters.inputVolume if self._parameters else None
        for node in made.nodes if shown is not None else []:
            source = node.GetAttribute(results.PREFIX + "SourceNodeID")
            if isinstance(job, SequenceJob) or source == shown.GetID():
                results.showLayers(shown, node, 1.0)
        names = ", ".join(f'"{node.GetName()}"' for node in made.nodes)
        return _("Made {names}.").format(names=names)
