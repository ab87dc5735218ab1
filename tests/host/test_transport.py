"""Boards are found by name, asked what they are, and files arrive whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import random
import subprocess
import sys
import sysconfig
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial.tools.list_ports
from rootlet_host.board import upload
from rootlet_host.board.ports import why_not_open
from rootlet_host.board.transport import Board, BoardError, LinkError, attached_ports, resolve_port
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.errors import HostError, UsageError

MPREMOTE = Path(sysconfig.get_path("scripts")) / "mpremote"
Make = Callable[..., VirtualBoard]


@pytest.fixture
def board(virtual_board: VirtualBoard) -> Iterator[Board]:
    with Board(virtual_board.port) as connected:
        yield connected


# --- names of ports ---


def attach(monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, int | None, int | None, str | None]) -> None:
    found = [
        SimpleNamespace(device=device, vid=vid, pid=pid, serial_number=number, manufacturer="Maker", product=None)
        for device, vid, pid, number in ports
    ]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)


def test_without_a_name_the_only_usb_board_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyS0", None, None, None), ("/dev/ttyACM0", 0xF055, 0x9800, "3A"))
    assert resolve_port() == resolve_port("auto") == "/dev/ttyACM0"


def test_no_board_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyS0", None, None, None))
    with pytest.raises(UsageError, match="no board was found") as caught:
        resolve_port()
    assert caught.value.exit_code == 2


def test_several_boards_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyACM1", 0xF055, 0x9800, "3A"), ("/dev/ttyACM0", 0x303A, 0x1001, "4B"))
    with pytest.raises(UsageError, match="2 boards are attached") as caught:
        resolve_port("auto")
    assert "/dev/ttyACM0 (303a:1001 id:4B Maker), /dev/ttyACM1 (f055:9800 id:3A Maker)" in caught.value.message
    assert [port.device for port in attached_ports()] == ["/dev/ttyACM0", "/dev/ttyACM1"]


def test_boards_have_names_by_serial_number_and_usb_id(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyACM1", 0xF055, 0x9800, "3A"), ("/dev/ttyACM0", 0x303A, 0x1001, "4B"))
    assert resolve_port("id:3A") == "/dev/ttyACM1"
    assert resolve_port("303A:1001") == "/dev/ttyACM0"
    with pytest.raises(UsageError, match="serial number 99"):
        resolve_port("id:99")
    with pytest.raises(UsageError, match="USB id 1234:5678"):
        resolve_port("1234:5678")


def test_two_boards_of_the_same_kind_are_not_chosen_between(monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, ("/dev/ttyACM1", 0xF055, 0x9800, "3A"), ("/dev/ttyACM0", 0xF055, 0x9800, "4B"))
    with pytest.raises(UsageError, match="2 boards"):
        resolve_port("f055:9800")


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX systems")
@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("a0", "/dev/ttyACM0"),
        ("u12", "/dev/ttyUSB12"),
        ("port:/dev/pts/7", "/dev/pts/7"),
        ("/dev/pts/7", "/dev/pts/7"),
        ("socket://localhost:2000", "socket://localhost:2000"),
    ],
)
def test_other_names_are_those_of_mpremote(name: str, device: str) -> None:
    assert resolve_port(name) == device


# --- ports that cannot be used ---


def fails_to_open(port: str, message: str, exit_code: int) -> HostError:
    with pytest.raises(HostError, match=message) as caught, Board(port, timeout_s=1):
        pass
    assert caught.value.exit_code == exit_code
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_port_that_does_not_exist() -> None:
    fails_to_open("/dev/ttyNONE", "no serial port /dev/ttyNONE", 2)


def test_a_port_that_another_program_holds(virtual_board: VirtualBoard) -> None:
    with Path(virtual_board.port).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fails_to_open(virtual_board.port, "in use by another program", 2)
    with Board(virtual_board.port) as board:
        assert board.evaluate("1 + 1") == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user to be refused")
def test_a_port_that_the_user_may_not_open(virtual_board: VirtualBoard) -> None:
    assert why_not_open(virtual_board.port) is None  # loaded now: the other user may not be able to read it
    Path(virtual_board.port).chmod(0o600)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            Board(virtual_board.port).open()
        except BaseException as error:
            os.write(writer, f"{getattr(error, 'exit_code', '')} {error}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read().startswith(f"2 you may not open {virtual_board.port} (")


def test_a_file_that_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    fails_to_open(str(tmp_path / "file"), "is not a serial port|cannot open", 2)


def test_a_port_where_nothing_answers() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        error = fails_to_open(os.ttyname(slave), "no MicroPython answers", 1)
        assert "reset" in error.remedy
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_where_something_else_talks_all_the_time() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(0.001):
            with contextlib.suppress(BlockingIOError):
                os.write(master, b"temperature 21 C\r\n")

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        fails_to_open(os.ttyname(slave), "no MicroPython answers", 1)
    finally:
        stop.set()
        thread.join()
        os.close(master)
        os.close(slave)


# --- running code ---


def test_output_comes_with_plain_line_feeds(board: Board) -> None:
    pieces: list[str] = []
    assert board.run("print('one')\nprint('two')", on_output=pieces.append) == "one\ntwo\n"
    assert "".join(pieces).replace("\r\n", "\n") == "one\ntwo\n"


def test_long_output_arrives_whole(board: Board) -> None:
    assert board.run("for i in range(3000): print('line', i)").count("line ") == 3000


def test_values_come_back_as_values(board: Board) -> None:
    assert board.evaluate("(1, 'two', b'\\x03', [None, True])") == (1, "two", b"\x03", [None, True])
    with pytest.raises(LinkError, match="no value"):
        board.evaluate("object()")


def test_an_exception_on_the_board_is_an_error_with_its_traceback(board: Board) -> None:
    with pytest.raises(BoardError, match="ValueError: not this") as caught:
        board.run("print('before')\nraise ValueError('not this')")
    assert caught.value.output == "before\n"
    assert caught.value.kind == "ValueError"
    assert "line 2" in caught.value.traceback
    with pytest.raises(BoardError) as caught:
        board.run("open('nothing')")
    assert caught.value.errno == 2
    assert board.evaluate("6 * 7") == 42


def test_a_board_that_stays_silent_is_given_up_and_can_be_interrupted(board: Board) -> None:
    with pytest.raises(LinkError, match=r"silent for 0\.3 s"):
        board.run("while True: pass", timeout_s=0.3)
    board.interrupt()
    assert board.evaluate("6 * 7") == 42


def test_a_soft_reset_gives_an_empty_heap_and_runs_boot_only(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text("booted = True\n")
    (tmp_path / "main.py").write_text("in_main = True\n")
    with Board(make_virtual_board(directory=tmp_path).port) as board:
        board.run("x = bytearray(5000)")
        board.soft_reset()
        assert board.evaluate("['x' in globals(), 'booted' in globals(), 'in_main' in globals()]") == [
            False,
            True,
            False,
        ]


def test_a_restart_runs_main_and_shows_what_it_prints(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('report')\nimport time\nwhile True: time.sleep_ms(10)\n")
    virtual = make_virtual_board(directory=tmp_path)
    with Board(virtual.port) as board:
        assert board.restart(listen_s=5, until="report\r\n") == "report\n"
        assert board.evaluate("6 * 7") == 42


def test_a_restarted_program_is_not_disturbed_by_leaving(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import time\nprint('report')\ntry:\n    while True: time.sleep_ms(10)\nfinally: print('disturbed')\n"
    )
    virtual = make_virtual_board(directory=tmp_path)
    with Board(virtual.port) as board:
        board.restart(listen_s=5, until="report\r\n")
        at = virtual.console_bytes
    with pytest.raises(HostError, match="did not print"):
        virtual.wait_for("disturbed", timeout_s=0.5, since=at)
    with Board(virtual.port) as board:  # found running: interrupted, and started again
        board.restart(listen_s=5, until="report\r\n")
        assert board.evaluate("6 * 7") == 42
        at = virtual.console_bytes
    virtual.wait_for("report", since=at)


def test_a_restarted_program_that_has_ended_is_not_started_again(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('report')\n")
    virtual = make_virtual_board(directory=tmp_path)
    with Board(virtual.port) as board:
        board.restart(listen_s=5, until=">>> ")
        assert board.evaluate("6 * 7") == 42
        starts = virtual.starts
    with Board(virtual.port) as board:
        assert board.evaluate("6 * 7") == 42
    assert virtual.starts == starts


def test_a_running_program_is_started_again_afterwards(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import time\nprint('main runs')\nwhile True: time.sleep_ms(10)\n")
    virtual = make_virtual_board(directory=tmp_path)
    virtual.wait_for("main runs")
    with Board(virtual.port) as board:
        assert board.evaluate("6 * 7") == 42
        at = virtual.console_bytes
    virtual.wait_for("main runs", since=at)


def test_a_board_at_its_prompt_is_left_there(virtual_board: VirtualBoard) -> None:
    with Board(virtual_board.port) as board:
        board.run("kept = 42")
    with Board(virtual_board.port) as board:
        assert board.evaluate("kept") == 42
    assert virtual_board.starts == 1


def test_a_program_that_catches_ctrl_c_is_stopped_in_the_end(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import time\nleft = 2\nprint('main runs')\n"
        "while left:\n    try:\n        while True: time.sleep_ms(10)\n"
        "    except KeyboardInterrupt:\n        left -= 1\n"
    )
    virtual = make_virtual_board(directory=tmp_path)
    virtual.wait_for("main runs")
    with Board(virtual.port) as board:
        assert board.evaluate("left") == 0


# --- identity ---


def test_the_board_says_what_it_is(board: Board, virtual_board: VirtualBoard) -> None:
    info = board.identify()
    assert info.port == virtual_board.port
    assert info.version >= (1, 27, 0)
    assert info.version_text.startswith("1.")
    assert info.platform == sys.platform
    assert (info.mpy_version, info.mpy_architecture) == ("6.3", "x64")
    assert info.has_tls
    assert info.has_verify_callback
    assert info.has_deflate
    assert info.has_sha256
    assert info.mbedtls_version[0].isdigit()
    assert 0 < info.heap_free_bytes < info.heap_total_bytes <= 256 * 1024
    assert info.flash_total_bytes == 1024 * 1024
    assert 0 < info.flash_free_bytes < info.flash_total_bytes
    assert len(bytes.fromhex(info.unique_id)) == 8
    assert info.rootlet_version is None
    assert info.store_path is None
    assert info.path("certs/x") == "/certs/x"
    assert info.to_json()["platform"] == sys.platform


def test_the_version_of_rootlet_is_told_where_it_is_installed(make_virtual_board: Make, tmp_path: Path) -> None:
    (tmp_path / "lib" / "rootlet").mkdir(parents=True)
    (tmp_path / "lib" / "rootlet" / "__init__.py").write_text("__version__ = '9.8.7'\n")
    with Board(make_virtual_board(directory=tmp_path).port) as board:
        assert board.identify().rootlet_version == "9.8.7"


def test_asking_leaves_nothing_behind(board: Board) -> None:
    board.identify()
    assert board.evaluate("'_identify' in globals()") is False


# --- files ---

CONTENTS = [
    pytest.param(b"", id="empty"),
    pytest.param(b"x", id="one byte"),
    pytest.param(bytes(range(256)) * 41, id="every byte value"),
    pytest.param(b"\\'\r\n\x00\x01\x02\x03\x04\x05" * 500, id="what the raw REPL takes for commands"),
    pytest.param(b"print('hello')\n" * 3000, id="what packs well"),
    pytest.param(random.Random(1).randbytes(41_037), id="what does not pack"),
]


@pytest.mark.parametrize("data", CONTENTS)
def test_content_arrives_and_comes_back_unchanged(board: Board, data: bytes) -> None:
    seen: list[tuple[int, int]] = []
    transfer = board.put(data, "/deep/er/file.bin", lambda done, total: seen.append((done, total)))
    assert transfer.sha256 == hashlib.sha256(data).hexdigest() == board.hash("/deep/er/file.bin")
    assert board.get("/deep/er/file.bin") == data
    assert board.listdir("/deep/er") == [("file.bin", False, len(data))]
    if data:
        assert seen[-1] == (len(data), len(data))
        assert seen == sorted(seen)


@pytest.mark.parametrize("data", CONTENTS[2:4])
def test_boards_without_raw_paste_and_deflate_get_the_same(virtual_board: VirtualBoard, data: bytes) -> None:
    with Board(virtual_board.port) as board:
        board._open_link.use_raw_paste = False
        info = board.identify()
        object.__setattr__(info, "has_deflate", False)
        board.put(data, "file.bin")
        assert board.get("file.bin") == data


def test_a_small_heap_takes_a_large_file(make_virtual_board: Make) -> None:
    data = random.Random(2).randbytes(60_000)
    with Board(make_virtual_board(heap="48K").port) as board:
        board.put(data, "file.bin")
        assert board.get("file.bin") == data


def test_nothing_is_sent_when_the_content_is_there(board: Board) -> None:
    data = random.Random(3).randbytes(5000)
    assert board.put(data, "file.bin").sent > 5000
    assert board.put(data, "file.bin").sent == 0


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_file_replaces_another(make_virtual_board: Make, filesystem: str) -> None:
    with Board(make_virtual_board(filesystem=filesystem).port) as board:
        board.put(b"old" * 1000, "file.bin")
        board.put(b"new" * 500, "file.bin")
        assert board.get("file.bin") == b"new" * 500
        assert board.listdir() == [("file.bin", False, 1500)]


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_flash_too_small_is_known_before_anything_is_written(make_virtual_board: Make, filesystem: str) -> None:
    with Board(make_virtual_board(filesystem=filesystem, size="128K").port) as board:
        board.put(b"old" * 1000, "file.bin")
        free = board.free_bytes()
        with pytest.raises(HostError, match=r"needs 150000 bytes and the flash of the board has \d+ free"):
            board.put(random.Random(4).randbytes(150_000), "file.bin")
        assert board.free_bytes() == free
        assert board.get("file.bin") == b"old" * 1000


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_folder_for_which_there_is_no_room_is_named(make_virtual_board: Make, filesystem: str) -> None:
    with Board(make_virtual_board(filesystem=filesystem, size="64K").port) as board:
        board.run(
            "n = 0\ntry:\n while True:\n  n += 1\n  with open('filler%d' % n, 'wb') as f:\n"
            "   if f.write(bytes(512)) < 512: break\nexcept OSError: pass"
        )
        with pytest.raises(HostError, match="there is no room for a on the flash of the board") as caught:
            board.make_directories("a/b")
        assert caught.value.remedy == "remove something from it"


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_flash_that_fills_up_on_the_way_leaves_the_old_file(
    make_virtual_board: Make, filesystem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Board(make_virtual_board(filesystem=filesystem, size="128K").port) as board:
        board.put(b"old" * 1000, "file.bin")
        monkeypatch.setattr(board, "require_space", lambda size, path: None)
        with pytest.raises(HostError, match="needs 150000 bytes"):
            board.put(random.Random(4).randbytes(150_000), "file.bin")
        assert board.listdir() == [("file.bin", False, 3000)]
        assert board.get("file.bin") == b"old" * 1000


def test_content_that_arrives_changed_is_not_kept(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.put(b"old", "file.bin")
    monkeypatch.setattr(upload, "literal", lambda data: b"b'" + b"y" * len(data) + b"'")
    with pytest.raises(HostError, match="did not arrive as it was sent"):
        board.put(b"xxx", "file.bin")
    assert board.get("file.bin") == b"old"
    assert board.listdir() == [("file.bin", False, 3)]


def test_ctrl_c_while_sending_leaves_the_old_file_and_a_usable_board(board: Board) -> None:
    board.put(b"old", "file.bin")

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.put(random.Random(5).randbytes(50_000), "file.bin", stop)
    assert board.listdir() == [("file.bin", False, 3)]
    board.put(b"new", "file.bin")
    assert board.get("file.bin") == b"new"


def test_missing_files_are_errors_in_words(board: Board) -> None:
    assert board.hash("nothing") is None
    for call in (board.get, board.remove, board.listdir):
        with pytest.raises(HostError, match="there is no nothing on the board"):
            call("nothing")
    board.remove("nothing", missing_ok=True)


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_file_in_the_place_of_a_folder_and_the_reverse_are_named(make_virtual_board: Make, filesystem: str) -> None:
    with Board(make_virtual_board(filesystem=filesystem).port) as board:
        board.run("import os\nopen('lib', 'w').close()\nos.mkdir('main.py')")
        assert board.hash("/lib/rootlet/store.mpy") is None
        with pytest.raises(HostError, match="/lib on the board is a file where a folder is needed"):
            board.put(b"x", "/lib/rootlet/store.mpy")
        with pytest.raises(HostError, match=r"/main\.py on the board is a folder where a file is needed"):
            board.put(b"x", "/main.py")
        assert board.listdir("/") == [("lib", False, 0), ("main.py", True, 0)]


def test_a_file_system_that_is_read_only_is_called_so(board: Board) -> None:
    board.run(
        "import vfs\nclass Memory:\n data = bytearray(50 * 512)\n"
        " def readblocks(self, n, buf): buf[:] = self.data[n * 512:n * 512 + len(buf)]\n"
        " def writeblocks(self, n, buf): self.data[n * 512:n * 512 + len(buf)] = buf\n"
        " def ioctl(self, op, arg): return {4: 50, 5: 512}.get(op, 0)\n"
        "m = Memory()\nvfs.VfsFat.mkfs(m)\nvfs.mount(m, '/rom', readonly=True)"
    )
    with pytest.raises(HostError, match=r"^/rom/file cannot be written: .* is read-only .*boot\.py"):
        board.put(b"x", "/rom/file")


def test_files_and_directories_are_removed(board: Board) -> None:
    board.put(b"x", "/a/b/file")
    board.remove("/a/b/file")
    board.remove("/a/b")
    board.remove("/a")
    assert board.listdir("/") == []


# --- the cable and the power ---


def test_the_old_or_the_new_file_is_there_wherever_the_cable_is_pulled(make_virtual_board: Make) -> None:
    old, new = b"old" * 1000, random.Random(6).randbytes(30_000)
    virtual = make_virtual_board()
    for stop_at in range(0, 30_000, 4096):
        with Board(virtual.port) as board:
            board.put(old, "file.bin")

            def pull(done: int, total: int, stop_at: int = stop_at) -> None:
                if done > stop_at:
                    virtual.unplug()

            with pytest.raises(LinkError, match=r"broke|no more input|silent"):
                board.put(new, "file.bin", pull)
        virtual.plug()
        with Board(virtual.port) as board:
            assert board.get("file.bin") == old
    with Board(virtual.port) as board:
        board.put(new, "file.bin")
        assert board.listdir() == [("file.bin", False, len(new))]


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_what_a_pulled_cable_left_open_harms_no_file_that_is_sent_later(
    make_virtual_board: Make, filesystem: str
) -> None:
    # Names of different lengths: the last ones take the directory entry that the first one's temporary file had.
    content = {name: random.Random(name).randbytes(600) for name in ("longer-name.bin", "b.bin", "c.bin")}
    virtual = make_virtual_board(filesystem=filesystem)
    with Board(virtual.port) as board, pytest.raises(LinkError):
        board.put(content["longer-name.bin"], "longer-name.bin", lambda *_: virtual.unplug())
    virtual.plug()
    with Board(virtual.port) as board:
        for path, data in content.items():
            board.put(data, path)
        board.run("import gc\ngc.collect()")
        assert {path: board.get(path) for path in content} == content


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_the_old_or_the_new_file_is_there_whenever_the_power_fails(make_virtual_board: Make, filesystem: str) -> None:
    old, new = b"old" * 1000, random.Random(7).randbytes(30_000)
    virtual = make_virtual_board(filesystem=filesystem)
    randomness = random.Random(8)
    for _ in range(12):
        with Board(virtual.port) as board:
            board.put(old, "file.bin")
            timer = threading.Timer(randomness.uniform(0, 0.15), virtual.power_off)
            timer.start()
            with contextlib.suppress(LinkError):
                board.put(new, "file.bin")
            timer.join()
        virtual.power_on()
        with Board(virtual.port) as board:
            assert board.get("file.bin") in (old, new)
    with Board(virtual.port) as board:
        board.put(new, "file.bin")
        assert board.listdir() == [("file.bin", False, len(new))]


def test_a_watchdog_that_the_configuration_asks_for_is_fed_while_sending(
    make_virtual_board: Make, tmp_path: Path
) -> None:
    (tmp_path / "rootlet.json").write_text('{"watchdog_ms": 600}')
    (tmp_path / "main.py").write_text(
        "import machine, time\ndog = machine.WDT(timeout=600)\nprint('main runs')\n"
        "while True:\n    time.sleep_ms(10)\n    dog.feed()\n"
    )
    virtual = make_virtual_board(directory=tmp_path)
    virtual.wait_for("main runs")
    with Board(virtual.port) as board:

        def slowly(done: int, total: int) -> None:
            time.sleep(0.15)

        board.put(random.Random(9).randbytes(40_000), "file.bin", slowly)
        at = virtual.console_bytes
    virtual.wait_for("main runs", since=at)
    assert virtual.starts == 2  # the power, and the restart in the end


# --- speed ---


def test_sending_needs_less_than_a_sixth_more_bytes_than_the_content(board: Board) -> None:
    # On a serial link bytes are time: this is above 85 % of what the link carries, also for content that does not pack.
    transfer = board.put(random.Random(10).randbytes(41_000), "file.bin")
    assert transfer.sent < 41_000 * 7 // 6


def test_sending_is_faster_than_mpremote(virtual_board: VirtualBoard, tmp_path: Path) -> None:
    data = random.Random(11).randbytes(100_000)
    (tmp_path / "data.bin").write_bytes(data)
    start = time.monotonic()
    command = [str(MPREMOTE), "connect", virtual_board.port, "fs", "cp", str(tmp_path / "data.bin"), ":one.bin"]
    subprocess.run(command, check=True, capture_output=True)
    mpremote_s = time.monotonic() - start
    with Board(virtual_board.port) as board:
        transfer = board.put(data, "two.bin")
    assert transfer.seconds < mpremote_s
