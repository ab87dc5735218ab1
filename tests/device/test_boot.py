"""boot.py: small, early, and it always returns."""

from __future__ import annotations

import shutil

import pytest
from support.application import Board

AFTER = "main.py was reached"


def start(board: Board) -> list[str]:
    """Lines printed before main.py began; fails if it did not begin."""
    board.write("main.py", f"print({AFTER!r})\n")
    run = board.run()
    assert run.status == 0, run.output
    assert run.lines[-1] == AFTER
    return run.lines[:-1]


def test_a_good_board_boots_silently_and_leaves_no_names_behind(board: Board) -> None:
    board.configure()
    board.write("main.py", "print(sorted(name for name in globals() if name[:2] != '__'))\n")
    run = board.run()
    assert run.lines == ["['Folder', '_code', '_file', '_name', 'os', 'sys', 'vfs']"]  # what started the board


def test_it_starts_the_watchdog_that_the_configuration_asks_for(board: Board) -> None:
    board.fake("machine")
    board.configure(watchdog_ms=20_000)
    assert start(board) == ["[machine] watchdog 20000"]


def test_it_starts_no_watchdog_that_nobody_asked_for(board: Board) -> None:
    board.fake("machine")
    board.configure()
    assert start(board) == []


def test_it_starts_no_watchdog_that_nobody_would_feed(board: Board) -> None:
    board.fake("machine")
    board.configure(watchdog_ms=20_000)
    board.write("boot.py", board.root.joinpath("boot.py").read_text() + f"print({AFTER!r})\n")
    board.root.joinpath("main.py").unlink()
    assert board.run().lines[0] == AFTER


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"job": 1}', b'{"watchdog_ms": "x"}'])
def test_a_bad_configuration_is_printed_and_swallowed(board: Board, content: bytes) -> None:
    board.write("rootlet.json", content)
    (line,) = start(board)
    assert line.startswith("boot: ")


def test_a_missing_configuration_is_left_to_main(board: Board) -> None:
    assert start(board) == []


def test_a_missing_library_is_printed_and_swallowed(board: Board) -> None:
    board.configure(watchdog_ms=20_000)
    shutil.rmtree(board.root / "lib")
    lines = start(board)
    assert lines
    assert all(line.startswith("boot: ") for line in lines)


def test_a_watchdog_that_the_port_refuses_is_printed_and_swallowed(board: Board) -> None:
    board.write("machine.py", "def WDT(timeout): raise ValueError('WDT timeout too long')\n")
    board.configure(watchdog_ms=20_000)
    (line,) = start(board)
    assert "WDT timeout too long" in line


def test_no_memory_is_printed_and_swallowed(board: Board) -> None:
    board.write("machine.py", "def WDT(timeout): raise MemoryError\n")
    board.configure(watchdog_ms=20_000)
    (line,) = start(board)
    assert line.startswith("boot: ")


def test_an_unset_clock_is_told(board: Board) -> None:
    board.configure()
    board.write("time.py", "from utime import *\ndef time(): return 1420070400\n")
    (line,) = start(board)
    assert line.startswith("boot: the clock is not set: it says ")
