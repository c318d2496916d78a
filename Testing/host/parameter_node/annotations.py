"""What may stand in `Annotated[type, ...]` of a parameter: validators, a default, and hints for the widget."""

import abc
import collections.abc
import dataclasses
import typing
from typing import Any


class Validator(abc.ABC):
    """Refuses values that a parameter must not take."""

    @abc.abstractmethod
    def validate(self, value: Any) -> None:
        """ValueError (TypeError for a wrong type) if the value will not do."""


class NotNone(Validator):
    """Any value but None."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("None is not a value of this parameter")


class IsInstance(Validator):
    """None, or a value of the class."""

    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is of {type(value)}, {self.classtype} is needed")


class WithinRange(Validator):
    """From minimum to maximum, both included."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is outside [{self.minimum}, {self.maximum}]")


class Minimum(Validator):
    """No less than minimum."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


class Maximum(Validator):
    """No more than maximum."""

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


class Choice(Validator):
    """One of the choices."""

    def __init__(self, choices: collections.abc.Sequence[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class Exclude(Validator):
    """None of the excluded values."""

    def __init__(self, excludedValues: collections.abc.Sequence[Any]) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is excluded")


class RangeBounds(Validator):
    """A range that lies within the bounds."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if value.minimum < self.minimum or value.maximum > self.maximum:
            raise ValueError(f"{value} reaches outside [{self.minimum}, {self.maximum}]")


class Default:
    """The value of a parameter that was never set; a generator is asked anew each time."""

    def __init__(self, value: Any = None, *, generator: collections.abc.Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclasses.dataclass
class Decimals:
    """Decimals of the spin box."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Step of the slider or spin box."""

    value: float


@dataclasses.dataclass
class FloatRange:
    """Two numbers, the first not above the second."""

    minimum: float = 0.0
    maximum: float = 0.0

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"a range needs minimum <= maximum, not {self.minimum} and {self.maximum}")


def split(annotated: Any) -> tuple[Any, list[Any]]:
    """The plain type and the annotations of a possibly annotated one."""
    if typing.get_origin(annotated) is typing.Annotated:
        plain, *extras = typing.get_args(annotated)
        return plain, extras
    return annotated, []


def find(annotations: list[Any], kind: type) -> Any:
    """The first annotation of a kind, or None."""
    return next((annotation for annotation in annotations if isinstance(annotation, kind)), None)
