"""ESP32: esptool against a ROM loader that is simulated down to its serial protocol, with faults."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.catalogue import Board, load
from rootlet_host.firmware.images import Image, inspect
from rootlet_host.flash.base import INCOMPLETE, FlashError, Job, Target
from rootlet_host.flash.esp32 import EsptoolMethod
from simulators.esp32_rom import Esp32
from simulators.firmware import ESP32_BOARDS, esp_firmware

OLD = b"old firmware and files " * 200_000  # more than 4 MiB, so the whole flash


def image_of(chip: str, **options: Any) -> Image:
    return inspect(esp_firmware(chip, **options), "firmware.bin")


def flash(rom: Esp32, board: Board, image: Image, *, erase: bool = False) -> list[tuple[str, int, int]]:
    steps: list[tuple[str, int, int]] = []
    target = Target(port=rom.port)
    port = EsptoolMethod().run(Job(board, image, target, erase), lambda *step: steps.append(step))
    assert port == rom.port
    return steps


@pytest.mark.parametrize(("chip", "name"), ESP32_BOARDS.items())
def test_the_firmware_arrives_byte_for_byte_and_nothing_else_changes(chip: str, name: str) -> None:
    board, image = load().get(name), image_of(chip)
    with Esp32(chip, content=OLD) as rom:
        before = bytes(rom.flash.data)
        steps = flash(rom, board, image)
        after = bytes(rom.flash.data)
    start = board.flash_address or 0
    end = start + len(image.data)
    assert after[start:end] == image.data
    assert after[:start] == before[:start]
    # esptool fills the last sector up; the file system beyond it stays.
    assert after[(end + 0xFFF) & ~0xFFF :] == before[(end + 0xFFF) & ~0xFFF :]
    assert steps[0][0] == "connect"
    assert steps[-1][0] == "reset"
    written = [step for step in steps if step[0] == "write"]
    assert written[-1][1] == written[-1][2] > 0
    assert len(written) > 3, "the progress is shown on the way"


def test_erase_clears_the_file_system_too() -> None:
    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")
    with Esp32("esp32c3", content=OLD) as rom:
        flash(rom, board, image, erase=True)
        content = bytes(rom.flash.data)
    assert content[: len(image.data)] == image.data
    assert set(content[len(image.data) :]) == {0xFF}


def test_what_was_written_can_be_read_back_with_esptool() -> None:
    import esptool
    from rootlet_host.esptool_log import captured

    board, image = load().get("ESP32_GENERIC"), image_of("esp32", size=20_000)
    with Esp32("esp32") as rom:
        flash(rom, board, image)
        content = bytes(rom.flash.data)
    with Esp32("esp32", content=content) as rom, captured():
        rom.patient()
        loader = esptool.detect_chip(rom.port, connect_attempts=3)
        try:
            loader = esptool.run_stub(loader)
            esptool.attach_flash(loader)
            read = loader.read_flash(0x1000, len(image.data), None)
        finally:
            loader._port.close()
    assert read == image.data


@pytest.mark.parametrize(("attached", "wanted"), [("esp32s3", "ESP32_GENERIC_C3"), ("esp32", "ESP32_GENERIC_S2")])
def test_another_chip_is_refused_before_anything_is_written(attached: str, wanted: str) -> None:
    board = load().get(wanted)
    with Esp32(attached, content=OLD) as rom:
        with pytest.raises(FlashError, match=f"and {wanted} has an {board.chip}") as caught:
            flash(rom, board, image_of(board.chip), erase=True)
        assert bytes(rom.flash.data) == OLD[: len(rom.flash.data)]
    assert "nothing was written" in caught.value.remedy


def test_a_board_that_is_refused_starts_its_old_firmware_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import esptool

    resets: list[str] = []
    real = esptool.reset_chip
    monkeypatch.setattr(esptool, "reset_chip", lambda loader, mode: (resets.append(mode), real(loader, mode)))
    with Esp32("esp32s3", content=OLD) as rom, pytest.raises(FlashError, match="nothing was written"):
        flash(rom, load().get("ESP32_GENERIC_C3"), image_of("esp32c3"))
    assert resets == ["hard-reset"]
    with Esp32("esp32c3", flip=0x8000) as rom, pytest.raises(FlashError, match="does not hold"):
        flash(rom, load().get("ESP32_GENERIC_C3"), image_of("esp32c3"))
    assert resets == ["hard-reset"], "an incomplete firmware is not started"


def test_one_wrong_bit_is_found_and_the_broken_firmware_cannot_start() -> None:
    board, image = load().get("ESP32_GENERIC"), image_of("esp32")
    with Esp32("esp32", flip=0x1000 + 0x9000) as rom:
        with pytest.raises(FlashError, match="does not hold what was written") as caught:
            flash(rom, board, image)
        assert rom.flash.data[0x1000] == 0xFF, "the boot loader's header is gone"
    assert "cannot start" in caught.value.remedy
    assert caught.value.exit_code == 1


def test_an_image_larger_than_the_flash_is_refused_before_anything_is_written() -> None:
    # The board of the catalogue has 8 MiB, the attached one 4.
    board, image = load().get("ESP32_GENERIC_S3"), inspect(esp_firmware("esp32s3") + bytes(5 << 20), "firmware.bin")
    with Esp32("esp32s3", content=OLD) as rom:
        with pytest.raises(FlashError, match="bytes of flash and the board has 4194304") as caught:
            flash(rom, board, image, erase=True)
        assert bytes(rom.flash.data) == OLD[: len(rom.flash.data)]
    assert "nothing was written" in caught.value.remedy


def test_a_cable_that_is_pulled_while_writing_is_reported_with_the_state_of_the_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import esptool.cmds

    # esptool waits a second between its attempts to find the chip again.
    monkeypatch.setattr(esptool.cmds, "DEFAULT_CONNECT_ATTEMPTS", 1)
    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")
    with Esp32("esp32c3", cut_after=32_000) as rom, pytest.raises(FlashError, match="broke off") as caught:
        flash(rom, board, image)
    assert caught.value.remedy == INCOMPLETE
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_a_port_whose_buffers_cannot_be_emptied_any_more_is_a_cable_that_was_pulled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import termios

    import esptool

    def gone(*_: object, **__: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(esptool, "write_flash", gone)
    with Esp32("esp32c3") as rom, pytest.raises(FlashError, match="Input/output error"):
        flash(rom, load().get("ESP32_GENERIC_C3"), image_of("esp32c3"))


def test_a_board_that_falls_silent_while_writing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import esptool.cmds

    monkeypatch.setattr(esptool.cmds, "_get_flash_defl_block_timeout", lambda *_: 0.3)
    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")
    with Esp32("esp32c3", silent_after=32_000) as rom, pytest.raises(FlashError) as caught:
        flash(rom, board, image)
    assert caught.value.remedy == INCOMPLETE


def test_a_port_on_which_nothing_answers_is_reported() -> None:
    master, slave = os.openpty()
    try:
        started = time.monotonic()
        with pytest.raises(FlashError, match="no ESP32 answers") as caught:
            EsptoolMethod().run(
                Job(load().get("ESP32_GENERIC"), image_of("esp32"), Target(port=os.ttyname(slave))), lambda *_: None
            )
        assert time.monotonic() - started < 30
    finally:
        os.close(master)
        os.close(slave)
    assert "BOOT" in caught.value.remedy


def test_a_flash_that_holds_something_else_afterwards_is_refused_by_our_own_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import esptool

    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")
    monkeypatch.setattr(esptool, "write_flash", lambda *_, **__: None)
    with Esp32("esp32c3", content=OLD) as rom:
        with pytest.raises(FlashError, match="does not hold what was written"):
            flash(rom, board, image)
        assert rom.flash.data[0] == 0xFF


def test_a_refusal_of_esptool_before_it_writes_is_not_called_a_broken_write(monkeypatch: pytest.MonkeyPatch) -> None:
    import esptool

    def refuse(*_: Any, **__: Any) -> None:
        raise esptool.FatalError("'x' requires chip revision v3.0 or higher (this chip is revision v1.0).")

    monkeypatch.setattr(esptool, "write_flash", refuse)
    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")
    with Esp32("esp32c3", content=OLD) as rom:
        with pytest.raises(FlashError, match="requires chip revision") as caught:
            flash(rom, board, image)
        assert bytes(rom.flash.data) == OLD[: len(rom.flash.data)]
    assert caught.value.remedy == "nothing was written"


def test_an_interruption_while_writing_says_what_the_board_is_left_with() -> None:
    board, image = load().get("ESP32_GENERIC_C3"), image_of("esp32c3")

    def interrupt(phase: str, done: int, _: int) -> None:
        if phase == "write" and done > 20_000:
            raise KeyboardInterrupt

    with Esp32("esp32c3") as rom, pytest.raises(FlashError, match="interrupted while writing") as caught:
        EsptoolMethod().run(Job(board, image, Target(port=rom.port)), interrupt)
    assert caught.value.exit_code == 130
    assert caught.value.remedy == INCOMPLETE


def test_the_plan_says_what_is_erased_and_where_it_is_written(tmp_path: Path) -> None:
    job = Job(load().get("ESP32_GENERIC"), image_of("esp32"), Target(port="/dev/ttyX"), erase=True)
    plan = EsptoolMethod().plan(job)
    assert any("/dev/ttyX" in step and "esp32" in step for step in plan)
    assert any("erase the whole flash" in step for step in plan)
    assert any("0x1000" in step for step in plan)
