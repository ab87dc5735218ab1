"""After flashing: wait for the board's REPL and let it say what it is."""

from __future__ import annotations

from typing import Any

from . import ports

# USB vendors under which a MicroPython board shows its own REPL, or the ST-LINK its virtual port.
_REPL_VENDORS = ports.ESP32_VENDORS | {0x0483, 0xF055}


def repl_port(known: str | None) -> str | None:
    """The port to look at: the known one, else the only one that can be a board's."""
    if known is not None:
        return known
    candidates = ports.attached(_REPL_VENDORS)
    return candidates[0] if len(candidates) == 1 else None


def show_board(port: str, timeout_s: float = 15.0) -> dict[str, Any]:
    """Wait for the REPL on `port` and return what the board says of itself (see `board.transport.Identity`)."""
    raise NotImplementedError
