"""ctk's widgets for paths: the path line with its browse button, and the folder button."""

import os

from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QWidget

from .ctkwidgets import own


class ctkPathLineEdit(QWidget):
    """A path with a browse button."""

    validInputChanged = Signal(bool)
    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._button = QtWidgets.QToolButton()
        self._button.setText("...")
        self._label, self._setting_key, self._name_filters = "", "", []
        self._filters, self._options, self._history = "Files", 0, True
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        layout.addWidget(self._button)
        self._combo.editTextChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    def browse(self) -> None:
        raise NotImplementedError("the test host shows no file dialogs: set currentPath instead")

    def addCurrentPathToHistory(self) -> None:
        path = self._combo.currentText()
        if path and self._combo.findText(path) < 0:
            self._combo.addItem(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    currentPath = Property(str, lambda self: self._combo.currentText(), lambda self, value: self.setCurrentPath(value))
    label = own(str, "label")
    settingKey = own(str, "setting_key")
    nameFilters = own("QStringList", "name_filters")
    filters = own("QVariant", "filters")
    options = own("QVariant", "options")
    showHistoryButton = own(bool, "history")
    showBrowseButton = Property(
        bool, lambda self: not self._button.isHidden(), lambda self, value: self._button.setVisible(value)
    )


class ctkDirectoryButton(QWidget):
    """A button that shows and chooses a folder."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QtWidgets.QPushButton()
        self._directory, self._caption, self._text = os.getcwd(), "", ""
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)
        self._show()

    def _show(self) -> None:
        self._button.setText(self._text or self._directory)

    def _set_directory(self, path: str) -> None:
        path = os.path.abspath(path)
        if path != self._directory:
            self._directory = path
            self._show()
            self.directoryChanged.emit(path)

    def _set_text(self, text: str) -> None:
        self._text = text
        self._show()

    def browse(self) -> str:
        raise NotImplementedError("the test host shows no file dialogs: set directory instead")

    directory = Property(str, lambda self: self._directory, _set_directory)
    text = Property(str, lambda self: self._text, _set_text)
    caption = own(str, "caption")
