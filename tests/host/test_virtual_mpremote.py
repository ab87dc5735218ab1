"""mpremote sees the virtual board as a board on USB."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import pty
import select
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport
from rootlet_host.board.virtual import VirtualBoard

MPREMOTE = Path(sysconfig.get_path("scripts")) / "mpremote"
Make = Callable[..., VirtualBoard]


def mpremote(board: VirtualBoard, *arguments: str, fails: bool = False) -> str:
    command = [str(MPREMOTE), "connect", board.port, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert bool(done.returncode) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr if fails else done.stdout


def test_exec_prints_what_the_board_prints(virtual_board: VirtualBoard) -> None:
    assert mpremote(virtual_board, "exec", "import sys; print(sys.implementation.name)").strip() == "micropython"


def test_an_exception_on_the_board_fails_the_command(virtual_board: VirtualBoard) -> None:
    assert "ZeroDivisionError" in mpremote(virtual_board, "exec", "1/0", fails=True)


def test_run_runs_a_program_of_the_host(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("for i in range(3):\n    print('line', i)\n")
    assert mpremote(virtual_board, "run", str(program)).splitlines() == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_files_go_in_and_come_back_unchanged(make_virtual_board: Make, tmp_path: Path, filesystem: str) -> None:
    board = make_virtual_board(filesystem=filesystem)
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    there.write_bytes(bytes(range(256)) * 40)
    mpremote(board, "fs", "mkdir", "data")
    mpremote(board, "fs", "cp", str(there), ":data/file.bin")
    assert "10240 file.bin" in mpremote(board, "fs", "ls", "data")
    mpremote(board, "fs", "cp", ":data/file.bin", str(back))
    assert back.read_bytes() == there.read_bytes()


def test_cat_shows_the_content(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    text = tmp_path / "note.txt"
    text.write_text("one\ntwo\n")
    mpremote(virtual_board, "fs", "cp", str(text), ":note.txt")
    assert mpremote(virtual_board, "fs", "cat", "note.txt") == "one\ntwo\n"


def test_a_full_flash_is_enospc(make_virtual_board: Make, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(100_000))
    board = make_virtual_board(size="64K")
    assert "No space left" in mpremote(board, "fs", "cp", str(large), ":large.bin", fails=True)


def test_a_mounted_host_folder_is_read_byte_for_byte(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    # 0x03 must not interrupt and 0x0a must not gain a 0x0d while binary data passes.
    (tmp_path / "all.bin").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "module.py").write_text("print('imported from the host')\n")
    code = (
        "import module; data = open('all.bin', 'rb').read(); print(data == bytes(range(256)) * 8)\n"
        "with open('back.bin', 'wb') as file: file.write(data)"
    )
    output = mpremote(virtual_board, "mount", str(tmp_path), "exec", code)
    assert "imported from the host" in output
    assert "True" in output
    assert (tmp_path / "back.bin").read_bytes() == bytes(range(256)) * 8


def test_mip_installs_from_an_index(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "demo").mkdir(parents=True)
    (package / "demo" / "__init__.py").write_text("ANSWER = 42\n")
    (package / "package.json").write_text('{"urls": [["demo/__init__.py", "demo/__init__.py"]], "version": "1"}')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(package))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mpremote(virtual_board, "mip", "install", f"http://127.0.0.1:{server.server_port}/package.json")
        server.shutdown()
    assert mpremote(virtual_board, "exec", "import demo; print(demo.ANSWER, demo.__file__)").split() == [
        "42",
        "/lib/demo/__init__.py",
    ]


def test_soft_reset_by_mpremote_runs_boot_but_not_main(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    for name in ("boot", "main"):
        (tmp_path / f"{name}.py").write_text(f"print('this is {name}')\n")
        mpremote(virtual_board, "fs", "cp", str(tmp_path / f"{name}.py"), f":{name}.py")
    before = virtual_board.console_bytes
    mpremote(virtual_board, "soft-reset")
    seen = virtual_board.wait_for("raw REPL", since=before)
    assert "MPY: soft reboot\r\nthis is boot\r\nraw REPL; CTRL-B to exit\r\n" in seen
    assert "this is main" not in seen


def test_ctrl_d_at_the_prompt_runs_boot_and_main(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    for name in ("boot", "main"):
        (tmp_path / f"{name}.py").write_text(f"print('this is {name}')\n")
        mpremote(virtual_board, "fs", "cp", str(tmp_path / f"{name}.py"), f":{name}.py")
    before = virtual_board.console_bytes
    with open_port(virtual_board) as port:
        os.write(port, b"\r\x02\x04")
        seen = virtual_board.wait_for("this is main\r\nMicroPython ", since=before)
    assert "MPY: soft reboot\r\nthis is boot\r\nthis is main\r\nMicroPython " in seen


def test_a_running_main_is_interrupted_by_a_connect(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import time\nprint('main runs')\nwhile True:\n    time.sleep_ms(1)\n")
    board = make_virtual_board(directory=tmp_path)
    board.wait_for("main runs")
    assert mpremote(board, "resume", "exec", "print(6 * 7)").strip() == "42"
    assert "KeyboardInterrupt" in board.console


def test_the_board_survives_a_thousand_connects(virtual_board: VirtualBoard) -> None:
    for number in range(1000):
        transport = SerialTransport(virtual_board.port)
        try:
            transport.enter_raw_repl(soft_reset=False)
            if number % 50 == 0:
                assert transport.exec(f"print({number})") == b"%d\r\n" % number
            transport.exit_raw_repl()
        finally:
            transport.close()
    assert virtual_board.starts == 1
    assert mpremote(virtual_board, "exec", "print('alive')").strip() == "alive"


def test_the_board_survives_clients_killed_in_the_middle_of_a_transfer(
    virtual_board: VirtualBoard, tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(200_000))
    for moment_ms in range(0, 200, 20):
        command = [str(MPREMOTE), "connect", virtual_board.port, "fs", "cp", str(large), ":large.bin"]
        client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        virtual_board.wait_for("soft reboot", since=virtual_board.console_bytes)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(moment_ms / 1000)
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert mpremote(virtual_board, "exec", "print('alive')").strip() == "alive"


def test_a_client_gone_in_the_middle_of_a_raw_paste_does_not_block_the_next(virtual_board: VirtualBoard) -> None:
    with open_port(virtual_board) as port:
        os.write(port, b"\r\x03\r\x01")
        virtual_board.wait_for("raw REPL")
        before = virtual_board.console_bytes
        os.write(port, b"\x05A\x01")
        virtual_board.wait_for("R\x01", since=before)
        os.write(port, b"print('never finis")
    assert mpremote(virtual_board, "exec", "print('alive')").strip() == "alive"


def test_a_second_client_is_refused_while_the_first_is_connected(virtual_board: VirtualBoard) -> None:
    transport = SerialTransport(virtual_board.port)
    try:
        with pytest.raises(TransportError, match="failed to access"):
            SerialTransport(virtual_board.port)
    finally:
        transport.close()


def test_the_interactive_prompt_works_through_mpremote(virtual_board: VirtualBoard) -> None:
    master, slave = pty.openpty()
    command = [str(MPREMOTE), "connect", virtual_board.port, "repl"]
    client = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        read_until(master, b"to exit this shell")
        os.write(master, b"\r")
        read_until(master, b">>> ")
        os.write(master, b"print(40 + 2)\r")
        assert b"\r\n42\r\n" in read_until(master, b"42\r\n>>> ")
        os.write(master, b"while True: pass\r\r")
        read_until(master, b"... \r\n")
        # Until the loop runs, Ctrl-C belongs to the line editor, on a board as well.
        time.sleep(0.1)
        os.write(master, b"\x03")
        assert b"KeyboardInterrupt" in read_until(master, b">>> ")
        os.write(master, b"\x1d")
        assert client.wait(10) == 0
    finally:
        client.kill()
        client.wait()
        os.close(master)


@contextlib.contextmanager
def open_port(board: VirtualBoard) -> Iterator[int]:
    port = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    try:
        yield port
    finally:
        os.close(port)


def read_until(fd: int, ending: bytes, timeout_s: float = 10) -> bytes:
    seen = b""
    deadline = time.monotonic() + timeout_s
    while ending not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{ending!r} did not come: {seen!r}"
        seen += os.read(fd, 4096)
    return seen
