"""Arguments between Python and Qt as PythonQt converts them.

That is more willingly than PySide6 does, and with a ValueError where nothing fits.
"""

import collections.abc
import enum
import inspect
import math
import types
import typing
from typing import Any

from shibokensupport.signature import get_signature

_IMPOSSIBLE = (99, None)
_EXACT, _CLOSE, _LOOSE = 0, 1, 5


class EnumValue(int):
    """A value of a Qt enumeration: an int, as in PythonQt, that remembers its enumeration for the way back to Qt."""

    member: enum.Enum

    def __new__(cls, member: enum.Enum) -> "EnumValue":
        value = super().__new__(cls, int(member.value))
        value.member = member
        return value

    def _combine(self, other: int, operation: str) -> "int | EnumValue":
        result = getattr(int(self), operation)(int(other))
        kind = type(self.member)
        return EnumValue(kind(result)) if issubclass(kind, enum.Flag) else result

    def __or__(self, other: int) -> "int | EnumValue":
        return self._combine(other, "__or__")

    def __and__(self, other: int) -> "int | EnumValue":
        return self._combine(other, "__and__")

    def __xor__(self, other: int) -> "int | EnumValue":
        return self._combine(other, "__xor__")

    __ror__, __rand__, __rxor__ = __or__, __and__, __xor__

    def __repr__(self) -> str:
        return str(int(self))


class EnumType:
    """An enumeration itself: called with a number it gives the value.

    Its values are attributes of the class around it only, as in PythonQt.
    """

    def __init__(self, kind: type[enum.Enum]) -> None:
        self._kind = kind

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._kind(int(value)))

    def __repr__(self) -> str:
        return f"<class '{self._kind.__qualname__}'>"


class Converter:
    """Chooses among the overloads of a Qt function the one that fits the arguments best, and converts them.

    `unwrap` gives the Qt object behind a Python one.
    """

    def __init__(self, unwrap: collections.abc.Callable[[Any], Any]) -> None:
        self._unwrap = unwrap
        self._signatures: dict[Any, list[list[inspect.Parameter]]] = {}

    def arguments(self, key: Any, function: Any, name: str, args: tuple[Any, ...]) -> list[Any]:
        """Arguments ready for `function`; ValueError where no overload takes them."""
        overloads = self._overloads(key, function)
        if not overloads:
            return [self._unwrap(argument) for argument in args]
        best: tuple[int, list[Any]] | None = None
        for parameters in overloads:
            match = self._match(parameters, args)
            if match is not None and (best is None or match[0] < best[0]):
                best = match
        if best is None:
            given = ", ".join(type(argument).__name__ for argument in args)
            raise ValueError(f"Could not find matching overload for given arguments: {name}({given})")
        return best[1]

    def _overloads(self, key: Any, function: Any) -> list[list[inspect.Parameter]]:
        if key not in self._signatures:
            self._signatures[key] = [_parameters(signature, function) for signature in _signatures(function)]
        return self._signatures[key]

    def _match(self, parameters: list[inspect.Parameter], args: tuple[Any, ...]) -> tuple[int, list[Any]] | None:
        variadic = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
        required = sum(1 for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL)
        if len(args) < required or (len(args) > len(parameters) and not variadic):
            return None
        total, converted = 0, []
        for index, argument in enumerate(args):
            score, value = self._convert(argument, parameters[min(index, len(parameters) - 1)].annotation)
            if score == _IMPOSSIBLE[0]:
                return None
            total += score
            converted.append(value)
        return total, converted

    def _convert(self, value: Any, wanted: Any) -> tuple[int, Any]:
        """(how badly it fits, converted value)."""
        plain = self._unwrap(value)
        origin = typing.get_origin(wanted)
        if origin in (typing.Union, types.UnionType):
            options = [option for option in typing.get_args(wanted) if option is not type(None)]
            if value is None and str not in options:
                return (_EXACT, None) if len(options) < len(typing.get_args(wanted)) else _IMPOSSIBLE
            return min((self._convert(value, option) for option in options), key=lambda scored: scored[0])
        if wanted in (Any, object, inspect.Parameter.empty) or isinstance(wanted, typing.TypeVar | str):
            return _CLOSE, int(plain.value) if isinstance(plain, enum.Enum) else plain
        if origin is not None:
            wanted = origin
        if not isinstance(wanted, type):
            return _CLOSE, plain
        return self._convert_to_class(value, plain, wanted)

    def _convert_to_class(self, value: Any, plain: Any, wanted: type) -> tuple[int, Any]:
        if wanted is str:
            return (_EXACT, value) if isinstance(value, str) else (_LOOSE, str(value))
        if wanted is bool:
            return (_EXACT, value) if isinstance(value, bool) else (_LOOSE, bool(value))
        if wanted is int:
            return _to_int(value)
        if wanted is float:
            return _to_float(value)
        if issubclass(wanted, enum.Enum):
            if isinstance(plain, wanted):
                return _EXACT, plain
            if isinstance(value, int) and not isinstance(value, bool):
                return _number_to_enum(value, wanted)
            return _IMPOSSIBLE
        if wanted in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
            if isinstance(value, list | tuple):
                return _EXACT, [self._unwrap(item) for item in value]
            return _IMPOSSIBLE
        if wanted is collections.abc.Callable:
            return (_EXACT, value) if callable(value) else _IMPOSSIBLE
        if isinstance(plain, wanted):
            return _EXACT, plain
        if value is None:
            # A pointer may be null; a value type may not, and PySide6 says so itself.
            return _CLOSE, None
        # Qt's implicit conversions (QPixmap to QIcon, QColor to QBrush, bytes to QByteArray): PySide6 knows them, and
        # raises where there is none.
        implicit = not isinstance(value, str | bool | int | float) or wanted.__name__ in (
            "QColor",
            "QKeySequence",
            "QUrl",
            "QIcon",
            "QByteArray",
        )
        return (_LOOSE, plain) if implicit and wanted.__module__.startswith("PySide6") else _IMPOSSIBLE


def _signatures(function: Any) -> list[inspect.Signature]:
    if inspect.isfunction(function) or inspect.ismethod(function):
        return [inspect.signature(function)]
    found = get_signature(function)
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [found]


def _parameters(signature: inspect.Signature, function: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(function) if inspect.isfunction(function) else {}
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    chosen = [p for p in signature.parameters.values() if p.name != "self" and p.kind in positional]
    return [p.replace(annotation=hints[p.name]) if p.name in hints else p for p in chosen]


def _to_int(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return _LOOSE, int(value)
    if isinstance(value, EnumValue):
        return _CLOSE, int(value)
    if isinstance(value, int):
        return _EXACT, value
    if isinstance(value, float):
        return _LOOSE, math.floor(value)
    return (_LOOSE, value.__index__()) if hasattr(value, "__index__") else _IMPOSSIBLE


def _to_float(value: Any) -> tuple[int, Any]:
    if isinstance(value, float):
        return _EXACT, value
    if isinstance(value, int):
        return _CLOSE, float(value)
    return (_LOOSE, float(value)) if hasattr(value, "__float__") else _IMPOSSIBLE


def _number_to_enum(value: int, wanted: type[enum.Enum]) -> tuple[int, Any]:
    try:
        return _LOOSE, wanted(int(value))
    except ValueError:
        return _IMPOSSIBLE


def property_value(value: Any, type_name: str, unwrap: collections.abc.Callable[[Any], Any]) -> Any:
    """A value for a Qt property of the named C++ type; TypeError or ValueError where it does not convert."""
    if type_name == "QString":
        return value if isinstance(value, str) else str(value)
    if type_name == "bool":
        return bool(value)
    if type_name in ("int", "uint", "qlonglong", "long"):
        score, number = _to_int(value)
    elif type_name in ("double", "float"):
        score, number = _to_float(value)
    elif type_name == "QStringList":
        if not isinstance(value, list | tuple):
            raise TypeError("a list of strings is needed")
        return [str(item) for item in value]
    else:
        return unwrap(value)
    if score == _IMPOSSIBLE[0]:
        raise TypeError(f"not a {type_name}")
    return number
