"""`rootlet flash` as a user meets it: one line for every wrong start, a question first, the board's own words last."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serial
from command_line import ROOTLET
from rootlet_host import cli
from rootlet_host.board import ports
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.catalogue import load
from rootlet_host.errors import HostError
from rootlet_host.flash import after, commands
from simulators.esp32_rom import Esp32
from simulators.firmware import as_hex, esp_firmware, stm32_parts
from simulators.stlink_drive import StlinkDrive
from simulators.web import FirmwareSite

IMAGE = esp_firmware("esp32c3")
NAME = "ESP32_GENERIC_C3-20250911-v1.26.1.bin"


class Ended(SimpleNamespace):
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The whole program in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("ROOTLET_FIRMWARE_LOCK", str(tmp_path / "firmware.lock"))
    monkeypatch.setenv("ROOTLET_CACHE", str(tmp_path / "cache"))

    def invoke(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["rootlet", *map(str, arguments)])
        code = cli.run()
        captured = capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)

    return invoke


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    file = tmp_path / "firmware.bin"
    file.write_bytes(IMAGE)
    return file


def attach(monkeypatch: pytest.MonkeyPatch, *devices: str) -> None:
    found = [
        SimpleNamespace(
            device=device, vid=0x303A, pid=0x1001, serial_number=f"S{number}", manufacturer=None, product=None
        )
        for number, device in enumerate(devices)
    ]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: found)


def one_line(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended.err
    assert ended.err.startswith("rootlet: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    for word in words:
        assert word in ended.err


# --- wrong starts -------------------------------------------------------------------------------------------------


def test_without_a_board_it_is_said_what_to_plug_in(run: Run, firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    one_line(run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--yes"), 2, "no board was found", "--port")


def test_of_two_boards_one_must_be_named(run: Run, firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch, "/dev/ttyUSB0", "/dev/ttyUSB1")
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--yes")
    one_line(
        ended, 2, "2 boards are attached", "/dev/ttyUSB0 (303a:1001 id:S0), /dev/ttyUSB1 (303a:1001 id:S1)", "--port"
    )


def test_ports_are_named_as_for_every_other_command(
    run: Run, firmware: Path, silent_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch, "/dev/ttyUSB0", silent_port)
    words = ("flash", "ESP32_GENERIC_C3", "--file", firmware, "--yes", "--timeout", "1", "--port")
    with serial.Serial(silent_port, exclusive=True):
        one_line(run(*words, "id:S1"), 2, f"{silent_port} is in use by another program")
    one_line(run(*words, "id:S7"), 2, "no board with serial number S7 is attached", "/dev/ttyUSB0 (303a:1001 id:S0)")


def test_a_port_that_is_not_there(run: Run, firmware: Path) -> None:
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", "/dev/ttyNone", "--yes")
    one_line(ended, 2, "there is no serial port /dev/ttyNone")


def test_a_busy_port(run: Run, firmware: Path, silent_port: str) -> None:
    with serial.Serial(silent_port, exclusive=True):
        ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", silent_port, "--yes")
    one_line(ended, 2, f"{silent_port} is in use by another program")


def test_a_port_that_the_user_may_not_open(run: Run, firmware: Path, silent_port: str) -> None:
    Path(silent_port).chmod(0o620)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may open everything
    else:
        Path(silent_port).chmod(0)
    try:
        obstacle = ports.why_not_open(silent_port)
    finally:
        os.seteuid(user)
    assert obstacle is not None
    assert obstacle.message == f"you may not open {silent_port}"
    assert "udev rule" in obstacle.remedy or "usermod -aG" in obstacle.remedy


def test_the_group_of_the_port_is_named(silent_port: str, tmp_path: Path) -> None:
    denied = PermissionError(13, "Permission denied")
    device = tmp_path / "ttyUSB0"
    device.touch()
    if os.geteuid() == 0:
        import grp

        group = next(item for item in grp.getgrall() if item.gr_gid not in (0, os.getgid()))
        os.chown(device, -1, group.gr_gid)
        device.chmod(0o660)
        assert f"usermod -aG {group.gr_name} " in ports.explain(str(device), denied).remedy
    device.chmod(0o600)
    assert "udev rule" in ports.explain(str(device), denied).remedy
    assert "usermod -aG dialout" in ports.explain(str(tmp_path / "gone"), denied).remedy


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (serial.SerialException(16, "Device or resource busy"), "in use by another program"),
        (
            serial.SerialException("could not open port 'COM3': PermissionError(13, 'Access is denied.')"),
            "may not open",
        ),
        (serial.SerialException("could not open port 'COM9': FileNotFoundError(2, 'x')"), "there is no serial port"),
        (OSError(25, "Inappropriate ioctl for device"), "is not a serial port"),
        (OSError("something\nelse"), "something"),
    ],
)
def test_failures_to_open_are_told_apart(error: Exception, reason: str) -> None:
    assert reason in ports.explain("P", error).message
    assert "\n" not in str(ports.explain("P", error))


def test_a_file_that_is_no_serial_port(run: Run, firmware: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", tmp_path / "file", "--yes")
    one_line(ended, 2, "serial port")


def test_the_wrong_family(run: Run, tmp_path: Path, silent_port: str) -> None:
    file = tmp_path / "firmware.hex"
    file.write_bytes(as_hex(stm32_parts()))
    ended = run("flash", "ESP32_GENERIC_C3", "--file", file, "--port", silent_port, "--yes")
    one_line(ended, 1, "is an STM32 image", "ESP32 board")


def test_the_wrong_chip_of_the_right_family(run: Run, firmware: Path, silent_port: str) -> None:
    ended = run("flash", "ESP32_GENERIC_S3", "--file", firmware, "--port", silent_port, "--yes")
    one_line(ended, 1, "is for esp32c3, and ESP32_GENERIC_S3 has an esp32s3")


def test_a_way_that_the_board_does_not_have(run: Run, firmware: Path) -> None:
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--method", "dfu", "--yes")
    one_line(ended, 2, "cannot be flashed with dfu", "use esptool")
    one_line(run("flash", "ESP32_GENERIC_C3", "--method", "magic"), 2, "no way to flash called magic")


def test_every_reason_is_given_when_no_way_works(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    monkeypatch.setattr("rootlet_host.flash.stlink_drive._mount_points", list)
    ended = run("flash", "NUCLEO_H563ZI", "--yes")
    one_line(
        ended, 2, "no way to flash NUCLEO_H563ZI works here", "stlink-drive: no ST-LINK drive", "dfu: ", "serial: "
    )


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 2, "cannot read the firmware"),
        (b"<!DOCTYPE html><html>Gone</html>", 1, "is a web page"),
        (IMAGE[: len(IMAGE) // 2], 1, "firmware.bin"),
    ],
)
def test_a_file_that_is_missing_or_damaged(
    run: Run, tmp_path: Path, silent_port: str, content: bytes | None, code: int, words: str
) -> None:
    file = tmp_path / "firmware.bin"
    if content is not None:
        file.write_bytes(content)
    one_line(run("flash", "ESP32_GENERIC_C3", "--file", file, "--port", silent_port, "--yes"), code, words)


def test_options_that_exclude_each_other(run: Run, firmware: Path, silent_port: str) -> None:
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--version", "v1.26.1", "--port", silent_port)
    one_line(ended, 2, "--file excludes")
    one_line(run("flash", "ESP32_GENERIC_C3", "--parity", "odd"), 2, "no parity odd")
    one_line(run("flash", "NO_SUCH_BOARD"), 2, "no board NO_SUCH_BOARD")


# --- asking -------------------------------------------------------------------------------------------------------


def test_without_anybody_to_ask_it_wants_yes(run: Run, firmware: Path, silent_port: str) -> None:
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", silent_port)
    one_line(ended, 2, "nobody can be asked", "--yes")


@pytest.mark.parametrize("erase", [False, True])
def test_it_asks_with_the_name_of_the_board_and_no_means_no(firmware: Path, erase: bool, tmp_path: Path) -> None:
    with Esp32("esp32c3") as rom:
        master, slave = pty.openpty()
        os.write(master, b"n\n")
        try:
            options = ["--erase"] if erase else []
            ended = subprocess.run(
                [ROOTLET, "flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", rom.port, *options],
                stdin=slave, capture_output=True, text=True, timeout=60,
                env={**os.environ, "ROOTLET_FIRMWARE_LOCK": str(tmp_path / "lock")},
            )  # fmt: skip
        finally:
            os.close(master)
            os.close(slave)
        assert rom.flash.written == 0
    assert ended.returncode == 1
    assert "ESP32_GENERIC_C3 (ESP32-C3)" in ended.stderr
    assert ("everything on it, files included," in ended.stderr) is erase
    assert "nothing was written" in ended.stderr


def test_a_dry_run_says_what_it_would_do_and_does_nothing(run: Run, firmware: Path) -> None:
    with Esp32("esp32c3") as rom:
        ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", rom.port, "--dry-run", "--erase")
        assert rom.flash.written == 0
        assert rom.flash.erased == []
    assert ended.code == 0
    assert "erase the whole flash" in ended.out
    assert "MD5" in ended.out


def test_a_dry_run_without_a_board_shows_the_plan_and_says_what_is_missing(
    run: Run, firmware: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach(monkeypatch)
    ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--dry-run")
    one_line(ended, 2, "no board was found")
    assert "write" in ended.out
    plan = json.loads(run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--dry-run", "--json").out)
    assert plan["method"] == "esptool"
    assert plan["steps"]


# --- success ------------------------------------------------------------------------------------------------------


def test_a_published_firmware_is_fetched_checked_and_flashed(run: Run, tmp_path: Path) -> None:
    with FirmwareSite() as site, Esp32("esp32c3") as rom:
        site.page("ESP32_GENERIC_C3", NAME)
        site.publish(NAME, IMAGE)
        ended = run(
            "flash", "ESP32_GENERIC_C3", "--port", rom.port, "--mirror", site.url, "--yes", "--wait", "0", "--json"
        )
        assert ended.code == 0, ended.err
        assert bytes(rom.flash.data[: len(IMAGE)]) == IMAGE
    result = json.loads(ended.out)
    assert result["file"] == NAME
    assert result["method"] == "esptool"
    assert json.loads((tmp_path / "firmware.lock").read_text())["files"][NAME]["sha256"] == result["sha256"]


def test_a_nucleo_is_flashed_through_its_drive(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    file = tmp_path / "firmware.hex"
    file.write_bytes(as_hex(stm32_parts(size=2_000)))
    volume = tmp_path / "NODE_F401RE"
    with StlinkDrive(volume) as drive:
        ended = run("flash", "NUCLEO_F401RE", "--file", file, "--volume", volume, "--yes")
        assert drive.programmed == 1
    assert ended.code == 0, ended.err
    assert "was written to NUCLEO_F401RE and verified" in ended.err
    assert "REPL is not known" in ended.err


def test_a_failed_write_is_one_line_with_the_state_of_the_board(run: Run, firmware: Path) -> None:
    with Esp32("esp32c3", flip=0x9000) as rom:
        ended = run("flash", "ESP32_GENERIC_C3", "--file", firmware, "--port", rom.port, "--yes", "--wait", "0")
    one_line(ended, 1, "does not hold what was written", "cannot start")


def test_make_flash_is_the_same_thing(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    make = ["make", "-C", str(root), "-o", ".venv/.installed"]
    silent = subprocess.run([*make, "-s", "flash"], capture_output=True, text=True, timeout=60)
    assert silent.returncode != 0
    assert "name the board" in silent.stderr
    ended = subprocess.run(
        [*make, "-n", "flash", "BOARD=ESP32_GENERIC", "PORT=/dev/ttyX", "ARGS=--erase"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "rootlet flash 'ESP32_GENERIC' --port '/dev/ttyX'" in ended.stdout
    assert "--erase" in ended.stdout


# --- afterwards ---------------------------------------------------------------------------------------------------


def test_the_board_says_its_version_tls_and_random_numbers(virtual_board: VirtualBoard) -> None:
    identity = after.show_board(virtual_board.port, 15)
    assert identity["version"].startswith("1.")
    assert identity["tls"] is True
    assert "Mbed TLS" in identity["mbedtls"]
    assert identity["features"]["verify_callback"] is True
    assert identity["features"]["dtls"] is True
    assert identity["urandom"] is True
    first, second, third = after.describe(identity)
    assert first.startswith("MicroPython 1.")
    assert "verify callback yes" in second
    assert "os.urandom present" in third


def test_a_board_without_tls_is_described_as_that() -> None:
    lines = after.describe({"version": "1.26.1", "machine": "", "platform": "pyboard", "tls": False, "urandom": False})
    assert "no module tls" in lines[1]
    assert "no hardware generator" in lines[2]


def test_a_board_that_stays_silent_is_an_error_that_says_the_firmware_is_on_it(
    silent_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HostError, match="no MicroPython answers"):
        after.show_board(silent_port, timeout_s=0.5)

    def silent(port: str, timeout_s: float) -> dict[str, Any]:
        raise HostError(f"no MicroPython answers on {port}")

    monkeypatch.setattr(commands, "show_board", silent)
    with pytest.raises(HostError, match="was written and verified, but the board does not answer"):
        commands._identify(silent_port, 15)


def test_the_repl_is_looked_for_where_only_one_board_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert after.repl_port("/dev/known") == "/dev/known"
    attach(monkeypatch, "/dev/ttyACM0")
    assert after.repl_port(None) == "/dev/ttyACM0"
    attach(monkeypatch, "/dev/ttyACM0", "/dev/ttyACM1")
    assert after.repl_port(None) is None


def test_every_board_of_the_catalogue_can_be_asked_for_its_ways(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(monkeypatch)
    for board in load():
        if board.port == "esp32":
            assert "not now: no board was found" in run("boards", board.id).out
