"""An extension of Griffe, which reads the docstrings: an entry `rows, columns: Of a slice.` describes two names."""

import re

import griffe

ENTRY = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)


def one_name_each(entry: re.Match[str]) -> str:
    """The entry once for each of its names."""
    indent, names, text = entry.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))


class SeveralNames(griffe.Extension):
    """Gives each name of a shared entry an entry of its own, before sections are told apart."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = ENTRY.sub(one_name_each, obj.docstring.value)
