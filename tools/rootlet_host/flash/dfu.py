"""STM32 boards with their own USB connector through the DFU loader in the ROM, with dfu-util.

The loader appears as USB device 0483:df11 when BOOT0 is high at reset or after `machine.bootloader()`. Sources: ST
AN3156; the manual of dfu-util 0.11 (`--dfuse-address`, section DfuSe).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..catalogue import Board
from . import programs
from .base import INCOMPLETE, FlashError, Job, Method, Obstacle, Progress, Target

USB_ID = "0483:df11"
_ENTER = "connect the board's own USB port with BOOT0 high and press RESET, or run machine.bootloader() on it"
_RULE = 'SUBSYSTEM=="usb", ATTRS{idVendor}=="0483", ATTRS{idProduct}=="df11", MODE="0660", GROUP="plugdev"'
_UDEV = f"add the udev rule {_RULE} in /etc/udev/rules.d and plug the board in again"
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Device:
    """One DFU interface as dfu-util lists it."""

    serial: str
    alternate: int
    name: str


class DfuMethod(Method):
    """dfu-util."""

    name = "dfu"
    title = "USB DFU loader with dfu-util (BOOT0 high)"
    formats = ("dfu", "hex", "bin")

    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        program = shutil.which("dfu-util")
        if program is None:
            return Obstacle("dfu-util is not installed", "apt install dfu-util (macOS: brew install dfu-util)")
        ended = programs.run([program, "--list"], _TIMEOUT_S)
        found = sorted({device.serial for device in parse_list(ended.output)})
        if target.serial_number is not None:
            if target.serial_number not in found:
                listed = f" (attached: {', '.join(found)})" if found else ""
                return Obstacle(f"no DFU device has the serial number {target.serial_number}{listed}", _ENTER)
            return None
        if not found:
            if "LIBUSB_ERROR_ACCESS" in ended.output or "Cannot open" in ended.output:
                return Obstacle("you may not open the DFU device", _UDEV)
            return Obstacle("no board in DFU mode is attached", _ENTER)
        if len(found) > 1:
            return Obstacle(
                f"{len(found)} boards in DFU mode are attached ({', '.join(found)})",
                "name one serial number with --port",
            )
        return None

    def plan(self, job: Job) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="rootlet-") as folder:
            return ["dfu-util " + " ".join(arguments) for arguments in commands(job, Path(folder), write=False)]

    def run(self, job: Job, progress: Progress) -> str | None:
        program = shutil.which("dfu-util")
        obstacle = self.obstacle(job.board, job.target)
        if program is None or obstacle is not None:
            raise FlashError(str(obstacle), exit_code=2)
        touched = False
        try:
            with tempfile.TemporaryDirectory(prefix="rootlet-") as folder:
                for number, arguments in enumerate(commands(job, Path(folder), write=True)):
                    touched = True
                    ended = programs.run(
                        [program, *arguments], job.target.timeout_s, lambda text: _report(text, job, progress)
                    )
                    if problem := problem_in(ended, number):
                        raise problem
        except KeyboardInterrupt:
            if not touched:
                raise
            raise FlashError("interrupted while writing", remedy=INCOMPLETE, exit_code=130) from None
        return None


def parse_list(output: str) -> list[Device]:
    """The devices in the output of `dfu-util --list`."""
    pattern = rf'Found DFU: \[{USB_ID}\].*?alt=(\d+), name="(.*?)", serial="(.*?)"'
    return [
        Device(serial=match[2], alternate=int(match[0]), name=match[1])
        for match in re.findall(pattern, output, re.IGNORECASE)
    ]


def commands(job: Job, folder: Path, *, write: bool) -> list[list[str]]:
    """The arguments of every dfu-util run; with `write` the files they name are made in `folder`."""
    start = ["-d", USB_ID, "-a", "0"]
    if job.target.serial_number is not None:
        start += ["-S", job.target.serial_number]
    parts = sorted(job.image.placed(job.board), key=lambda part: part.address)
    # The vector table goes in last: after --erase, a board whose write was interrupted has none and cannot start.
    parts = [*parts[1:], parts[0]]
    if write:
        programs.store(folder, parts)
    runs: list[list[str]] = []
    for number, part in enumerate(parts):
        options = ""
        if number == 0 and job.erase:
            options += ":mass-erase:force"
        if number == len(parts) - 1:
            options += ":leave"
        runs.append([*start, "-s", f"{part.address:#010x}{options}", "-D", str(programs.part_file(folder, part))])
    return runs


def problem_in(ended: programs.Finished, before: int = 0) -> FlashError | None:
    """What went wrong in a run of dfu-util after `before` good ones, from its exit code and texts (dfu-util 0.11)."""
    text = ended.output
    state = f"{INCOMPLETE}; for that, " if before else ""
    if ended.code == 0 and "File downloaded successfully" in text:
        return None
    if ended.code == programs.TIMED_OUT:
        return FlashError("dfu-util hangs", remedy=INCOMPLETE)
    if "No DFU capable USB device" in text:
        return FlashError("the board left DFU mode", remedy=state + _ENTER)
    if "LIBUSB_ERROR_ACCESS" in text or "Cannot open DFU device" in text:
        return FlashError("you may not open the DFU device", remedy=state + _UDEV, exit_code=1 if before else 2)
    if "is not writeable" in text:
        return FlashError(f"the firmware does not fit this chip ({_last_line(text)})", remedy=INCOMPLETE)
    return FlashError(f"dfu-util failed: {_last_line(text)}", remedy=INCOMPLETE)


def _report(text: str, job: Job, progress: Progress) -> None:
    percents = re.findall(r"(\d+)%", text)
    if percents:
        phase = "erase" if "Erase" in text else "write"
        total = sum(len(part.data) for part in job.image.segments)
        progress(phase, total * int(percents[-1]) // 100, total)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].removeprefix("dfu-util: ") if lines else "it said nothing"
