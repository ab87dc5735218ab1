"""Flashing of real boards. Skipped unless one is named:

    ROOTLET_HW_BOARD=ESP32_GENERIC_C3 ROOTLET_HW_PORT=/dev/ttyUSB0 ROOTLET_HW_FIRMWARE=firmware.bin pytest tests/hw

The port is a serial number for dfu and pyocd; ROOTLET_HW_METHOD chooses the way. What is on the board is lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from rootlet_host.catalogue import Board, load
from rootlet_host.flash.after import show_board

ROOTLET = Path(sysconfig.get_path("scripts")) / "rootlet"
PORT = os.environ.get("ROOTLET_HW_PORT", "")
BOARD = os.environ.get("ROOTLET_HW_BOARD", "")

pytestmark = [
    pytest.mark.hw,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (PORT and BOARD), reason="no real board: set ROOTLET_HW_PORT and ROOTLET_HW_BOARD"),
]


@pytest.fixture
def board() -> Board:
    return load().get(BOARD)


def flash(*options: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(ROOTLET), "flash", BOARD, "--port", PORT, "--yes"]
    if method := os.environ.get("ROOTLET_HW_METHOD"):
        arguments += ["--method", method]
    if file := os.environ.get("ROOTLET_HW_FIRMWARE"):
        arguments += ["--file", file]
    return subprocess.run([*arguments, *options], capture_output=True, text=True, timeout=800)


@pytest.mark.parametrize("options", [(), ("--erase",)], ids=["keep-files", "erase"])
def test_a_real_board_is_flashed_verified_and_answers(board: Board, options: tuple[str, ...]) -> None:
    if options and board.port == "stm32" and os.environ.get("ROOTLET_HW_METHOD", "stlink-drive") == "stlink-drive":
        pytest.skip("the ST-LINK drive cannot erase everything")
    ended = flash("--json", *options)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["board"] == board.id
    if result["identity"] is not None:
        assert result["identity"]["tls"] is board.tls


def test_the_firmware_of_another_board_is_refused(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "firmware.bin"
    file.write_bytes(b"\xe9" + bytes(2_000) if board.port == "stm32" else bytes(2_000))
    ended = subprocess.run(
        [ROOTLET, "flash", BOARD, "--port", PORT, "--file", file, "--yes"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode in (1, 2)
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(not PORT.startswith(("/dev/", "COM")), reason="not a serial port")
def test_a_real_board_says_what_it_is(board: Board) -> None:
    identity = show_board(PORT, 15)
    assert identity["tls"] is board.tls
