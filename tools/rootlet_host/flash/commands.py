"""The command `rootlet flash`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalogue import METHODS, Board, load
from ..errors import HostError, UsageError
from ..firmware import download
from ..firmware.commands import FormatOption, LockOption, MirrorOption, VersionOption
from ..firmware.images import Image, require_for
from ..firmware.lockfile import LockFile, default_path
from ..options import PORT_FORMS, BoardArgument, DryRunOption, JsonOption, WaitOption, optional
from ..output import print_json, remark, say
from ..progress import Bar
from .after import describe, repl_port, show_board
from .base import Job, Method, Target
from .registry import choose, methods


def flash(
    board_id: BoardArgument,
    port: Annotated[
        str | None,
        optional(
            "--port",
            "-p",
            metavar="PORT",
            help=f"{PORT_FORMS}. For dfu and pyocd a serial number. Default: the only board.",
        ),
    ] = None,
    method_name: Annotated[
        str | None,
        optional(
            "--method",
            metavar="NAME",
            help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}. Default: the first that works here.",
            autocompletion=lambda: list(METHODS),
        ),
    ] = None,
    file: Annotated[
        Path | None, optional("--file", metavar="FILE", help="Local firmware instead of a published one.")
    ] = None,
    version: VersionOption = None,
    form: FormatOption = None,
    erase: Annotated[bool, typer.Option("--erase", help="Erase the whole flash first, files included.")] = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the old firmware is erased.")] = False,
    volume: Annotated[Path | None, optional(metavar="DIR", help="Where the ST-LINK drive is mounted.")] = None,
    baud: Annotated[int | None, optional(metavar="RATE", min=1200, help="Bits per second on the serial port.")] = None,
    parity: Annotated[
        str, typer.Option(metavar="even|none", help="Parity of the STM32 serial loader; none for odd adapters.")
    ] = "even",
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=1, help="How long without a sign of life before giving up."),
    ] = 60,
    wait_s: WaitOption = 15,
    mirror: MirrorOption = None,
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write MicroPython to a board, verify it, and show its version."""
    if parity not in ("even", "none"):
        raise UsageError(f"there is no parity {parity}", remedy="use even or none")
    board = load().get(board_id)
    target = Target(port=port, volume=volume, baud=baud, parity=parity, timeout_s=timeout_s)
    obstacle: UsageError | None = None
    try:
        method = choose(board, method_name, target, erase=erase)
    except UsageError as error:
        if not dry_run or (method_name is not None and method_name not in board.methods):
            raise
        method, obstacle = methods()[method_name or board.methods[0]], error
    pins = LockFile(lock or default_path())
    image = _image(board, file, version, form, mirror, pins, quiet=as_json)
    for warning in require_for(image, board):
        remark(f"warning: {warning}")
    if image.kind not in method.formats:
        raise UsageError(
            f"{method.name} cannot write {image.name} ({image.kind})", remedy=f"give one of {', '.join(method.formats)}"
        )
    job = Job(board, image, target, erase)
    if dry_run:
        _show_plan(job, method, as_json)
        if obstacle is not None:
            raise obstacle
        return
    if not yes:
        _confirm(job, method)
    with Bar(quiet=as_json) as bar:
        where = method.run(job, bar.show)
    remark(f"{image.name} was written to {board.id} and verified.")
    identity = _identify(where, wait_s) if wait_s else None
    if as_json:
        print_json(
            {
                "board": board.id,
                "method": method.name,
                "file": image.name,
                "sha256": image.sha256,
                "erased": erase,
                "identity": identity,
            }
        )
    elif identity is not None:
        for line in describe(identity):
            say(line)


def _image(
    board: Board,
    file: Path | None,
    version: str | None,
    form: str | None,
    mirror: str | None,
    pins: LockFile,
    *,
    quiet: bool,
) -> Image:
    if file is not None:
        if version is not None or form is not None or mirror is not None:
            raise UsageError("--file excludes --version, --format and --mirror", remedy="leave them out")
        return download.local(file, board, pins)[0]
    with download.Downloader(mirror) as downloader, Bar(quiet=quiet) as bar:
        release = download.pick(downloader.releases(board), board, version, form)
        return downloader.get(release, board, pins, lambda done, total: bar.show(release.name, done, total))[1]


def _show_plan(job: Job, method: Method, as_json: bool) -> None:
    steps = method.plan(job)
    if as_json:
        print_json({"board": job.board.id, "method": method.name, "file": job.image.name, "steps": steps})
        return
    say(f"{job.board.id}: {job.image.name} with {method.name}")
    for number, step in enumerate(steps, 1):
        say(f"  {number}. {step}")


def _confirm(job: Job, method: Method) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"flashing {job.board.id} erases its firmware, and nobody can be asked", remedy="add --yes")
    what = "everything on it, files included," if job.erase else "its firmware"
    where = f" on {job.target.port}" if job.target.port else ""
    question = f"Replace {what} of {job.board.id} ({job.board.name}){where} by {job.image.name} with {method.name}?"
    if not typer.confirm(question, err=True):
        raise HostError("nothing was written", remedy="answer y to go on")


def _identify(known: str | None, wait_s: float) -> dict[str, Any] | None:
    port = repl_port(known)
    if port is None:
        # Nothing failed: an STM32 that was written over a probe or DFU shows its REPL wherever its USB is plugged in.
        remark("note: the port of its REPL is not known; give it to rootlet deploy with --port")
        return None
    try:
        return show_board(port, wait_s)
    except HostError as error:
        raise HostError(
            f"the firmware was written and verified, but the board does not answer on {port}: {error.message}",
            remedy="press RESET (on STM32 with BOOT0 low) and try mpremote connect " + port,
        ) from error
