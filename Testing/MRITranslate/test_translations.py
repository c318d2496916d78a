"""What people read can be translated: it goes through `_()`, whose argument is one literal that the extractor finds."""

import ast

import pytest

from .conftest import ROOT

FILES = sorted((ROOT / "MRITranslate").rglob("*.py"))
SHOWN = ("text", "toolTip", "title", "windowTitle", "placeholderText")
ERRORS = ("InputError", "Cancelled", "WorkerError")


def texts(node):
    """The literals with letters under an expression that are not inside a call of `_` and are no part of a look-up."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("_", "translate", "get", "join", "strftime"):
            return
        for part in (node.func, *node.args):
            yield from texts(part)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str) and any(letter.isalpha() for letter in node.value):
            yield node.value
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.JoinedStr | ast.Attribute | ast.Tuple):
        for part in ast.iter_child_nodes(node):
            yield from texts(part)


def is_for_people(error):
    return bool(error.args) and getattr(error.func, "id", "") in ERRORS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shown_texts_go_through_the_translator(path):
    bare = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign):
            names = [target.attr for target in node.targets if isinstance(target, ast.Attribute)]
            if any(name in SHOWN for name in names):
                bare += [(node.lineno, text) for text in texts(node.value)]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and is_for_people(node.exc):
            bare += [(node.lineno, text) for text in texts(node.exc.args[0])]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_translator_is_given_literals(path):
    """An f-string or a formatted text would be looked up as it stands at run time, and never be found."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            assert len(node.args) == 1, node.lineno
            assert isinstance(node.args[0], ast.Constant), node.lineno
            assert isinstance(node.args[0].value, str), node.lineno
