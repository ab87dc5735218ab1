"""The serial loader in the ROM of an STM32, behind a pseudo-terminal, with faults.

Protocol: ST AN3155 (USART protocol used in the STM32 bootloader). A pseudo-terminal carries no parity, so the host
tools must be told to use none. The sectors are those of the STM32F401xE (RM0368, table 5).
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import tty
from functools import reduce
from operator import xor

from .background import Background

ACK, NACK = b"\x79", b"\x1f"
INIT, GET, VERSION, ID, READ, GO, WRITE, EXTENDED_ERASE = 0x7F, 0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x44
FLASH = 0x0800_0000
F4_SECTORS = tuple(size * 1024 for size in (16, 16, 16, 16, 64, 128, 128, 128))


class _Gone(Exception):
    """The simulator was stopped, or the fault says that the chip answers no more."""


class Stm32Rom(Background):
    """Use as a context manager; `port` is what to open, `flash` what the chip holds."""

    def __init__(
        self,
        *,
        product_id: int = 0x433,
        sectors: tuple[int, ...] = F4_SECTORS,
        silent: bool = False,  # never answers
        silent_after: int | None = None,  # answers no more after so many writes
        flip_after: int | None = None,  # stores one wrong bit in the write of this number
        refuse_erase: bool = False,
        cut_after: int | None = None,  # hangs up after so many writes
    ) -> None:
        super().__init__()
        self.product_id = product_id
        self.sectors = sectors
        self.silent = silent
        self.silent_after = silent_after
        self.flip_after = flip_after
        self.refuse_erase = refuse_erase
        self.cut_after = cut_after
        self.flash = bytearray(b"\xff" * sum(sectors))
        self.writes = 0
        self.erased: list[int] = []  # sector numbers; -1 is the whole flash
        self.started_at: int | None = None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)

    def _close(self) -> None:
        for descriptor in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def content(self, address: int, length: int) -> bytes:
        return bytes(self.flash[address - FLASH : address - FLASH + length])

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if self._stop.is_set():
                raise _Gone
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    data += os.read(self._master, count - len(data))
                except OSError as error:
                    raise _Gone from error
        return data

    def _send(self, data: bytes) -> None:
        if self.silent or (self.silent_after is not None and self.writes >= self.silent_after):
            return
        os.write(self._master, data)

    def _serve(self) -> None:
        with contextlib.suppress(_Gone):
            synchronised = False
            while True:
                command = self._receive(1)[0]
                if not synchronised:
                    if command == INIT:
                        synchronised = True
                        self._send(ACK)
                    continue
                check = self._receive(1)[0] if command != INIT else 0
                if command ^ 0xFF != check:
                    # A second 0x7F is taken for a command without its complement: stm32flash and stm32loader
                    # rely on the NACK to find a loader that is already awake.
                    self._send(NACK)
                    continue
                self._command(command)

    def _command(self, command: int) -> None:
        if command == GET:
            known = bytes([GET, VERSION, ID, READ, GO, WRITE, EXTENDED_ERASE])
            self._send(ACK + bytes([len(known), 0x31]) + known + ACK)
        elif command == VERSION:
            self._send(ACK + b"\x31\x00\x00" + ACK)
        elif command == ID:
            self._send(ACK + b"\x01" + self.product_id.to_bytes(2, "big") + ACK)
        elif command == READ:
            self._read()
        elif command == WRITE:
            self._write()
        elif command == GO:
            self._send(ACK)
            self._address(start=True)
        elif command == EXTENDED_ERASE:
            self._erase()
        else:
            self._send(NACK)

    def _address(self, *, start: bool = False) -> int | None:
        raw = self._receive(5)
        if reduce(xor, raw) != 0:
            self._send(NACK)
            return None
        address = int.from_bytes(raw[:4], "big")
        if start:
            self.started_at = address  # before the host hears of it
        self._send(ACK)
        return address

    def _read(self) -> None:
        self._send(ACK)
        address = self._address()
        if address is None:
            return
        raw = self._receive(2)
        if raw[0] ^ raw[1] != 0xFF:
            self._send(NACK)
            return
        self._send(ACK + self.content(address, raw[0] + 1))

    def _write(self) -> None:
        self._send(ACK)
        address = self._address()
        if address is None:
            return
        count = self._receive(1)[0] + 1
        data = self._receive(count)
        check = self._receive(1)[0]
        start = address - FLASH
        if reduce(xor, data, count - 1) != check or start < 0 or start + count > len(self.flash):
            self._send(NACK)
            return
        self.writes += 1
        if self.cut_after is not None and self.writes >= self.cut_after:
            os.close(self._slave)
            os.close(self._master)
            raise _Gone
        # Flash can only turn ones into zeros.
        stored = bytearray(old & new for old, new in zip(self.flash[start : start + count], data, strict=True))
        if self.flip_after == self.writes:
            stored[0] ^= 1
        self.flash[start : start + count] = stored
        self._send(ACK)

    def _erase(self) -> None:
        self._send(ACK)
        number = int.from_bytes(self._receive(2), "big")
        if number == 0xFFFF:
            self._receive(1)
            if self.refuse_erase:
                self._send(NACK)
                return
            self.flash[:] = b"\xff" * len(self.flash)
            self.erased.append(-1)
            self._send(ACK)
            return
        raw = self._receive(2 * (number + 1) + 1)
        if self.refuse_erase:
            self._send(NACK)
            return
        for index in range(number + 1):
            sector = int.from_bytes(raw[2 * index : 2 * index + 2], "big")
            start = sum(self.sectors[:sector])
            self.flash[start : start + self.sectors[sector]] = b"\xff" * self.sectors[sector]
            self.erased.append(sector)
        self._send(ACK)
