"""`@parameterNodeWrapper`: a class whose annotated attributes live in a parameter node and connect to widgets."""

import collections.abc
import dataclasses
import logging
import typing
from typing import Any

import qt
import slicer
import vtk

from .annotations import Default
from .connectors import Connector, connector_for
from .stores import Store, store_for

PROPERTY = "SlicerParameterName"


@dataclasses.dataclass(frozen=True)
class _Parameter:
    name: str
    store: Store
    initial: Default
    annotated: Any


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Class decorator, with or without parentheses."""
    return _process if classtype is None else _process(classtype)


def _process(classtype: type) -> type:
    parameters: dict[str, _Parameter] = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        try:
            store, others = store_for(annotated)
        except Exception as error:
            raise Exception(f"Unable to create serializer for {classtype} member {name}") from error
        defaults = [annotation for annotation in others if isinstance(annotation, Default)]
        if hasattr(classtype, name):
            initial = Default(getattr(classtype, name))
        else:
            initial = defaults[0] if defaults else Default(generator=store.default)
        unused = [annotation for annotation in others if not isinstance(annotation, Default)]
        if unused:
            logging.warning(f"Unused annotations: {unused}")
        parameters[name] = _Parameter(name, store, initial, annotated)
        setattr(classtype, name, property(_getter(name), _setter(name)))
    for name, member in vars(_Wrapped).items():
        if name.startswith("__") and name != "__init__":
            continue
        if name != "__init__" and hasattr(classtype, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, member)
    classtype.allParameters = parameters  # type: ignore[attr-defined]
    return classtype


def _getter(name: str) -> collections.abc.Callable[[Any], Any]:
    return lambda self: self.getValue(name)


def _setter(name: str) -> collections.abc.Callable[[Any, Any], None]:
    return lambda self, value: self.setValue(name, value)


class _Wrapped:
    """The members that the decorator adds."""

    parameterNode: Any
    allParameters: dict[str, _Parameter]
    _connected: dict[int, tuple[dict[str, Connector], int]]
    _next_tag: int
    _showing: bool

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._connected, self._next_tag, self._showing = {}, 0, False
        if prefix:
            raise NotImplementedError("the test host knows no prefix of parameters")
        for parameter in self.allParameters.values():
            if not parameter.store.present(parameterNode, parameter.name):
                self.setValue(parameter.name, parameter.initial.value)

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:
        parameter = self._parameter(name)
        if not parameter.store.present(self.parameterNode, name):
            self.setValue(name, parameter.initial.value)
        return parameter.store.read(self.parameterNode, name)

    def setValue(self, name: str, value: Any) -> None:
        store = self._parameter(name).store
        store.check(value)
        with slicer.util.NodeModify(self.parameterNode):
            store.write(self.parameterNode, name, value)

    def default(self, name: str) -> Any:
        return self._parameter(name).initial

    def dataType(self, name: str) -> Any:
        return self._parameter(name).annotated

    def connectGui(self, gui: Any) -> int:
        """Connect the widgets that carry SlicerParameterName; the tag undoes it.

        RuntimeError for a widget that cannot show its parameter.
        """
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "findChildren") else gui.__dict__.values()
        named = {widget.property(PROPERTY): widget for widget in widgets if widget.property(PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        connectors = {name: connector_for(widget, self._parameter(name).annotated) for name, widget in mapping.items()}
        tag = self._next_tag
        self._next_tag += 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.on_changed(self._callback(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show_values())
        self._connected[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, guiTag: int | None) -> None:
        connectors, observer = self._connected.pop(guiTag, ({}, None))  # type: ignore[call-overload]
        for connector in connectors.values():
            connector.on_changed(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def _callback(self, name: str, connector: Connector) -> collections.abc.Callable[[], None]:
        def changed() -> None:
            if not self._showing:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return changed

    def _show_values(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in list(self._connected.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> int:
        return int(self.parameterNode.StartModify())

    def EndModify(self, wasModified: int) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()
