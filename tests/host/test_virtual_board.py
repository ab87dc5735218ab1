"""The virtual board behaves like hardware: its flash, its resets, its console, its power."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import ROOTLET
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from rootlet_host.board.flash import parse_size
from rootlet_host.board.output_filter import OutputFilter
from rootlet_host.board.transport import Board, BoardError
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.errors import HostError, UsageError
from rootlet_host.interpreter import find_micropython

Make = Callable[..., VirtualBoard]


@contextlib.contextmanager
def raw_repl(board: VirtualBoard, *, soft_reset: bool = False) -> Iterator[SerialTransport]:
    transport = SerialTransport(board.port, timeout=20)
    try:
        transport.enter_raw_repl(soft_reset=soft_reset)
        yield transport
        transport.exit_raw_repl()
    finally:
        with contextlib.suppress(OSError):
            transport.close()


def run(board: VirtualBoard, code: str) -> str:
    with raw_repl(board) as transport:
        return str(transport.exec(code).decode().replace("\r\n", "\n"))


# --- flash ---


def test_the_board_does_not_see_the_files_of_the_host(virtual_board: VirtualBoard) -> None:
    assert run(virtual_board, "import os; print(os.getcwd(), os.listdir('/'))") == "/ []\n"
    with pytest.raises(TransportExecError, match="ENOENT"):
        run(virtual_board, "open('/etc/passwd')")


def test_a_folder_is_the_flash_of_the_board(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("from the host")
    board = make_virtual_board(directory=tmp_path)
    assert run(board, "print(open('/hello.txt').read())") == "from the host\n"
    run(board, "with open('/lib.txt', 'w') as file: print(file.write('from the board'))")
    assert (tmp_path / "lib.txt").read_text() == "from the board"


def test_a_new_folder_is_made(make_virtual_board: Make, tmp_path: Path) -> None:
    make_virtual_board(directory=tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_an_image_keeps_its_files(tmp_path: Path, filesystem: str) -> None:
    options = {"image": tmp_path / "flash.img", "filesystem": filesystem, "size": "256K", "heap": "128K"}
    with VirtualBoard(**options) as board:
        run(board, "with open('kept.txt', 'w') as file: file.write('kept')")
    assert (tmp_path / "flash.img").stat().st_size == 256 * 1024
    with VirtualBoard(**options) as board:
        assert run(board, "print(open('kept.txt').read())") == "kept\n"


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_an_image_is_full_when_it_is_full(make_virtual_board: Make, filesystem: str) -> None:
    board = make_virtual_board(filesystem=filesystem, size="128K")
    with pytest.raises(TransportExecError, match=r"ENOSPC|28"):
        run(board, "with open('x', 'wb') as file:\n for i in range(300):\n  assert file.write(bytes(1024)) == 1024")


def test_the_size_of_the_image_is_the_size_of_the_flash(make_virtual_board: Make) -> None:
    board = make_virtual_board(size="64K")
    assert run(board, "import os; s = os.statvfs('/'); print(s[0] * s[2])") == "65536\n"


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_an_image_without_a_file_system_is_refused_and_left_alone(tmp_path: Path, filesystem: str) -> None:
    image = tmp_path / "flash.img"
    image.write_bytes(b"\x55" * 65536)
    with pytest.raises(HostError, match=r"no (littlefs|fat) file system"):
        VirtualBoard(image=image, filesystem=filesystem).start()
    assert image.read_bytes() == b"\x55" * 65536


def test_an_image_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "flash.img"
    with VirtualBoard(image=image, filesystem="fat"):
        pass
    before = image.read_bytes()
    with pytest.raises(HostError, match="no littlefs file system"):
        VirtualBoard(image=image, filesystem="littlefs").start()
    assert image.read_bytes() == before


def test_an_image_is_the_flash_of_one_board_at_a_time(tmp_path: Path) -> None:
    image = tmp_path / "flash.img"
    with VirtualBoard(image=image) as first:
        with pytest.raises(UsageError, match="is the flash of another virtual board") as caught:
            VirtualBoard(image=image).start()
        assert "end that one" in caught.value.remedy
        first.reset()
    with VirtualBoard(image=image):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "8K"}, "cannot hold littlefs"),
        ({"size": "100K", "filesystem": "ext4"}, "unknown file system"),
        ({"size": 5000}, "multiple of 4096"),
        ({"image": "/nowhere/at/all.img"}, "cannot make"),
        ({"image": "x", "directory": "y"}, "either a folder or an image"),
        ({"heap": "lots"}, "not a size"),
        ({"image": "\udcff"}, "not UTF-8"),
        ({"directory": "\udcff"}, "not UTF-8"),
    ],
)
def test_wrong_settings_are_refused_in_words(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        VirtualBoard(**options).start()  # type: ignore[arg-type]
    assert caught.value.remedy or "cannot make" in str(caught.value)


def test_a_heap_too_small_to_start_is_an_error_not_a_hang() -> None:
    with pytest.raises(HostError, match="MemoryError"):
        VirtualBoard(heap="8K").start()


@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("512K", 524288), ("1M", 1048576), ("2 MiB", 2097152)])
def test_sizes_are_powers_of_two(text: str, size: int) -> None:
    assert parse_size(text) == size


# --- machine ---


def test_the_heap_is_the_chosen_one(make_virtual_board: Make) -> None:
    board = make_virtual_board(heap="96K")
    total = int(run(board, "import gc; print(gc.mem_free() + gc.mem_alloc())"))
    assert 0.97 * 96 * 1024 < total <= 96 * 1024


def test_modules_are_found_where_a_board_looks(virtual_board: VirtualBoard) -> None:
    assert run(virtual_board, "import sys; print(sys.path)") == "['', '.frozen', '/lib']\n"


def test_programs_start_with_clean_globals(virtual_board: VirtualBoard) -> None:
    assert run(virtual_board, "print(sorted(globals()))") == "['__file__', '__name__']\n"


def test_the_unique_id_stays_with_the_flash(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b", "a"):
        with VirtualBoard(directory=tmp_path / name) as board:
            seen.append(run(board, "import machine; print(machine.unique_id())"))
    assert seen[0] == seen[2] != seen[1]


def test_machine_reset_starts_over_at_once(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import machine\nprint('cause', machine.reset_cause())\n")
    board = make_virtual_board(directory=tmp_path)
    board.wait_for("cause 1")
    port = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(port, b"import machine\rmachine.reset()\r")
    board.wait_for("cause 2")
    os.close(port)


def test_the_reset_button_works_on_a_program_that_hangs(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('start')\nwhile True: pass\n")
    board = make_virtual_board(directory=tmp_path)
    board.wait_for("start")
    at = board.console_bytes
    board.reset()
    board.wait_for("start", since=at)


def test_an_unfed_watchdog_resets_the_board(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import machine, time\nprint('cause', machine.reset_cause())\n"
        "if machine.reset_cause() != machine.WDT_RESET:\n"
        "    dog = machine.WDT(timeout=300)\n"
        "    for i in range(8):\n        time.sleep_ms(50)\n        dog.feed()\n"
        "    print('fed')\n    while True: pass\n"
    )
    board = make_virtual_board(directory=tmp_path)
    seen = board.wait_for("cause 3")
    assert "fed" in seen


def test_sys_exit_in_main_is_a_soft_reset(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import machine, sys\nprint('cause', machine.reset_cause())\n"
        "if machine.reset_cause() == machine.PWRON_RESET:\n    sys.exit()\n"
    )
    board = make_virtual_board(directory=tmp_path)
    assert "MPY: soft reboot\r\ncause 5" in board.wait_for("cause 5")


def test_an_exception_in_boot_is_shown_and_main_runs(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text("raise ValueError('in boot')\n")
    (tmp_path / "main.py").write_text("print('main runs')\n")
    seen = make_virtual_board(directory=tmp_path).wait_for("main runs")
    assert "ValueError: in boot" in seen


# --- console ---


def test_the_console_is_kept_without_a_listener(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("for i in range(3000):\n    print('line', i)\nprint('the end')\n")
    seen = make_virtual_board(directory=tmp_path).wait_for("the end")
    assert "line 0\r\n" in seen
    assert seen.count("line ") == 3000


def test_line_feeds_gain_a_carriage_return_like_on_a_board() -> None:
    output = OutputFilter("12345678")
    pieces = [*output.feed(b"a\nb\r"), *output.feed(b"\nc\r\n"), *output.feed(b"\n")]
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == b"a\r\nb\r\nc\r\n\r\n"


def test_records_are_found_wherever_the_output_is_cut() -> None:
    stream = b"one\n" + b"\x00\x1b12345678B00000000" + b"\x00\x1b\n\x03" + b"\x00\x1b12345678E00000000" + b"two\n\x00"
    for size in range(1, len(stream)):
        output = OutputFilter("12345678")
        text, records = b"", []
        for start in range(0, len(stream), size):
            for piece in output.feed(stream[start : start + size]):
                if isinstance(piece, bytes):
                    text += piece
                else:
                    records.append(piece[0].name)
        text += output.flush()
        assert text == b"one\r\n\x00\x1b\n\x03two\r\n\x00"
        assert records == ["BINARY", "TEXT"]


# --- Ctrl-C ---


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_ctrl_c_while_files_are_written_leaves_the_file_system_whole(make_virtual_board: Make, filesystem: str) -> None:
    board = make_virtual_board(filesystem=filesystem, size="256K")
    randomness = random.Random(5)
    run(board, "with open('old', 'wb') as file: file.write(b'old' * 5000)")
    work = (
        "import os\ntry:\n while True:\n  with open('new', 'wb') as file:\n"
        "   for i in range(4): file.write(bytes(3000))\n"
        "  os.rename('new', 'x'); os.remove('x')\nexcept KeyboardInterrupt: print('stopped')"
    )
    for _ in range(60):
        with raw_repl(board) as transport:
            transport.exec_raw_no_follow(work)
            time.sleep(randomness.uniform(0.001, 0.02))
            transport.serial.write(b"\x03")
            output, error = transport.follow(10)
            assert (output, error) == (b"stopped\r\n", b"")
            assert transport.exec("print(open('old', 'rb').read() == b'old' * 5000)") == b"True\r\n"
            transport.exec("for name in ('new', 'x'):\n try: os.remove(name)\n except OSError: pass")
    assert board.starts == 1
    assert run(board, "import os; print(os.listdir())") == "['old']\n"


def test_ctrl_c_reaches_a_program_that_is_just_about_to_start(virtual_board: VirtualBoard) -> None:
    with raw_repl(virtual_board) as transport:
        transport.use_raw_paste = False
        for _ in range(20):
            transport.read_until(1, b">", timeout=5)
            transport.serial.write(b"while True: pass\x04\x03")
            assert transport.serial.read(2) == b"OK"
            _, error = transport.follow(5)
            assert b"KeyboardInterrupt" in error
    assert run(virtual_board, "print('here')") == "here\n"


def test_ctrl_c_stops_programs_of_an_interpreter_that_is_a_program_of_its_own(tmp_path: Path) -> None:
    wrapped = tmp_path / "micropython"  # no Python script, so the bridge cannot start it by its launcher
    wrapped.write_text(f'#!/bin/sh\nexec {find_micropython()} "$@"\n')
    wrapped.chmod(0o755)
    with VirtualBoard(interpreter=wrapped, heap="128K") as board:
        for work in ("while True: pass", "import time\nwhile True: time.sleep_ms(20)"):
            with raw_repl(board) as transport:
                transport.exec_raw_no_follow(work)
                transport.serial.write(b"\x03")
                _, error = transport.follow(5)
            assert b"KeyboardInterrupt" in error


def test_ctrl_c_is_data_while_a_program_asks_for_it(virtual_board: VirtualBoard) -> None:
    with raw_repl(virtual_board) as transport:
        transport.exec_raw_no_follow(
            "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('go')\ndata = sys.stdin.buffer.read(3)\n"
            "micropython.kbd_intr(3)\nprint(data)"
        )
        assert transport.read_until(1, b"go\n", timeout=5).endswith(b"go\n")
        transport.serial.write(b"\x03\x04\x03")
        assert transport.follow(5) == (b"b'\\x03\\x04\\x03'\r\n", b"")


def test_ctrl_c_works_again_after_a_program_that_forgot_to_give_it_back(virtual_board: VirtualBoard) -> None:
    run(virtual_board, "import micropython; micropython.kbd_intr(-1)")
    with raw_repl(virtual_board) as transport:
        transport.exec_raw_no_follow("print('go')\nwhile True: pass")
        virtual_board.wait_for("go\r\n")
        transport.serial.write(b"\x03")
        _, error = transport.follow(5)
    assert b"KeyboardInterrupt" in error


# --- power and cable ---


def test_no_power_no_port_and_nothing_lost_that_was_written(make_virtual_board: Make) -> None:
    board = make_virtual_board()
    run(board, "with open('kept', 'w') as file: file.write('kept')")
    old_port = board.port
    board.power_off()
    assert board.port == ""
    with pytest.raises(OSError, match=r"No such file|Input/output"):
        os.close(os.open(old_port, os.O_RDWR | os.O_NOCTTY))
    board.power_on()
    assert run(board, "print(open('kept').read())") == "kept\n"


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_power_loss_in_the_middle_of_writing_leaves_a_mountable_littlefs(
    make_virtual_board: Make, filesystem: str
) -> None:
    board = make_virtual_board(filesystem=filesystem, size="256K")
    for moment_ms in range(1, 20, 3):
        with contextlib.suppress(OSError), raw_repl(board) as transport:
            transport.exec_raw_no_follow(
                "while True:\n with open('f', 'wb') as file:\n  for i in range(9): file.write(bytes(2000))"
            )
            time.sleep(moment_ms / 1000)
            board.power_off()
        board.power_on()
        assert run(board, "print('up')") == "up\n"


def test_without_the_cable_the_program_runs_on(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import time\nfor i in range(1000):\n    print('tick', i)\n    time.sleep_ms(5)\n"
    )
    board = make_virtual_board(directory=tmp_path)
    board.unplug()
    at = board.console_bytes
    board.wait_for("tick", since=at)
    board.plug()
    assert run(board, "print('here')") == "here\n"
    assert board.starts == 1


def test_closing_the_board_ends_the_interpreter(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with VirtualBoard(directory=marker) as board:
        assert interpreters(marker) == 1
        board.close()
    assert interpreters(marker) == 0


def interpreters(marker: Path) -> int:
    """How many processes were started for the folder `marker`."""
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    return sum(1 for line in listed.stdout.splitlines() if "start(" in line and str(marker) in line)


# --- the command ---


def test_the_command_prints_a_port_that_works_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    command = [str(ROOTLET), "virtual", "--image", str(tmp_path / "flash.img"), "--size", "128K", "--heap", "96K"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    transport = SerialTransport(port)
    transport.enter_raw_repl()
    assert transport.exec("import os; s = os.statvfs('/'); print(s[0] * s[2])") == b"131072\r\n"
    transport.close()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 0
    assert f"mpremote connect {port}" in error
    assert "Traceback" not in error
    assert (tmp_path / "flash.img").exists()


def test_a_killed_command_leaves_no_interpreter_behind(tmp_path: Path) -> None:
    command = [str(ROOTLET), "virtual", "--dir", str(tmp_path / "flash"), "--quiet"]
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash" / "main.py").write_text("while True: pass\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip()
            assert interpreters(tmp_path / "flash") == 1
        finally:
            process.kill()
    deadline = time.monotonic() + 5
    while interpreters(tmp_path / "flash") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert interpreters(tmp_path / "flash") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fs", "ext4"], "unknown file system"),
        (["--dir", ".", "--size", "1M"], "a folder has no size"),
        (["--size", "7"], "cannot hold littlefs"),
        (["--image", "/"], "is not a file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOTLET), "virtual", *arguments], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOTLET), "virtual"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "MICROPYTHON": str(tmp_path / "nothing")},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "MICROPYTHON names" in done.stderr


def test_an_interpreter_that_is_not_micropython_is_an_error() -> None:
    with pytest.raises(HostError, match=r"while starting|cannot make|start program failed|MicroPython"):
        VirtualBoard(interpreter=Path(sys.executable)).start()


def test_an_interpreter_without_raw_repl_is_an_error(tmp_path: Path) -> None:
    # What versions below 1.27 say of themselves; everything else is the real one's.
    old = tmp_path / "micropython"
    old.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        f'exec {find_micropython()} -i -c "$(printf %s "$last" | sed \'s/sys.implementation.version/(1, 26, 1)/\')"\n'
    )
    old.chmod(0o755)
    with pytest.raises(HostError, match=r"is MicroPython 1\.26\.1, whose Unix port has no raw REPL"):
        VirtualBoard(directory=tmp_path / "flash", interpreter=old).start()


@pytest.mark.parametrize("here", ["/", "/a", "/a/b"])
def test_files_are_renamed_by_their_absolute_paths_in_a_folder_too(
    make_virtual_board: Callable[..., VirtualBoard], tmp_path: Path, here: str
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "old").write_text("content")
    with Board(make_virtual_board(directory=tmp_path).port) as board:
        board.run(f"import os\nos.chdir({here!r})\nos.rename('/old', '/a/b/new')\nos.rename('/a/b/new', '/a/newer')")
        with pytest.raises(BoardError, match="ENOENT"):
            board.run("os.rename('/old', '/a/b/new')")
        assert board.evaluate("os.getcwd()") == here
    assert (tmp_path / "a/newer").read_text() == "content"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "newer"]
