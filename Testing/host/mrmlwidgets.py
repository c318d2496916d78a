"""qMRML widgets without a node list: the root of panels, and the number widgets that follow the scene's units."""

from typing import ClassVar

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget
from slicer_core import vtkMRMLScene

from .ctkwidgets import ctkRangeWidget, ctkSliderWidget


class qMRMLWidget(QWidget):
    """The root of a panel; hands its scene on by a signal."""

    mrml_scene_changed = Signal(object)
    host_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrml_scene_changed"}
    host_slots: ClassVar = {"setMRMLScene(vtkMRMLScene*)": "setMRMLScene"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: vtkMRMLScene | None = None

    def mrmlScene(self) -> vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrml_scene_changed.emit(scene)


class qMRMLSliderWidget(ctkSliderWidget):
    """A ctk slider that takes a scene (for units, which the host leaves alone)."""

    host_slots: ClassVar = {"setMRMLScene(vtkMRMLScene*)": "setMRMLScene"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: vtkMRMLScene | None = None

    def mrmlScene(self) -> vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: vtkMRMLScene | None) -> None:
        self._scene = scene


class qMRMLRangeWidget(ctkRangeWidget):
    """A ctk range that takes a scene (for units, which the host leaves alone)."""

    host_slots: ClassVar = {"setMRMLScene(vtkMRMLScene*)": "setMRMLScene"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: vtkMRMLScene | None = None

    def mrmlScene(self) -> vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: vtkMRMLScene | None) -> None:
        self._scene = scene
