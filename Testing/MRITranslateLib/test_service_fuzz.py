"""Whatever line reaches the worker, it is answered by one error of one line, and the worker serves on."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MRITranslateLib.service import messages
from MRITranslateLib.service.kinds import ProtocolError
from MRITranslateLib.service.messages import LineBuffer, Request

from .mutations import damaged_json
from .service_cases import VOLUME
from .test_service import Raw

_COMPARED = {"reference": VOLUME, "prediction": VOLUME, "modality": "CT", "mask": None, "protocol": "plain"}
REQUESTS: dict[str, dict[str, Any]] = {
    "translate": {"image": VOLUME, "model": "t1_to_t2", "device": "cpu", "mask": VOLUME, "ensemble": ["t1_to_t2"]},
    "translate_slice": {"image": VOLUME, "model": "t1_to_t2", "index": 3},
    "explain": {
        "image": VOLUME,
        "model": "t1_to_t2",
        "target": {"kind": "voxel", "index": [1, 2, 3]},
        "levels": {"quantiles": [0.5, 0.9], "thresholds": None, "min_ml": 0.5},
        "segments": {"labels": VOLUME, "names": {"1": "ventricles"}},
        "check": True,
    },
    "check": {"image": VOLUME, "model": "t1_to_t2"},
    "evaluate": {**_COMPARED, "input": VOLUME},
    "compare": {**_COMPARED, "shift": {"parts": [VOLUME] * 3, "error_mm": 0.5}},
    "remove_model": {"name": "no such model"},
    "cancel": {"id": "r8"},
}
"""Requests of a worker whose folder is empty: none of them has any work to do, whatever becomes of its numbers."""
FUZZ = {
    "deadline": timedelta(seconds=20),
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "derandomize": True,
}


@st.composite
def bad_lines(draw: st.DrawFn) -> bytes:
    """A damaged request, as one line that is not empty."""
    method = draw(st.sampled_from(sorted(REQUESTS)))
    line = draw(damaged_json(json.loads(Request("r7", method, REQUESTS[method]).line()), most=2))
    return line.replace(b"\n", b" ").strip() or b"{"


def one_line(message: str) -> None:
    assert message.isprintable(), message[:300]
    assert 10 < len(message) < 2000


@settings(max_examples=500, **FUZZ)
@given(line=bad_lines())
def test_a_damaged_request_is_read_or_refused_by_a_line_that_can_be_sent(line: bytes) -> None:
    try:
        request = messages.parse_request(line)
    except ProtocolError as error:
        refused = error
    else:
        assert messages.parse_request(request.line()) == request
        return
    one_line(str(refused))
    answer = messages.parse_event(messages.error(refused.id, "input", str(refused)))
    assert answer.fields["message"] == str(refused)


EVENTS = [
    messages.ready({"mritranslate": "1", "python": "3"}, 7),
    messages.progress("r1", 0.5, "Translating", 3, 6, 1.5),
    messages.result("r1", "cancel", {"cancelled": True}),
    messages.error(None, "input", "A sentence."),
]


@settings(max_examples=300, **FUZZ)
@given(data=st.data())
def test_a_damaged_event_is_read_or_refused(data: st.DataObject) -> None:
    line = data.draw(damaged_json(json.loads(data.draw(st.sampled_from(EVENTS)))))
    try:
        event = messages.parse_event(line)
    except ProtocolError as error:
        one_line(str(error))
    else:
        assert event.event in messages.EVENTS


@settings(max_examples=100, **FUZZ)
@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=8), data=st.data())
def test_lines_are_the_same_however_the_pipe_cuts_them(lines: list[bytes], data: st.DataObject) -> None:
    stream, buffer, found = b"\n".join(lines) + b"\n", LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:size])
        stream = stream[size:]
    assert found == [line for line in lines if line.strip()]


@pytest.mark.parametrize(
    "params",
    [
        {"image": {**VOLUME, "spacing": [1, 1, 10**400]}},
        {"image": {**VOLUME, "origin": [0, 0, -(10**4000)]}},
        {"segments": {"labels": VOLUME, "names": {"é" * 200_000: 7}}},
        {"segments": {"labels": VOLUME, "names": {"a\nb": 7}}},
        {"target": {"kind": "voxel", "index": [0, 0, 10**400]}},
    ],
    ids=["huge spacing", "huge origin", "long key", "key of two lines", "huge index"],
)
def test_values_that_no_float_or_line_holds_are_refused(params: dict[str, Any]) -> None:
    fields = {"protocol": 1, "id": "r7", "method": "explain", "params": {**REQUESTS["explain"], **params}}
    with pytest.raises(ProtocolError) as refused:
        messages.parse_request(json.dumps(fields, ensure_ascii=False).encode())
    one_line(str(refused.value))
    assert messages.error("r7", "input", str(refused.value)).count(b"\n") == 1


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    """A worker with an empty exchange folder and no models of the user's."""
    folder = tmp_path_factory.mktemp("fuzz")
    before = os.environ.get("MRITRANSLATE_MODELS")
    os.environ["MRITRANSLATE_MODELS"] = str(folder / "models")
    try:
        with Raw(folder / "new") as worker:
            yield worker
    finally:
        if before is None:
            del os.environ["MRITRANSLATE_MODELS"]
        else:
            os.environ["MRITRANSLATE_MODELS"] = before


@settings(max_examples=200, **FUZZ)
@given(line=bad_lines())
def test_the_worker_answers_every_bad_line_once(raw: Raw, line: bytes) -> None:
    refused: ProtocolError | None = None
    try:
        wanted = messages.parse_request(line).id
    except ProtocolError as error:
        refused = error
    raw.send(line)
    if refused is not None:
        fields = {"kind": "input", "message": str(refused)}
        assert raw.event() == {"protocol": 1, "id": refused.id, "event": "error", **fields}
    else:
        event, before = raw.end_of(wanted)
        assert all(other["event"] == "progress" for other in before)
        if event["event"] == "error":
            assert event["kind"] == "input", event["message"]
            one_line(event["message"])
    raw.send(Request("alive", "cancel", {"id": "nobody"}).line())
    assert raw.event() == {"protocol": 1, "id": "alive", "event": "result", "result": {"cancelled": False}}


def test_after_all_of_them_a_good_request_works(raw: Raw) -> None:
    """Last in this file: the same worker, and lines that came in a heap."""
    heap = b"\n".join([b"\xff", b"{" * 5000, b"[]", b'{"id": ' + b"9" * 5000 + b"}"] * 50)
    raw.send(heap)
    for _ in range(200):
        assert raw.event()["event"] == "error"
    raw.send(Request("good", "phantom", {"seed": 1, "shape": [16, 24, 24]}).line())
    event, _ = raw.end_of("good")
    assert event["event"] == "result", event
    assert raw.process.poll() is None
