"""MRITranslate, a 3D Slicer module: synthetic MRI contrasts and CT from MRI, and what they are based on.

Computing happens in a worker process (MRITranslateLib.service); this file and the folder MRITranslatePanel
hold the panel, the scripting interface and the self test. Research tool, not for diagnosis.
"""

import os
import sys

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if sys.version_info < (3, 11):  # noqa: UP036 - what follows could not be imported, for reasons that tell nobody anything
    raise ImportError("MRITranslate needs Python 3.11 or newer; install Slicer 5.10 or newer.")

try:
    import MRITranslateLib  # noqa: F401 - only to see whether it is on the path
except ModuleNotFoundError:  # developer mode: the library lies beside the module's folder, which alone is on the path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from MRITranslatePanel import results
from MRITranslatePanel.corner import CornerSection, cornerNotice
from MRITranslatePanel.dicomexport import ExportSection
from MRITranslatePanel.explaining import ExplainSection
from MRITranslatePanel.folding import Folding
from MRITranslatePanel.generating import GenerateSection
from MRITranslatePanel.installing import InstallSection
from MRITranslatePanel.jobs import PHANTOM_LESIONS, PhantomJob
from MRITranslatePanel.parameters import MRITranslateParameterNode, Target
from MRITranslatePanel.preview import PreviewSection
from MRITranslatePanel.samples import registerSampleData
from MRITranslatePanel.scripting import Scripting
from MRITranslatePanel.sections import StatusSection, allow
from MRITranslatePanel.self_test import SelfTest
from MRITranslatePanel.tidying import tidier
from MRITranslatePanel.translating import TranslateSection
from MRITranslatePanel.worker import WorkerError, sharedWorker

from MRITranslateLib.errors import Cancelled, InputError

PARTS = ("Explain", "Generate")
"""The sections under Translate, in their order: a file in Resources/UI each."""
SERVICES = (cornerNotice(), tidier())
"""What watches views and scene as long as the module is loaded, whether the panel was opened or not."""


class MRITranslate(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MRITranslate")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = ["Volumes", "Segmentations"]
        self.parent.contributors = ["MRITranslate contributors"]
        self.parent.helpText = _(
            "Makes synthetic images of other contrasts (T2-weighted MRI, CT) from an MRI of the head, and heat maps "
            "that show which parts of the input they depend on. Research use only, not for diagnosis."
        )
        self.parent.acknowledgementText = _("Built on 3D Slicer, PyTorch, MONAI, SimpleITK and pytorch-grad-cam.")
        slicer.app.connect("startupCompleted()", registerSampleData)
        for service in SERVICES:
            slicer.app.connect("startupCompleted()", service.start)


class MRITranslateWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel, *parts = (slicer.util.loadUI(self.resourcePath(f"UI/{name}.ui")) for name in ("MRITranslate", *PARTS))
        for place, part in enumerate(parts, start=2):  # under Translate
            panel.layout().insertWidget(place, part)
        status = slicer.util.findChild(panel, "statusSection")
        status.setParent(None)  # put in again it comes last for the Tab key too
        panel.layout().insertWidget(2 + len(parts), status)
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        for part in (panel, *parts):
            part.setMRMLScene(slicer.mrmlScene)
        self.logic = MRITranslateLogic()
        self._translate = TranslateSection(self.ui, self.logic, self._start)
        self._explain = ExplainSection(self.ui, self._onClassChosen)
        self._sections = (
            self._translate,
            GenerateSection(self.ui, self._start, self._onExplained),
            PreviewSection(self.ui, self.logic),
            ExportSection(self.ui, self._start),
            CornerSection(self.ui),
        )
        self._status = StatusSection(self.ui)
        self._installation = InstallSection(self._status, self._updateButtons)
        Folding(self.ui)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.explainButton.connect("clicked(bool)", self.onExplain)
        self.ui.explainSliceButton.connect("clicked(bool)", self.onExplainSlice)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.cancelAllButton.connect("clicked(bool)", self.onCancelAll)
        self.ui.phantomButton.connect("clicked(bool)", self.onLoadPhantom)
        self.enter()

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()
        self._installation.stop()
        for service in SERVICES:
            service.stop()
        sharedWorker().stop()

    def enter(self):
        self._explain.refresh()
        for section in self._sections:
            section.refresh()
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onReload(self):
        """Reload the files behind the panel too, for developers."""
        self._installation.stop()
        sharedWorker().stop()  # the new files start their own; Slicer 5.8 runs `cleanup` with those already
        for name in [name for name in sys.modules if name.partition(".")[0] == "MRITranslatePanel"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        # The choices came before the nodes that they name: what the widgets show of them is made up for now.
        if self.parent.isEntered:
            self.setParameterNode(None)
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            # Label maps, vector volumes and the like are of derived classes.
            scans = (node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode")
            self._parameterNode.inputVolume = next(scans, None)
        self._translate.enter(self._parameterNode)
        self._explain.choose(self._parameterNode.classifier, self._parameterNode.className)

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = node
        if self._parameterNode:
            self._guiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._onParametersModified()
        else:
            self._explain.show(None)
            for section in self._sections:
                section.show(None)

    def _onClassChosen(self, classifier, className):
        if self._parameterNode:
            self._parameterNode.classifier, self._parameterNode.className = classifier, className

    def _onParametersModified(self, caller=None, event=None):
        self._explain.show(self._parameterNode)
        for section in self._sections:
            section.show(self._parameterNode)
        results.setHeatMapLook(self._parameterNode.opacity, self._parameterNode.threshold)
        self._updateButtons()

    def _updateButtons(self):
        """Enable what can be done; a disabled button says in its tool tip why."""
        running = self.logic.running
        parameters = self._parameterNode
        classifies = bool(parameters) and parameters.target == Target.CLASS
        reason = self._translate.reasonNot(needsModel=not classifies)
        whole = reason or self._explain.reasonNotToExplain(parameters)
        allow(self.ui.explainButton, whole, _("Make the heat map of the whole volume."))
        part = reason or self._explain.reasonNotToExplainSlice(parameters)
        allow(self.ui.explainSliceButton, part, _("Make the heat map of the slice that is shown, at once."))
        self._explain.update()
        for section in self._sections:
            section.update()
        self.ui.cancelButton.enabled = running or self._installation.running
        self._status.showWaiting(len(self.logic.waiting))

    def onExplain(self):
        self._onExplain(sliceOnly=False)

    def onExplainSlice(self):
        self._onExplain(sliceOnly=True)

    def _onExplain(self, sliceOnly):
        self._explain.clear()
        parameters, model = self._parameterNode, self._translate.model
        self._start(lambda: self._explain.job(parameters, model, sliceOnly), _("Explaining"), self._onExplained)

    def onLoadPhantom(self):
        self._start(lambda: PhantomJob(lesions=PHANTOM_LESIONS), _("Making the phantom patient"), self._onPhantom)

    def onCancel(self):
        self._status.cancelling()
        self._installation.cancel()
        self.logic.cancel()

    def onCancelAll(self):
        self._status.cancelling()
        self.logic.cancelAll()

    def _start(self, makeJob, title, whenDone):
        try:
            with slicer.util.tryWithErrorDisplay(_("The run could not be started."), waitCursor=True):
                try:
                    job = makeJob()
                    job.check()  # nobody shall install gigabytes for what cannot be run
                    if self._installation.needed(lambda: self._start(lambda: job, title, whenDone)):
                        return

                    def onStarted():
                        self._status.begin(title)
                        self._updateButtons()

                    def onFinished(nodes, warnings):
                        self._status.finish(whenDone(job, nodes), warnings)
                        self._updateButtons()

                    self.logic.start(job, self._status.progress, onFinished, self._onFailed, onStarted)
                except InputError as error:
                    self._onFailed(error)
                except Exception as error:
                    self._onFailed(error)
                    raise
        finally:
            self._updateButtons()

    def _onFailed(self, error):
        if isinstance(error, Cancelled):
            self._status.stop(str(error))
        else:
            self._status.fail(str(error), error.details if isinstance(error, WorkerError) else "")
        self._updateButtons()

    def _onExplained(self, job, nodes):
        look = (self._parameterNode.opacity, self._parameterNode.threshold) if self._parameterNode else (0.5, 0.0)
        results.showLayers(job.inputNode, nodes.heatMap, look[0])
        results.setHeatMapLook(*look)
        self._explain.showOutcome(nodes)
        return _('Made "{heat}" and "{levels}".').format(heat=nodes.heatMap.GetName(), levels=nodes.levels.GetName())

    def _onPhantom(self, job, nodes):
        if self._parameterNode:
            self._parameterNode.inputVolume = nodes["t1"]
            self._parameterNode.regionNode = nodes["lesions"]
        results.showLayers(nodes["t1"], None, 0.0)
        return _(
            "Loaded the phantom patient: its T1-weighted image is the input, its lesions are the region to explain."
        )


class MRITranslateLogic(Scripting, ScriptedLoadableModuleLogic):
    """Scripting interface; needs no panel, no main window and no view.

        logic = MRITranslateLogic()
        domain = logic.check(t1Node, "t1_to_ct")
        ctNode = logic.translate(t1Node, "t1_to_ct", uncertainty=True)
        uncertaintyNode = ctNode.GetNodeReference("MRITranslate.uncertainty")
        nodes, left = logic.translateStudy(t1Node, "t1_to_ct")
        nodes, left = logic.translateSequence(dynamicNode, "t1_to_ct")
        heatMapNode, levelsNode = logic.explain(t1Node, "t1_to_ct", regionNode=segmentationNode, segment="Tumour")
        files = logic.exportDICOM(ctNode, "/path/of/a/folder")
        samplesNode = logic.generate("brain_mri", count=16, seed=1)
        xrayNode = logic.radiograph("Right pleural effusion. Heart size normal.", "chest_xray", seed=1)
        heatMapNode, levelsNode = logic.explain(xrayNode, "chest_xray", target="match")
        print(logic.explainWords(xrayNode, "chest_xray").parts)

    `translate`, `translateStudy`, `translateSequence`, `devices`, `explain`, `generate`, `radiograph`, `explainWords`,
    `check`, `evaluate`, `exportDICOM`, `loadPhantom` and `wait` (any job) wait for the result while the application
    stays responsive, and raise InputError (something to mend), OutOfMemory, Cancelled or WorkerError. `start` does not
    wait; jobs that are started while another one is under way wait in a line. `cancel` stops the one under way,
    `cancelAll` all. `installDependencies` installs, without asking, what the worker needs and Slicer does not have.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        Scripting.__init__(self)
        for service in SERVICES:  # for a module that was loaded after the application's start
            service.start()

    def getParameterNode(self):
        return MRITranslateParameterNode(super().getParameterNode())


class MRITranslateTest(SelfTest, ScriptedLoadableModuleTest):
    """The self test: a digital head through the worker, the results looked at in the scene; needs no view."""

    logicClass = MRITranslateLogic
