"""Nucleo over the ST-LINK drive: found by its marks, copied to, awaited, and asked for FAIL.TXT."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.catalogue import load
from rootlet_host.errors import UsageError
from rootlet_host.firmware.images import Image, inspect
from rootlet_host.flash import stlink_drive
from rootlet_host.flash.base import FlashError, Job, Target
from rootlet_host.flash.registry import choose
from rootlet_host.flash.stlink_drive import StlinkDriveMethod, payload
from simulators.firmware import as_dfu, as_hex, banner, stm32_parts
from simulators.stlink_drive import StlinkDrive

F401 = load().get("NUCLEO_F401RE")
PARTS = stm32_parts(size=4_000)
HEX = inspect(as_hex(PARTS), "firmware.hex")


def flash(folder: Path, image: Image = HEX, timeout_s: float = 5.0) -> list[tuple[str, int, int]]:
    steps: list[tuple[str, int, int]] = []
    job = Job(F401, image, Target(volume=folder, timeout_s=timeout_s))
    StlinkDriveMethod().run(job, lambda *step: steps.append(step))
    return steps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "NODE_F401RE"


@pytest.mark.parametrize("build", [as_hex, as_dfu])
def test_the_firmware_arrives_and_the_gap_for_the_files_stays(folder: Path, build: Any) -> None:
    with StlinkDrive(folder) as drive:
        steps = flash(folder, inspect(build(PARTS), "firmware"))
        for address, data in PARTS:
            assert drive.content(address, len(data)) == data
        assert set(drive.flash) & set(range(0x0800_4000, 0x0802_0000)) == set()
        assert drive.programmed == 1
    assert steps[-1][0] == "program"
    assert sorted(path.name for path in folder.iterdir()) == ["DETAILS.TXT", "MBED.HTM"]


def test_an_image_in_one_part_goes_as_a_raw_binary(folder: Path) -> None:
    data = PARTS[0][1] + banner("NUCLEO-F401RE with STM32F401xE")
    with StlinkDrive(folder, hex_understood=False) as drive:
        flash(folder, inspect(data, "firmware.bin"))
        assert drive.content(0x0800_0000, len(data)) == data


def test_the_reason_in_fail_txt_is_reported(folder: Path) -> None:
    with StlinkDrive(folder, halt_fails=True), pytest.raises(FlashError, match="FAILED to reset/halt") as caught:
        flash(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_an_old_st_link_that_does_not_know_hex_is_reported(folder: Path) -> None:
    with (
        StlinkDrive(folder, hex_understood=False),
        pytest.raises(FlashError, match="file format is unknown"),
    ):
        flash(folder)


def test_an_old_fail_txt_is_not_taken_for_a_new_one(folder: Path) -> None:
    with StlinkDrive(folder, old_failure="The target could not be erased\r\n") as drive:
        flash(folder)
        assert drive.programmed == 1


def test_the_same_failure_twice_is_a_failure(folder: Path) -> None:
    with (
        StlinkDrive(
            folder, halt_fails=True, old_failure="The interface firmware FAILED to reset/halt the target MCU\r\n"
        ),
        pytest.raises(FlashError, match="FAILED to reset/halt"),
    ):
        flash(folder)


def test_a_drive_that_does_not_come_back_is_reported(folder: Path) -> None:
    with StlinkDrive(folder, stays_away=True), pytest.raises(FlashError, match="has not come back after 1 s"):
        flash(folder, timeout_s=1)


def test_a_drive_that_ignores_the_file_is_reported(folder: Path) -> None:
    with StlinkDrive(folder, ignores=True), pytest.raises(FlashError, match="did not take the file"):
        flash(folder, timeout_s=1)


def test_a_full_drive_is_reported_and_the_part_that_was_copied_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stlink_drive.os, "fsync", full)
    with (
        StlinkDrive(folder, ignores=True),
        pytest.raises(FlashError, match="does not fit on the drive") as caught,
    ):
        flash(folder)
    assert "ST-LINK firmware" in caught.value.remedy
    assert not (folder / "firmware.hex").exists()


def test_a_drive_that_fills_up_in_the_last_block_is_reported(folder: Path) -> None:
    data = PARTS[0][1] + banner("NUCLEO-F401RE with STM32F401xE")
    with StlinkDrive(folder, ignores=True):
        before, kept = resource.getrlimit(resource.RLIMIT_FSIZE), len(data) - 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (kept, before[1]))  # as on a full drive, a write is cut short
        try:
            with pytest.raises(FlashError, match="broke off"):
                flash(folder, inspect(data, "firmware.bin"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not (folder / "firmware.bin").exists()


def test_a_drive_that_may_not_be_written_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with StlinkDrive(folder, ignores=True):
        monkeypatch.setattr(Path, "open", forbidden)
        with pytest.raises(FlashError, match="may not write") as caught:
            flash(folder)
    assert caught.value.exit_code == 2


def test_an_interrupted_copy_leaves_nothing_on_the_drive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stlink_drive.os, "fsync", interrupted)
    with StlinkDrive(folder, ignores=True), pytest.raises(FlashError, match="interrupted") as caught:
        flash(folder)
    assert caught.value.exit_code == 130
    assert not (folder / "firmware.hex").exists()


def test_a_drive_that_goes_away_before_the_copy_leaves_the_old_firmware_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StlinkDrive(folder, ignores=True) as drive:
        monkeypatch.setattr(stlink_drive, "_fail_text", lambda _: drive.folder.rename(folder.with_name("gone")))
        with pytest.raises(FlashError, match="broke off") as caught:
            flash(folder)
    assert "nothing was written" in caught.value.remedy


def test_an_interruption_while_the_st_link_programs_says_that_it_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stlink_drive.time, "sleep", interrupted)
    with StlinkDrive(folder, ignores=True), pytest.raises(FlashError, match="interrupted while the ST-LINK") as caught:
        flash(folder)
    assert caught.value.exit_code == 130
    assert "goes on by itself" in caught.value.remedy


# --- which drive --------------------------------------------------------------------------------------------------


def mounted(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setattr(stlink_drive, "_mount_points", lambda: list(folders))


def test_the_drive_is_found_by_its_marks_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stick, node = tmp_path / "STICK", tmp_path / "NODE_F401RE"
    stick.mkdir()
    mounted(monkeypatch, stick, node, tmp_path / "gone")
    with StlinkDrive(node) as drive:
        assert choose(F401, None, Target()).name == "stlink-drive"
        StlinkDriveMethod().run(Job(F401, HEX, Target(timeout_s=5)), lambda *_: None)
        assert drive.programmed == 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_drive_that_comes_back_under_another_name_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    old, new = tmp_path / "NODE_F401RE", tmp_path / "NODE_F401RE1"
    mounted(monkeypatch, old, new)
    with StlinkDrive(old, comes_back_as=new.name, halt_fails=fails) as drive:
        if fails:
            with pytest.raises(FlashError, match="FAILED to reset/halt"):
                flash(old)
        else:
            flash(old)
            assert drive.programmed == 1


def test_no_drive_two_drives_and_the_drive_of_another_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = StlinkDriveMethod()
    mounted(monkeypatch)
    obstacle = method.obstacle(F401, Target())
    assert obstacle is not None
    assert "no ST-LINK drive is mounted" in obstacle.reason

    first, second, other = tmp_path / "NODE_F401RE", tmp_path / "NUCLEO", tmp_path / "NOD_F767ZI"
    for path in (first, second, other):
        StlinkDrive(path)
    mounted(monkeypatch, first, second)
    obstacle = method.obstacle(F401, Target())
    assert obstacle is not None
    assert "2 ST-LINK drives" in obstacle.reason
    assert "--volume" in obstacle.remedy
    assert method.obstacle(F401, Target(volume=second)) is None

    mounted(monkeypatch, other)
    obstacle = method.obstacle(F401, Target())
    assert obstacle is not None
    assert "belongs to a Nucleo F767ZI" in obstacle.reason
    mounted(monkeypatch, first, other)
    assert method.obstacle(F401, Target()) is None, "only one of the two is for this board"


def test_a_folder_that_is_no_st_link_drive_is_refused(tmp_path: Path) -> None:
    for volume in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError):
            choose(F401, "stlink-drive", Target(volume=volume))


def test_mount_points_with_blanks_are_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "proc /proc proc rw 0 0\n/dev/sdb /media/me/NODE\\040F4 vfat rw 0 0\n/dev/sdc1 /data ext4 rw 0 0\n"
    monkeypatch.setattr(stlink_drive.sys, "platform", "linux")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert stlink_drive._mount_points() == [Path("/media/me/NODE F4")]


def test_erasing_everything_is_not_promised(folder: Path) -> None:
    with StlinkDrive(folder), pytest.raises(UsageError, match="cannot erase the whole flash"):
        choose(F401, "stlink-drive", Target(volume=folder), erase=True)


def test_the_plan_warns_about_old_st_link_firmware(folder: Path) -> None:
    job = Job(F401, HEX, Target(volume=folder))
    assert payload(job)[0] == "firmware.hex"
    assert any("V2J37" in step for step in StlinkDriveMethod().plan(job))
