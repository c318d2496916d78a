"""Connecting Qt signals to Python callables by signature, as PythonQt does.

An unknown signal gives False and a warning; errors of a slot are printed, and kept for tests to see.
"""

import collections.abc
import inspect
import sys
import traceback
from typing import Any

import shiboken6
from PySide6 import QtCore

Wrap = collections.abc.Callable[[Any], Any]

QT6_ONLY = frozenset(
    (
        "checkStateChanged",
        "isRowVisible",
        "labelDrawingMode",
        "setLabelDrawingMode",
        "setRowVisible",
        "setUnixProcessParameters",
        "startCommand",
        "unixProcessParameters",
    )
)
"""Members of Qt 6 that Qt 5.15, and with it Slicer 5.8, does not have: the host has them not either."""

connect_warnings: list[str] = []
"""One sentence for each connect or disconnect that named an unknown signal or slot, or property that was set too early.

A module's tests fail on any."""

slot_errors: list[BaseException] = []
"""Exceptions that a slot let out. Slicer prints them and goes on, so a test has to look here."""


class Slot:
    """A Python callable at the end of a signal; it gets no more arguments than it takes."""

    def __init__(self, callback: collections.abc.Callable[..., Any], wrap: Wrap) -> None:
        self.callback = callback
        self._wrap = wrap
        self._limit = _argument_count(callback)

    def __call__(self, *arguments: Any) -> None:
        chosen = arguments if self._limit is None else arguments[: self._limit]
        try:
            self.callback(*[self._wrap(argument) for argument in chosen])
        except SystemExit:
            raise
        except Exception as error:  # Slicer's event loop survives a failing slot, and so does this one
            slot_errors.append(error)
            traceback.print_exc(file=sys.stderr)


def _argument_count(callback: collections.abc.Callable[..., Any]) -> int | None:
    """How many arguments a plain function or method takes; None for all there are."""
    function = callback.__func__ if inspect.ismethod(callback) else callback
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - (1 if inspect.ismethod(callback) else 0)


def meta_of(native: QtCore.QObject) -> QtCore.QMetaObject:
    """Qt's description of an object's class.

    Taken from the class: what `native.metaObject()` returns is invalidated when the object's parent dies, and with it
    the description that PySide6 keeps for the whole class.
    """
    return type(native).staticMetaObject


_Connection = tuple[str, Any, Slot]
_connections: dict[int, list[_Connection]] = {}


def _address(native: QtCore.QObject) -> int:
    return int(shiboken6.getCppPointer(native)[0])


def _find_signal(native: QtCore.QObject, signal: str) -> Any:
    """The bound host signal, or Qt's own name of the signal, or None."""
    text = signal[1:] if signal[:1].isdigit() else signal
    own: dict[str, str] = getattr(type(native), "host_signals", {})
    if text.replace(" ", "") in own:
        return getattr(native, own[text.replace(" ", "")])
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(text).data()).decode()
    unknown = meta_of(native).indexOfSignal(normalized) < 0 or "PyObject" in normalized
    if unknown or normalized.partition("(")[0] in QT6_ONLY:
        return None
    return normalized


def warn(message: str) -> None:
    """Print a warning as PythonQt does, and keep it for the tests to see."""
    connect_warnings.append(message)
    print(f"PythonQt: {message}", file=sys.stderr)


def connect(native: QtCore.QObject, signal: str, callback: collections.abc.Callable[..., Any], wrap: Wrap) -> bool:
    """Call `callback` on `signal`; False, with a warning, if there is no such signal."""
    found = _find_signal(native, signal)
    if found is None:
        warn(f"QObject::connect() signal '{signal}' does not exist on {meta_of(native).className()}")
        return False
    if not callable(callback):
        raise ValueError(f"cannot connect {signal} to {callback!r}, which is not callable")
    slot = Slot(callback, wrap)
    if isinstance(found, str):
        QtCore.QObject.connect(native, QtCore.SIGNAL(found), slot)
    else:
        found.connect(slot)
    address = _address(native)
    if address not in _connections:
        _connections[address] = []
        native.destroyed.connect(lambda *_: _connections.pop(address, None))
    _connections[address].append((_key(native, signal), callback, slot))
    return True


def _key(native: QtCore.QObject, signal: str) -> str:
    found = _find_signal(native, signal)
    return found if isinstance(found, str) else signal.replace(" ", "")


def disconnect(native: QtCore.QObject, signal: str, callback: collections.abc.Callable[..., Any] | None) -> bool:
    """Undo `connect`; without a callback all of the signal's. False if there was nothing to undo."""
    found = _find_signal(native, signal)
    if found is None:
        warn(f"QObject::disconnect() signal '{signal}' does not exist on {meta_of(native).className()}")
        return False
    kept: list[_Connection] = []
    removed = False
    for connection in _connections.get(_address(native), []):
        key, known, slot = connection
        if key != _key(native, signal) or (callback is not None and known != callback):
            kept.append(connection)
            continue
        removed = True
        if isinstance(found, str):
            QtCore.QObject.disconnect(native, QtCore.SIGNAL(found), slot)
        else:
            found.disconnect(slot)
    if removed:
        _connections[_address(native)] = kept
    return removed


def find_by_name(native: QtCore.QObject, name: str) -> str | None:
    """The full signature of the first signal called `name`: the one that `object.name` stands for."""
    for signature in getattr(type(native), "host_signals", {}):
        if signature.partition("(")[0] == name:
            return str(signature)
    meta = meta_of(native)
    for index in range(meta.methodCount()):
        method = meta.method(index)
        signature = bytes(method.methodSignature().data()).decode()
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal and signature.partition("(")[0] == name:
            return signature
    return None


def connect_slot(sender: QtCore.QObject, signal: str, receiver: QtCore.QObject, slot: str) -> bool:
    """A connection from object to object, as a .ui file states it; False, with a warning, if either end is unknown."""
    name = slot.partition("(")[0]
    own: dict[str, str] = getattr(type(receiver), "host_slots", {})
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(slot).data()).decode()
    if slot.replace(" ", "") not in own and meta_of(receiver).indexOfMethod(normalized) < 0:
        warn(f"QObject::connect() slot '{slot}' does not exist on {meta_of(receiver).className()}")
        return False
    target = getattr(receiver, own.get(slot.replace(" ", ""), name))
    takes = 0 if normalized.endswith("()") else normalized.count(",") + 1
    return connect(sender, signal, lambda *arguments: target(*arguments[:takes]), lambda value: value)
