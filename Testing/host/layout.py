"""The layout manager: slice views for the nodes of the real layout logic, arranged as the layout's description says."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .sliceview import qMRMLSliceWidget


class qSlicerLayoutManager(QtCore.QObject):
    """Makes a slice widget for every slice node of the layout.

    In the place of other views stands an empty frame: they need a GPU.
    """

    layoutChanged = Signal(int)

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._viewport = QtWidgets.QWidget()
        self._viewport.setObjectName("CentralWidget")
        QtWidgets.QVBoxLayout(self._viewport).setContentsMargins(0, 0, 0, 0)
        self._arranged: QtWidgets.QWidget | None = None
        self._widgets: dict[str, qMRMLSliceWidget] = {}
        self._logics = vtk.vtkCollection()
        application_logic.SetSliceLogics(self._logics)
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(slicer.mrmlScene)
        self._shown = -1
        node = self._layout_logic.GetLayoutNode()
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._update())
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._update()

    def _close(self) -> None:
        self._layout_logic.GetLayoutNode().RemoveObserver(self._tag)
        for widget in self._widgets.values():
            widget._close()

    def _update(self) -> None:
        """Follow the layout node."""
        nodes = self._layout_logic.GetViewNodes()
        for index in range(nodes.GetNumberOfItems()):
            node = nodes.GetItemAsObject(index)
            if node.IsA("vtkMRMLSliceNode"):
                self._make_widget(node)
        arrangement = self._layout_logic.GetLayoutNode().GetViewArrangement()
        if arrangement != self._shown:
            self._shown = arrangement
            self._arrange()
            self.layoutChanged.emit(arrangement)

    def _make_widget(self, node: Any) -> None:
        name = node.GetLayoutName()
        if name not in self._widgets:
            self._widgets[name] = qMRMLSliceWidget(node, self._application_logic)
            self._widgets[name].setObjectName(f"qMRMLSliceWidget{name}")
            self._logics.AddItem(self._widgets[name].sliceLogic())

    def _arrange(self) -> None:
        description = self._layout_logic.GetLayoutNode().GetCurrentLayoutDescription()
        for widget in self._widgets.values():
            widget.hide()
            widget.setParent(None)
        if self._arranged is not None:
            self._viewport.layout().removeWidget(self._arranged)
            self._arranged.hide()
            self._arranged.deleteLater()
        self._arranged = self._build(ElementTree.fromstring(description)) if description else QtWidgets.QWidget()
        self._viewport.layout().addWidget(self._arranged)

    def _build(self, element: ElementTree.Element) -> QtWidgets.QWidget:
        """The widget for a <layout> or <view> of a description."""
        if element.tag == "view":
            widget = (
                self._widgets.get(element.get("singletontag", ""))
                if element.get("class") == "vtkMRMLSliceNode"
                else None
            )
            if widget is None:
                return _empty_frame(element.get("class", ""))
            widget.show()
            return widget
        frame = QtWidgets.QWidget()
        grid = QtWidgets.QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        vertical = element.get("type") == "vertical"
        for index, item in enumerate(element.findall("item")):
            child = next(iter(item), None)
            if child is None:
                continue
            row, column = (index, 0) if vertical else (0, index)
            if element.get("type") == "grid":
                row, column = int(item.get("row", 0)), int(item.get("column", 0))
            grid.addWidget(self._build(child), row, column, int(item.get("rowspan", 1)), int(item.get("colspan", 1)))
            grid.setRowStretch(row, 1)
            grid.setColumnStretch(column, 1)
        return frame

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

    layout = Property(
        int,
        lambda self: self._layout_logic.GetLayoutNode().GetViewArrangement(),
        lambda self, value: self.setLayout(value),
    )


def _empty_frame(class_name: str) -> QtWidgets.QWidget:
    kind = {"vtkMRMLViewNode": "3D view", "vtkMRMLPlotViewNode": "plot", "vtkMRMLTableViewNode": "table"}
    frame = QtWidgets.QLabel(f"({kind.get(class_name, class_name)}: not in the test host)")
    frame.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
    frame.setStyleSheet(
        "background: qlineargradient(x1:0, y1:0, x2:0, y2:1, stop:0 #8a9bd4, stop:1 #c1c3e8); color: #4a5480"
    )
    return frame
