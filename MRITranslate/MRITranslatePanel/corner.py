"""The notice in the corner of the slice views while they show something that this module made.

It is an actor of its own in each view's renderer: Slicer's Data Probe writes all four corners of the view's own corner
annotation anew at every change.
"""

from __future__ import annotations

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from . import results

SETTING = "MRITranslate/CornerNotice"
AMBER = (1.0, 0.78, 0.2)
PLACE = (0.985, 0.06)
"""Lower right corner, above the ruler that Slicer draws at the lower edge (fractions of the view)."""
FONT_SIZE = 14


def notice() -> str:
    return _("SYNTHETIC - not for diagnosis")


class CornerNotice:
    """Watches the slice views from `start` to `stop`; without views both do nothing."""

    def __init__(self) -> None:
        self._views = {}
        self._started = False

    @property
    def enabled(self) -> bool:
        """The user's setting, kept between sessions."""
        return slicer.util.settingsValue(SETTING, True, converter=slicer.util.toBool)

    @enabled.setter
    def enabled(self, value: bool) -> None:
        qt.QSettings().setValue(SETTING, bool(value))
        self._showAll()

    def start(self) -> None:
        """Begin to watch the slice views, those that a later layout brings too. A second call changes nothing."""
        layoutManager = slicer.app.layoutManager()
        if self._started or layoutManager is None:
            return
        self._started = True
        layoutManager.connect("layoutChanged(int)", self._onLayoutChanged)
        self._onLayoutChanged()

    def stop(self) -> None:
        """Take the notice out of all views and watch no longer."""
        if not self._started:
            return
        self._started = False
        layoutManager = slicer.app.layoutManager()
        if layoutManager is not None:  # at the application's end the views may have gone first
            layoutManager.disconnect("layoutChanged(int)", self._onLayoutChanged)
            for view in self._views.values():
                view.remove()
        self._views = {}

    def _onLayoutChanged(self, layout: int = 0) -> None:
        layoutManager = slicer.app.layoutManager()
        for name in layoutManager.sliceViewNames():
            if name not in self._views:
                self._views[name] = _View(layoutManager.sliceWidget(name), self)
        self._showAll()

    def _showAll(self) -> None:
        for view in self._views.values():
            view.show()


class _View:
    """One slice view with its actor."""

    def __init__(self, widget, owner: CornerNotice) -> None:
        self._owner = owner
        self._view = widget.sliceView()
        self._logic = widget.sliceLogic()
        self._actor = vtk.vtkTextActor()
        self._actor.SetInput(notice())
        self._actor.SetVisibility(False)
        text = self._actor.GetTextProperty()
        text.SetFontFamilyToArial()
        text.SetFontSize(FONT_SIZE)
        text.BoldOn()
        text.SetColor(*AMBER)
        text.SetShadow(True)
        text.SetJustificationToRight()
        text.SetVerticalJustificationToBottom()
        place = self._actor.GetPositionCoordinate()
        place.SetCoordinateSystemToNormalizedViewport()
        place.SetValue(*PLACE)
        self._renderer = self._view.renderWindow().GetRenderers().GetItemAsObject(0)
        self._renderer.AddViewProp(self._actor)
        # The logic is modified by all that changes what the view shows: its layers, their volumes, their attributes.
        self._tag = self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self.show())

    def show(self) -> None:
        """Make the notice visible or not; quick, as it is called at every scroll step."""
        wanted = bool(showsOwnVolume(self._logic.GetSliceCompositeNode()) and self._owner.enabled)
        if wanted != bool(self._actor.GetVisibility()):
            self._actor.SetVisibility(wanted)
            self._view.scheduleRender()

    def remove(self) -> None:
        self._logic.RemoveObserver(self._tag)
        self._renderer.RemoveViewProp(self._actor)
        self._view.scheduleRender()


def showsOwnVolume(composite) -> bool:
    """Whether a slice view shows a volume that this module made, in a layer that is not wholly transparent."""
    if composite is None:
        return False
    layers = [composite.GetBackgroundVolumeID()]
    if composite.GetForegroundOpacity() > 0:
        layers.append(composite.GetForegroundVolumeID())
    if composite.GetLabelOpacity() > 0:
        layers.append(composite.GetLabelVolumeID())
    nodes = (slicer.mrmlScene.GetNodeByID(identity) for identity in layers if identity)
    return any(node is not None and node.GetAttribute(results.KIND) is not None for node in nodes)


_shared = CornerNotice()


def cornerNotice() -> CornerNotice:
    """The one of the application: panel and scripts alike make volumes that need it."""
    return _shared


class CornerSection:
    """The check box that switches the notice off."""

    def __init__(self, ui) -> None:
        self._ui = ui
        ui.cornerCheck.checked = cornerNotice().enabled
        ui.cornerCheck.connect("toggled(bool)", self._onToggled)

    def refresh(self) -> None:
        self._ui.cornerCheck.checked = cornerNotice().enabled

    def show(self, parameters) -> None:
        """No parameter of the scene: the setting is the user's."""

    def update(self) -> None:
        """It can be switched at any time."""

    def _onToggled(self, on: bool) -> None:
        cornerNotice().enabled = on
