"""An ESP32 in its ROM loader behind a pseudo-terminal: esp32-mock-bootloader, run in a thread, with faults."""

from __future__ import annotations

import contextlib
from typing import Any

import esp32_mock_bootloader.server as mock

from .background import Background


class Flash(mock.FlashImage):  # type: ignore[misc]
    """The mock's flash; `flip` writes one bit wrongly, `on_write(bytes)` sees the total after each block."""

    def __init__(self, flip: int | None = None) -> None:
        super().__init__()
        self.flip = flip
        self.erased: list[tuple[int, int]] = []
        self.written = 0

    def write_defl_block(self, payload: bytes) -> None:
        super().write_defl_block(payload)
        self.written += len(payload) - 16
        if self.flip is not None:
            self.data[self.flip] ^= 0x10
            self.flip = None

    def erase_all(self) -> None:
        super().erase_all()
        self.erased.append((0, len(self.data)))

    def erase_region(self, offset: int, size: int) -> None:
        super().erase_region(offset, size)
        self.erased.append((offset, size))


class _Connection(mock.BootloaderConnection):  # type: ignore[misc]
    """Goes silent or is cut once `limit` bytes of flash data have arrived."""

    def __init__(self, pty: Any, flash: Flash, *, silent_after: int | None, cut_after: int | None) -> None:
        super().__init__(pty=pty)
        self.flash = flash
        self.silent_after = silent_after
        self.cut_after = cut_after
        self.patience: float | None = None

    def set_timeout(self, timeout: float) -> None:
        super().set_timeout(self.patience or timeout)

    def sendall(self, data: bytes) -> None:
        if self.silent_after is not None and self.flash.written >= self.silent_after:
            return
        super().sendall(data)

    def recv(self, size: int) -> bytes:
        if self.cut_after is not None and self.flash.written >= self.cut_after:
            raise OSError("the cable is out")
        return bytes(super().recv(size))


class Esp32(Background):
    """Use as a context manager; `port` is what to open, `flash` what the chip holds."""

    def __init__(
        self,
        chip: str,
        *,
        flip: int | None = None,
        silent_after: int | None = None,
        cut_after: int | None = None,
        content: bytes = b"",
    ) -> None:
        super().__init__()
        self.chip = chip
        self.flash = Flash(flip)
        self.flash.data[: len(content)] = content
        self._pty = mock.PtyMasterTransport.create(track_disconnect=True)
        self.port: str = self._pty.client_path
        self._connection = _Connection(self._pty, self.flash, silent_after=silent_after, cut_after=cut_after)

    def _serve(self) -> None:
        mock.handle_client(self._connection, self._stop, self.chip, exit_on_disconnect=True, flash=self.flash)
        # Hang up, as a pulled cable does: the client's next read fails.
        with contextlib.suppress(OSError):
            self._pty.close()

    def patient(self) -> None:
        """Wait longer for the acknowledgements of READ_FLASH than the mock does on its own."""
        self._connection.patience = 2.0
