"""STM32 boards through the serial loader in their ROM, with stm32flash or the Python package stm32loader.

The ROM loader starts when BOOT0 is high at reset and listens on the USART pins that ST AN2606 lists for the chip. On
most Nucleo boards these are not the pins of the ST-LINK's virtual port, so a USB serial adapter is needed.
Protocol: ST AN3155.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..catalogue import Board
from ..errors import HostError
from ..firmware.images import Segment
from . import ports, programs
from .base import INCOMPLETE, FlashError, Job, Method, Obstacle, Progress, Target

DEFAULT_BAUD = 115_200
_CABLE = "a USB serial adapter at the ROM loader's USART (ST AN2606), with BOOT0 high"
_WAKE = "set BOOT0 high, press RESET, check RX and TX, and run the command again"
_PROTECTED = "remove the write or read protection with STM32CubeProgrammer"
_ANSWER_S = 2.0
_BLOCK = 256  # the most that one AN3155 command carries


class SerialMethod(Method):
    """AN3155 over a serial adapter."""

    name = "serial"
    title = "STM32 ROM loader over a serial adapter (BOOT0 high)"
    formats = ("hex", "dfu", "bin")

    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        if _stm32flash() is None and not _have_stm32loader():
            return Obstacle(
                "neither stm32flash nor stm32loader is installed",
                "apt install stm32flash, or pip install 'rootlet[stm32]'",
            )
        return ports.pick(target.port, ports.ADAPTER_VENDORS, _CABLE).obstacle

    def plan(self, job: Job) -> list[str]:
        tool = "stm32flash" if _stm32flash() else "stm32loader"
        steps = [f"ask the ROM loader with {tool} for its chip and refuse all but {job.board.chip}"]
        if job.erase:
            steps.append("erase the whole flash, file system included")
        for part in _order(job):
            steps.append(f"write {len(part.data)} bytes at {part.address:#010x} and read them back")
        return [*steps, "start the firmware"]

    def run(self, job: Job, progress: Progress) -> str | None:
        found = ports.pick(job.target.port, ports.ADAPTER_VENDORS, _CABLE)
        if found.port is None:
            raise FlashError(str(found.obstacle), exit_code=2)
        program = _stm32flash()
        if program is not None:
            try:
                _Stm32flash(program, job, found.port, progress).run()
            except _ChipUnknownToStm32flash:
                if not (job.erase and _have_stm32loader()):
                    raise
                _Stm32loader(job, found.port, progress).run()
        elif job.erase:
            _Stm32loader(job, found.port, progress).run()
        else:
            # stm32loader counts pages of one size, which erases the wrong sectors of an STM32F4 or F7.
            raise FlashError(
                "stm32loader can only erase the whole flash",
                remedy="apt install stm32flash, or add --erase",
                exit_code=2,
            )
        return None


def _stm32flash() -> str | None:
    return shutil.which("stm32flash")


def _have_stm32loader() -> bool:
    return importlib.util.find_spec("stm32loader") is not None


def _order(job: Job) -> list[Segment]:
    """The vector table comes last: a board whose write was interrupted then has none and cannot start."""
    parts = sorted(job.image.placed(job.board), key=lambda part: part.address)
    return [*parts[1:], parts[0]]


class _ChipUnknownToStm32flash(FlashError):
    """stm32flash 0.7 lacks the newer families (H5, U5, WB, WL, some H7)."""


def _wrong_chip(found: int, board: Board) -> FlashError:
    return FlashError(
        f"the chip that answers has the product number {found:#05x}, and {board.id} has {board.rom_id:#05x}",
        remedy="nothing was written; name the board that is attached",
    )


class _Stm32flash:
    """Debian's stm32flash, one run for each contiguous part of the image."""

    def __init__(self, program: str, job: Job, port: str, progress: Progress) -> None:
        self.program = program
        self.job = job
        self.port = port
        self.progress = progress
        self.touched = False
        self.done = 0
        self.total = sum(len(part.data) for part in job.image.placed(job.board))

    def run(self) -> None:
        self.progress("connect", 0, 0)
        self._check_chip()
        parts = _order(self.job)
        try:
            with tempfile.TemporaryDirectory(prefix="rootlet-") as folder:
                programs.store(Path(folder), parts)
                self._erase(parts)
                for part in parts:
                    file = programs.part_file(Path(folder), part)
                    # -g starts the firmware: only after the vector table, which is the last part.
                    start = ["-g", f"{part.address:#x}"] if part is parts[-1] else []
                    span = f"{part.address:#x}:{len(part.data)}"
                    self._call(["-w", str(file), "-v", "-n", "3", "-S", span, *start], part)
                    self.done += len(part.data)
        except KeyboardInterrupt:
            if not self.touched:
                raise
            raise FlashError("interrupted while writing", remedy=INCOMPLETE, exit_code=130) from None

    def _erase(self, parts: list[Segment]) -> None:
        self.progress("erase", 0, 0)
        self.touched = True
        if self.job.erase:
            self._call(["-o"], None)
        elif len(parts) > 1:
            # The first page holds the vector table (-S would want the length of whole pages).
            self._call(["-o", "-s", "0", "-e", "1"], None)

    def _check_chip(self) -> None:
        output = self._call([], None)
        stated = re.search(r"Device ID\s*:\s*(0x[0-9a-fA-F]+)", output)
        if stated is None:
            raise FlashError(f"stm32flash did not name the chip on {self.port}", remedy="nothing was written")
        found = int(stated.group(1), 16)
        if self.job.board.rom_id is not None and found != self.job.board.rom_id:
            raise _wrong_chip(found, self.job.board)

    def _call(self, arguments: list[str], part: Segment | None) -> str:
        mode = "8e1" if self.job.target.parity == "even" else "8n1"
        command = [self.program, "-b", str(self.job.target.baud or DEFAULT_BAUD), "-m", mode, *arguments, self.port]

        def on_text(text: str) -> None:
            percent = re.findall(r"\((\d+(?:\.\d+)?)%\)", text)
            if part is not None and percent:
                self.progress("write", self.done + int(len(part.data) * float(percent[-1]) / 100), self.total)

        ended = programs.run(command, self.job.target.timeout_s, on_text)
        if ended.code != 0:
            raise self._explain(ended)
        return ended.output

    def _explain(self, ended: programs.Finished) -> FlashError:
        text = ended.output
        remedy = INCOMPLETE if self.touched else _WAKE
        unknown = re.search(r"[Uu]nknown/unsupported device \(Device ID: (0x[0-9a-fA-F]+)\)", text)
        if unknown is not None:
            found = int(unknown.group(1), 16)
            if self.job.board.rom_id is not None and found != self.job.board.rom_id:
                return _wrong_chip(found, self.job.board)
            return _ChipUnknownToStm32flash(
                f"stm32flash does not know the chip with the number {found:#05x}",
                remedy="nothing was written; take another --method, or --erase with stm32loader installed",
            )
        if "verify" in text.lower() and "fail" in text.lower():
            return FlashError("the flash does not hold what was written", remedy=remedy)
        if ended.code == programs.TIMED_OUT or "Failed to init device" in text or "Timeout" in text:
            if self.touched:
                return FlashError(f"the ROM loader on {self.port} fell silent while writing", remedy=remedy)
            return FlashError(f"no STM32 ROM loader answers on {self.port}", remedy=remedy)
        return FlashError(f"stm32flash failed: {_problem_line(text)}", remedy=remedy)


class _Stm32loader:
    """The Python package stm32loader, for systems without stm32flash; erases the whole flash first."""

    def __init__(self, job: Job, port: str, progress: Progress) -> None:
        self.job = job
        self.port = port
        self.progress = progress
        self.touched = False

    def run(self) -> None:
        import serial
        from stm32loader.bootloader import Stm32Bootloader, Stm32LoaderError

        parity = serial.PARITY_EVEN if self.job.target.parity == "even" else serial.PARITY_NONE
        try:
            with (
                contextlib.redirect_stderr(io.StringIO()),  # its remarks are not ours
                serial.Serial(
                    self.port,
                    self.job.target.baud or DEFAULT_BAUD,
                    parity=parity,
                    timeout=min(_ANSWER_S, self.job.target.timeout_s),
                    exclusive=True,
                ) as connection,
            ):
                family = self.job.board.chip.removeprefix("STM32")[:2]
                known = family if family in Stm32Bootloader.FLASH_SIZE_ADDRESS else None
                self._flash(Stm32Bootloader(connection, device_family=known, verbosity=0))
        except HostError:
            raise
        except KeyboardInterrupt:
            if not self.touched:
                raise
            raise FlashError("interrupted while writing", remedy=INCOMPLETE, exit_code=130) from None
        # IndexError: stm32loader takes the first byte of an answer that did not come.
        except (Stm32LoaderError, IndexError, OSError) as error:
            if self.touched:
                if "NACK" in str(error):
                    raise FlashError("the ROM loader refuses: the flash is protected", remedy=_PROTECTED) from error
                raise FlashError(f"the ROM loader on {self.port} stopped answering", remedy=INCOMPLETE) from error
            raise FlashError(f"no STM32 ROM loader answers on {self.port}", remedy=_WAKE) from error

    def _flash(self, loader: Any) -> None:
        self.progress("connect", 0, 0)
        loader.reset_from_system_memory()
        loader.get()
        found = loader.get_id()
        if self.job.board.rom_id is not None and found != self.job.board.rom_id:
            raise _wrong_chip(found, self.job.board)
        self.progress("erase", 0, 0)
        self.touched = True
        loader.erase_memory()
        parts = _order(self.job)
        total = sum(len(part.data) for part in parts)
        done = 0
        for part in parts:
            for offset in range(0, len(part.data), _BLOCK):
                block = part.data[offset : offset + _BLOCK]
                loader.write_memory(part.address + offset, bytearray(block))
                if bytes(loader.read_memory(part.address + offset, len(block))) != block:
                    raise FlashError("the flash does not hold what was written", remedy=INCOMPLETE)
                done += len(block)
                self.progress("write", done, total)
        self.progress("reset", 0, 0)
        loader.go(parts[-1].address)


def _problem_line(text: str) -> str:
    """The line that tells what went wrong: a program's two outputs arrive joined, not always in order."""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"fail|error|invalid|unsupported|can't|nack", line, re.IGNORECASE)]
    return (telling or lines or ["it said nothing"])[-1]
