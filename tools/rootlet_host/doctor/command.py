"""`rootlet doctor`."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from .. import __version__
from ..board.transport import Board
from ..errors import HostError, UsageError
from ..files import write_atomic
from ..options import JsonOption, PortOption
from ..output import out, print_json, say
from ..store.hosts import parse_host
from .checks import FAIL, Diagnosis, Line, Target, examine
from .page import page

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor_command(
    port: PortOption = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST[:PORT]", help="Also connect to this server.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="Where to dial instead of HOST.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with everything.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine a board: firmware, clock, stores, memory, a connection.

    Its program is stopped meanwhile; nothing on its flash is changed. Exit code 1 if anything fails.
    """
    target = parse_target(host, address)
    with Board(port) as board:
        diagnosis = examine(board, target, None if as_json else _show)
    if html is not None:
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        write_atomic(html, page(diagnosis, __version__, when).encode())
    if as_json:
        print_json(_to_json(diagnosis))
    elif html is not None:
        say(f"{html} was written")
    if diagnosis.failed:
        names = ", ".join(line.name for line in diagnosis.lines if line.state == FAIL)
        raise HostError(f"{diagnosis.failed} of {len(diagnosis.lines)} checks failed: {names}")


def parse_target(host: str | None, address: str | None = None) -> Target | None:
    """`HOST[:PORT]`, with brackets around an IPv6 address that has a port. Raises `UsageError`."""
    if host is None:
        if address is not None:
            raise UsageError("--address is given without --host", remedy="name the server with --host")
        return None
    server = parse_host(host, "--host")
    return Target(server.name, server.port, address)


def _show(line: Line) -> None:
    text = Text(f"{line.state:4}", style=_COLOURS[line.state])
    text.append(f"  {line.name}: {line.text}", style="default")
    out.print(text, soft_wrap=True)
    if line.remedy:
        say(f"      -> {line.remedy}")


def _to_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "board": diagnosis.info.to_json(),
        "checks": [line.to_json() for line in diagnosis.lines],
        "failed": diagnosis.failed,
        "heap": [sample.to_json() for sample in diagnosis.samples],
        "host": diagnosis.host,
    }
