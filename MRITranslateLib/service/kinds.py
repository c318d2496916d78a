"""The kinds of JSON values of the worker's protocol; each checks a value and describes itself in JSON Schema.

Standard library only and Python 3.9's syntax, because Slicer's panel imports this file through `messages`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, printable


class ProtocolError(InputError):
    """A message against the protocol; the sentence names the field. `id` is the request's, where readable."""

    def __init__(self, message: str, id: str | None = None) -> None:
        super().__init__(message)
        self.id = id


class Kind:
    """One kind of JSON value: `check` raises ProtocolError naming the place, `schema` says the same in JSON Schema."""

    def check(self, value: Any, where: str) -> None:
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Kind):
    pattern: str | None = None
    maximum: int = 4096

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > self.maximum:
            raise ProtocolError(f"{where} must be a text of at most {self.maximum} characters.")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise ProtocolError(f"{where} {value[:60]!r} is not of the form {self.pattern}.")

    def schema(self) -> dict[str, Any]:
        pattern = {} if self.pattern is None else {"pattern": f"^(?:{self.pattern})$"}
        return {"type": "string", "maxLength": self.maximum, **pattern}


@dataclass(frozen=True)
class Choice(Kind):
    values: tuple[Any, ...]

    def check(self, value: Any, where: str) -> None:
        # The type too: in Python 1 == True == 1.0.
        if not any(type(value) is type(allowed) and value == allowed for allowed in self.values):
            raise ProtocolError(f"{where} must be {' or '.join(map(repr, self.values))}, not {str(value)[:60]!r}.")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True)
class Whole(Kind):
    minimum: int = -(2**53)
    maximum: int = 2**53

    def check(self, value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise ProtocolError(f"{where} must be a whole number from {self.minimum} to {self.maximum}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Number(Kind):
    above: float | None = None

    def check(self, value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise ProtocolError(f"{where} must be a finite number.")
        if self.above is not None and value <= self.above:
            raise ProtocolError(f"{where} must be greater than {self.above:g}.")

    def schema(self) -> dict[str, Any]:
        return {"type": "number", **({} if self.above is None else {"exclusiveMinimum": self.above})}


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


@dataclass(frozen=True)
class Truth(Kind):
    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, bool):
            raise ProtocolError(f"{where} must be true or false.")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class OrNull(Kind):
    kind: Kind

    def check(self, value: Any, where: str) -> None:
        if value is not None:
            self.kind.check(value, where)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.kind.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class ListOf(Kind):
    kind: Kind
    length: int | None = None

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, list) or (self.length is not None and len(value) != self.length):
            raise ProtocolError(f"{where} must be a list{'' if self.length is None else f' of {self.length} values'}.")
        for number, item in enumerate(value):
            self.kind.check(item, f"{where}[{number}]")

    def schema(self) -> dict[str, Any]:
        size = {} if self.length is None else {"minItems": self.length, "maxItems": self.length}
        return {"type": "array", "items": self.kind.schema(), **size}


@dataclass(frozen=True)
class TableOf(Kind):
    """An object with free keys and values of one kind."""

    kind: Kind

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ProtocolError(f"{where} must be an object.")
        for key, item in value.items():
            self.kind.check(item, f"{where}.{printable(key, 60)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.kind.schema()}


@dataclass(frozen=True)
class Record(Kind):
    """An object with exactly these fields; those in `optional` may be left out."""

    fields: Mapping[str, Kind] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ProtocolError(f"{where} must be an object.")
        for key in value:
            if key not in self.fields:
                known = ", ".join(self.fields) or "no fields at all"
                raise ProtocolError(f"{where} has the unknown field {key[:60]!r}; it takes {known}.")
        for key, kind in self.fields.items():
            if key in value:
                kind.check(value[key], f"{where}.{key}")
            elif key not in self.optional:
                raise ProtocolError(f"{where} lacks the field {key!r}.")

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {key: kind.schema() for key, kind in self.fields.items()},
            "required": [key for key in self.fields if key not in self.optional],
            "additionalProperties": False,
        }


@dataclass(frozen=True)
class OneOf(Kind):
    """A Record chosen by the value of its field `tag`."""

    tag: str
    records: Mapping[str, Record]

    def check(self, value: Any, where: str) -> None:
        chosen = value.get(self.tag) if isinstance(value, dict) else None
        if not isinstance(chosen, str) or chosen not in self.records:
            raise ProtocolError(f"{where} must be an object whose {self.tag!r} is one of {', '.join(self.records)}.")
        self.records[chosen].check(value, where)

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [record.schema() for record in self.records.values()]}
