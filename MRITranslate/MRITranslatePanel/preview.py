"""The live preview: the slice that a view shows, translated by the warm worker while the user scrolls."""

from __future__ import annotations

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MRITranslateLib import catalog
from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.modality import modality

from . import dependencies, scene, slicing
from .exchange import Outbox
from .jobs import writeNode
from .overlay import Overlay
from .sections import chooseItem, fillCombo, readCard
from .themes import PLAIN, PROBLEM, setTone
from .worker import WorkerError, sharedWorker

DELAY_MS = 5
"""So that the many events of one scrolling step ask once."""
RETRY_MS = 50
"""While another quiet request is under way."""


class PreviewSection(VTKObservationMixin):
    """The check box "Live preview" and what it does.

    One request at a time: when its slice comes and the view has moved on, the newest position is asked for and nothing
    in between. The volume is sent once. A run has the right of way: it takes the preview away, which comes back with
    the next slice that is scrolled to.
    """

    def __init__(self, ui, logic) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._logic = logic
        self._parameters = None
        self._models, self._grid = {}, {}
        self._overlay = Overlay()
        self._outbox = None
        self._sent = self._description = None
        self._asked = None  # the place that the request under way is for
        self._shown = None  # the place that was answered last
        self._refused = None  # the contents that the worker refused
        self._choice = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._ask)
        ui.previewCheck.connect("toggled(bool)", self._onChoice)
        ui.previewViewCombo.connect("currentIndexChanged(int)", self._onChoice)
        self._say("")

    # The panel's side

    def refresh(self) -> None:
        """Look which models and views there are."""
        models = catalog.list_models()
        self._models = {model.name: model for model in models if model.broken is None and model.task == "translation"}
        combo = self._ui.previewViewCombo
        chosen = combo.currentData or ""
        manager = slicer.app.layoutManager()
        names = manager.sliceViewNames() if manager is not None else ()
        fillCombo(combo, [(_("the view along the model's slices"), ""), *((name, name) for name in names)])
        chooseItem(combo, chosen)

    def show(self, parameters) -> None:
        """Follow the panel's choices; None while it is not in use."""
        self._parameters = parameters
        self._onChoice()

    def update(self) -> None:
        """Give way to a run."""
        if self._logic.running:
            self._giveWay()

    # What is to be shown

    def _onChoice(self, *ignored) -> None:
        """Begin anew if something else is to be previewed than before."""
        choice = self._chosen()
        if choice == self._choice:
            return
        self._stop()
        self._choice = choice
        if choice is None:
            return
        self._grid = readCard(self._models[choice[1]]).get("grid", {})
        node = self._parameters.inputVolume
        for event in (
            vtk.vtkCommand.ModifiedEvent,  # its grid
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        ):
            self.addObserver(node, event, self._onInputChanged)
        for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            self.addObserver(view, vtk.vtkCommand.ModifiedEvent, self._onMoved)
        self._onMoved()

    def _chosen(self):
        """Input, model, device and view; None while nothing is to be shown."""
        parameters, name = self._parameters, self._ui.previewViewCombo.currentData or ""
        if parameters is None or not self._ui.previewCheck.checked:
            return None
        if parameters.inputVolume is None or parameters.model not in self._models:
            return None
        return parameters.inputVolume.GetID(), parameters.model, parameters.device, name

    def _stop(self) -> None:
        """Show nothing, and forget the volume; the worker forgets it when its file is gone."""
        self._timer.stop()
        self.removeObservers()
        self._choice = self._shown = self._refused = None
        if self._asked is not None:
            self._asked = None
            sharedWorker().cancel(quiet=True)
        self._overlay.remove()
        self._takeBack()
        self._say("")

    def _takeBack(self) -> None:
        if self._outbox is not None:
            self._outbox.remove()
        self._outbox = self._sent = self._description = None

    def _giveWay(self) -> None:
        self._overlay.remove()
        self._shown = None

    def _onInputChanged(self, caller, event) -> None:
        self._overlay.follow(caller)
        self._onMoved()

    def _onMoved(self, caller=None, event=None) -> None:
        if not self._timer.active:
            self._timer.start(DELAY_MS)

    # The requests

    def _ask(self) -> None:
        """Ask for the slice that the view shows now, if it is none that is shown or on its way already."""
        worker = sharedWorker()
        if self._choice is None or self._asked is not None:
            return
        if self._logic.running or worker.busy:
            self._giveWay()
            return
        if worker.busyQuietly:  # the look at the input
            self._timer.start(RETRY_MS)
            return
        node = slicer.mrmlScene.GetNodeByID(self._choice[0])
        place = None
        try:
            place = self._place(node)
            if place is None or place == self._shown or place[-1] == self._refused:
                return
            self._request(worker, node, place)
        except InputError as error:
            self._giveWay()
            self._say(str(error))
        except (Cancelled, WorkerError) as error:
            self._onFailed(error, place)

    def _place(self, node):
        """View, axis and index of the slice to show, and what stands for the contents of the volume."""
        scene.checkScan(node, _("The input volume"))
        if self._sent is None and dependencies.missing():
            raise InputError(_("The packages for computing are not installed yet; press Run once to install them."))
        grid = self._grid
        if grid.get("dimensions", 2) == 3:
            raise InputError(
                _("This model translates whole volumes, not slices, so that it has no preview; press Run.")
            )
        view, axis, index = slicing.viewAndSlice(node, grid.get("plane", "axial"), self._choice[3])
        geometry = scene.geometryOfNode(node)
        contents = (node.GetImageData().GetMTime(), *map(tuple, geometry.values()))
        if index is None:
            self._say("")
            return None
        return view.GetID(), axis, index, contents

    def _request(self, worker, node, place: tuple) -> None:
        contents = (worker.folder(), place[-1])
        if self._sent != contents:  # a new volume, or a new process
            self._takeBack()
            self._outbox = Outbox(worker.folder())
            self._description = writeNode(self._outbox, node)
            self._sent = contents
            self._say(_("Preparing the volume."), PLAIN)
        choice = self._choice
        params = {"image": self._description, "model": choice[1], "device": choice[2], "index": place[2]}

        def finished(result, inbox):
            if self._asked is place and self._choice == choice:
                self._asked = None
                self._onSlice(node, place, result, inbox)

        def failed(error):
            if self._asked is place and self._choice == choice:
                self._asked = None
                self._onFailed(error, place)

        self._asked = place
        try:
            worker.request("translate_slice", params, _ignore, finished, failed, True, self._outbox)
        except Exception:
            self._asked = None
            raise

    def _onSlice(self, node, place: tuple, result: dict, inbox) -> None:
        if self._logic.running or not slicer.mrmlScene.IsNodePresent(node):
            return
        view, axis, index, __ = place
        target = modality(result["modality"])
        shown = slicer.mrmlScene.GetNodeByID(view)
        self._shown = place
        self._overlay.show(node, shown, axis, index, inbox.array(result["image"]), result, target)
        self._say("")
        self._ask()  # the view may have moved on

    def _onFailed(self, error: Exception, place: tuple) -> None:
        if isinstance(error, Cancelled):  # it gave way to a run
            self._giveWay()
            return
        self._overlay.remove()
        if isinstance(error, InputError):
            self._refused = place[-1]
        else:  # for lack of memory, or a crash: not again before somebody asks for it
            self._ui.previewCheck.checked = False
        self._say(str(error))

    def _say(self, text: str, tone: str = PROBLEM) -> None:
        label = self._ui.previewLabel
        if label.text != text:
            label.text = text
            setTone(label, tone)
        label.visible = bool(text)


def _ignore(fraction, stage, done, total, remaining) -> None:
    """Nobody waits for a slice long enough to read of its progress."""
