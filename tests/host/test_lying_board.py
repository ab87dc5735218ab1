"""A board that gives any answer at all: what the host makes of it is a failure in words, and there is an end to it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.board.push import push
from rootlet_host.board.store_on_board import pull, stores_on_board
from rootlet_host.board.transport import Board, BoardInfo
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.demo import Pki, install_application
from rootlet_host.doctor.checks import examine
from rootlet_host.errors import HostError
from rootlet_host.flash import after
from rootlet_host.store import build_store, decode_store
from simulators.lying_board import LyingBoard

Make = Callable[..., VirtualBoard]
ANSWERS = [
    b"",
    b"5\r\n",
    b"None\r\n",
    b"{}\r\n",
    b"[1, 2]\r\n",
    b"'x'\r\n",
    b"b'\\xff'\r\n",
    b"(1, 'a', None, [], {}, b'')\r\n",
    b"('', '', '', '')\r\n",
    b"([(1,) * 10], 5)\r\n",
    b"(0, 0, 0, 0)\r\n",
    b"1e999\r\n",
    b"9999999999\r\n",
    b"9" * 5000 + b"\r\n",
    b"-" * 100_000 + b"1\r\n",
    b"(" * 5000 + b"\r\n",
    b"\x00\x01\xff\r\n",
    b"\xf0\x9f\r\nTrue\r\n",
]
TRACEBACKS = [b"\r\n", b"garbage \xff\x1b[2J", b"MemoryError: \r\n", b"OSError: [Errno 99999999999999999999]\r\n"]


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Path:
    """The files of a board with rootlet and a trust store."""
    folder = tmp_path_factory.mktemp("flash")
    install_application(folder)
    (folder / "certs").mkdir()
    (folder / "certs/roots.rtlt").write_bytes(pki.store)
    (folder / "rootlet.json").write_text(json.dumps({"job": {"url": "https://demo.test/"}}))
    return folder


def list_stores(board: Board, _: bytes) -> None:
    stores_on_board(board)


def pull_store(board: Board, _: bytes) -> None:
    there = stores_on_board(board).in_force
    if there is not None:
        pull(board, there)


def push_store(board: Board, store: bytes) -> None:
    push(board, store)


def examine_board(board: Board, _: bytes) -> None:
    examine(board)


@pytest.mark.parametrize(("act", "pieces"), [(list_stores, 3), (pull_store, 7), (push_store, 13), (examine_board, 12)])
def test_whatever_a_board_answers_is_at_most_a_failure_in_words(
    act: Callable[[Board, bytes], None], pieces: int, make_virtual_board: Make, flash: Path, tmp_path: Path, pki: Pki
) -> None:
    store = build_store(list(decode_store(pki.store).anchors), sequence=5, issued_at=1_700_000_000)
    told = 0
    for number in range(1, pieces + 1):
        lies = [(answer, b"") for answer in ANSWERS] + [(b"", traceback) for traceback in TRACEBACKS]
        for printed, raised in lies[number % 2 :: 2] if act is list_stores else lies[number % 9 :: 9]:
            shutil.rmtree(tmp_path / "flash", ignore_errors=True)
            shutil.copytree(flash, tmp_path / "flash")
            with (
                VirtualBoard(directory=tmp_path / "flash", heap="1M") as real,
                LyingBoard(real.port, number, printed, raised) as board,
            ):
                try:
                    with Board(board.port, timeout_s=2) as session:
                        act(session, store)
                except HostError as error:
                    assert error.message and error.remedy, (number, printed[:40], raised)
                told += board.told
    assert told >= 2 * pieces, "the board was hardly asked"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_board_that_prints_without_an_end_is_given_up(number: int, make_virtual_board: Make, flash: Path) -> None:
    real = make_virtual_board(directory=flash, heap="1M")
    start = time.monotonic()
    with (
        LyingBoard(real.port, number, b"garbage\r\n" * 100, endless=True) as board,
        pytest.raises(HostError, match="it sends more than 1048576 bytes"),
        Board(board.port) as session,
    ):
        stores_on_board(session)
    assert time.monotonic() - start < 30


def test_what_a_board_says_of_itself_carries_no_commands_for_the_terminal() -> None:
    from rootlet_host.board import identity

    answer: dict[str, Any] = {
        "version": (1, 26, 0), "suffix": "", "platform": "esp32", "machine": "x\x1b[2J", "mpy": 0, "tls": True,
        "mbedtls": "Mbed TLS \x1b3", "deflate": True, "sha256": True, "urandom": True, "id": "\x07", "rootlet": "0\r1",
        "root": "/", "verify_callback": True, "store": None, "heap": (1, 2), "flash": (3, 4),
    }  # fmt: skip
    info: BoardInfo = identity.parse("port", answer)
    assert json.dumps(info.to_json()).isprintable()
    assert (info.machine, info.unique_id, info.rootlet_version) == ("x?[2J", "?", "0?1")


@pytest.mark.parametrize("answer", ["5", "[1]", "null", '"x"', "[" * 100_000])
def test_what_a_board_says_after_flashing_may_be_anything(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "_ask", lambda *_: answer)
    with pytest.raises(HostError, match="no MicroPython answers"):
        after.show_board("port", 0)
