"""`rootlet doctor`."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from .. import __version__
from ..board.ports import attached_ports
from ..board.transport import Board
from ..errors import HostError, UsageError
from ..files import write_atomic
from ..options import JsonOption, PortOption
from ..output import out, print_json, say
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
    """Examine a board: firmware, TLS, clock, random numbers, trust stores, memory, and a connection.

    Its program is stopped meanwhile; nothing on its flash is changed. Exit code 1 if anything fails.
    """
    target = parse_target(host, address)
    if port is None and not attached_ports():
        raise UsageError(
            "no board was found on any USB port",
            remedy="plug one in or name its port with --port; `rootlet virtual` runs one without hardware",
        )
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
    name, port = host, "443"
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or "443"
    elif host.count(":") == 1:
        name, _, port = host.partition(":")
    if not name or "/" in name or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"{host!r} is no server", remedy="give a name, or a name and a port: example.org:443")
    return Target(name, int(port), address)


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
