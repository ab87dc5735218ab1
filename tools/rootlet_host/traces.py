"""Reads the events of a trace file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import HostError
from .files import read_file

_ENDS = ("established", "failed")


@dataclass
class Connection:
    """The events of one connection, in order."""

    number: int
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        names = [event["event"] for event in self.events if event["event"] in _ENDS]
        return str(names[-1]) if names else "unfinished"

    @property
    def server(self) -> str:
        """Where it went: the host name, or else the address that was dialled."""
        for name in ("host", "address"):
            for event in self.events:
                if name in event:
                    return str(event[name])
        return "?"

    @property
    def begin(self) -> str:
        return str(self.events[0].get("time", ""))


def read_trace(path: Path) -> tuple[list[Connection], list[str]]:
    """(connections in the order of their beginning, notes on lines that were passed over).

    A board counts connections anew with every start: a number that comes again with an earlier time is another one.
    """
    lines = read_file(path, "the trace").split(b"\n")
    connections: list[Connection] = []
    current: dict[int, Connection] = {}
    notes = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = _event(line)
        if event is None:
            notes.append(f"line {number} is no event: " + ("cut short" if number == len(lines) else "passed over"))
            continue
        key = event["connection"]
        known = current.get(key)
        if known is None or event["ms"] < known.events[-1]["ms"] or event["event"] == "dial":
            known = current[key] = Connection(len(connections) + 1)
            connections.append(known)
        known.events.append(event)
    if not connections:
        raise HostError(f"{path} holds no trace", remedy="let the board write one: rootlet.trace.Trace(sink=PATH)")
    return connections, notes


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    if not all(type(event.get(name)) is int for name in ("connection", "ms")):
        return None
    return event
