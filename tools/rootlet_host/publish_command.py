"""The command `rootlet publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import UsageError
from .options import JsonOption, optional
from .output import print_json, say
from .publish import examine, write
from .store.sources import single_certificate


def publish(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the web server serves.")],
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="The stores; their names stay.")],
    publisher: Annotated[
        Path | None, optional(metavar="CA.pem", help="Publish only what this publisher signed.")
    ] = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Publish stores that no board will take from a network.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put signed stores into a folder for boards to fetch.

    Beside each store lie a JSON that describes it and the history.

    A store with an older sequence than the one in DIR is refused. Nothing is written before every STORE was found good.
    """
    authority = None if publisher is None else single_certificate(publisher, "the publisher's certificate")
    if len({path.name for path in stores}) < len(stores):
        raise UsageError("two of the stores have the same file name", remedy="boards fetch them by it: rename one")
    publications = [examine(directory, path, authority, allow_unsigned=allow_unsigned) for path in stores]
    for publication in publications:
        write(directory, publication)
    if as_json:
        print_json([{**entry.description(), "state": entry.state} for entry in publications])
        return
    for entry in publications:
        sequence, digest = entry.store.header.sequence, entry.store.digest.hex()
        line = f"{entry.state}: {directory / entry.name}, sequence {sequence}, digest {digest}"
        say(line)
