"""Modules: the scripted ones found on the module paths, and Slicer's own with their real logics.

And the life of a panel: init, setup, enter, exit, cleanup.
"""

import ast
import importlib.util
import pathlib
import sys
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .mrmlwidgets import qMRMLWidget
from .pythonqt import wrap

# Slicer's own modules that have a logic in slicer-core, or that scripts merely switch to.
BUILT_IN: dict[str, str | None] = {
    "Colors": None,
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Data": None,
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Welcome": None,
}


class ModuleNamespace:
    """`slicer.modules`: modules by lower-case name; what is not there raises AttributeError."""

    def __repr__(self) -> str:
        return f"<slicer.modules: {', '.join(sorted(vars(self)))}>"


def _stored(kind: Any, name: str) -> Property:
    return Property(kind, lambda self: self._values[name], lambda self, value: self._values.__setitem__(name, value))


class qSlicerLoadableModuleWidget(qMRMLWidget):
    """The panel of one of Slicer's own modules; the host shows it empty."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._entered = False
        self.setLayout(QtWidgets.QVBoxLayout())

    def enter(self) -> None:
        self._entered = True

    def exit(self) -> None:
        self._entered = False

    isEntered = Property(bool, lambda self: self._entered)


class qSlicerScriptedLoadableModuleWidget(qSlicerLoadableModuleWidget):
    """The widget around a scripted module's panel."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._python: Any = None

    def _make(self, name: str) -> None:
        """The panel of the class that the module has now."""
        self._name = name
        python = getattr(sys.modules[name], f"{name}Widget")(wrap(self))
        self._python = python
        setattr(slicer.modules, f"{name}Widget", python)
        python.setup()

    def reload(self) -> None:
        self._make(self._name)

    def self(self) -> Any:
        return self._python

    def enter(self) -> None:
        super().enter()
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        super().exit()
        if hasattr(self._python, "exit"):
            self._python.exit()


class qSlicerLoadableModule(QtCore.QObject):
    """One of Slicer's own modules: name and logic."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name, self._logic = name, logic
        self._widget: qSlicerLoadableModuleWidget | None = None

    def logic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def widgetRepresentation(self) -> qSlicerLoadableModuleWidget:
        if self._widget is None:
            self._widget = qSlicerLoadableModuleWidget()
            self._widget.setMRMLScene(slicer.mrmlScene)
        return self._widget

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A module written in Python: its description, and its panel once it is asked for."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__()
        self._name, self._path = name, path
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None
        self._values: dict[str, Any] = {
            "title": "",
            "categories": [],
            "dependencies": [],
            "contributors": [],
            "helpText": "",
            "acknowledgementText": "",
            "icon": QtGui.QIcon(),
            "hidden": False,
            "index": -1,
            "associatedNodeTypes": [],
        }

    def logic(self) -> Any:
        return None  # a scripted module's Python logic is made by its widget; slicer.util.getModuleLogic finds it there

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        if self._widget is None:
            self._widget = self._make_widget()
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        return self._make_widget()

    def _make_widget(self) -> qSlicerScriptedLoadableModuleWidget | None:
        if not hasattr(sys.modules[self._name], f"{self._name}Widget"):
            return None
        widget = qSlicerScriptedLoadableModuleWidget()
        widget.setObjectName(f"{self._name}ModuleWidget")
        widget.setMRMLScene(slicer.mrmlScene)
        widget._make(self._name)
        return widget

    name = Property(str, lambda self: self._name)
    path = Property(str, lambda self: self._path)
    title = _stored(str, "title")
    categories = _stored("QStringList", "categories")
    dependencies = _stored("QStringList", "dependencies")
    contributors = _stored("QStringList", "contributors")
    associatedNodeTypes = _stored("QStringList", "associatedNodeTypes")
    helpText = _stored(str, "helpText")
    acknowledgementText = _stored(str, "acknowledgementText")
    icon = _stored(QtGui.QIcon, "icon")
    hidden = _stored(bool, "hidden")
    index = _stored(int, "index")


class qSlicerModuleFactoryManager(QtCore.QObject):
    """Names of the loaded modules."""

    def __init__(self, manager: "qSlicerModuleManager") -> None:
        super().__init__(manager)
        self._manager = manager

    def loadedModuleNames(self) -> list[str]:
        return self._manager.modulesNames()


class qSlicerModuleManager(QtCore.QObject):
    """Loads modules and knows which of them is shown."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self)

    def modulesNames(self) -> list[str]:
        return sorted(self._modules)

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory

    def _add(self, name: str, module: Any) -> None:
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), wrap(module))
        self.moduleLoaded.emit(name)

    def _add_built_in(self, application_logic: Any) -> None:
        for name, class_name in BUILT_IN.items():
            logic = application_logic.GetColorLogic() if name == "Colors" else None
            if class_name is not None:
                logic = getattr(slicer, class_name)()
                logic.SetMRMLApplicationLogic(application_logic)
                if logic.IsA("vtkSlicerModuleLogic"):
                    logic.SetModuleShareDirectory(application_logic.GetShareFilePath(name))
                logic.SetMRMLScene(slicer.mrmlScene)
                application_logic.SetModuleLogic(name, logic)
            self._add(name, qSlicerLoadableModule(name, logic))

    def _add_folder(self, folder: pathlib.Path) -> None:
        """Load the scripted modules of a folder, in order of name. An error in one of them is raised."""
        if not folder.is_dir():
            raise FileNotFoundError(f"module path {folder} is not a folder")
        for path in sorted(folder.glob("*.py")):
            if path.stem not in self._modules and _describes_module(path):
                self._add_scripted(path)

    def _add_scripted(self, path: pathlib.Path, name: str = "") -> None:
        """Load one module; a name is given for a module that is imported already."""
        if not name:
            name = path.stem
            folder = str(path.parent.resolve())
            if folder not in sys.path:
                sys.path.append(folder)
        if name not in sys.modules:
            specification = importlib.util.spec_from_file_location(name, path.resolve())
            python = importlib.util.module_from_spec(specification)  # type: ignore[arg-type]
            sys.modules[name] = python
            try:
                specification.loader.exec_module(python)  # type: ignore[union-attr]
            except BaseException:
                del sys.modules[name]
                raise
        module = qSlicerScriptedLoadableModule(name, str(path.resolve()))
        instance = getattr(sys.modules[name], name)(wrap(module))
        setattr(slicer.modules, f"{name}Instance", instance)
        self._add(name, module)

    def _unload_all(self) -> None:
        for name in list(self._modules):
            self.moduleAboutToBeUnloaded.emit(name)


def _describes_module(path: pathlib.Path) -> bool:
    """Whether the file has a class of its own name: that is what makes it a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return any(isinstance(node, ast.ClassDef) and node.name == path.stem for node in tree.body)
