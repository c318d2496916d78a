"""Widgets that show and change a parameter.

The class must be exactly one of the known ones; anything else raises, as in Slicer 5.8. (From 5.10 on the widgets for
floating-point numbers take int parameters too; the older rule is kept, for a module must run on both.)
"""

import collections.abc
import enum
import logging
import typing
from typing import Any

import ctk
import qt
import slicer

from .annotations import (
    Choice,
    Decimals,
    FloatRange,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    find,
    split,
)
from .stores import PATHS

Factory = collections.abc.Callable[[Any, Any, list[Any]], "Connector"]


class Connector:
    """One widget bound to one parameter: how to read and write it, and which signal says that it changed."""

    def __init__(self, widget: Any, signal: str | None, read: Any, write: Any) -> None:
        self.widget, self._signal, self.read, self.write = widget, signal, read, write
        self._callback: collections.abc.Callable[[], None] | None = None

    def on_changed(self, callback: collections.abc.Callable[[], None] | None) -> None:
        if self._signal is not None:
            signal = getattr(self.widget, self._signal)
            if callback is None:
                signal.disconnect(self._changed)
            else:
                signal.connect(self._changed)
        self._callback = callback

    def _changed(self) -> None:
        if self._callback is not None:
            self._callback()


def attribute_connector(widget: Any, signal: str | None, name: str) -> Connector:
    return Connector(widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value))


def connector_for(widget: Any, annotated: Any) -> Connector:
    """The connector of a widget and a type; RuntimeError if Slicer has none."""
    kind, annotations = split(annotated)
    make = _KNOWN.get((type(widget), _category(kind)))
    if make is None:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{annotated}' to widget type '{type(widget)}'."
        )
    return make(widget, kind, annotations)


def _category(kind: Any) -> Any:
    if kind in PATHS:
        return "path"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "enum"
    if _node_classes(kind):
        return "node"
    return kind


def _node_classes(kind: Any) -> list[Any]:
    options = list(typing.get_args(kind)) if typing.get_origin(kind) is typing.Union else [kind]
    plain = [split(option)[0] for option in options]
    classes = [option for option in plain if isinstance(option, type) and issubclass(option, slicer.vtkMRMLNode)]
    return classes if len(classes) == len([option for option in plain if option is not type(None)]) else []


def _truth(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    if type(widget) is qt.QPushButton and not widget.checkable:
        logging.warning(f"Making push button checkable: {widget}")
        widget.checkable = True
    return attribute_connector(widget, "toggled" if type(widget) is qt.QPushButton else "stateChanged", "checked")


def _bounds(annotations: list[Any]) -> tuple[Any, Any]:
    within, low, high = find(annotations, WithinRange), find(annotations, Minimum), find(annotations, Maximum)
    if within is not None:
        return within.minimum, within.maximum
    return (low.minimum if low is not None else None), (high.maximum if high is not None else None)


def _hints(widget: Any, annotations: list[Any]) -> None:
    decimals, step = find(annotations, Decimals), find(annotations, SingleStep)
    if decimals is not None:
        widget.decimals = decimals.value
    if step is not None:
        widget.singleStep = step.value


def _whole_number(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    low, high = _bounds(annotations)
    _hints(widget, annotations)
    if type(widget) is qt.QSlider and (low is None or high is None):
        raise RuntimeError("Cannot have a connection to QSlider where the int type is unbounded.")
    widget.setMinimum(-(2**31) if low is None else low)
    widget.setMaximum(2**31 - 1 if high is None else high)
    return attribute_connector(widget, "valueChanged", "value")


def _number(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    low, high = _bounds(annotations)
    _hints(widget, annotations)
    if type(widget) in (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget) and (low is None or high is None):
        raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
    widget.minimum = float("-inf") if low is None else low
    widget.maximum = float("inf") if high is None else high
    return attribute_connector(widget, "valueChanged", "value")


def _choice(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    choice = find(annotations, Choice)
    if choice is None:
        raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
    return _items(widget, [(str(value), value) for value in choice.choices])


def _enumeration(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    label = getattr(kind, "label", lambda member: member.name)
    return _items(widget, [(label(member), member) for member in kind])


def _items(widget: Any, items: list[tuple[str, Any]]) -> Connector:
    values = [value for _, value in items]
    widget.clear()
    for text, _ in items:
        widget.addItem(text)

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _line(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    def write(value: str) -> None:
        if value != widget.text:  # writing moves the cursor
            widget.text = value

    return Connector(widget, "textChanged", lambda: widget.text, write)


def _label(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    return attribute_connector(widget, None, "text")


def _page(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    return Connector(widget, "textChanged", lambda: widget.toPlainText(), lambda value: widget.setPlainText(value))


def _range(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    bounds = find(annotations, RangeBounds)
    if bounds is None:
        raise RuntimeError(
            "Cannot have a connection to a range widget where the float is unbounded. Add a RangeBounds annotation."
        )
    _hints(widget, annotations)
    widget.setRange(bounds.minimum, bounds.maximum)

    def write(value: FloatRange) -> None:
        widget.setValues(value.minimum, value.maximum)

    return Connector(widget, "valuesChanged", lambda: FloatRange(widget.minimumValue, widget.maximumValue), write)


def _path(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    name, signal = (
        ("currentPath", "currentPathChanged")
        if type(widget) is ctk.ctkPathLineEdit
        else ("directory", "directoryChanged")
    )
    return Connector(
        widget, signal, lambda: kind(getattr(widget, name)), lambda value: setattr(widget, name, str(value))
    )


def _node(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    widget.nodeTypes = [node_class().GetClassName() for node_class in _node_classes(kind)]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _known() -> dict[tuple[Any, Any], Factory]:
    known: dict[tuple[Any, Any], Factory] = {}
    for widget in (qt.QCheckBox, ctk.ctkCheckBox, qt.QPushButton):
        known[widget, bool] = _truth
    for widget in (qt.QSlider, qt.QSpinBox):
        known[widget, int] = _whole_number
    for widget in (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, ctk.ctkDoubleSpinBox):
        known[widget, float] = _number
    for widget in (qt.QComboBox, ctk.ctkComboBox):
        for kind in (int, float, str, bool):
            known[widget, kind] = _choice
        known[widget, "enum"] = _enumeration
    known[qt.QLineEdit, str], known[qt.QLabel, str], known[qt.QTextEdit, str] = _line, _label, _page
    known[ctk.ctkRangeWidget, FloatRange] = known[slicer.qMRMLRangeWidget, FloatRange] = _range
    known[ctk.ctkPathLineEdit, "path"] = known[ctk.ctkDirectoryButton, "path"] = _path
    known[slicer.qMRMLNodeComboBox, "node"] = _node
    return known


_KNOWN = _known()
