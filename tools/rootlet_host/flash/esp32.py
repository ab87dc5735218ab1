"""ESP32 boards through esptool's Python API: detect, compare, erase, write, read the MD5 back, reset."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

from ..board.ports import PORT_FAULTS, explain
from ..catalogue import Board
from ..errors import HostError
from . import ports
from .base import INCOMPLETE, FlashError, Job, Method, Obstacle, Progress, Target

# Written as esptool's guide for MicroPython has it (ports/esp32/boards/deploy.md); slower rates work as well.
DEFAULT_BAUD = 460_800
_ROM_BAUD = 115_200
_SECTOR = 0x1000


class EsptoolMethod(Method):
    """The ROM loader of the ESP32 family over a serial port or the chip's own USB."""

    name = "esptool"
    title = "ESP32 ROM loader over the serial port"
    formats = ("esp",)

    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        return ports.pick(target.port, ports.ESP32_VENDORS, "the board with a data cable").obstacle

    def plan(self, job: Job) -> list[str]:
        part = job.image.placed(job.board)[0]
        steps = [f"detect the chip on {job.target.port or 'the only serial port'} and refuse all but {job.board.chip}"]
        if job.erase:
            steps.append("erase the whole flash, file system and saved Wi-Fi settings included")
        steps += [
            f"write {len(part.data)} bytes at {part.address:#x}",
            "read the MD5 of the written flash back and compare it",
            "reset the board",
        ]
        return steps

    def run(self, job: Job, progress: Progress) -> str | None:
        found = ports.pick(job.target.port, ports.ESP32_VENDORS, "the board with a data cable")
        if found.port is None:
            raise FlashError(str(found.obstacle), exit_code=2)
        _Session(job, found.port, progress).run()
        return found.port


class _Session:
    """One connection to one chip."""

    def __init__(self, job: Job, port: str, progress: Progress) -> None:
        self.job = job
        self.port = port
        self.progress = progress
        self.loader: Any = None
        self.erasing = False
        self.writing = False
        self.said: list[str] = []  # esptool's own lines

    @property
    def touched(self) -> bool:
        """Whether something of the old firmware is gone; esptool says so right before its first erase."""
        return self.erasing or self.writing or any(line.startswith("Flash will be erased") for line in self.said)

    def _on_write(self, done: int, total: int) -> None:
        self.writing = True
        self.progress("write", done, total)

    def run(self) -> None:
        import esptool
        from esptool.util import FatalError

        from ..esptool_log import captured

        try:
            with captured(self._on_write) as self.said:
                self._flash(esptool)
        except HostError:
            raise
        except (FatalError, *PORT_FAULTS, RuntimeError, ValueError, IndexError) as error:
            raise self._explain(error) from error
        except KeyboardInterrupt:
            if not self.touched:
                raise
            raise FlashError("interrupted while writing", remedy=INCOMPLETE, exit_code=130) from None
        finally:
            if self.loader is not None:
                with contextlib.suppress(FatalError, *PORT_FAULTS):
                    if not self.touched:  # the old firmware is whole, and would wait for a press of RESET
                        esptool.reset_chip(self.loader, "hard-reset")
                with contextlib.suppress(*PORT_FAULTS):
                    self.loader._port.close()

    def _flash(self, esptool: Any) -> None:
        board, part = self.job.board, self.job.image.placed(self.job.board)[0]
        self.progress("connect", 0, 0)
        self.loader = esptool.detect_chip(self.port, _ROM_BAUD, connect_attempts=3)
        found = str(self.loader.CHIP_NAME).lower().replace("-", "")
        if found != board.chip:
            raise FlashError(
                f"the chip on {self.port} is an {self.loader.CHIP_NAME}, and {board.id} has an {board.chip}",
                remedy="nothing was written; name the board that is attached",
            )
        self.loader = esptool.run_stub(self.loader)
        baud = self.job.target.baud or DEFAULT_BAUD
        if self.loader.IS_STUB and baud != _ROM_BAUD:
            self.loader.change_baud(baud)
        esptool.attach_flash(self.loader)
        size = _size_in_bytes(esptool.detect_flash_size(self.loader))
        if size is not None and part.end > size:
            raise FlashError(
                f"the firmware needs {part.end} bytes of flash and the board has {size}",
                remedy="nothing was written; take the firmware of a board with that much flash",
            )
        if self.job.erase:
            self.progress("erase", 0, 0)
            self.erasing = True
            esptool.erase_flash(self.loader)
        esptool.write_flash(self.loader, [(part.address, part.data)], flash_size="keep")
        self.progress("verify", 0, 0)
        # write_flash has compared the MD5 once; it is asked for again so that this program's own check decides.
        expected = hashlib.md5(part.data, usedforsecurity=False).hexdigest()
        if self.loader.flash_md5sum(part.address, len(part.data)) != expected:
            raise self._corrupt()
        self.progress("reset", 0, 0)
        esptool.reset_chip(self.loader, "hard-reset")

    def _corrupt(self) -> FlashError:
        """Refuse a flash that does not hold what was sent, and make sure that it cannot start."""
        address = self.job.image.placed(self.job.board)[0].address
        remedy = INCOMPLETE
        try:
            self.loader.erase_region(address, _SECTOR)
            remedy = "its first sector was erased so that it cannot start; run it again, perhaps with --baud 115200"
        except Exception:  # noqa: S110 - the cable may be gone: the remedy for that case is already set
            pass
        return FlashError("the flash does not hold what was written (the MD5 differs)", remedy=remedy)

    def _explain(self, error: Exception) -> FlashError:
        text = " ".join(str(error).split())
        if "MD5 of file does not match" in text or "flash region is empty" in text:
            return self._corrupt()
        if "Could not open" in text:
            reason = explain(self.port, error)
            return FlashError(reason.message, remedy=reason.remedy, exit_code=2)
        if self.touched:
            return FlashError(
                f"the connection to {self.port} broke off while writing ({_short(text)})", remedy=INCOMPLETE
            )
        if "Failed to connect" in text or "No serial data received" in text or "Serial data stream stopped" in text:
            return FlashError(
                f"no ESP32 answers on {self.port}",
                remedy="hold BOOT while pressing RESET (or plugging in) and run the command again; check the cable",
            )
        return FlashError(f"esptool failed on {self.port}: {_short(text)}", remedy="nothing was written")


def _size_in_bytes(text: str | None) -> int | None:
    from esptool.util import flash_size_bytes

    return None if text is None else flash_size_bytes(text)


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
