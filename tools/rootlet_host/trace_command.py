"""The command `rootlet trace view`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .errors import UsageError
from .options import Commands, JsonOption, optional
from .output import plain, print_json, print_table, remark, say
from .traces import Connection, read_trace

app = Commands("trace", "Look at the traces of connections.")


# Every event has these.
_COMMON = ("connection", "ms", "event")


_BAR_WIDTH = 24


_STYLES = {"failed": "bold red", "established": "bold green", "alert": "yellow", "closed": "dim", "record": "dim"}


@app.command()
def view(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A trace: lines of JSON, as the board wrote them.")],
    connection: Annotated[
        int | None, optional("--connection", "-c", metavar="N", help="Only connection N of the file.")
    ] = None,
    level: Annotated[int, typer.Option(metavar="N", min=1, max=3, help="Leave out events above this level.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show what happened when: a timeline of each connection in the file."""
    connections, notes = read_trace(file)
    if connection is not None:
        if not 0 < connection <= len(connections):
            raise UsageError(
                f"{file} has {len(connections)} connections", remedy="choose one of them with --connection"
            )
        connections = [connections[connection - 1]]
    for found in connections:
        found.events = [event for event in found.events if _level(event["event"]) <= level]
    if as_json:
        print_json([{"number": c.number, "outcome": c.outcome, "events": c.events} for c in connections])
    for note in notes:
        remark(f"note: {note}")
    if as_json:
        return
    for found in connections:
        if found.events:
            print_table(timeline(found))
            say()


def timeline(connection: Connection) -> Table:
    """One row an event: when, how long after the one before, where on the whole stretch, and what."""
    head = f"{connection.number}  {connection.server}  {connection.outcome}  {connection.begin}"
    table = Table(title=escape(plain(head)), title_justify="left", box=None, pad_edge=False)
    table.add_column("ms", justify="right")
    table.add_column("+ms", justify="right", style="dim")
    table.add_column("when", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("details", overflow="fold")
    last = max(event["ms"] for event in connection.events)
    before = 0
    for event in connection.events:
        ms = event["ms"]
        style = _STYLES.get(event["event"], "")
        if event.get("verdict") == "refused":
            style = "bold red"
        table.add_row(
            str(ms),
            str(ms - before) if ms != before else "",
            Text(_bar(before, ms, last), style="cyan"),
            Text(plain(event["event"]), style=style),
            Text(details(event), style=style),
        )
        before = ms
    return table


def _bar(begin: int, end: int, last: int) -> str:
    """The stretch from `begin` to `end` on a scale of 0 … `last`."""
    scale = _BAR_WIDTH / max(last, 1)
    start = max(0, min(int(begin * scale), _BAR_WIDTH - 1))
    return " " * start + "━" * max(1, int(end * scale) - start)


def details(event: dict[str, Any]) -> str:
    """What the event says, as words where there are better ones than its fields."""
    rest = {name: value for name, value in event.items() if name not in _COMMON}
    if event["event"] == "certificate":
        return plain(_certificate(rest))
    return "  ".join(f"{plain(name)}={_value(name, rest[name])}" for name in _sorted(rest))


def _certificate(fields: dict[str, Any]) -> str:
    kind = "anchor" if fields.get("anchor") else f"depth {fields.get('depth')}"
    if "sent" in fields:
        kind = f"sent, number {fields['sent']}, not verified"
    words = [f"{kind}: {fields.get('subject')}, {fields.get('key')}"]
    if "issuer" in fields:
        words[0] += f", issued by {fields['issuer']}"
    words.append(f"valid {fields.get('not_before')} … {fields.get('not_after')}")
    if names := fields.get("names"):
        words.append("for " + ", ".join(map(str, names)) if isinstance(names, list) else str(names))
    words += [f"{name}={fields[name]}" for name in ("serial", "pin") if name in fields]
    return "  ".join(words)


def _sorted(fields: dict[str, Any]) -> Iterable[str]:
    """What says most first, memory last."""
    return sorted(fields, key=lambda name: (name.endswith("_bytes"), name not in ("error", "verdict", "host"), name))


def _value(name: str, value: Any) -> str:
    if type(value) is int and "bytes" in name:
        return f"{value:,}"
    return plain(value if isinstance(value, str) else json.dumps(value))


def _level(name: str) -> int:
    return 3 if name in ("record", "message") else 2 if name in ("certificate", "verdict", "lookup") else 1
