"""Remembers what a board sent."""

from __future__ import annotations

import threading

LIMIT_BYTES = 1024 * 1024


class Console:
    """The last `LIMIT_BYTES` or a little more of a board's output; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """The board sent `data`."""
        with self._lock:
            self._kept += data
            excess = len(self._kept) - LIMIT_BYTES
            if excess > LIMIT_BYTES // 4:
                del self._kept[:excess]
                self._dropped += excess

    @property
    def position(self) -> int:
        """How many bytes were sent so far: where `text` shall begin to see only what comes later."""
        with self._lock:
            return self._dropped + len(self._kept)

    def text(self, since: int = 0) -> str:
        """What was sent from position `since` on, as far as it is kept."""
        with self._lock:
            return bytes(self._kept[max(0, since - self._dropped) :]).decode(errors="replace")
