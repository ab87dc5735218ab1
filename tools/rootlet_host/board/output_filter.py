"""What the interpreter prints, turned into what a board sends, with the bridge's records taken out."""

from __future__ import annotations

from collections.abc import Iterator

from .hardware import MARK, RECORD_BYTES, Marker

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
FRIENDLY_BANNER = b'Type "help()" for more information.\r\n'
_TAIL_BYTES = max(len(RAW_BANNER), len(FRIENDLY_BANNER)) - 1


class OutputFilter:
    """Splits the output of one interpreter run into text and records.

    Outside of `BINARY` ... `TEXT`, a line feed without a carriage return before it gets one, as MicroPython's
    shared/runtime/stdout_helpers.c does on boards.
    """

    def __init__(self, nonce: str) -> None:
        self._mark = MARK + nonce.encode()
        self._held = b""
        self._after_cr = False
        self.binary = False

    @property
    def holds(self) -> bool:
        """Whether bytes are kept back because they may be the beginning of a record."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[bytes | tuple[Marker, int]]:
        """Pieces of text and `(marker, value)` records, in order."""
        data = self._held + data
        self._held = b""
        while data:
            at = data.find(self._mark)
            if at < 0:
                keep = self._partial(data)
                self._held = data[len(data) - keep :]
                data = data[: len(data) - keep]
                if data:
                    yield self._cook(data)
                return
            if at:
                yield self._cook(data[:at])
            record = data[at : at + RECORD_BYTES]
            if len(record) < RECORD_BYTES:
                self._held = record
                return
            data = data[at + RECORD_BYTES :]
            marker = Marker(chr(record[len(self._mark)]))
            if marker in (Marker.BINARY, Marker.TEXT):
                self.binary = marker is Marker.BINARY
                self._after_cr = False
            yield marker, int(record[len(self._mark) + 1 :], 16)

    def flush(self) -> bytes:
        """What was kept back: nothing followed that would make it a record."""
        held, self._held = self._held, b""
        return self._cook(held) if held else b""

    def _partial(self, data: bytes) -> int:
        """How many bytes at the end of `data` could begin a record."""
        for length in range(min(len(self._mark) - 1, len(data)), 0, -1):
            if data.endswith(self._mark[:length]):
                return length
        return 0

    def _cook(self, data: bytes) -> bytes:
        if self.binary:
            return data
        after_cr, self._after_cr = self._after_cr, data.endswith(b"\r")
        start = 1 if after_cr and data.startswith(b"\n") else 0
        return data[:start] + data[start:].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class ModeTracker:
    """Whether the REPL is in raw mode, told by the banner that was printed last."""

    def __init__(self) -> None:
        self.raw = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Look at `data`, which follows what was fed before."""
        text = self._tail + data
        raw, friendly = text.rfind(RAW_BANNER), text.rfind(FRIENDLY_BANNER)
        if raw != friendly:
            self.raw = raw > friendly
        self._tail = text[-_TAIL_BYTES:]
