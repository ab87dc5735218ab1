"""DFU and pyOCD: why they cannot work here, what they would be told, and what their answers mean."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from rootlet_host.catalogue import load
from rootlet_host.errors import UsageError
from rootlet_host.firmware.images import inspect
from rootlet_host.flash import dfu, pyocd
from rootlet_host.flash.base import INCOMPLETE, Job, Target
from rootlet_host.flash.dfu import Device, DfuMethod, commands, parse_list, problem_in
from rootlet_host.flash.programs import TIMED_OUT, Finished, run
from rootlet_host.flash.pyocd import PyocdMethod
from rootlet_host.flash.registry import choose
from simulators.firmware import as_dfu, as_hex, banner, stm32_parts
from support import programs

BOARD = load().get("NUCLEO_F429ZI")
PARTS = stm32_parts("NUCLEO-F429ZI with STM32F429")
IMAGE = inspect(as_dfu(PARTS), "firmware.dfu")

# Lines as dfu-util 0.11 prints them for an STM32 in DFU mode (src/dfu_util.c, print_dfu_if).
LIST = (
    'Found DFU: [0483:df11] ver=2200, devnum=8, cfg=1, intf=0, path="1-2", alt={alt}, '
    'name="@{name}", serial="{serial}"\n'
)
FLASH_LINE = LIST.format(alt=0, name="Internal Flash  /0x08000000/04*016Kg", serial="3574325E3033")


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for dfu-util first on PATH: no such device can be attached here."""
    file = tmp_path / "dfu-util"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_the_real_dfu_util_finds_no_board_here() -> None:
    programs.program("dfu-util", "dfu-util")
    obstacle = DfuMethod().obstacle(BOARD, Target())
    assert obstacle is not None
    assert obstacle.reason == "no board in DFU mode is attached"
    assert "BOOT0" in obstacle.remedy


def test_without_dfu_util_the_way_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfu.shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="dfu-util is not installed") as caught:
        choose(BOARD, "dfu", Target())
    assert "apt install dfu-util" in caught.value.remedy


def test_devices_are_read_from_the_list() -> None:
    text = "dfu-util 0.11\n\n" + FLASH_LINE + LIST.format(alt=1, name="Option Bytes", serial="3574325E3033")
    text += 'Found DFU: [1d50:6018] ver=0100, devnum=9, cfg=1, intf=0, path="1-3", alt=0, name="x", serial="y"\n'
    assert parse_list(text) == [
        Device("3574325E3033", 0, "@Internal Flash  /0x08000000/04*016Kg"),
        Device("3574325E3033", 1, "@Option Bytes"),
    ]


def test_one_device_is_enough_two_need_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = DfuMethod()
    program(tmp_path, monkeypatch, f"cat <<'END'\n{FLASH_LINE}END")
    assert method.obstacle(BOARD, Target()) is None
    assert method.obstacle(BOARD, Target(port="3574325E3033")) is None
    absent = method.obstacle(BOARD, Target(port="0000"))
    assert absent is not None
    assert "attached: 3574325E3033" in absent.reason
    second = LIST.format(alt=0, name="Internal Flash", serial="999")
    program(tmp_path, monkeypatch, f"cat <<'END'\n{FLASH_LINE}{second}END")
    two = method.obstacle(BOARD, Target())
    assert two is not None
    assert "2 boards in DFU mode" in two.reason
    assert "--port" in two.remedy


def test_a_device_that_may_not_be_opened_names_the_udev_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo 'dfu-util: Cannot open DFU device 0483:df11 (LIBUSB_ERROR_ACCESS)'")
    obstacle = DfuMethod().obstacle(BOARD, Target())
    assert obstacle is not None
    assert 'ATTRS{idVendor}=="0483"' in obstacle.remedy


def test_the_parts_go_to_their_addresses_and_the_vector_table_last(tmp_path: Path) -> None:
    runs = commands(Job(BOARD, IMAGE, Target(port="357")), tmp_path, write=True)
    assert [arguments[arguments.index("-s") + 1] for arguments in runs] == ["0x08020000", "0x08000000:leave"]
    for arguments, (_, data) in zip(runs, reversed(PARTS), strict=True):
        assert arguments[:6] == ["-d", "0483:df11", "-a", "0", "-S", "357"]
        assert Path(arguments[-1]).read_bytes() == data


def test_erase_comes_with_the_first_part(tmp_path: Path) -> None:
    runs = commands(Job(BOARD, IMAGE, Target(), erase=True), tmp_path, write=True)
    assert [arguments[arguments.index("-s") + 1] for arguments in runs] == [
        "0x08020000:mass-erase:force",
        "0x08000000:leave",
    ]


def test_hex_and_binary_images_become_the_same_commands(tmp_path: Path) -> None:
    from_hex = commands(Job(BOARD, inspect(as_hex(PARTS), "x.hex"), Target()), tmp_path, write=True)
    assert from_hex == commands(Job(BOARD, IMAGE, Target()), tmp_path, write=True)
    one = inspect(PARTS[0][1] + banner("NUCLEO-F429ZI with STM32F429"), "x.bin")
    (only,) = commands(Job(BOARD, one, Target()), tmp_path, write=True)
    assert "0x08000000:leave" in only


def test_a_whole_run_is_reported_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    program(
        tmp_path,
        monkeypatch,
        f"""echo "$@" >> {log}
case "$*" in *--list*) cat <<'END'
{FLASH_LINE}END
exit;; esac
printf 'Download\\t[=====     ]  50%%    512 bytes\\rDownload\\t[==========] 100%%   1024 bytes\\n'
echo 'File downloaded successfully'""",
    )
    steps: list[tuple[str, int, int]] = []
    DfuMethod().run(Job(BOARD, IMAGE, Target()), lambda *step: steps.append(step))
    assert ("write", steps[-1][2], steps[-1][2]) in steps
    assert sum("-D" in line for line in log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("output", "expected", "code"),
    [
        ("dfu-util: No DFU capable USB device available", "the board left DFU mode", 1),
        ("dfu-util: Cannot open DFU device 0483:df11 found on devnum 8 (LIBUSB_ERROR_ACCESS)", "may not open", 2),
        ("dfu-util: Last page at 0x08100000 is not writeable", "does not fit this chip", 1),
        ("Download [==  ] 20%\ndfu-util: Error during download get_status", "Error during download", 1),
        ("", "it said nothing", 1),
    ],
)
def test_what_dfu_util_says_becomes_cause_and_remedy(output: str, expected: str, code: int) -> None:
    problem = problem_in(Finished(74, output))
    assert problem is not None
    assert expected in problem.message
    assert problem.exit_code == code
    assert problem.remedy


@pytest.mark.parametrize("output", ["dfu-util: No DFU capable USB device available", "Cannot open DFU device"])
def test_a_board_that_goes_away_between_two_parts_is_left_incomplete_and_the_line_says_so(output: str) -> None:
    first, second = problem_in(Finished(74, output)), problem_in(Finished(74, output), 1)
    assert first is not None and second is not None
    assert INCOMPLETE not in first.remedy
    assert second.remedy == f"{INCOMPLETE}; for that, {first.remedy}"
    assert second.exit_code == 1


def test_success_needs_both_the_exit_code_and_the_sentence() -> None:
    assert problem_in(Finished(0, "File downloaded successfully")) is None
    assert problem_in(Finished(0, "Download [=== ] 60%")) is not None
    hanging = problem_in(Finished(TIMED_OUT, "Download [=== ] 60%"))
    assert hanging is not None
    assert hanging.remedy == INCOMPLETE


def test_a_program_that_hangs_is_ended() -> None:
    assert run(["sleep", "60"], 0.3).code == TIMED_OUT
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"], 5).code == 3


# --- pyOCD --------------------------------------------------------------------------------------------------------


def test_without_pyocd_the_way_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyocd.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pyOCD is not installed") as caught:
        choose(BOARD, "pyocd", Target())
    assert "rootlet[pyocd]" in caught.value.remedy


def test_with_pyocd_and_no_probe_it_does_not_wait() -> None:
    if importlib.util.find_spec("pyocd") is None:
        programs.missing("pyOCD is not installed: make setup")
    obstacle = PyocdMethod().obstacle(BOARD, Target())
    assert obstacle is not None
    assert "no debug probe" in obstacle.reason


def test_probes_are_counted_and_errors_of_the_usb_library_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe:
        def __init__(self, unique_id: str) -> None:
            self.unique_id = unique_id

    def broken(_: object) -> list[object]:
        raise RuntimeError("No backend available\nmore")

    method = PyocdMethod()
    monkeypatch.setattr(pyocd.importlib.util, "find_spec", lambda _: object())
    for probes, expected in (([], "no debug probe"), ([Probe("A"), Probe("B")], "2 debug probes are attached (A, B)")):
        monkeypatch.setattr(pyocd, "_probes", lambda _, probes=probes: probes)
        obstacle = method.obstacle(BOARD, Target())
        assert obstacle is not None
        assert expected in obstacle.reason
    monkeypatch.setattr(pyocd, "_probes", lambda _: [Probe("A")])
    assert method.obstacle(BOARD, Target()) is None
    monkeypatch.setattr(pyocd, "_probes", broken)
    obstacle = method.obstacle(BOARD, Target())
    assert obstacle is not None
    assert "No backend available" in obstacle.reason
    assert "\n" not in str(obstacle)
