"""Damage done to JSON, for fuzz tests: at any depth of a document, and to its text.

Strategies of hypothesis; what they draw can be drawn again from the same seed.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_DEEP = "nested lists go here"
DEPTHS = (10, 300, 900, 940, 960, 970, 975, 980, 985, 990, 995, 5_000, 200_000)
"""Of nested lists: Python's own limit of recursion, met by the parser or only by what reads the result, lies among
them."""

odd_texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "\n", "a\nb", "\x00", "\ud800", "\u202egpj", "é" * 300, "x" * 70_000, "../../etc", "1e400", "NaN"]
    ),
)
odd_numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**18, 10**400, -(10**400), 10**4000, 1e308, -0.0, 5e-324]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.integers(),
    st.floats(),
)
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    odd_numbers,
    odd_texts,
    st.sampled_from([[], {}, [[]], [{}], {"": None}, [0] * 3000, _DEEP]),
    st.lists(odd_numbers | odd_texts, max_size=4),
    st.dictionaries(odd_texts, odd_numbers | odd_texts, max_size=3),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of a JSON value, the innermost last."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def damaged_json(draw: st.DrawFn, document: Any, most: int = 3) -> bytes:
    """The text of a document with one to `most` changes: a value dropped, replaced, doubled, moved or added; and at
    times damage to the text itself: a key that appears twice, an end that is missing, bytes that are no text.
    """
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        found = list(places(changed))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        what = draw(st.sampled_from(["drop", "replace", "replace", "replace", "double", "move", "add"]))
        if what == "drop":
            del container[key]
        elif what == "replace":
            container[key] = copy.deepcopy(draw(odd_values))
        elif what == "double":
            container[key] = [container[key], copy.deepcopy(container[key])]
        elif what == "move":
            other, place = found[draw(st.integers(0, len(found) - 1))]
            if place in other if isinstance(other, dict) else place < len(other):
                container[key] = copy.deepcopy(other[place])
        elif isinstance(container, dict):
            container[draw(odd_texts)] = copy.deepcopy(draw(odd_values))
        else:
            container.insert(key, copy.deepcopy(draw(odd_values)))
    text = json.dumps(changed, ensure_ascii=draw(st.booleans()))
    depth = draw(st.sampled_from(DEPTHS))
    text = text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth)
    content = text.encode("utf-8", "surrogatepass")
    damage = draw(st.sampled_from(["none", "none", "none", "twice", "cut", "bytes", "noise"]))
    if damage == "twice" and content.startswith(b"{"):
        content = b'{"name": 1, "name": 2, ' + content[1:]
    elif damage == "cut":
        content = content[: draw(st.integers(0, len(content)))]
    elif damage == "bytes" and content:
        place = draw(st.integers(0, len(content) - 1))
        content = content[:place] + draw(st.binary(max_size=8)) + content[place + draw(st.integers(0, 8)) :]
    elif damage == "noise":
        content = draw(st.binary(max_size=200))
    return content
