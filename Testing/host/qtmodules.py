"""The modules `qt` and `ctk`, and the widget classes of `slicer`, as scripts import them."""

import importlib
import sys
import types
from typing import Any

from PySide6 import QtCore

from . import ctkcontainers, ctkpaths, ctkwidgets, mrmlwidgets, nodecombobox
from .pythonqt import Wrapper, adopt_class, class_for
from .signals import Slot
from .uiloader import QUiLoader

_PYSIDE = ("QtCore", "QtGui", "QtWidgets", "QtNetwork")

CTK = {
    name: getattr(module, name)
    for module in (ctkwidgets, ctkpaths, ctkcontainers)
    for name in vars(module)
    if name.startswith("ctk") and isinstance(getattr(module, name), type)
}
QMRML = {
    "qMRMLWidget": mrmlwidgets.qMRMLWidget,
    "qMRMLSliderWidget": mrmlwidgets.qMRMLSliderWidget,
    "qMRMLRangeWidget": mrmlwidgets.qMRMLRangeWidget,
    "qMRMLNodeComboBox": nodecombobox.qMRMLNodeComboBox,
}


class _QtModule(types.ModuleType):
    """`qt`: every class of the Qt modules that Slicer wraps, flat."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("Q"):
            for module in _PYSIDE:
                found = getattr(importlib.import_module(f"PySide6.{module}"), name, None)
                if isinstance(found, type):
                    setattr(self, name, class_for(found))
                    return getattr(self, name)
        raise AttributeError(f"module 'qt' has no attribute '{name}'")


class QTimer(Wrapper):
    """QTimer, whose singleShot takes any callable; an error in it is printed, as in a slot."""

    _native_class = QtCore.QTimer

    @staticmethod
    def singleShot(msec: int, callback: Any) -> None:
        if not callable(callback):
            raise ValueError(f"QTimer.singleShot needs a callable, not {callback!r}")
        slot = Slot(callback, lambda value: value)
        QtCore.QTimer.singleShot(int(msec), lambda: slot())


def _loader() -> QUiLoader:
    return QUiLoader({**CTK, **QMRML})


def install() -> None:
    """Put `qt`, `ctk` and slicer's widget classes in place."""
    import slicer

    qt = _QtModule("qt", "Qt as PythonQt shows it.")
    adopt_class(QTimer)
    qt.QTimer = QTimer  # type: ignore[attr-defined]
    qt.QUiLoader = _loader  # type: ignore[attr-defined]
    sys.modules["qt"] = qt
    ctk = types.ModuleType("ctk", "ctk as PythonQt shows it.")
    for name, native in CTK.items():
        setattr(ctk, name, class_for(native))
    sys.modules["ctk"] = ctk
    for name, native in QMRML.items():
        setattr(slicer, name, class_for(native))
