"""A folder that behaves like the drive of an ST-LINK/V2-1: it takes a file, programs it, and is replugged.

As on the hardware: the file is gone after the copy, the volume disappears for a moment and comes back, FAIL.TXT holds
the reason when programming failed, and what the ST-LINK does not understand it refuses the same way.
"""

from __future__ import annotations

import time
from pathlib import Path

from intelhex import HexReaderError, IntelHex

from .background import Background

FLASH = 0x0800_0000
_BAD_FORMAT = "The application file format is unknown and cannot be parsed and/or processed.\r\n"
_NO_TARGET = "The interface firmware FAILED to reset/halt the target MCU\r\n"


class StlinkDrive(Background):
    """Use as a context manager; `folder` is the mount point, `flash` what the chip holds (address to byte)."""

    def __init__(
        self,
        folder: Path,
        *,
        halt_fails: bool = False,
        hex_understood: bool = True,
        stays_away: bool = False,  # the volume does not come back
        comes_back_as: str | None = None,  # mounted under another name
        ignores: bool = False,  # nothing happens at all
        old_failure: str | None = None,  # a FAIL.TXT from before
    ) -> None:
        super().__init__()
        self.folder = folder
        self.halt_fails = halt_fails
        self.hex_understood = hex_understood
        self.stays_away = stays_away
        self.comes_back_as = comes_back_as
        self.ignores = ignores
        self.flash: dict[int, int] = {}
        self.programmed = 0
        self._away = folder.with_name(f".{folder.name}.unplugged")
        self._mount(old_failure)

    def _mount(self, failure: str | None) -> None:
        self._away.mkdir()
        (self._away / "DETAILS.TXT").write_text("Version: 0221\r\nBuild:   Jan  7 2019 15:44:20\r\n")
        (self._away / "MBED.HTM").write_text('<html><meta http-equiv="refresh" content="0; url=x"/></html>\r\n')
        if failure is not None:
            (self._away / "FAIL.TXT").write_text(failure)
        self._away.rename(self.folder)

    def _serve(self) -> None:
        while not self._stop.wait(0.01):
            if self.ignores:
                continue
            for path in self.folder.glob("firmware.*"):
                self._take(path)
                break

    def _take(self, path: Path) -> None:
        size = -1
        while path.exists() and path.stat().st_size != size:  # the host is still writing
            size = path.stat().st_size
            time.sleep(0.03)
        name, data = path.name, path.read_bytes()
        failure = self._program(name, data)
        # Unplug: everything goes at once, as a renamed folder does.
        self.folder.rename(self._away)
        for item in self._away.iterdir():
            item.unlink()
        self._away.rmdir()
        if self.stays_away:
            self._stop.set()
            return
        time.sleep(0.1)
        if self.comes_back_as is not None:
            self.folder = self.folder.with_name(self.comes_back_as)
        self._mount(failure)

    def _program(self, name: str, data: bytes) -> str | None:
        if self.halt_fails:
            return _NO_TARGET
        if name.endswith(".hex"):
            if not self.hex_understood:
                return _BAD_FORMAT
            try:
                reader = IntelHex()
                with (self.folder / name).open() as file:
                    reader.loadhex(file)
            except (HexReaderError, OSError):
                return _BAD_FORMAT
            self.flash.update({address: reader[address] for address in reader.addresses()})
        else:
            self.flash.update({FLASH + offset: byte for offset, byte in enumerate(data)})
        self.programmed += 1
        return None

    def content(self, address: int, length: int) -> bytes:
        return bytes(self.flash.get(address + offset, 0xFF) for offset in range(length))
