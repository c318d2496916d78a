"""The section of the panel that asks for heat maps and says what was found."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MRITranslateLib import catalog

from . import regions, results, scene, slicing
from .explainjob import ExplainJob
from .parameters import Target
from .sections import chooseItem, fillCombo, readCard
from .themes import GOOD, PLAIN, WARNING, setTone


class ExplainSection(VTKObservationMixin):
    """Shows the choices that belong to the target, makes the job of it, and shows the outcome.

    `onChosen(classifier, className)` when the user picks another classifier or class.
    """

    def __init__(self, ui, onChosen) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._onChosen = onChosen
        self._parameters = None
        self._classifiers = {}
        self._chartID = ""
        ui.classifierCombo.connect("currentIndexChanged(int)", self._onClassifier)
        ui.classCombo.connect("currentIndexChanged(int)", self._onClass)
        ui.segmentCombo.connect("currentIndexChanged(int)", self._onSegment)
        ui.curvesButton.connect("clicked(bool)", self._onCurves)

    def refresh(self) -> None:
        """Look which classifiers there are."""
        chosen, className = self.classifier, self.className
        models = catalog.list_models()
        found = [model for model in models if model.broken is None and model.task == "classification"]
        self._classifiers = {model.name: model for model in found}
        fillCombo(self._ui.classifierCombo, [(model.title, model.name) for model in found])
        self.choose(chosen, className)

    @property
    def classifier(self) -> str:
        """Name of the chosen classifier, "" if there is none."""
        return self._ui.classifierCombo.currentData or ""

    @property
    def className(self) -> str:
        return self._ui.classCombo.currentData or ""

    def choose(self, classifier: str, className: str) -> None:
        """Choose without telling `onChosen`; what there is not chooses the first."""
        chooseItem(self._ui.classifierCombo, classifier)
        model = self._classifiers.get(self.classifier)
        fillCombo(self._ui.classCombo, [(name, name) for name in readCard(model).get("classes", [])])
        chooseItem(self._ui.classCombo, className)

    def _onClassifier(self, index: int) -> None:
        self.choose(self.classifier, "")
        self._onChosen(self.classifier, self.className)

    def _onClass(self, index: int) -> None:
        self._onChosen(self.classifier, self.className)

    def show(self, parameters) -> None:
        """Show the choices that say the target exactly, and no others; None while there is no parameter node."""
        self.removeObservers()
        self._parameters = parameters
        if parameters is None:
            return
        ui, target = self._ui, parameters.target
        region = parameters.regionNode
        if region is not None and region.IsA("vtkMRMLSegmentationNode"):
            segmentation = region.GetSegmentation()
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified):
                self.addObserver(segmentation, event, self._onSegments)
        self._onSegments()
        segmented = ui.segmentCombo.count > 1
        for shown, widgets in (
            (target == Target.REGION, (ui.regionLabel, ui.regionSelector)),
            (target == Target.REGION and segmented, (ui.segmentLabel, ui.segmentCombo)),
            (target == Target.VOXEL, (ui.pointLabel, ui.pointSelector)),
            (target in (Target.ERROR, Target.REALISM), (ui.referenceLabel, ui.referenceSelector)),
            (target == Target.CLASS, (ui.classifierLabel, ui.classifierCombo, ui.classLabel, ui.classCombo)),
        ):
            for widget in widgets:
                widget.visible = shown

    def _onSegments(self, caller=None, event=None) -> None:
        """List the segments of the region; of one that is gone all that are visible take the place."""
        combo, parameters = self._ui.segmentCombo, self._parameters
        segments = regions.segmentsOf(parameters.regionNode)
        fillCombo(combo, [(_("All that are visible"), ""), *segments])
        if parameters.segment not in ("", *(identity for __, identity in segments)):
            parameters.segment = ""
        chooseItem(combo, parameters.segment)

    def _onSegment(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.segment = self._ui.segmentCombo.currentData or ""

    def reasonNotToExplain(self, parameters) -> str:
        """What is missing for the heat map of a volume, "" if nothing is."""
        if parameters.target == Target.REGION and not parameters.regionNode:
            return _("Choose the region to explain, or explain something else.")
        if parameters.target == Target.ERROR and not parameters.referenceVolume:
            return _("Choose the reference volume.")
        if parameters.target == Target.CLASS and not self.className:
            return _("No classification model is installed; add one to explain a class.")
        return ""

    def reasonNotToExplainSlice(self, parameters) -> str:
        """What is missing for the heat map of a slice, "" if nothing is."""
        if parameters.target not in (Target.REGION, Target.VOXEL):
            return _("Only a region or a point can be explained slice by slice; explain the volume.")
        if not results.viewsExist():
            return _("There is no slice view; explain the volume.")
        return ""

    def job(self, parameters, model, sliceOnly: bool = False) -> ExplainJob:
        """The job of the panel's choices.

        Args:
            model: Summary of the chosen translation model, or None.
            sliceOnly: Explain the slice that is shown; a point lies in one slice anyway.

        Raises:
            InputError: The crosshair or the slice view lies outside the input volume.
        """
        target, inputNode = parameters.target, parameters.inputVolume
        voxel = plane = None
        if target == Target.VOXEL and parameters.pointNode is None:
            voxel = scene.voxelAt(scene.crosshairPoint(), inputNode)
        if target == Target.REGION and sliceOnly:
            plane = slicing.planeOfView(inputNode, readCard(model)["grid"].get("plane", "axial"))
        return ExplainJob(
            inputNode,
            self.classifier if target == Target.CLASS else model.name,
            target=target.value,
            regionNode=parameters.regionNode,
            segment=parameters.segment,
            voxel=voxel,
            pointNode=parameters.pointNode,
            plane=plane,
            referenceNode=parameters.referenceVolume,
            className=self.className if target == Target.CLASS else None,
            method=parameters.method.value,
            layer=parameters.layer.strip() or None,
            speckMl=parameters.speckMl,
            anatomyNode=parameters.anatomyNode,
            checkMap=parameters.checkMap,
            device=parameters.device,
            heatMapNode=parameters.heatMapVolume,
            levelsNode=parameters.levelsVolume,
        )

    def clear(self) -> None:
        self._ui.verdictLabel.text = self._ui.sharesLabel.text = ""
        self._chartID = ""

    def showOutcome(self, explained) -> None:
        """Say what was found of a heat map."""
        self._ui.verdictLabel.text = explained.verdict
        self._ui.sharesLabel.text = explained.evidence
        setTone(self._ui.verdictLabel, {None: PLAIN, True: GOOD, False: WARNING}[explained.passes])
        self._chartID = explained.chart.GetID() if explained.chart is not None else ""

    def update(self) -> None:
        """Verdict and curves are there while there is something to show."""
        chart = slicer.mrmlScene.GetNodeByID(self._chartID) if self._chartID else None
        self._ui.curvesButton.visible = chart is not None and results.viewsExist()
        for label in (self._ui.verdictLabel, self._ui.sharesLabel):
            label.visible = bool(label.text)

    def _onCurves(self) -> None:
        chart = slicer.mrmlScene.GetNodeByID(self._chartID) if self._chartID else None
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)
