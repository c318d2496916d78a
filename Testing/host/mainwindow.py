"""The main window: module panel, module selector, views, status bar."""

from typing import Any

from PySide6 import QtCore, QtWidgets

from .layout import qSlicerLayoutManager
from .modules import qSlicerModuleManager


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Switches between modules: the old panel is left, the new one entered."""

    def __init__(self, manager: qSlicerModuleManager, panel: QtWidgets.QScrollArea) -> None:
        super().__init__("Modules")
        self.setObjectName("ModuleSelectorToolBar")
        self._manager, self._panel = manager, panel
        self._selected = ""
        self._title = QtWidgets.QLabel()
        self.addWidget(self._title)

    def _get_selected(self) -> str:
        return self._selected

    def selectModule(self, name: str) -> None:
        module = self._manager.module(name)
        if module is None:
            raise RuntimeError(f"there is no module '{name}'")
        if name == self._selected:
            return
        widget = module.widgetRepresentation()
        if widget is None:
            raise RuntimeError(f"the module '{name}' has no panel")
        self._leave()
        self._selected = name
        self._title.setText(f"Modules: {module.title}")
        self._panel.setWidget(widget)
        widget.show()
        widget.enter()

    def _leave(self) -> None:
        module = self._manager.module(self._selected)
        if module is not None:
            widget = module.widgetRepresentation()
            widget.exit()
            self._panel.takeWidget()
            widget.hide()
        self._selected = ""

    selectedModule = QtCore.Property(str, _get_selected)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Panel on the left, views in the middle."""

    def __init__(self, manager: qSlicerModuleManager, layout_manager: qSlicerLayoutManager) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (test host)")
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        dock = QtWidgets.QDockWidget()
        dock.setObjectName("PanelDockWidget")
        dock.setWidget(self._panel)
        dock.setMinimumWidth(420)
        self.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        self._selector = qSlicerModuleSelectorToolBar(manager, self._panel)
        self.addToolBar(self._selector)
        self.setCentralWidget(layout_manager._viewport)
        self.statusBar()
        self.resize(1280, 900)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def _close_panel(self) -> Any:
        self._selector._leave()
