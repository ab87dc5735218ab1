"""The command `rootlet boards`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from .catalogue import Board, load, tls_verdict
from .options import JsonOption, OptionalBoardArgument
from .output import err, out, print_json, print_table, remark, say

_RNG = {"yes": "yes", "no": "no", "radio": "with radio on", None: "unknown"}


def boards(
    board_id: OptionalBoardArgument = None,
    as_json: JsonOption = False,
) -> None:
    """List the boards, or say what one can do, what not and why."""
    catalogue = load()
    if board_id is not None:
        board = catalogue.get(board_id)
        if as_json:
            print_json(board.as_json())
        else:
            _show(board)
        return
    if as_json:
        print_json([board.as_json() for board in catalogue])
        return
    table = Table(box=None, pad_edge=False)
    for title in ("Board", "TLS", "Network", "RNG", "RAM KiB", "Chip"):  # a line for each, in 80 columns
        table.add_column(title)
    for board in catalogue:
        reasons, _ = tls_verdict(board)
        table.add_row(
            board.id,
            "no" if board.tls is False else ("PSK only" if reasons else "yes"),
            ", ".join(board.network) or "none",
            _RNG[board.rng].removeprefix("with "),
            _number(board.ram_kib) + (" + PSRAM" if board.psram else ""),
            board.chip,
        )
    print_table(table)
    if err.is_terminal:
        remark("rootlet boards BOARD says the rest, and how that board is flashed.")


def _number(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _file_system(board: Board) -> str:
    if board.fs_type is None:
        return "unknown"
    return "none" if board.fs_type == "none" else f"{board.fs_type}, {board.fs_kib} KiB"


def _show(board: Board) -> None:
    from .flash.base import Target
    from .flash.registry import methods

    out.print(f"{board.id}: {board.name}", style="bold", markup=False, soft_wrap=True)
    rows: list[tuple[str, str, str]] = [("chip", board.chip, "chip")]
    if board.flash_address is not None:
        rows.append(("firmware at", f"{board.flash_address:#x}", "flash_address"))
    if board.flash_kib is not None:
        rows.append(("flash", f"{board.flash_kib} KiB", "flash_kib"))
    rows.append(("RAM", f"{_number(board.ram_kib)} KiB" + (" and external RAM" if board.psram else ""), "ram_kib"))
    if board.heap_kib is not None:
        rows.append(("Python heap", f"{board.heap_kib} KiB", "heap_kib"))
    rows.append(("file system", _file_system(board), "fs_kib" if "fs_kib" in board.sources else "fs_type"))
    rows.append(("network", ", ".join(board.network) or "none in stock firmware", "network"))
    rows.append(("TLS in stock firmware", {True: "yes", False: "no", None: "unknown"}[board.tls], "tls"))
    rows.append(("hardware RNG", _RNG[board.rng], "rng"))
    if board.rng_lies is not None:
        rows.append(("RNG beware", board.rng_lies, "rng_lies"))
    if board.file_prefix is not None:
        rows.append(("published as", f"{board.file_prefix}-DATE-VERSION.{'/'.join(board.formats)}", "download"))
    for label, value, key in rows:
        source = board.sources.get(key, "")
        line = f"  {label + ':':<23}{escape(value)}" + (f"  [dim]({escape(source)})[/dim]" if source else "")
        out.print(line, soft_wrap=True)
    for note in board.notes:
        out.print(f"  note: {escape(note.text)}  [dim]({escape(note.source)})[/dim]", soft_wrap=True)

    reasons, remedies = tls_verdict(board)
    if reasons:
        out.print(f"\n{board.id} cannot make verified TLS connections:", style="bold", markup=False, soft_wrap=True)
        for reason in reasons:
            say(f"  - {reason}")
        out.print("What to do:", style="bold")
        for remedy in remedies:
            say(f"  - {remedy}")

    out.print("\nWays to flash, best first:", style="bold")
    known = methods()
    for name in board.methods:
        obstacle = known[name].obstacle(board, Target())
        state = "can be used here" if obstacle is None else f"not now: {obstacle}"
        say(f"  {name} ({known[name].title}): {state}")
