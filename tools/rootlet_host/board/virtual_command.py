"""`rootlet virtual`: a board without hardware, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import HostError, UsageError
from ..options import optional
from ..output import remark, say

if TYPE_CHECKING:
    from .virtual import VirtualBoard


def virtual(
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Keep the board's files in this folder.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep them in this flash image; it is made if missing.")
    ] = None,
    file_system: Annotated[
        str, typer.Option("--fs", metavar="littlefs|fat", help="The file system of the image.")
    ] = "littlefs",
    size: Annotated[
        str | None, optional(metavar="SIZE", help="The size of a new image, like 512K or 1M. Default: 1M.")
    ] = None,
    heap: Annotated[
        str, typer.Option(metavar="SIZE", help="The heap. A 64-bit host needs about twice what a board needs.")
    ] = "256K",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the port and nothing else.")] = False,
) -> None:
    """Run a board without hardware: MicroPython's Unix port.

    mpremote and every rootlet command take its port like that of a board on USB.

    Without --dir and --image the flash is empty and forgotten in the end.
    """
    if sys.platform == "win32":
        raise UsageError("a virtual board needs pseudo-terminals", remedy="on Windows, use WSL")
    from .virtual import VirtualBoard

    if file_system not in ("littlefs", "fat"):
        raise UsageError(f"unknown file system {file_system!r}", remedy="choose littlefs or fat")
    if directory is not None and size is not None:
        raise UsageError("a folder has no size", remedy="use --image for a flash of a given size")
    with VirtualBoard(
        directory=directory,
        image=image,
        filesystem="fat" if file_system == "fat" else "littlefs",
        size=size,
        heap=heap,
    ) as board:
        say(board.port)
        sys.stdout.flush()
        if not quiet:
            remark(f"In another terminal: rootlet deploy --port {board.port}, mpremote connect {board.port}")
            remark("Ctrl-C ends it.")
        _wait_for_interrupt(board)


def _wait_for_interrupt(board: VirtualBoard) -> None:
    """Return on Ctrl-C or SIGTERM: it is how the command is meant to end, so it is not an error."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        while not stopped.wait(0.2):
            if board.failure:
                raise HostError(f"the virtual board stopped: {board.failure}")
    except KeyboardInterrupt:
        remark()
