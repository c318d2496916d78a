"""Configurations from YAML files and the command line, and their keys for `--help`."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from MRITranslateLib.errors import InputError

Config = TypeVar("Config", bound=BaseModel)


def load_config(model: type[Config], file: Path | Sequence[Path] | None, overrides: Sequence[str] = ()) -> Config:
    """Read YAML files and apply `--key value` pairs (dotted keys reach into sections: `--loss.l1 2`).

    Args:
        model: Configuration of the recipe.
        file: YAML; of several a later one changes what the earlier ones say, key by key; none starts from the defaults.
        overrides: What the command line gave.

    Raises:
        InputError: A file is missing or no YAML, a key is unknown (the nearest valid one is named) or a value is
        wrong.
    """
    values: dict[str, Any] = {}
    for one in [file] if isinstance(file, Path) else file or ():
        _change(values, _read(one))
    for key, text in _pairs(overrides):
        section = values
        *path, last = key.split(".")
        for part in path:
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                raise InputError(f"--{key}: {part} is a single value, not a section.")
        try:
            section[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(
                f"--{key}: {text!r} is no value; write lists as [a, b] and sections as {{a: 1}}."
            ) from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, model)) from None


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f'The configuration "{file}" does not exist; check the path.')
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f'"{file.name}" is not valid YAML: {" ".join(str(error).split())}.') from None
    if not isinstance(values, dict):
        raise InputError(f'"{file.name}" must hold keys and values, as the files in Training/configs do.')
    return values


def _change(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Take over what another file says; sections are merged, lists and values replaced."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _change(values[key], value)
        else:
            values[key] = value


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    rest = list(arguments)
    while rest:
        key = rest.pop(0)
        if not key.startswith("--"):
            raise InputError(f'"{key}" stands alone; options are written --key value.')
        key, sign, text = key[2:].partition("=")
        if not sign:
            if not rest:
                raise InputError(f"--{key} needs a value.")
            text = rest.pop(0)
        pairs.append((key.replace("-", "_"), text))
    return pairs


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = get_close_matches(path[-1], known, 1, cutoff=0.5)
        hint = f' did you mean "{near[0]}"?' if near else f" valid keys are {', '.join(known)}."
        return f'The configuration has no key "{".".join(path)}";{hint}'
    return f"The configuration is wrong at {'.'.join(path)}: {first['msg']}."


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        section = None if field is None else _section(field)
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def describe_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key with its default and meaning, for `--help`."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is not None:
            yield from describe_keys(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(field), field.description or ""


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section, an optional one included."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else str(field.get_default(call_default_factory=True))
