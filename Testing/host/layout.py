"""The layout manager: slice views for the view nodes of the real layout logic, arranged as the layout says."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .sliceview import qMRMLSliceWidget


class qSlicerLayoutManager(QtCore.QObject):
    """Makes a slice widget for every slice node of the layout. There are no 3D views: the host has no GPU."""

    layoutChanged = Signal(int)

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._viewport = QtWidgets.QWidget()
        self._viewport.setLayout(QtWidgets.QGridLayout())
        self._viewport.layout().setContentsMargins(0, 0, 0, 0)
        self._viewport.layout().setSpacing(2)
        self._widgets: dict[str, qMRMLSliceWidget] = {}
        self._logics = vtk.vtkCollection()
        application_logic.SetSliceLogics(self._logics)
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(slicer.mrmlScene)
        self._shown = -1
        node = self._layout_logic.GetLayoutNode()
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._update())
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._update()

    def _close(self) -> None:
        self._layout_logic.GetLayoutNode().RemoveAllObservers()
        for widget in self._widgets.values():
            widget._close()

    def _update(self) -> None:
        """Follow the layout node."""
        nodes = self._layout_logic.GetViewNodes()
        visible = []
        for index in range(nodes.GetNumberOfItems()):
            node = nodes.GetItemAsObject(index)
            if node.IsA("vtkMRMLSliceNode"):
                visible.append(self._widget_for(node))
        arrangement = self._layout_logic.GetLayoutNode().GetViewArrangement()
        if arrangement != self._shown:
            self._arrange(visible)
            self._shown = arrangement
            self.layoutChanged.emit(arrangement)

    def _widget_for(self, node: Any) -> qMRMLSliceWidget:
        name = node.GetLayoutName()
        if name not in self._widgets:
            self._widgets[name] = qMRMLSliceWidget(node, self._application_logic)
            self._widgets[name].setObjectName(f"qMRMLSliceWidget{name}")
            self._logics.AddItem(self._widgets[name].sliceLogic())
        return self._widgets[name]

    def _arrange(self, visible: list[qMRMLSliceWidget]) -> None:
        grid = self._viewport.layout()
        while grid.count():
            grid.takeAt(0).widget().setParent(None)
        columns = 1 if self._vertical() else max(1, round(len(visible) ** 0.5) if len(visible) > 3 else min(len(visible), 2 if len(visible) == 3 else len(visible)))
        for index, widget in enumerate(visible):
            grid.addWidget(widget, index // columns, index % columns)
            widget.show()

    def _vertical(self) -> bool:
        description = self._layout_logic.GetLayoutNode().GetCurrentLayoutDescription()
        return bool(description) and ElementTree.fromstring(description).get("type") == "vertical" and description.count("<view") == 1

    # --- what scripts see

    def layoutLogic(self) -> Any:
        return self._layout_logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def sliceViewNames(self) -> list[str]:
        return list(self._widgets)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._widgets.get(name)

    def viewport(self) -> QtWidgets.QWidget:
        return self._viewport

    def setLayout(self, newLayout: int) -> None:
        self._layout_logic.GetLayoutNode().SetViewArrangement(newLayout)

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.sliceLogic().FitSliceToBackground()

    layout = Property(int, lambda self: self._layout_logic.GetLayoutNode().GetViewArrangement(), lambda self, value: self.setLayout(value))
