"""The commands `rootlet firmware list`, `get` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..catalogue import load
from ..errors import UsageError
from ..files import write_atomic
from ..options import BoardArgument, Commands, JsonOption, optional
from ..output import print_json, print_table, remark, say
from ..progress import Bar
from . import download
from .lockfile import LockFile, default_path

app = Commands("firmware", "Find, fetch and check MicroPython firmware.")

MirrorOption = Annotated[
    str | None,
    optional(metavar="URL", help=f"Address that stands for {download.OFFICIAL} (or ${download.MIRROR_ENVIRONMENT})."),
]
VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="V", help="Release, e.g. v1.26.1. Default: the newest.")
]
FormatOption = Annotated[str | None, typer.Option("--format", metavar="F", help="bin, hex or dfu.")]
LockOption = Annotated[
    Path | None, optional(metavar="FILE", help="Lock file with the SHA-256 of every file used so far.")
]


@app.command("list")
def list_releases(
    board_id: BoardArgument,
    mirror: MirrorOption = None,
    previews: Annotated[bool, typer.Option("--previews", help="Show preview builds too.")] = False,
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the firmware that is published for BOARD, newest first."""
    board = load().get(board_id)
    pins = LockFile(lock or default_path()).pins
    with download.Downloader(mirror) as downloader:
        cache = downloader.cache
        found = [item for item in downloader.releases(board) if previews or not item.preview]
    rows: list[dict[str, Any]] = [
        {
            "version": item.version,
            "date": item.date,
            "format": item.format,
            "name": item.name,
            "url": item.url,
            "preview": item.preview,
            "cached": (cache / item.name).is_file(),
            "sha256": pins[item.name].sha256 if item.name in pins else None,
        }
        for item in found
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("Version", "Date", "File", "Here", box=None, pad_edge=False)
    for row in rows:
        state = [word for word, true in (("cached", row["cached"]), ("recorded", row["sha256"])) if true]
        table.add_row(row["version"], row["date"], row["name"], ", ".join(state))
    print_table(table)


@app.command()
def get(
    board_id: BoardArgument,
    version: VersionOption = None,
    form: FormatOption = None,
    output: Annotated[Path | None, optional("--output", "-o", metavar="FILE", help="Copy the file here.")] = None,
    mirror: MirrorOption = None,
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch firmware into the cache, check its content and record its SHA-256 (or hold it to the record)."""
    board = load().get(board_id)
    pins = LockFile(lock or default_path())
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        raise UsageError(f"cannot write {output}", remedy="give a file name in a folder that exists")
    with download.Downloader(mirror) as downloader:
        release = download.pick(downloader.releases(board), board, version, form)
        known = release.name in pins.pins
        with Bar(quiet=as_json) as bar:
            path, image = downloader.get(release, board, pins, lambda done, total: bar.show(release.name, done, total))
    if output is not None:
        write_atomic(output, path.read_bytes())
        path = output
    if as_json:
        print_json({**image.as_json(), "path": str(path), "url": release.url, "newly_recorded": not known})
        return
    state = "as recorded" if known else f"recorded in {pins.path}"
    say(f"{path}")
    remark(f"SHA-256 {image.sha256}, {state}")


@app.command()
def check(
    board_id: BoardArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Firmware file.")],
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a local firmware file: format, checksums, chip, board, size, and the lock file."""
    board = load().get(board_id)
    image, warnings = download.local(file, board, LockFile(lock or default_path()))
    if as_json:
        print_json({**image.as_json(), "warnings": warnings})
        return
    facts = {
        "format": image.kind,
        "chip": image.chip,
        "version": image.version,
        "made for": image.machine,
        **image.facts,
        "bytes": str(len(image.data)),
        "SHA-256": image.sha256,
    }
    for label, value in facts.items():
        if value:
            say(f"{label + ':':<20}{value}")
    for warning in warnings:
        remark(f"warning: {warning}")
