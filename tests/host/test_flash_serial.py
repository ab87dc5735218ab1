"""STM32 over the serial loader: stm32flash and stm32loader against a simulator of AN3155, with faults."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.catalogue import load
from rootlet_host.errors import UsageError
from rootlet_host.firmware.images import Image, inspect
from rootlet_host.flash import serial_loader
from rootlet_host.flash.base import INCOMPLETE, FlashError, Job, Target
from rootlet_host.flash.registry import choose
from rootlet_host.flash.serial_loader import SerialMethod
from simulators.firmware import as_dfu, as_hex, banner, stm32_parts
from simulators.stm32_rom import Stm32Rom
from support.programs import program

F401 = load().get("NUCLEO_F401RE")
PARTS = stm32_parts()
IMAGE = inspect(as_hex(PARTS), "firmware.hex")
FILES = b"files of the user"
FILE_SYSTEM = 0x0800_4000

# stm32flash 0.7 does not know the H5, U5, WB, WL and two of the H7 lines.
UNKNOWN_TO_STM32FLASH = (0x480, 0x481, 0x483, 0x484, 0x495, 0x497)

needs_stm32flash = pytest.mark.usefixtures("stm32flash")


@pytest.fixture
def stm32flash() -> str:
    return program("stm32flash", "stm32flash")


@pytest.fixture(params=["stm32flash", "stm32loader"])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host program; without stm32flash on PATH the method falls back to stm32loader."""
    name: str = request.param
    if name == "stm32flash":
        request.getfixturevalue(name)
    if name == "stm32loader":
        monkeypatch.setattr(serial_loader.shutil, "which", lambda _: None)
    return name


def flash(rom: Stm32Rom, tool: str, image: Image = IMAGE, **options: Any) -> list[tuple[str, int, int]]:
    """stm32loader can only erase everything, so it always does here."""
    steps: list[tuple[str, int, int]] = []
    target = Target(port=rom.port, parity="none", timeout_s=10 if tool == "stm32flash" else 0.5, **options)
    job = Job(F401, image, target, erase=tool == "stm32loader")
    SerialMethod().run(job, lambda *step: steps.append(step))
    return steps


def holds(rom: Stm32Rom, parts: list[tuple[int, bytes]] = PARTS) -> bool:
    return all(rom.content(address, len(data)) == data for address, data in parts)


@pytest.mark.parametrize("build", [as_hex, as_dfu])
def test_the_firmware_arrives_byte_for_byte_and_is_started(tool: str, build: Any) -> None:
    with Stm32Rom() as rom:
        steps = flash(rom, tool, inspect(build(PARTS), "firmware"))
        assert holds(rom)
        assert rom.started_at == 0x0800_0000
    written = [step for step in steps if step[0] == "write"]
    assert written[-1][1] == written[-1][2] == sum(len(data) for _, data in PARTS)


@needs_stm32flash
def test_the_file_system_between_the_two_parts_survives() -> None:
    with Stm32Rom() as rom:
        rom.flash[0x4000 : 0x4000 + len(FILES)] = FILES
        flash(rom, "stm32flash")
        assert holds(rom)
        assert rom.content(FILE_SYSTEM, len(FILES)) == FILES
        assert set(rom.erased) == {0, 5}


@needs_stm32flash
def test_erase_clears_the_file_system_too() -> None:
    with Stm32Rom() as rom:
        rom.flash[0x4000 : 0x4000 + len(FILES)] = FILES
        SerialMethod().run(Job(F401, IMAGE, Target(port=rom.port, parity="none"), erase=True), lambda *_: None)
        assert holds(rom)
        assert set(rom.content(FILE_SYSTEM, len(FILES))) == {0xFF}
        assert -1 in rom.erased


@needs_stm32flash
def test_a_raw_binary_in_one_part_is_written(tool: str) -> None:
    data = PARTS[0][1] + banner("NUCLEO-F401RE with STM32F401xE")
    with Stm32Rom() as rom:
        flash(rom, tool, inspect(data, "firmware.bin"))
        assert holds(rom, [(0x0800_0000, data)])


def test_another_chip_is_refused_before_anything_is_written(tool: str) -> None:
    for number in (0x451, 0x7FF):  # an STM32F76x, and a number that no tool knows
        with Stm32Rom(product_id=number) as rom:
            with pytest.raises(FlashError, match=f"{number:#05x}, and NUCLEO_F401RE has 0x433") as caught:
                flash(rom, tool)
            assert rom.writes == 0
            assert rom.erased == []
        assert "nothing was written" in caught.value.remedy


def test_a_loader_that_does_not_answer_is_reported_with_boot0(tool: str) -> None:
    with Stm32Rom(silent=True) as rom, pytest.raises(FlashError, match="no STM32 ROM loader answers") as caught:
        flash(rom, tool)
    assert "BOOT0" in caught.value.remedy


@pytest.mark.parametrize("fault", [{"silent_after": 10}, {"cut_after": 20}])
def test_an_interrupted_write_leaves_no_firmware_that_starts(tool: str, fault: dict[str, int]) -> None:
    with Stm32Rom(**fault) as rom:
        with pytest.raises(FlashError) as caught:
            flash(rom, tool)
        assert set(rom.content(0x0800_0000, 8)) == {0xFF}, "the vector table comes last"
        assert rom.started_at is None
    assert caught.value.remedy == INCOMPLETE
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_one_wrong_bit_is_found_by_reading_back(tool: str) -> None:
    with Stm32Rom(flip_after=9) as rom:
        with pytest.raises(FlashError, match="does not hold what was written"):
            flash(rom, tool)
        assert rom.started_at is None


def test_a_protected_flash_is_reported(tool: str) -> None:
    with Stm32Rom(refuse_erase=True) as rom:
        with pytest.raises(FlashError) as caught:
            flash(rom, tool)
        assert rom.writes == 0
    assert "rase" in str(caught.value) or "protected" in str(caught.value)


def test_after_a_failure_the_same_command_works(tool: str) -> None:
    with Stm32Rom(silent_after=10) as rom:
        with pytest.raises(FlashError):
            flash(rom, tool)
        half = bytes(rom.flash)
    with Stm32Rom() as rom:
        rom.flash[:] = half
        flash(rom, tool)
        assert holds(rom)


@needs_stm32flash
def test_a_full_disk_of_this_computer_is_found_before_the_board_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with Stm32Rom() as rom:
        with pytest.raises(FlashError, match=r"cannot write .*: No space left") as caught:
            flash(rom, "stm32flash")
        assert rom.erased == []
    assert caught.value.remedy == "make room on that disk; nothing was written to the board"


def test_stm32loader_alone_refuses_to_write_without_erasing_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_loader.shutil, "which", lambda _: None)
    with Stm32Rom() as rom:
        with pytest.raises(FlashError, match="can only erase the whole flash") as caught:
            SerialMethod().run(Job(F401, IMAGE, Target(port=rom.port, parity="none")), lambda *_: None)
        assert rom.erased == []
    assert "stm32flash" in caught.value.remedy


def test_without_any_tool_the_way_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_loader.shutil, "which", lambda _: None)
    monkeypatch.setattr(serial_loader, "_have_stm32loader", lambda: False)
    with pytest.raises(UsageError, match="neither stm32flash nor stm32loader is installed") as caught:
        choose(F401, "serial", Target(port="/dev/null"))
    assert "apt install stm32flash" in caught.value.remedy


@needs_stm32flash
@pytest.mark.parametrize(
    "board",
    [board for board in load() if "serial" in board.methods and board.rom_id not in UNKNOWN_TO_STM32FLASH],
    ids=lambda board: board.id,
)
def test_the_product_numbers_of_the_catalogue_are_those_that_stm32flash_knows(board: Any) -> None:
    import re

    from rootlet_host.flash import programs

    with Stm32Rom(product_id=board.rom_id) as rom:
        output = programs.run(["stm32flash", "-m", "8n1", rom.port], 5).output
    found = re.search(r"Device ID\s*:\s*0x[0-9a-fA-F]+ \((.*)\)", output)
    assert found, output
    # e.g. "STM32F401xD(E)" for STM32F401xE: the family letter and digit must agree.
    assert found.group(1)[:7].replace("x", "") in board.chip or board.chip[:7] in found.group(1), found.group(1)


@needs_stm32flash
def test_a_chip_that_stm32flash_does_not_know_is_named_with_another_way() -> None:
    board = load().get("NUCLEO_H563ZI")
    with Stm32Rom(product_id=board.rom_id or 0) as rom:
        with pytest.raises(FlashError, match="stm32flash does not know the chip") as caught:
            SerialMethod().run(Job(board, IMAGE, Target(port=rom.port, parity="none")), lambda *_: None)
        assert rom.writes == 0
    assert "--method" in caught.value.remedy


@needs_stm32flash
def test_such_a_chip_is_written_by_stm32loader_when_everything_is_erased() -> None:
    board = load().get("NUCLEO_H723ZG")
    parts = [(0x0800_0000, PARTS[0][1] + banner("NUCLEO_H723ZG with STM32H723xx"))]
    with Stm32Rom(product_id=board.rom_id or 0) as rom:
        job = Job(board, inspect(as_hex(parts), "x.hex"), Target(port=rom.port, parity="none"), erase=True)
        SerialMethod().run(job, lambda *_: None)
        assert holds(rom, parts)


def test_the_other_product_numbers_are_those_that_stm32loader_knows() -> None:
    from stm32loader.bootloader import CHIP_IDS

    for name, known in (("NUCLEO_H723ZG", "H72"), ("NUCLEO_H7A3ZI_Q", "H7A3"), ("NUCLEO_WL55", "WL55")):
        rom_id = load().get(name).rom_id
        assert rom_id in UNKNOWN_TO_STM32FLASH
        assert known in CHIP_IDS[rom_id]
