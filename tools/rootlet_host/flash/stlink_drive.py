"""Nucleo boards through the drive that their ST-LINK shows: copy a file, and the ST-LINK programs the chip.

The drive holds DETAILS.TXT and MBED.HTM. After the copy the ST-LINK programs the chip and unplugs and replugs the
drive; the copied file is never listed again. When programming fails FAIL.TXT appears with the reason. ST-LINK firmware
before V2J37 takes raw binaries only (ARMmbed/mbed-cli issue 980). Volume names: NODE_F411RE, NOD_F767ZI, NUCLEO
(danieleff/STM32GENERIC issue 12).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
import time
from pathlib import Path

from ..catalogue import Board
from ..firmware.images import Segment
from .base import INCOMPLETE, FlashError, Job, Method, Obstacle, Progress, Target

_MARKS = ("DETAILS.TXT", "MBED.HTM", "MBED.HTML")
_FAIL = "FAIL.TXT"
_BLOCK = 16 * 1024
_POLL_S = 0.05
# The drive of a freshly written file shows it for a moment from the system's cache before it goes away.
_GONE_WITHIN_S = 20.0


class StlinkDriveMethod(Method):
    """Copy to the ST-LINK drive."""

    name = "stlink-drive"
    title = "ST-LINK USB drive (copy a file)"
    formats = ("hex", "dfu", "bin")
    can_erase = False

    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        if target.volume is not None:
            if not target.volume.is_dir():
                return Obstacle(
                    f"{target.volume} is not a folder", "name the folder where the ST-LINK drive is mounted"
                )
            if not _is_stlink(target.volume):
                return Obstacle(
                    f"{target.volume} is not an ST-LINK drive (neither DETAILS.TXT nor MBED.HTM is on it)",
                    "name the folder where the ST-LINK drive is mounted",
                )
            return _unsuitable(target.volume, board)
        found = volumes()
        fitting = [volume for volume in found if _unsuitable(volume, board) is None]
        if len(fitting) == 1:
            return None
        if not found:
            return Obstacle(
                "no ST-LINK drive is mounted", "plug the board in at its ST-LINK connector and mount its drive"
            )
        if not fitting:
            return _unsuitable(found[0], board)
        names = ", ".join(str(volume) for volume in fitting)
        return Obstacle(f"{len(fitting)} ST-LINK drives are mounted ({names})", "name one with --volume")

    def plan(self, job: Job) -> list[str]:
        name, data, remark = payload(job)
        volume = job.target.volume or "the only ST-LINK drive"
        steps = [f"copy {name} ({len(data)} bytes) to {volume}"]
        if remark:
            steps.append(remark)
        return [*steps, "wait until the ST-LINK has programmed the chip and the drive is back, and look for FAIL.TXT"]

    def run(self, job: Job, progress: Progress) -> str | None:
        obstacle = self.obstacle(job.board, job.target)
        if obstacle is not None:
            raise FlashError(str(obstacle), exit_code=2)
        volume = job.target.volume or next(v for v in volumes() if _unsuitable(v, job.board) is None)
        name, data, _ = payload(job)
        before = _fail_text(volume)
        _copy(volume / name, data, progress)
        progress("program", 0, 0)
        try:
            _await_result(volume, name, before, job.target.timeout_s)
        except KeyboardInterrupt:
            remedy = "it goes on by itself: wait until the drive is back, and look for FAIL.TXT on it"
            raise FlashError("interrupted while the ST-LINK programs the chip", remedy=remedy, exit_code=130) from None
        return None


def volumes() -> list[Path]:
    """Every mounted ST-LINK drive."""
    return [path for path in _mount_points() if _is_stlink(path)]


def _mount_points() -> list[Path]:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            kinds = ("vfat", "msdos", "fuseblk", "exfat")
            rows = [line.split() for line in lines]
            # The kernel writes blanks in a path as \040 (man 5 fstab).
            return [
                Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), row[1]))
                for row in rows
                if len(row) > 2 and row[2] in kinds
            ]
        return []
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").iterdir())
    if sys.platform == "win32":
        return [Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ" if Path(f"{letter}:/").exists()]
    return []


def _is_stlink(path: Path) -> bool:
    try:
        return any((path / mark).is_file() for mark in _MARKS)
    except OSError:
        return False


def _unsuitable(volume: Path, board: Board) -> Obstacle | None:
    """A drive's name tells its board (NODE_F401RE); one named NUCLEO or otherwise says nothing."""
    match = re.fullmatch(r"NODE?_([A-Z0-9]+)", volume.name.upper())
    if match is None:
        return None
    # FAT names have 11 characters, so long board names are cut.
    own = re.sub(r"[^A-Z0-9]", "", board.id.upper().removeprefix("NUCLEO"))
    if own.startswith(match.group(1)) or match.group(1).startswith(own):
        return None
    return Obstacle(f"the drive {volume} belongs to a Nucleo {match.group(1)}", f"plug in the {board.id}")


def payload(job: Job) -> tuple[str, bytes, str]:
    """(file name for the drive, its content, a remark or nothing): Intel HEX where the image has gaps, else binary."""
    parts = sorted(job.image.placed(job.board), key=lambda part: part.address)
    if len(parts) == 1 and parts[0].address == job.board.flash_address:
        return "firmware.bin", parts[0].data, ""
    remark = (
        "the file is Intel HEX, since the image has a gap for the file system: it needs ST-LINK firmware V2J37 or newer"
    )
    if job.image.kind == "hex":
        return "firmware.hex", job.image.data, remark
    return "firmware.hex", _as_hex(parts), remark


def _as_hex(parts: list[Segment]) -> bytes:
    from intelhex import IntelHex

    writer = IntelHex()
    for part in parts:
        writer.frombytes(part.data, offset=part.address)
    text = io.StringIO()
    writer.write_hex_file(text)
    return text.getvalue().encode("ascii")


def _fail_text(volume: Path) -> str | None:
    """The text of FAIL.TXT, or None when there is none (or the drive is away)."""
    try:
        for path in volume.iterdir():
            if path.name.upper() == _FAIL:
                return " ".join(path.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return None
    return None


def _copy(path: Path, data: bytes, progress: Progress) -> None:
    done = 0
    try:
        with path.open("wb", buffering=0) as file:
            while done < len(data):  # a drive that fills up takes a part of a block
                done += file.write(data[done : done + _BLOCK])
                progress("write", done, len(data))
            os.fsync(file.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, KeyboardInterrupt):
            raise FlashError("interrupted while copying", remedy=INCOMPLETE, exit_code=130) from None
        if not isinstance(error, OSError):
            raise
        raise _copy_failed(path, error, done) from error


def _copy_failed(path: Path, error: OSError, done: int) -> FlashError:
    if error.errno == errno.ENOSPC:
        remedy = "update the ST-LINK firmware (ST's STSW-LINK007), which then takes Intel HEX, or take another --method"
        return FlashError(f"the file does not fit on the drive {path.parent}", remedy=remedy)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "mount it for your user, e.g. with udisksctl mount"
        return FlashError(f"you may not write to the drive {path.parent}", remedy=remedy, exit_code=2)
    remedy = INCOMPLETE if done else "nothing was written; plug the board in again"
    return FlashError(f"copying to {path.parent} broke off ({error.strerror})", remedy=remedy)


def _await_result(volume: Path, name: str, before: str | None, timeout_s: float) -> None:
    """Wait until the drive went away and came back, and find out how programming ended."""
    started = time.monotonic()
    went_away = False
    while True:
        present = _is_stlink(volume)
        if not present:
            went_away = True
            # Desktops mount it beside a folder that is still in use: NODE_F401RE1 (udisks), NODE_F401RE 1 (macOS).
            again = [path for path in volumes() if path.name.startswith(volume.name)]
            if len(again) == 1:
                volume, present = again[0], True
        text = _fail_text(volume) if present else None
        if text is not None and (text != before or went_away):
            raise FlashError(f"the ST-LINK could not program the chip: {text}", remedy=INCOMPLETE)
        if present and went_away:
            if not (volume / name).exists():
                return
            raise FlashError("the file is still on the drive, so the ST-LINK did not take it", remedy=INCOMPLETE)
        waited = time.monotonic() - started
        if went_away and waited > timeout_s:
            raise FlashError(
                f"the drive {volume} has not come back after {timeout_s:.0f} s",
                remedy="mount it again, look for FAIL.TXT on it, and press RESET",
            )
        if not went_away and waited > min(_GONE_WITHIN_S, timeout_s):
            raise FlashError(
                f"the ST-LINK did not take the file on {volume}",
                remedy="unplug the board, plug it in again and repeat; update the ST-LINK firmware if it stays so",
            )
        time.sleep(_POLL_S)
