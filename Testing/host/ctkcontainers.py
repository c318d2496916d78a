"""ctk's containers that fold: the collapsible button and group box."""

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QWidget

from .ctkwidgets import own

_HEADER = 24


def _show_children(container: QWidget, opened: bool) -> None:
    """Show or hide what a container holds; as in ctk, what a module had hidden itself stays hidden."""
    for child in container.findChildren(QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
        if opened:
            child.setVisible(not child.property("ctkHiddenByModule"))
        else:
            child.setProperty("ctkHiddenByModule", child.isHidden())
            child.setVisible(False)


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that shows and hides the widgets under it; checked means open."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._height, self._flat, self._line_width = 10, False, 1
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.toggled.connect(self._toggled)

    def _toggled(self, opened: bool) -> None:
        _show_children(self, opened)
        self.updateGeometry()
        self.contentsCollapsed.emit(not opened)

    def _open(self) -> bool:
        return self.isChecked() and self.layout() is not None

    def minimumSizeHint(self) -> QtCore.QSize:
        header = QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 40, _HEADER)
        return header.expandedTo(self.layout().totalMinimumSize()) if self._open() else header

    def sizeHint(self) -> QtCore.QSize:
        header = self.minimumSizeHint()
        return header.expandedTo(self.layout().totalSizeHint()) if self._open() else header

    def hasHeightForWidth(self) -> bool:
        return self._open() and self.layout().hasHeightForWidth()

    def heightForWidth(self, width: int) -> int:
        return max(_HEADER, self.layout().totalHeightForWidth(width)) if self.hasHeightForWidth() else -1

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < _HEADER

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), _HEADER - 4)
        if not self._flat:
            painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (_HEADER - 4 - 10) // 2, 10, 10)
        kind = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(kind.PE_IndicatorArrowDown if self.isChecked() else kind.PE_IndicatorArrowRight, arrow)
        painter.drawText(option.rect.adjusted(22, 0, -4, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text())

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value))
    collapsedHeight = own(int, "height")
    flat = own(bool, "flat")
    contentsLineWidth = own(int, "line_width")


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box that folds with its check mark."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._height = 14
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._toggled)

    def _toggled(self, opened: bool) -> None:
        _show_children(self, opened)
        self.updateGeometry()

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value))
    collapsedHeight = own(int, "height")
