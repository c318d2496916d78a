"""How values of each type lie in a vtkMRMLScriptedModuleNode.

As strings under the parameter's name, nodes as references, parts of a value under `name.part`.
"""

import abc
import collections.abc
import enum
import pathlib
import typing
from typing import Any

import slicer

from .annotations import FloatRange, IsInstance, NotNone, Validator, split

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.WindowsPath,
    pathlib.PureWindowsPath,
)


class Store(abc.ABC):
    """Writes and reads values of one type."""

    validators: list[Validator]

    def check(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    @abc.abstractmethod
    def default(self) -> Any: ...

    def present(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    @abc.abstractmethod
    def write(self, node: Any, name: str, value: Any) -> None: ...

    @abc.abstractmethod
    def read(self, node: Any, name: str) -> Any: ...

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class TextStore(Store):
    """A value with a string form: numbers, strings, truth, paths, enumerations (by name)."""

    def __init__(self, kind: type, default: Any, accepts: Any, text: Any, parse: Any) -> None:
        self._default, self._text, self._parse = default, text, parse
        self.validators = [NotNone(), IsInstance(accepts)] if not issubclass(kind, enum.Enum) else [IsInstance(accepts)]

    def default(self) -> Any:
        return self._default

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._text(value))

    def read(self, node: Any, name: str) -> Any:
        return self._parse(node.GetParameter(name))


class NodeStore(Store):
    """A node, as a reference with the parameter's name as its role."""

    def __init__(self, kind: type) -> None:
        self.validators = [IsInstance(kind)]

    def default(self) -> Any:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneStore(Store):
    """Nothing, one of the options of Optional."""

    def __init__(self) -> None:
        self.validators = []

    def default(self) -> Any:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "None")

    def read(self, node: Any, name: str) -> Any:
        return None


class UnionStore(Store):
    """One of several types; the value lies under the index of its type."""

    def __init__(self, options: list[tuple[Any, Store]]) -> None:
        self._options, self.validators = options, []

    def default(self) -> Any:
        if len(self._options) == 2 and self._options[1][0] is type(None):
            return None
        return self._options[0][1].default()

    def present(self, node: Any, name: str) -> bool:
        return self._index(node, name) is not None

    def _index(self, node: Any, name: str) -> int | None:
        return next(
            (index for index, (_, store) in enumerate(self._options) if store.present(node, f"{name}.{index}")), None
        )

    def write(self, node: Any, name: str, value: Any) -> None:
        for index, (kind, store) in enumerate(self._options):
            plain = typing.get_origin(kind) or kind
            if isinstance(value, plain):
                store.check(value)
                with slicer.util.NodeModify(node):
                    self.remove(node, name)
                    store.write(node, f"{name}.{index}", value)
                return
        raise TypeError(f"{value!r} is none of {[kind for kind, _ in self._options]}")

    def read(self, node: Any, name: str) -> Any:
        index = self._index(node, name)
        if index is None:
            raise KeyError(name)
        return self._options[index][1].read(node, f"{name}.{index}")

    def remove(self, node: Any, name: str) -> None:
        for index, (_, store) in enumerate(self._options):
            store.remove(node, f"{name}.{index}")


class ObservedList(collections.abc.MutableSequence[Any]):
    """A list that writes itself back on every change."""

    def __init__(self, values: list[Any], save: collections.abc.Callable[[list[Any]], None]) -> None:
        self._values, self._save = values, save

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._change(lambda values: values.__setitem__(index, value))

    def __delitem__(self, index: Any) -> None:
        self._change(lambda values: values.__delitem__(index))

    def insert(self, index: int, value: Any) -> None:
        self._change(lambda values: values.insert(index, value))

    def _change(self, change: collections.abc.Callable[[list[Any]], None]) -> None:
        changed = list(self._values)
        change(changed)
        self._save(changed)
        self._values = changed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | ObservedList) and list(self._values) == list(other)

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


class ListStore(Store):
    """A list: its length under `name.len`, its elements under `name.index`."""

    def __init__(self, element: Store) -> None:
        self._element, self.validators = element, []

    def default(self) -> Any:
        return []

    def present(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.present(node, name) else 0

    def write(self, node: Any, name: str, value: Any) -> None:
        for element in value:
            self._element.check(element)
        with slicer.util.NodeModify(node):
            for index in range(len(value), self._length(node, name)):
                self._element.remove(node, f"{name}.{index}")
            for index, element in enumerate(value):
                self._element.write(node, f"{name}.{index}", element)
            node.SetParameter(f"{name}.len", str(len(value)))

    def read(self, node: Any, name: str) -> Any:
        values = [self._element.read(node, f"{name}.{index}") for index in range(self._length(node, name))]
        return ObservedList(values, lambda changed: self.write(node, name, changed))

    def remove(self, node: Any, name: str) -> None:
        for index in range(self._length(node, name)):
            self._element.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class PartsStore(Store):
    """Values of fixed number side by side: a tuple, or the two ends of a range."""

    def __init__(self, parts: dict[str, Store], build: Any, take: Any) -> None:
        self._parts, self._build, self._take, self.validators = parts, build, take, []

    def default(self) -> Any:
        return self._build([store.default() for store in self._parts.values()])

    def present(self, node: Any, name: str) -> bool:
        return all(store.present(node, f"{name}.{part}") for part, store in self._parts.items())

    def write(self, node: Any, name: str, value: Any) -> None:
        values = self._take(value)
        if len(values) != len(self._parts):
            raise ValueError(f"{len(self._parts)} values are needed, not {len(values)}")
        for store, part in zip(self._parts.values(), values, strict=True):
            store.check(part)
        with slicer.util.NodeModify(node):
            for (part, store), one in zip(self._parts.items(), values, strict=True):
                store.write(node, f"{name}.{part}", one)

    def read(self, node: Any, name: str) -> Any:
        return self._build([store.read(node, f"{name}.{part}") for part, store in self._parts.items()])

    def remove(self, node: Any, name: str) -> None:
        for part, store in self._parts.items():
            store.remove(node, f"{name}.{part}")


def store_for(annotated: Any) -> tuple[Store, list[Any]]:
    """The store of a possibly annotated type, and the annotations that are no validators.

    Exception for a type that Slicer cannot store.
    """
    kind, annotations = split(annotated)
    store = _plain_store(kind)
    given = [annotation for annotation in annotations if isinstance(annotation, Validator)]
    store.validators = [*store.validators, *given]
    return store, [annotation for annotation in annotations if annotation not in given]


def _plain_store(kind: Any) -> Store:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return UnionStore([(split(argument)[0], store_for(argument)[0]) for argument in arguments])
    if origin is list and arguments:
        return ListStore(store_for(arguments[0])[0])
    if origin is tuple and arguments:
        return PartsStore(
            {str(index): store_for(argument)[0] for index, argument in enumerate(arguments)}, tuple, tuple
        )
    if kind is type(None):
        return NoneStore()
    if kind is bool:
        return TextStore(bool, False, bool, lambda value: "True" if value else "False", lambda text: text == "True")
    if kind is int:
        return TextStore(int, 0, int, str, int)
    if kind is float:
        return TextStore(float, 0, (int, float), str, float)
    if kind is str:
        return TextStore(str, "", str, str, str)
    if kind in PATHS:
        return TextStore(kind, kind(), kind, str, kind)
    if kind is FloatRange:
        parts = {"minimum": store_for(float)[0], "maximum": store_for(float)[0]}
        return PartsStore(parts, lambda values: FloatRange(*values), lambda value: [value.minimum, value.maximum])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return TextStore(kind, next(iter(kind)), kind, lambda value: value.name, lambda name: kind[name])
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeStore(kind)
    # `X | None` is no typing.Union; Slicer 5.8 refuses it, so it is refused here.
    raise Exception(f"Unable to create serializer for type: {kind}")
