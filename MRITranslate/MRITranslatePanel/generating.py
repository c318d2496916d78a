"""The section of the panel that makes pictures from noise and X-rays from a report, and explains the latter."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MRITranslateLib import catalog
from MRITranslateLib.errors import InputError

from . import results
from .explainjob import ExplainJob
from .generatejob import GenerateJob, RadiographJob, WordsJob
from .parameters import XrayTarget
from .sections import allow, chooseItem, fillCombo, readCard, refusal


class GenerateSection(VTKObservationMixin):
    """Shows the choices, starts the jobs of its buttons, and shows which words mattered.

    `start(makeJob, title, whenDone)` runs a job; `whenDone(job, outcome)` shows the outcome and returns a sentence for
    people, `onExplained` is that of heat maps.
    """

    def __init__(self, ui, start, onExplained) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._start = start
        self._onExplained = onExplained
        self._parameters = None
        self._classes = {}
        self._wordsTable = None
        # The models and classes are not known beforehand, so that the parameter node cannot bind these.
        self._combos = {
            "generator": ui.generatorCombo,
            "xrayModel": ui.xrayModelCombo,
            "xrayClassifier": ui.xrayClassifierCombo,
            "xrayClass": ui.xrayClassCombo,
        }
        for name in self._combos:
            self._combos[name].connect("currentIndexChanged(int)", lambda index, name=name: self._onPicked(name))
        ui.reportEdit.connect("textChanged()", self._onReportEdited)
        ui.generateButton.connect("clicked(bool)", self._onGenerate)
        ui.radiographButton.connect("clicked(bool)", self._onRadiograph)
        ui.xrayHeatButton.connect("clicked(bool)", self._onHeatMap)
        ui.wordsButton.connect("clicked(bool)", self._onWords)

    def refresh(self) -> None:
        """Look which models there are."""
        models = [model for model in catalog.list_models() if model.broken is None]
        classifiers = [model for model in models if model.task == "classification" and model.source == "CXR"]
        self._classes = {model.name: readCard(model).get("classes", []) for model in classifiers}
        for name, found in (
            ("generator", [model for model in models if model.task == "generation"]),
            ("xrayModel", [model for model in models if model.task == "radiograph"]),
            ("xrayClassifier", classifiers),
        ):
            fillCombo(self._combos[name], [(model.title, model.name) for model in found])

    def _name(self, combo: str) -> str:
        return self._combos[combo].currentData or ""

    def show(self, parameters) -> None:
        """Show what the parameter node does not show by itself; None while there is none."""
        self.removeObservers()
        self._parameters = parameters
        if parameters is None:
            return
        for name in self._combos:
            if name == "xrayClass":
                classes = self._classes.get(self._name("xrayClassifier"), [])
                fillCombo(self._combos[name], [(text, text) for text in classes])
            chooseItem(self._combos[name], getattr(parameters, name))
        if parameters.reportNode is not None:
            self.addObserver(parameters.reportNode, vtk.vtkCommand.ModifiedEvent, self._showReport)
        self._showReport()
        classifies = parameters.xrayTarget == XrayTarget.CLASS
        ui = self._ui
        for widget in (ui.xrayClassifierLabel, ui.xrayClassifierCombo, ui.xrayClassLabel, ui.xrayClassCombo):
            widget.visible = classifies

    def update(self) -> None:
        """Enable what can be done; a disabled button says in its tool tip why."""
        ui = self._ui
        idle = _("The panel is not in use.") if self._parameters is None else ""
        for button, makeJob, what in (
            (ui.generateButton, self._generateJob, _("Make a volume whose slices are the pictures.")),
            (ui.radiographButton, self._radiographJob, _("Make the X-ray of the report, or several.")),
            (ui.xrayHeatButton, self._heatJob, _("Make a heat map of the X-ray: the places that matter.")),
            (ui.wordsButton, self._wordsJob, _("Show which words of the report matter.")),
        ):
            allow(button, idle or refusal(makeJob), what)
        if self._wordsTable is not None and not slicer.mrmlScene.IsNodePresent(self._wordsTable):
            self._showWords(None)  # patient data, which goes with its scene
        ui.wordsLabel.visible = ui.wordsText.visible = self._wordsTable is not None

    # What is chosen

    def _onPicked(self, name: str) -> None:
        if self._parameters is not None:
            setattr(self._parameters, name, self._name(name))

    def _onReportEdited(self) -> None:
        if self._parameters is not None and self._parameters.reportNode is None:
            self._parameters.report = self._ui.reportEdit.plainText

    def _report(self) -> str:
        node = self._parameters.reportNode
        return self._parameters.report if node is None else node.GetText() or ""

    def _showReport(self, caller=None, event=None) -> None:
        """The box shows the text node's text while one is chosen, and is then not to be written in."""
        box = self._ui.reportEdit
        box.readOnly = self._parameters.reportNode is not None
        # The parameter node's own connector would write at every letter, which moves the cursor to the beginning.
        if box.plainText != self._report():
            box.setPlainText(self._report())

    # The jobs

    def _generateJob(self) -> GenerateJob:
        parameters = self._parameters
        return GenerateJob(
            self._name("generator"),
            parameters.pictureCount,
            parameters.pictureSeed,
            truncation=parameters.truncation or None,
            towards=parameters.towardsSeed if parameters.towardsSeed >= 0 else None,
            device=parameters.device,
        )

    def _radiographJob(self) -> RadiographJob:
        parameters = self._parameters
        return RadiographJob(
            self._report(),
            self._name("xrayModel"),
            parameters.xraySeed,
            parameters.xrayCount,
            device=parameters.device,
        )

    def _heatJob(self) -> ExplainJob:
        classifier, className = self._class()
        return ExplainJob(
            self._xray(),
            classifier or self._name("xrayModel"),
            self._parameters.xrayTarget.value,
            className=className,
            report=None if classifier else self._reportOfXray(),
            device=self._parameters.device,
        )

    def _wordsJob(self) -> WordsJob:
        if self._parameters.xrayTarget == XrayTarget.REALISM:
            raise InputError(_("Words make no X-ray look real; explain the match or a class."))
        classifier, className = self._class()
        return WordsJob(
            self._xray(),
            self._name("xrayModel"),
            self._reportOfXray(),
            classifier=classifier,
            className=className,
            device=self._parameters.device,
        )

    def _class(self) -> tuple:
        """Classifier and class, or None twice where something else is explained.

        Raises:
            InputError: There is no model for what is explained.
        """
        if self._parameters.xrayTarget != XrayTarget.CLASS:
            if not self._name("xrayModel"):
                raise InputError(_("No model that judges X-rays and reports is installed; add one."))
            return None, None
        if not self._name("xrayClassifier"):
            raise InputError(_("No classifier of chest X-rays is installed; add one."))
        return self._name("xrayClassifier"), self._name("xrayClass")

    def _xray(self):
        if self._parameters.xrayVolume is None:
            raise InputError(_("The X-ray is missing; make one, or choose one."))
        return self._parameters.xrayVolume

    def _reportOfXray(self):
        """None where the X-ray has its own."""
        return self._report() if results.reportOf(self._parameters.xrayVolume) is None else None

    def _onGenerate(self) -> None:
        self._start(self._generateJob, _("Making pictures"), self._onPictures)

    def _onRadiograph(self) -> None:
        self._start(self._radiographJob, _("Making an X-ray"), self._onXray)

    def _onHeatMap(self) -> None:
        self._start(self._heatJob, _("Explaining"), self._onExplained)

    def _onWords(self) -> None:
        self._start(self._wordsJob, _("Weighing words"), self._onWeighed)

    # The outcomes

    def _onPictures(self, job, node) -> str:
        results.showPictures(node)
        return _('Made "{name}".').format(name=node.GetName())

    def _onXray(self, job, node) -> str:
        if self._parameters is not None:
            self._parameters.xrayVolume = node
        return self._onPictures(job, node)

    def _onWeighed(self, job, found) -> str:
        self._showWords(found)
        return _('Made "{name}".').format(name=found.table.GetName())

    def _showWords(self, found) -> None:
        """Show the report as coloured text; None takes it away."""
        sentence = _(
            "Score of the {asked}: {score:.2f}; without any words: {without:.2f}. Orange words raised it, blue ones "
            "lowered it."
        )
        facts = {} if found is None else {"asked": found.asked, "score": found.score, "without": found.without}
        self._wordsTable = None if found is None else found.table
        self._ui.wordsText.setHtml("" if found is None else found.html)
        self._ui.wordsLabel.text = sentence.format(**facts) if facts else ""
