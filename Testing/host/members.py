"""What a Qt class has under a name - property, method, signal, enumeration - and reading and writing its properties."""

import enum
import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from .conversion import EnumType, EnumValue, property_value
from .signals import QT6_ONLY, meta_of

ALIASES = {"exec_": "exec"}
"""Names that PythonQt has and PySide6 has otherwise."""

_PYSIDE_ONLY = frozenset(
    (
        "connect",
        "disconnect",
        "emit",
        "findChild",
        "findChildren",
        "isSignalConnected",
        "metaObject",
        "receivers",
        "sender",
        "senderSignalIndex",
        "staticMetaObject",
        "tr",
    )
)

Member = tuple[str | None, Any]
_known: dict[tuple[type, str], Member] = {}


def look_up(native_class: type, name: str) -> Member:
    """(kind of member, value where it has one); (None, None) for what the class does not have."""
    key = (native_class, name)
    if key not in _known:
        _known[key] = _find(native_class, ALIASES.get(name, name))
    return _known[key]


def _find(native_class: type, name: str) -> Member:
    if name.startswith(("_", "host_", "pythonqt_")) or name in _PYSIDE_ONLY or name in QT6_ONLY:
        return None, None
    meta = getattr(native_class, "staticMetaObject", None)
    if meta is not None and meta.indexOfProperty(name) >= 0:
        return "property", None
    own_signals = getattr(native_class, "host_signals", {})
    if any(signature.partition("(")[0] == name for signature in own_signals):
        return "signal", None
    missing = object()
    if isinstance(inspect.getattr_static(native_class, name, missing), QtCore.Signal):
        return ("signal", None) if name not in own_signals.values() else (None, None)
    found = getattr(native_class, name, missing)
    if found is missing:
        return None, None
    if isinstance(found, enum.EnumMeta):
        return "enum type", EnumType(found)
    if isinstance(found, enum.Enum):
        return "enum value", EnumValue(found)
    if isinstance(found, type):
        return "class", found
    return ("method", None) if callable(found) else (None, None)


def _made_in_python(native: Any, name: str) -> bool:
    return isinstance(inspect.getattr_static(type(native), name, None), QtCore.Property)


def read_property(native: QtCore.QObject, name: str) -> Any:
    """The value of a property that the class has."""
    return getattr(native, name) if _made_in_python(native, name) else native.property(name)


def write_property(native: QtCore.QObject, name: str, value: Any, unwrap: Callable[[Any], Any]) -> None:
    """Set a property that the class has; AttributeError if it is read-only or takes no such value."""
    meta = meta_of(native).property(meta_of(native).indexOfProperty(name))
    given = f"{type(value).__name__} ({value!r})"
    refused = f"Property '{name}' of type '{meta.typeName()}' does not accept an object of type {given}"
    if not meta.isWritable():
        raise AttributeError(f"Property '{name}' of {meta_of(native).className()} object is not writable")
    try:
        converted = property_value(value, meta.typeName(), unwrap)
        if _made_in_python(native, name):
            setattr(native, name, converted)
            return
        accepted = meta.write(native, converted)
    except (TypeError, ValueError) as error:
        raise AttributeError(refused) from error
    if not accepted:
        raise AttributeError(refused)
