"""Protocol 1 between the worker and its clients: one JSON object a line, checked on both sides.

Requests go to the worker's standard input, events come back on its standard output::

    {"protocol": 1, "id": "r1", "method": "devices", "params": {}}
    {"protocol": 1, "id": "r1", "event": "result", "result": {"devices": [...]}}

The definitions here and in `methods` are the protocol. `schema()` writes them as JSON Schema, and
`protocol.schema.json` beside this file is that text, for clients in other languages (`python -m
MRITranslateLib.service.messages` prints it). Standard library only and Python 3.9's syntax, because Slicer's panel
imports this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .kinds import Choice, Number, OrNull, ProtocolError, Record, Text, Whole
from .methods import ARRAY_NAME, FACTS, IDENTIFIER, MAX_LINE, METHODS, PARAMS, RESULTS, VOLUME

PROTOCOL = 1
ERROR_KINDS = ("input", "cancelled", "memory", "internal")

_PROTOCOL = Choice((PROTOCOL,))
EVENTS: dict[str, Record] = {
    "ready": Record(
        {"protocol": _PROTOCOL, "event": Choice(("ready",)), "versions": FACTS, "pid": Whole(1)},
    ),
    "progress": Record(
        {
            "protocol": _PROTOCOL,
            "id": IDENTIFIER,
            "event": Choice(("progress",)),
            "fraction": Number(),  # 0 to 1
            "stage": Text(),
            "done": Whole(0),
            "total": Whole(0),
            "remaining_s": OrNull(Number()),  # null until there is enough to judge from
        }
    ),
    "result": Record({"protocol": _PROTOCOL, "id": IDENTIFIER, "event": Choice(("result",)), "result": Record()}),
    "error": Record(
        {
            "protocol": _PROTOCOL,
            "id": OrNull(IDENTIFIER),  # null: the line could not be read so far
            "event": Choice(("error",)),
            "kind": Choice(ERROR_KINDS),
            "message": Text(maximum=MAX_LINE),
        }
    ),
}


# ---------------------------------------------------------------------------------------------- messages


@dataclass(frozen=True)
class Request:
    """One request; `params` as PARAMS[method] defines them."""

    id: str
    method: str
    params: dict[str, Any]

    def line(self) -> bytes:
        """The request as a line for the worker's standard input. Raises ProtocolError if it breaks the protocol."""
        message = {"protocol": PROTOCOL, "id": self.id, "method": self.method, "params": self.params}
        _check_request(message)
        return encode(message)


@dataclass(frozen=True)
class Event:
    """One event of the worker: `event` is ready, progress, result or error; `fields` is the whole message."""

    event: str
    id: str | None
    fields: dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as one line of ASCII JSON; raises ProtocolError for what JSON cannot carry or a line over MAX_LINE."""
    try:
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"A message holds a value that JSON cannot carry: {error}.") from error
    if len(line) > MAX_LINE:
        raise ProtocolError(f"A message of {len(line)} bytes is longer than {MAX_LINE}.")
    return line


def parse_request(line: bytes | str) -> Request:
    """The request in a line. Raises ProtocolError, with `id` set where the line had a usable one."""
    message = _decode(line)
    identifier = _identifier(message)
    try:
        _check_request(message)
    except ProtocolError as error:
        raise ProtocolError(str(error), identifier) from None
    return Request(message["id"], message["method"], message["params"])


def parse_event(line: bytes | str) -> Event:
    """The event in a line of the worker's standard output. Raises ProtocolError."""
    message = _decode(line)
    _check_version(message)
    name = message.get("event")
    if not isinstance(name, str) or name not in EVENTS:
        raise ProtocolError(f"The worker sent the unknown event {str(name)[:60]!r}.")
    if name == "result":  # its content depends on the method, which only the sender of the request knows: check_result
        if not isinstance(message.get("result"), dict) or _identifier(message) is None:
            raise ProtocolError("A result event must carry an id and an object.")
    else:
        EVENTS[name].check(message, f"The event {name!r}")
    return Event(name, message.get("id"), message)


def check_result(method: str, result: Any) -> dict[str, Any]:
    """`result` if it is what `method` returns, else ProtocolError."""
    RESULTS[method].check(result, f"The result of {method!r}")
    checked: dict[str, Any] = result
    return checked


def ready(versions: Mapping[str, str], pid: int) -> bytes:
    return encode({"protocol": PROTOCOL, "event": "ready", "versions": dict(versions), "pid": pid})


def progress(id: str, fraction: float, stage: str, done: int, total: int, remaining_s: float | None) -> bytes:
    return encode(
        {
            "protocol": PROTOCOL,
            "id": id,
            "event": "progress",
            "fraction": round(min(max(float(fraction), 0.0), 1.0), 4),
            "stage": stage,
            "done": int(done),
            "total": int(total),
            "remaining_s": None if remaining_s is None else round(float(remaining_s), 2),
        }
    )


def result(id: str, method: str, value: Mapping[str, Any]) -> bytes:
    return encode({"protocol": PROTOCOL, "id": id, "event": "result", "result": check_result(method, dict(value))})


def error(id: str | None, kind: str, message: str) -> bytes:
    fields = {"protocol": PROTOCOL, "id": id, "event": "error", "kind": kind, "message": message}
    EVENTS["error"].check(fields, "The event 'error'")
    return encode(fields)


class LineBuffer:
    """Turns the pieces that a pipe delivers into whole lines, for the worker and for clients on QProcess.

    Memory is bounded: of a line longer than MAX_LINE only so much is kept that parsing refuses it.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by `data`, without their ends; empty lines are dropped."""
        *ends, rest = data.split(b"\n")
        lines = []
        for piece in ends:
            self._append(piece)
            if self._rest.strip():
                lines.append(bytes(self._rest))
            self._rest.clear()
        self._append(rest)
        return lines

    def _append(self, piece: bytes) -> None:
        self._rest += piece[: MAX_LINE + 1 - len(self._rest)]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _decode(line: bytes | str) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ProtocolError(f"A line is longer than {MAX_LINE} bytes; arrays travel as files.")
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A line is not JSON; each line must be one JSON object.") from error
    if not isinstance(message, dict):
        raise ProtocolError("A line is not a JSON object; each line must be one.")
    return message


def _identifier(message: Mapping[str, Any]) -> str | None:
    value = message.get("id")
    try:
        IDENTIFIER.check(value, "id")
    except ProtocolError:
        return None
    return str(value)


def _check_version(message: Mapping[str, Any]) -> None:
    version = message.get("protocol")
    if type(version) is not int or version != PROTOCOL:
        raise ProtocolError(
            f"The message speaks protocol {str(version)[:20]!r}, this side speaks {PROTOCOL}; "
            "use the panel and the engine of one MRITranslate version."
        )


def _check_request(message: Mapping[str, Any]) -> None:
    _check_version(message)
    IDENTIFIER.check(message.get("id"), "The request's id")
    method = message.get("method")
    if not isinstance(method, str) or method not in PARAMS:
        raise ProtocolError(f"The method {str(method)[:60]!r} is unknown; the worker knows {', '.join(METHODS)}.")
    _REQUESTS[method].check(message, f"The request {method!r}")


def _request_record(method: str) -> Record:
    return Record(
        {"protocol": _PROTOCOL, "id": IDENTIFIER, "method": Choice((method,)), "params": PARAMS[method]},
    )


_REQUESTS = {method: _request_record(method) for method in METHODS}


def schema() -> dict[str, Any]:
    """The whole protocol as JSON Schema (draft 2020-12): a line is one of the requests or one of the events."""
    events = {name: record.schema() for name, record in EVENTS.items() if name != "result"}
    for method in METHODS:
        fields = {**EVENTS["result"].fields, "result": RESULTS[method]}
        events[f"result of {method}"] = Record(fields).schema()
    requests = {method: record.schema() for method, record in _REQUESTS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MRITranslate worker protocol",
        "version": PROTOCOL,
        "$defs": {"requests": requests, "events": events},
        "oneOf": [{"$ref": f"#/$defs/requests/{_pointer(name)}"} for name in requests]
        + [{"$ref": f"#/$defs/events/{_pointer(name)}"} for name in events],
    }


def _pointer(name: str) -> str:
    return name.replace(" ", "%20")


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


__all__: Sequence[str] = (
    "ARRAY_NAME",
    "ERROR_KINDS",
    "MAX_LINE",
    "METHODS",
    "PROTOCOL",
    "VOLUME",
    "Event",
    "LineBuffer",
    "ProtocolError",
    "Request",
    "check_result",
    "encode",
    "error",
    "parse_event",
    "parse_request",
    "progress",
    "ready",
    "result",
    "schema",
    "schema_text",
)

if __name__ == "__main__":
    print(schema_text(), end="")
