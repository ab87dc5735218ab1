"""Ctrl-C at any moment of a command that talks to a board, and two commands for one board."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOTLET
from rootlet_host.board.transport import Board
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.certs import make_ca, make_device
from rootlet_host.demo import Pki, install_application
from rootlet_host.store import build_store, decode_store

MAIN = "import time\nprint('main runs')\nwhile True: time.sleep_ms(10)\n"
COMMANDS = {
    "doctor": ["doctor", "--host", "demo.test", "--address", "127.0.0.1"],
    "store list": ["store", "list"],
    "push": ["push", "next.rtlt"],
    "deploy": ["deploy", "--url", "https://demo.test/", "--store", "site.rtlt", "--main", "main.py", "--wait", "1"],
    "provision": ["provision", "--cert", "device.pem", "--force"],
}


@pytest.fixture
def here(tmp_path: Path, pki: Pki) -> Path:
    """The user's folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "site.rtlt").write_bytes(pki.store)
    anchors = decode_store(pki.store).anchors
    (folder / "next.rtlt").write_bytes(build_store(list(anchors), sequence=5, issued_at=1_700_000_000))
    (folder / "main.py").write_text(f"# rootlet\n{MAIN}")
    authority = make_ca("test CA")
    device = make_device("device", authority)
    (folder / "device.pem").write_bytes(device.pem)
    (folder / "device.key").write_bytes(device.key_pem())
    return folder


@pytest.fixture
def board(make_virtual_board: Callable[..., VirtualBoard], tmp_path: Path, pki: Pki) -> VirtualBoard:
    """A board with rootlet whose application runs."""
    flash = tmp_path / "flash"
    flash.mkdir()
    install_application(flash)
    (flash / "certs").mkdir()
    (flash / "certs/roots.rtlt").write_bytes(pki.store)
    (flash / "main.py").write_text(MAIN)
    (flash / "rootlet.json").write_text(json.dumps({"job": {"url": "https://demo.test/"}}))
    virtual = make_virtual_board(directory=flash, heap="512K")
    virtual.wait_for("main runs")
    return virtual


def start(board: VirtualBoard, here: Path, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(ROOTLET), *words, "--port", board.port],
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_leaves_the_board_running_its_program(
    name: str, board: VirtualBoard, here: Path, tmp_path: Path
) -> None:
    interrupted = 0
    for delay_ms in (0, 300):
        at = board.console_bytes
        process = start(board, here, COMMANDS[name])
        board.wait_for("raw REPL", timeout_s=30, since=at)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
        if process.returncode == 130:
            interrupted += 1
            assert said == "rootlet: interrupted\n"
        board.wait_for("main runs", since=at)
        with Board(board.port) as connection:  # it answers at once
            assert connection.evaluate("6 * 7") == 42
        assert not list((tmp_path / "flash").rglob("*.part"))
    assert interrupted, "every moment was too late: the command was done before"


def test_ctrl_c_ends_a_push_to_several_boards_though_one_of_them_hangs(
    board: VirtualBoard, here: Path, silent_port: str
) -> None:
    at = board.console_bytes
    process = start(board, here, ["push", "next.rtlt", "--port", silent_port])
    board.wait_for("raw REPL", timeout_s=30, since=at)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=9)  # the silent one would be waited for longer
    assert (process.returncode, said) == (130, "rootlet: interrupted\n")
    board.wait_for("main runs", since=at)


def test_a_board_that_is_named_twice_gets_one_push(board: VirtualBoard, here: Path) -> None:
    link = here / "by-id"
    link.symlink_to(board.port)
    said, errors = start(board, here, ["push", "next.rtlt", "--port", str(link)]).communicate(timeout=60)
    assert errors == ""
    assert said.count("sequence 1 -> 5") == 1


def test_of_two_commands_for_one_board_the_second_is_refused_and_the_first_goes_on(
    board: VirtualBoard, here: Path
) -> None:
    with Board(board.port) as first:
        second = start(board, here, COMMANDS["push"])
        said, errors = second.communicate(timeout=30)
        assert (second.returncode, said) == (2, "")
        assert errors.startswith(f"rootlet: {board.port} is in use by another program")
        assert errors.count("\n") == 1
        assert first.evaluate("6 * 7") == 42
