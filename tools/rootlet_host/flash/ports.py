"""Which serial port a ROM loader is on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..board.ports import resolve_port, why_not_open
from ..errors import UsageError
from .base import Obstacle

# USB ids that ESP32 boards and serial adapters carry: Espressif's own USB, Silicon Labs CP210x, WCH CH34x/CH910x,
# FTDI, Prolific. Sources: the vendors' USB ids (usb.ids); esptool's documentation "Establish serial connection".
ESP32_VENDORS = frozenset({0x303A, 0x10C4, 0x1A86, 0x0403, 0x067B})
ADAPTER_VENDORS = frozenset({0x10C4, 0x1A86, 0x0403, 0x067B})


@dataclass(frozen=True)
class Found:
    """The port to use, or why there is none."""

    port: str | None
    obstacle: Obstacle | None


def pick(named: str | None, vendors: Collection[int], what: str) -> Found:
    """The named port, or the only one of `vendors`; opened once for a moment to see whether it can be."""
    try:
        port = resolve_port(named, vendors=vendors, plug_in=f"plug in {what}, or name its port with --port")
    except UsageError as error:
        return Found(None, Obstacle(error.message, error.remedy))
    failure = why_not_open(port)
    return Found(port, None) if failure is None else Found(None, Obstacle(failure.message, failure.remedy))
