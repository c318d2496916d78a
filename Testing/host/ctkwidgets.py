"""The ctk widgets that modules use, as Qt widgets with ctk's properties, slots and signals.

Only what PythonQt shows of the C++ classes is public here: properties, slots, invokables and signals. A setter that is
no slot (`setRange` of a slider) does not exist for a script, there or here. The constructors take a parent only.
"""

import math
from typing import Any

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QWidget


def delegated(kind: Any, part: str, getter: str, setter: str) -> Property:
    """A property that is one of a part of the widget."""
    return Property(
        kind,
        lambda self: getattr(getattr(self, part), getter)(),
        lambda self, value: getattr(getattr(self, part), setter)(value),
    )


def own(kind: Any, name: str) -> Property:
    """A property kept by the widget, which is drawn anew when it changes."""

    def write(self: Any, value: Any) -> None:
        setattr(self, f"_{name}", value)
        self.update()

    return Property(kind, lambda self: getattr(self, f"_{name}"), write)


class ctkSliderWidget(QWidget):
    """A slider and a spin box for one floating-point number."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._spin = QtWidgets.QDoubleSpinBox()
        self._tracking = True
        self._page_step = 10.0
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._spin.setRange(0.0, 99.99)
        self._spin.valueChanged.connect(self._spin_changed)
        self._slider.valueChanged.connect(self._slider_changed)
        self._update_slider()

    def _update_slider(self) -> None:
        step = self._spin.singleStep() or 1.0
        with QtCore.QSignalBlocker(self._slider):
            span = self._spin.maximum() - self._spin.minimum()
            self._slider.setRange(0, max(0, min(2**31 - 1, round(span / step))) if math.isfinite(span) else 0)
            self._slider.setValue(
                round((self._spin.value() - self._spin.minimum()) / step) if math.isfinite(span) else 0
            )

    def _spin_changed(self, value: float) -> None:
        self._update_slider()
        self.valueChanged.emit(value)

    def _slider_changed(self, position: int) -> None:
        value = self._spin.minimum() + position * self._spin.singleStep()
        self.valueIsChanging.emit(value)
        self._spin.setValue(value)

    def _set_bound(self, which: str, value: float) -> None:
        getattr(self._spin, which)(value)
        self._update_slider()

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def reset(self) -> None:
        self.setValue(0.0)

    value = Property(float, lambda self: self._spin.value(), lambda self, value: self.setValue(value))
    minimum = Property(
        float, lambda self: self._spin.minimum(), lambda self, value: self._set_bound("setMinimum", value)
    )
    maximum = Property(
        float, lambda self: self._spin.maximum(), lambda self, value: self._set_bound("setMaximum", value)
    )
    singleStep = Property(
        float, lambda self: self._spin.singleStep(), lambda self, value: self._set_bound("setSingleStep", value)
    )
    pageStep = own(float, "page_step")
    tracking = own(bool, "tracking")
    decimals = Property(int, lambda self: self._spin.decimals(), lambda self, value: self.setDecimals(value))
    prefix = delegated(str, "_spin", "prefix", "setPrefix")
    suffix = delegated(str, "_spin", "suffix", "setSuffix")
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, value: self.setSpinBoxVisible(value)
    )


class ctkDoubleSpinBox(QWidget):
    """A spin box for one floating-point number."""

    valueChanged = Signal(float)
    editingFinished = Signal()
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._spin)
        self._spin.valueChanged.connect(self.valueChanged)
        self._spin.editingFinished.connect(self.editingFinished)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setReadOnly(self, readOnly: bool) -> None:
        self._spin.setReadOnly(readOnly)

    def stepUp(self) -> None:
        self._spin.stepUp()

    def stepDown(self) -> None:
        self._spin.stepDown()

    value = delegated(float, "_spin", "value", "setValue")
    minimum = delegated(float, "_spin", "minimum", "setMinimum")
    maximum = delegated(float, "_spin", "maximum", "setMaximum")
    singleStep = delegated(float, "_spin", "singleStep", "setSingleStep")
    decimals = Property(int, lambda self: self._spin.decimals(), lambda self, value: self.setDecimals(value))
    readOnly = delegated(bool, "_spin", "isReadOnly", "setReadOnly")
    prefix = delegated(str, "_spin", "prefix", "setPrefix")
    suffix = delegated(str, "_spin", "suffix", "setSuffix")
    cleanText = Property(str, lambda self: self._spin.cleanText())


class ctkRangeWidget(QWidget):
    """Two spin boxes for a range of numbers."""

    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for spin in (self._low, self._high):
            spin.setRange(0.0, 99.0)
            layout.addWidget(spin)
        self._high.setValue(99.0)
        self._low.valueChanged.connect(lambda value: self._changed(self.minimumValueChanged, value))
        self._high.valueChanged.connect(lambda value: self._changed(self.maximumValueChanged, value))

    def _changed(self, signal: Any, value: float) -> None:
        signal.emit(value)
        self.valuesChanged.emit(self._low.value(), self._high.value())

    def _both(self, setter: str, value: Any) -> None:
        for spin in (self._low, self._high):
            getattr(spin, setter)(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        for spin in (self._low, self._high):
            spin.setRange(minimum, maximum)
        self.rangeChanged.emit(minimum, maximum)

    def setValues(self, minValue: float, maxValue: float) -> None:
        self._low.setValue(min(minValue, maxValue))
        self._high.setValue(max(minValue, maxValue))

    def setMinimumValue(self, value: float) -> None:
        self._low.setValue(value)

    def setMaximumValue(self, value: float) -> None:
        self._high.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._both("setDecimals", decimals)

    minimum = Property(
        float, lambda self: self._low.minimum(), lambda self, value: self.setRange(value, self._high.maximum())
    )
    maximum = Property(
        float, lambda self: self._high.maximum(), lambda self, value: self.setRange(self._low.minimum(), value)
    )
    minimumValue = delegated(float, "_low", "value", "setValue")
    maximumValue = delegated(float, "_high", "value", "setValue")
    singleStep = Property(
        float, lambda self: self._low.singleStep(), lambda self, value: self._both("setSingleStep", value)
    )
    decimals = Property(int, lambda self: self._low.decimals(), lambda self, value: self._both("setDecimals", value))
    prefix = Property(str, lambda self: self._low.prefix(), lambda self, value: self._both("setPrefix", value))
    suffix = Property(str, lambda self: self._low.suffix(), lambda self, value: self._both("setSuffix", value))


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for 'nothing chosen'."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._default_text, self._force = "", False

    def _set_default_text(self, text: str) -> None:
        self._default_text = text
        self.setPlaceholderText(text)

    def _user_data(self) -> str:
        data = self.currentData()
        return "" if data is None else str(data)

    def setCurrentUserDataAsString(self, userData: str) -> None:
        self.setCurrentIndex(self.findData(userData))

    defaultText = Property(str, lambda self: self._default_text, _set_default_text)
    forceDefault = own(bool, "force")
    currentUserDataAsString = Property(str, _user_data, lambda self, value: self.setCurrentUserDataAsString(value))


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box; without constructor text, as PythonQt shows it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key, self._again, self._again_visible = "", False, False

    def setDontShowAgain(self, dontShow: bool) -> None:
        self._again = dontShow

    dontShowAgain = Property(bool, lambda self: self._again, lambda self, value: self.setDontShowAgain(value))
    dontShowAgainVisible = own(bool, "again_visible")
    dontShowAgainSettingsKey = own(str, "key")
