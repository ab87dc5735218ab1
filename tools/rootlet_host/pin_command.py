"""The command `rootlet pin`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .errors import UsageError
from .options import JsonOption, SourcesOption
from .output import plain, print_json, print_table, remark
from .pin import pins_of_file, pins_of_server
from .store.sources import MOZILLA

_ENDINGS = (".pem", ".crt", ".cer", ".der", ".key", ".pub", ".csr")


def pin(
    what: Annotated[
        str,
        typer.Argument(
            metavar="HOST[:PORT]|FILE",
            help="A server, or a file with certificates, a request or a key, PEM or DER.",
        ),
    ],
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the pins of a server's verified chain or of a file.

    A file may also hold the key of a certificate that is yet to come: its pin is the backup.
    """
    if Path(what).is_file():
        if sources:
            raise UsageError("--source is for a server", remedy="leave it out for a file")
        pins = list(pins_of_file(Path(what)))
    elif Path(what).exists() or "/" in what or what.lower().endswith(_ENDINGS):
        raise UsageError(f"there is no file {what}", remedy="name a file, or a server as example.org:443")
    else:
        pins, notes = pins_of_server(what, sources or [MOZILLA])
        for note in notes:
            remark(f"note: {plain(note)}")
    if as_json:
        print_json([asdict(found) for found in pins])
        return
    table = Table(box=None, pad_edge=False)
    for name in ("role", "subject", "pin"):
        table.add_column(name, no_wrap=name == "pin")
    for found in pins:
        table.add_row(found.role, escape(plain(found.subject)), found.pin)
    print_table(table)
    if not Path(what).is_file():
        remark("Pin at least two: one key of this chain, and one that is kept in reserve (rootlet pin FILE).")
