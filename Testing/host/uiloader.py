"""`qt.QUiLoader`: .ui files with Slicer's custom widgets by class name.

Qt's own loader builds the widgets; properties of the custom classes and all connections are applied here, so that an
unknown class or property raises and an unknown signal or slot is warned of, instead of passing in silence.
"""

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import signals
from .pythonqt import unwrap, wrap

_PLAIN = {
    "bool": lambda text: text == "true",
    "number": int,
    "double": float,
    "string": str,
    "cstring": str,
    "enum": lambda text: text,
    "set": lambda text: text,
}


class QUiLoader:
    """Loads .ui files; `custom` gives the widget class of each custom class name."""

    def __init__(self, custom: dict[str, type[QtWidgets.QWidget]]) -> None:
        self._custom = custom

    def load(self, file: Any, parent: Any = None) -> Any:
        """The widget that an open QFile describes."""
        tree = ElementTree.fromstring(bytes(unwrap(file).readAll().data()))
        connections = tree.find("connections")
        if connections is not None:
            tree.remove(connections)
        applied = [self._take_properties(widget) for widget in tree.iter("widget")]
        self._check_classes(tree)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loader = _Builder(self._custom)
        root = loader.load(buffer, unwrap(parent))
        if root is None:
            raise RuntimeError(f"Could not load UI file: {loader.errorString()}")
        for name, properties in applied:
            self._apply(_named(root, name), properties)
        for connection in [] if connections is None else connections.iter("connection"):
            part = {child.tag: child.text or "" for child in connection}
            signals.connect_slot(
                _named(root, part["sender"]), part["signal"], _named(root, part["receiver"]), part["slot"]
            )
        return wrap(root)

    def _check_classes(self, tree: ElementTree.Element) -> None:
        known = set(QtUiTools.QUiLoader().availableWidgets()) | set(self._custom)
        unknown = sorted({widget.get("class", "") for widget in tree.iter("widget")} - known)
        if unknown:
            raise RuntimeError(f"the test host does not know the widget class {', '.join(unknown)}")

    def _take_properties(self, widget: ElementTree.Element) -> tuple[str, list[tuple[str, ElementTree.Element]]]:
        """Take the properties that only the custom class has out of the description."""
        native = self._custom.get(widget.get("class", ""))
        base = (
            next((known for known in native.__mro__ if known.__module__.startswith("PySide6")), None)
            if native
            else None
        )
        taken = []
        for element in list(widget.findall("property")):
            name = element.get("name", "")
            if base is None or element.get("stdset") == "0" or base.staticMetaObject.indexOfProperty(name) >= 0:
                self._check_property(widget, element)
                continue
            widget.remove(element)
            taken.append((name, element[0]))
        return widget.get("name", ""), taken

    def _check_property(self, widget: ElementTree.Element, element: ElementTree.Element) -> None:
        if element.get("stdset") == "0":
            return
        native = getattr(QtWidgets, widget.get("class", ""), None)
        if native is not None and native.staticMetaObject.indexOfProperty(element.get("name")) < 0:
            raise AttributeError(f"{widget.get('name')}: {widget.get('class')} has no property '{element.get('name')}'")

    def _apply(self, widget: QtWidgets.QWidget, properties: list[tuple[str, ElementTree.Element]]) -> None:
        for name, value in properties:
            if value.tag == "stringlist":
                converted: Any = [item.text or "" for item in value.findall("string")]
            elif value.tag in _PLAIN:
                converted = _PLAIN[value.tag](value.text or "")  # type: ignore[operator]
            else:
                raise AttributeError(
                    f"{widget.objectName()}.{name}: the test host reads no <{value.tag}> of custom widgets"
                )
            setattr(wrap(widget), name, converted)


def _named(root: QtWidgets.QWidget, name: str) -> Any:
    found = root if root.objectName() == name else root.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"the .ui file names '{name}', but there is no such object")
    return found


class _Builder(QtUiTools.QUiLoader):
    """Qt's loader, which makes the custom classes."""

    def __init__(self, custom: dict[str, type[QtWidgets.QWidget]]) -> None:
        super().__init__()
        self._custom = custom

    def createWidget(
        self, className: str, parent: QtWidgets.QWidget | None = None, name: str = ""
    ) -> QtWidgets.QWidget:
        if className not in self._custom:
            return super().createWidget(className, parent, name)
        widget = self._custom[className](parent)
        widget.setObjectName(name)
        return widget
