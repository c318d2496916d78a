"""PythonQt's view of Qt objects: properties are attributes, classes are flat, what is unknown raises.

Every Qt object that a script sees is a `Wrapper` around the PySide6 object; `wrap` and `unwrap` go one way and the
other. The facts are those of PythonQt (the patched branch that Slicer builds): class wrappers have no base but
`Wrapper`, so `isinstance(button, qt.QWidget)` is False; lists come back as tuples; a call that fits no overload is a
ValueError; a new attribute is refused unless the class was derived in Python; named children and dynamic properties are
attributes.
"""

import enum
import inspect
import types
import weakref
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import dialogs, members, signals
from .conversion import Converter, EnumValue

_classes: dict[type, "WrapperType"] = {}
_alive: "weakref.WeakValueDictionary[int, Wrapper]" = weakref.WeakValueDictionary()


def unwrap(value: Any) -> Any:
    """The PySide6 value behind a Python one."""
    if isinstance(value, Wrapper):
        return value._native_object()
    if isinstance(value, EnumValue):
        return value.member
    if isinstance(value, WrapperType):
        return value._native_class
    if isinstance(value, list | tuple):
        return [unwrap(item) for item in value]
    return value


def wrap(value: Any) -> Any:
    """What a script sees of a PySide6 value."""
    if value is None or isinstance(value, str | bool | float | bytes | Wrapper):
        return value
    if isinstance(value, enum.Enum):
        return EnumValue(value) if type(value).__module__.startswith("PySide6") else value
    if isinstance(value, int):
        return value
    if isinstance(value, shiboken6.Shiboken.Object):
        return _wrap_object(value)
    if isinstance(value, list | tuple):
        return tuple(wrap(item) for item in value)
    return value


def _wrap_object(native: Any) -> "Wrapper":
    derived = getattr(native, "pythonqt_wrapper", None)
    if isinstance(derived, Wrapper):
        return derived
    is_object = isinstance(native, QtCore.QObject)
    if is_object and shiboken6.isValid(native):
        known = _alive.get(int(shiboken6.getCppPointer(native)[0]))
        if known is not None and known._native is native:
            return known
    wrapper = object.__new__(class_for(type(native)))
    wrapper._adopt(native)
    return wrapper


def class_for(native_class: type, name: str | None = None) -> "WrapperType":
    """The class that stands for a PySide6 class or a host widget class."""
    if native_class not in _classes:
        _classes[native_class] = WrapperType(
            name or native_class.__name__, (Wrapper,), {"_native_class": native_class, "__module__": "PythonQt"}
        )
    return _classes[native_class]


def adopt_class(wrapper_class: "WrapperType") -> None:
    """Let a wrapper class written by hand stand for its Qt class, also for objects that Qt hands out."""
    _classes[wrapper_class._native_class] = wrapper_class


class Method:
    """A Qt method of an object (or of a class, when static)."""

    def __init__(self, native_class: type, name: str, wrapper: "Wrapper | None") -> None:
        self.__name__ = members.ALIASES.get(name, name)
        self._class, self._wrapper = native_class, wrapper

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise TypeError(
                f"{self._class.__name__}.{self.__name__}: a Qt method takes no keyword arguments in PythonQt"
            )
        dialogs.refuse_questions(self._class, self.__name__)
        function = getattr(self._class, self.__name__)
        static = isinstance(
            inspect.getattr_static(self._class, self.__name__), staticmethod | types.BuiltinFunctionType
        )
        wrapper = self._wrapper
        if wrapper is None and not static:
            if not args or not isinstance(args[0], Wrapper):
                raise ValueError(f"{self._class.__name__}.{self.__name__} needs an object as first argument")
            wrapper, args = args[0], args[1:]
        converted = converter.arguments((self._class, self.__name__), function, self.__name__, args)
        native = wrapper._native_object() if wrapper is not None else None
        if type(native) is self._class:
            # Bound, for some methods are static and not static at once (QFile.exists).
            function = getattr(native, self.__name__)
        elif not static:
            # The class's own, for the object's may be a script's override that calls this one.
            converted.insert(0, native)
        try:
            with dialogs.watched(native, self.__name__):
                return wrap(function(*converted))
        except TypeError as error:
            if "called with wrong argument types" in str(error):
                raise ValueError(str(error)) from error
            raise

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Method)
            and (self._class, self.__name__) == (other._class, other.__name__)
            and self._wrapper is other._wrapper
        )

    def __hash__(self) -> int:
        return hash((self._class, self.__name__, id(self._wrapper)))


class SignalOfObject:
    """`object.signal`: connect, disconnect, emit."""

    def __init__(self, wrapper: "Wrapper", name: str) -> None:
        self._wrapper, self.__name__ = wrapper, name
        signature = signals.find_by_name(wrapper._native_object(), name)
        if signature is None:
            raise AttributeError(f"{type(wrapper).__name__} has no attribute named '{name}'")
        self._signature = signature

    def connect(self, callback: Any) -> bool:
        return signals.connect(self._wrapper._native_object(), self._signature, callback, wrap)

    def disconnect(self, callback: Any = None) -> bool:
        return signals.disconnect(self._wrapper._native_object(), self._signature, callback)

    def emit(self, *args: Any) -> None:
        native = self._wrapper._native_object()
        own = getattr(type(native), "host_signals", {})
        getattr(native, own.get(self._signature, self.__name__)).emit(*[unwrap(argument) for argument in args])

    __call__ = emit


class WrapperType(type):
    """Classes as scripts see them: enumeration values and static methods are found on the Qt class."""

    _native_class: type

    def __getattr__(cls, name: str) -> Any:
        if not name.startswith("_"):
            kind, member = members.look_up(cls._native_class, name)
            if kind in ("enum value", "enum type"):
                return member
            if kind == "class":
                return class_for(member)
            if kind == "method":
                return Method(cls._native_class, name, None)
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")


class Wrapper(metaclass=WrapperType):
    """A Qt object as scripts see it."""

    _native_class: type = object
    _native: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs:
            raise TypeError(f"{type(self).__name__}: a Qt class takes no keyword arguments in PythonQt")
        native_class = type(self)._native_class
        converted = converter.arguments(
            (native_class, "__init__"), _constructor(native_class), native_class.__name__, args
        )
        native = _derived_class(type(self), native_class)(*converted)
        self._adopt(native)
        if type(self).__base__ is not Wrapper:
            # Derived in Python: the object carries state, so it lives as long as the Qt object does.
            native.pythonqt_wrapper = self

    def _adopt(self, native: Any) -> None:
        object.__setattr__(self, "_native", native)
        if isinstance(native, QtCore.QObject):
            _alive[int(shiboken6.getCppPointer(native)[0])] = self

    def _native_object(self) -> Any:
        native = self.__dict__.get("_native")
        if native is None or not shiboken6.isValid(native):
            raise ValueError(f"Trying to use a destroyed {type(self)._native_class.__name__} object")
        return native

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        native = self._native_object()
        native_class = type(self)._native_class
        kind, member = members.look_up(native_class, name)
        if kind == "property":
            return wrap(members.read_property(native, name))
        if kind == "method":
            return Method(native_class, name, self)
        if kind == "signal":
            return SignalOfObject(self, name)
        if kind is not None:
            return class_for(member) if kind == "class" else member
        if isinstance(native, QtCore.QObject):
            if name in _OBJECT_METHODS:
                return types.MethodType(_OBJECT_METHODS[name], self)
            if name == "name":
                return native.objectName()
            if name in [bytes(known.data()).decode() for known in native.dynamicPropertyNames()]:
                return wrap(native.property(name))
            for child in native.children():
                if child.objectName() == name:
                    return wrap(child)
        raise AttributeError(f"{native_class.__name__} has no attribute named '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_native" not in self.__dict__:
            object.__setattr__(self, name, value)
            return
        native = self._native_object()
        kind, _ = members.look_up(type(self)._native_class, name)
        if kind == "property":
            members.write_property(native, name, value, unwrap)
        elif kind is not None:
            raise AttributeError(f"{kind} '{name}' can not be overwritten on {type(self).__name__} object")
        elif name == "name" and isinstance(native, QtCore.QObject):
            native.setObjectName(str(value))
        elif isinstance(native, QtCore.QObject) and name in [
            bytes(known.data()).decode() for known in native.dynamicPropertyNames()
        ]:
            native.setProperty(name, unwrap(value))
        elif type(self).__base__ is not Wrapper:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is not "
                "allowed"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Wrapper):
            return False
        mine, theirs = self.__dict__.get("_native"), other.__dict__.get("_native")
        return mine is theirs or (not isinstance(mine, QtCore.QObject) and bool(mine == theirs))

    def __hash__(self) -> int:
        native = self.__dict__.get("_native")
        return id(native) if isinstance(native, QtCore.QObject) else hash(native)

    def __repr__(self) -> str:
        native = self.__dict__.get("_native")
        if isinstance(native, QtCore.QObject) and shiboken6.isValid(native):
            return f"{signals.meta_of(native).className()} (QObject at: {hex(shiboken6.getCppPointer(native)[0])})"
        return f"{type(self).__name__} ({native!r})"

    def __bool__(self) -> bool:
        native = self.__dict__.get("_native")
        return native is not None and shiboken6.isValid(native)


converter = Converter(unwrap)


def _constructor(native_class: type) -> Any:
    return native_class.__init__ if inspect.isfunction(native_class.__init__) else native_class  # type: ignore[misc]


def _derived_class(wrapper_class: WrapperType, native_class: type) -> type:
    """The Qt class to make: a subclass that hands virtual functions to Python where a script overrides them."""
    overridden: dict[str, Any] = {}
    for python_class in wrapper_class.__mro__:
        if python_class is Wrapper or "_native_class" in python_class.__dict__:
            break
        for name, function in python_class.__dict__.items():
            if inspect.isfunction(function) and members.look_up(native_class, name)[0] == "method":
                overridden.setdefault(name, _delegate(native_class, name))
    if wrapper_class.__base__ is Wrapper:
        return native_class
    return type(native_class)(native_class.__name__, (native_class,), overridden)


def _delegate(native_class: type, name: str) -> Any:
    def call(native: Any, *args: Any) -> Any:
        wrapper = getattr(native, "pythonqt_wrapper", None)
        if wrapper is None:  # a virtual function called while the object is still being made
            return getattr(native_class, name)(native, *args)
        return unwrap(getattr(wrapper, name)(*[wrap(argument) for argument in args]))

    return call


def _connect(self: Wrapper, signal: str, *target: Any) -> bool:
    if len(target) == 1:
        return signals.connect(self._native_object(), signal, target[0], wrap)
    return signals.connect_slot(self._native_object(), signal, unwrap(target[0]), target[1])


def _disconnect(self: Wrapper, signal: str, callback: Any = None) -> bool:
    return signals.disconnect(self._native_object(), signal, callback)


def _matches(child: QtCore.QObject, wanted: Any, name: str) -> bool:
    if name and child.objectName() != name:
        return False
    if isinstance(wanted, Wrapper):
        wanted = type(wanted)
    if isinstance(wanted, WrapperType):
        return isinstance(child, wanted._native_class)
    return bool(child.inherits(str(wanted)))


def _find_children(self: Wrapper, wanted: Any, name: str = "") -> tuple[Any, ...]:
    found = self._native_object().findChildren(QtCore.QObject)
    return tuple(wrap(child) for child in found if _matches(child, wanted, name))


def _find_child(self: Wrapper, wanted: Any, name: str = "") -> Any:
    found = _find_children(self, wanted, name)
    return found[0] if found else None


def _class_name(self: Wrapper) -> str:
    return str(signals.meta_of(self._native_object()).className())


def _delete(self: Wrapper) -> None:
    shiboken6.delete(self._native_object())


_OBJECT_METHODS = {
    "connect": _connect,
    "disconnect": _disconnect,
    "findChild": _find_child,
    "findChildren": _find_children,
    "className": _class_name,
    "delete": _delete,
}
