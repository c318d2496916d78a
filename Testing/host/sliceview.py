"""Slice widgets on the real vtkMRMLSliceLogic: composed images without a GPU, painted with their corner annotation."""

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtWidgets import QWidget
from vtkmodules.util.numpy_support import vtk_to_numpy

_COLOURS = {"R": "#f34a33", "G": "#6eb04b", "Y": "#edd54c"}
_ORIENTATION_MARKS = {"Axial": ("A", "P", "R", "L"), "Coronal": ("S", "I", "R", "L"), "Sagittal": ("S", "I", "A", "P")}


def slice_image(logic: Any) -> QtGui.QImage:
    """The composed image of a slice logic as Slicer shows it.

    On the left is the patient's right (axial, coronal) or front (sagittal), on top the front or the head.
    """
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    if connection is None:
        return QtGui.QImage()
    connection.GetProducer().Update()
    data = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    width, height, _ = data.GetDimensions()
    scalars = data.GetPointData().GetScalars()
    if scalars is None or width * height == 0:
        return QtGui.QImage()
    pixels = vtk_to_numpy(scalars).reshape(height, width, -1)
    if pixels.shape[2] == 4:
        # Slicer paints over black, so transparent stays dark.
        pixels = (pixels[..., :3] * (pixels[..., 3:] / 255.0)).astype(np.uint8)
    flipped = np.ascontiguousarray(pixels[::-1])  # vtk counts rows from the bottom
    return QtGui.QImage(flipped.data, width, height, width * 3, QtGui.QImage.Format.Format_RGB888).copy()


def painted(view: Any) -> np.ndarray:
    """What a slice view shows, with all that is painted over the slice: uint8 (row, column, red green blue)."""
    image = view._native_object().grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def _write(
    painter: QtGui.QPainter, where: QtCore.QRect, alignment: QtCore.Qt.AlignmentFlag, text: str, colour: Any = "#ffffff"
) -> None:
    """With a dark edge, to be read on bright tissue too."""
    painter.setPen(QtGui.QColor("#000000"))
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        painter.drawText(where.translated(dx, dy), alignment, text)
    painter.setPen(QtGui.QColor(colour))
    painter.drawText(where, alignment, text)


class qMRMLSliceView(QWidget):
    """Paints the composed slice."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic
        self._annotation = vtk.vtkCornerAnnotation()
        self._window = vtk.vtkGenericOpenGLRenderWindow()  # never rendered: it has no context and loads no driver
        self._window.AddRenderer(vtk.vtkRenderer())
        self.setMinimumSize(100, 100)

    def cornerAnnotation(self) -> vtk.vtkCornerAnnotation:
        return self._annotation

    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self._window

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def scheduleRender(self) -> None:
        self.update()

    def forceRender(self) -> None:
        self.repaint()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._logic.ResizeSliceNode(event.size().width(), event.size().height())

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtCore.Qt.GlobalColor.black)
        image = slice_image(self._logic)
        if not image.isNull():
            painter.drawImage(self.rect(), image)
        self._draw_marks(painter)
        corners = (
            QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignBottom,
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignBottom,
            QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignTop,
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignTop,
        )
        for corner, alignment in enumerate(corners):
            _write(painter, self.rect().adjusted(8, 6, -8, -6), alignment, self._annotation.GetText(corner) or "")
        self._draw_text_actors(painter)

    def _draw_text_actors(self, painter: QtGui.QPainter) -> None:
        """The text actors in the view's first renderer that are placed by fractions of the view."""
        actors = self._window.GetRenderers().GetItemAsObject(0).GetActors2D()
        for actor in (actors.GetItemAsObject(index) for index in range(actors.GetNumberOfItems())):
            place = actor.GetPositionCoordinate()
            if not actor.IsA("vtkTextActor") or place.GetCoordinateSystemAsString() != "Normalized Viewport":
                raise NotImplementedError("the test host draws text actors placed by fractions of the view only")
            if not actor.GetVisibility():
                continue
            style, flag = actor.GetTextProperty(), QtCore.Qt.AlignmentFlag
            painter.save()
            font = painter.font()
            font.setPixelSize(style.GetFontSize())
            font.setBold(bool(style.GetBold()))
            painter.setFont(font)
            x, y, _ = place.GetValue()
            across = (flag.AlignLeft, flag.AlignHCenter, flag.AlignRight)[style.GetJustification()]
            left, bottom = round(x * self.width()), round((1 - y) * self.height())
            shift = {flag.AlignLeft: 0, flag.AlignHCenter: self.width() // 2, flag.AlignRight: self.width()}[across]
            where = QtCore.QRect(left - shift, 0, self.width(), bottom)
            colour = QtGui.QColor.fromRgbF(*style.GetColor())
            _write(painter, where, across | flag.AlignBottom, actor.GetInput(), colour)
            painter.restore()

    def _draw_marks(self, painter: QtGui.QPainter) -> None:
        marks = _ORIENTATION_MARKS.get(self._logic.GetSliceNode().GetOrientationString())
        if marks is None:
            return
        inner, flag = self.rect().adjusted(8, 4, -8, -4), QtCore.Qt.AlignmentFlag
        for mark, alignment in zip(
            marks,
            (
                flag.AlignHCenter | flag.AlignTop,
                flag.AlignHCenter | flag.AlignBottom,
                flag.AlignLeft | flag.AlignVCenter,
                flag.AlignRight | flag.AlignVCenter,
            ),
            strict=True,
        ):
            _write(painter, inner, alignment, mark)


def _place(node: Any) -> str:
    """Where the slice lies, in the patient's directions: "S 19.0 mm"."""
    matrix = node.GetSliceToRAS()
    axis = max(range(3), key=lambda row: abs(matrix.GetElement(row, 2)))
    position = matrix.GetElement(axis, 3)
    return f"{('R', 'A', 'S')[axis] if position >= 0 else ('L', 'P', 'I')[axis]} {abs(position):.1f} mm"


class qMRMLSliceControllerWidget(QWidget):
    """The bar over a slice view: its name, and the slice's offset."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic
        name = logic.GetSliceNode().GetLayoutName()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        label = QtWidgets.QLabel(f" {name[0]} ")
        label.setStyleSheet(f"background: {_COLOURS.get(name[0], '#888888')}; color: black")
        self._offset = QtWidgets.QLabel()
        self._offset.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred)
        row.addWidget(label)
        row.addWidget(self._offset, 1)
        self._show()

    def _show(self) -> None:
        node = self._logic.GetSliceNode()
        composite = self._logic.GetSliceCompositeNode()
        names = []
        for identity in (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()) if composite else ():
            volume = slicer.mrmlScene.GetNodeByID(identity) if identity else None
            if volume is not None:
                names.append(volume.GetName())
        self._offset.setText(f"{node.GetOrientationString()}  {_place(node)}   {' + '.join(names)}")

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def setSliceLink(self, linked: bool) -> None:
        self._logic.GetSliceCompositeNode().SetLinkedControl(linked)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qMRMLSliceWidget(QWidget):
    """A slice view with its controller, for one slice node."""

    def __init__(self, node: Any, application_logic: Any) -> None:
        super().__init__()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(node)
        self._logic.UpdateSliceCompositeNode()
        self._controller = qMRMLSliceControllerWidget(self._logic)
        self._view = qMRMLSliceView(self._logic)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._controller)
        column.addWidget(self._view, 1)
        self._tag = self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._changed())

    def _changed(self) -> None:
        self._controller._show()
        self._view.update()

    def _close(self) -> None:
        self._logic.RemoveObserver(self._tag)

    def sliceLogic(self) -> Any:
        return self._logic

    def logic(self) -> Any:
        return self._logic

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def _get_orientation(self) -> str:
        return str(self._logic.GetSliceNode().GetOrientationString())

    def setSliceOrientation(self, orientation: str) -> None:
        self._logic.GetSliceNode().SetOrientation(orientation)

    sliceOrientation = QtCore.Property(str, _get_orientation, lambda self, value: self.setSliceOrientation(value))
    sliceViewName = QtCore.Property(str, lambda self: self._logic.GetSliceNode().GetLayoutName())
