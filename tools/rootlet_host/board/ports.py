"""Which boards are attached, and the port that a name stands for. Names are those of `mpremote connect`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from ..errors import UsageError

_SHORTCUTS = {"a": "/dev/ttyACM", "u": "/dev/ttyUSB", "c": "COM"}  # as mpremote's a0, u1, c2
_LIST_HINT = "see `mpremote connect list` for the ports"


@dataclass(frozen=True)
class AttachedPort:
    """A serial port of a USB device. The texts are what the device says of itself, or empty."""

    device: str
    vid: int
    pid: int
    serial_number: str = ""
    manufacturer: str = ""
    product: str = ""

    def __str__(self) -> str:
        words = " ".join(word for word in (self.manufacturer, self.product) if word)
        number = f" id:{self.serial_number}" if self.serial_number else ""
        return f"{self.device} ({self.vid:04x}:{self.pid:04x}{number}{' ' + words if words else ''})"


def attached_ports() -> list[AttachedPort]:
    """The serial ports of all USB devices, sorted. Whether MicroPython runs there is not known yet."""
    from serial.tools import list_ports

    return sorted(
        (
            AttachedPort(
                device=port.device,
                vid=port.vid,
                pid=port.pid,
                serial_number=port.serial_number or "",
                manufacturer=port.manufacturer or "",
                product=port.product or "",
            )
            for port in list_ports.comports()
            if port.vid is not None and port.pid is not None
        ),
        key=lambda port: port.device,
    )


def resolve_port(name: str | None = None) -> str:
    """The device that `name` stands for.

    `auto` (or None): the only USB serial port; `id:SERIAL`: the device with this serial number; `VID:PID`, two times
    four hexadecimal digits: the only device of this kind; `a0`, `u0`, `c0`: mpremote's shortcuts; everything else,
    with or without `port:` before it: a path, a COM port or an address that pyserial understands.

    Raises `UsageError` when there is no such board, or more than one.
    """
    if name is None or name == "auto":
        return _only(
            attached_ports(), "no board was found on any USB port", "plug one in, or name its port with --port"
        )
    if not name:
        raise UsageError("the name of the port is empty", remedy=_LIST_HINT)
    if name.startswith("id:"):
        number = name[3:]
        fitting = [port for port in attached_ports() if port.serial_number == number]
        return _only(fitting, f"no board with serial number {number} is attached", _LIST_HINT)
    match = re.fullmatch(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})", name)
    if match:
        wanted = (int(match[1], 16), int(match[2], 16))
        fitting = [port for port in attached_ports() if (port.vid, port.pid) == wanted]
        return _only(fitting, f"no board with USB id {name} is attached", _LIST_HINT)
    match = re.fullmatch(r"([auc])(\d+)", name)
    if match and (match[1] == "c") == (sys.platform == "win32"):
        return _SHORTCUTS[match[1]] + match[2]
    return name.removeprefix("port:")


def _only(ports: list[AttachedPort], none: str, remedy: str) -> str:
    if not ports:
        raise UsageError(none, remedy=remedy)
    if len(ports) > 1:
        listed = ", ".join(str(port) for port in ports)
        raise UsageError(f"{len(ports)} boards are attached: {listed}", remedy="name one of them with --port")
    return ports[0].device
