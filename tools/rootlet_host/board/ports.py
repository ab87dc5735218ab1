"""Serial ports: names for boards, as mpremote gives them, and why a port cannot be opened."""

from __future__ import annotations

import errno
import getpass
import os
import re
import stat
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

if sys.platform != "win32":
    import grp
    import termios

    # What pyserial lets through when a device goes away: emptying a port's buffers raises what is no OSError.
    PORT_FAULTS: tuple[type[Exception], ...] = (OSError, termios.error)
else:
    PORT_FAULTS = (OSError,)

_SHORTCUTS = {"a": "/dev/ttyACM", "u": "/dev/ttyUSB", "c": "COM"}  # as mpremote's a0, u1, c2
# For so long a port that is in use is tried again: another command may be about to end.
_LETTING_GO_S = 1.0
NO_BOARD = "no board was found on any USB port"


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


def attached_ports(vendors: Collection[int] | None = None) -> list[AttachedPort]:
    """The serial ports of all USB devices, or of those of `vendors`, sorted.

    Whether MicroPython runs there is not known yet.
    """
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
            if port.vid is not None and port.pid is not None and (vendors is None or port.vid in vendors)
        ),
        key=lambda port: port.device,
    )


def resolve_port(
    name: str | None = None,
    *,
    vendors: Collection[int] | None = None,
    plug_in: str = "plug one in, or name its port with --port; rootlet virtual runs one without hardware",
) -> str:
    """The device that `name` stands for.

    `auto` (or None): the only USB serial port, of one of `vendors` if they are given; `id:SERIAL`: the device with this
    serial number; `VID:PID`, two times four hexadecimal digits: the only device of this kind; `a0`, `u0`, `c0`:
    mpremote's shortcuts; everything else, with or without `port:` before it: a path, a COM port or an address that
    pyserial understands.

    Raises `UsageError` when there is no such board, or more than one; `plug_in` is the remedy when there is none.
    """
    if name is None or name == "auto":
        return _only(attached_ports(vendors), NO_BOARD, plug_in)
    if not name:
        raise UsageError("the name of the port is empty", remedy=_what_there_is())
    if name.startswith("id:"):
        number = name[3:]
        fitting = [port for port in attached_ports() if port.serial_number == number]
        return _only(fitting, f"no board with serial number {number} is attached", _what_there_is())
    match = re.fullmatch(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})", name)
    if match:
        wanted = (int(match[1], 16), int(match[2], 16))
        fitting = [port for port in attached_ports() if (port.vid, port.pid) == wanted]
        return _only(fitting, f"no board with USB id {name} is attached", _what_there_is())
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


def _what_there_is() -> str:
    """The ports that could have been meant."""
    ports = attached_ports()
    return (
        f"there is {', '.join(map(str, ports))}" if ports else "none is attached; plug the board in with a data cable"
    )


def why_not_open(port: str) -> UsageError | None:
    """Open `port` exclusively and close it again; the reason if that fails.

    The modem lines are left alone as far as the system allows: DTR and RTS reset an ESP32.
    """
    import serial

    if port.startswith(("socket://", "rfc2217://")):
        return None
    connection: Any = None
    deadline = time.monotonic() + _LETTING_GO_S
    while True:
        try:
            connection = serial.serial_for_url(port, do_not_open=True, exclusive=True, timeout=0.1)
            connection.rts = False
            connection.dtr = False
            connection.open()
        except (OSError, ValueError) as error:  # SerialException is an OSError
            if not _is_busy(error) or time.monotonic() > deadline:
                return explain(port, error)
        else:
            return None
        finally:
            if connection is not None and connection.is_open:
                connection.close()
        time.sleep(_LETTING_GO_S / 20)


def _is_busy(error: Exception) -> bool:
    """Whether another program has the port open."""
    text = str(error)
    busy = getattr(error, "errno", None) in (errno.EBUSY, errno.EAGAIN)
    return busy or "exclusively lock" in text or "Access is denied" in text


def explain(port: str, error: Exception) -> UsageError:
    """A failure to open a serial port in plain words, with what to do about it."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in text or "PermissionError" in text:
        return UsageError(f"you may not open {port}", remedy=_permission_remedy(port))
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text or "No such file" in text:
        return UsageError(f"there is no serial port {port}", remedy=_what_there_is())
    if _is_busy(error):
        return UsageError(f"{port} is in use by another program", remedy="close the terminal or editor that holds it")
    if number == errno.ENOTTY or "Inappropriate ioctl" in text:
        return UsageError(f"{port} is not a serial port", remedy=_what_there_is())
    reason = text.splitlines()[0] if text else type(error).__name__
    return UsageError(f"cannot open {port}: {reason}", remedy="unplug the board, plug it in again, and retry")


def _permission_remedy(port: str) -> str:
    if sys.platform == "win32" or not sys.platform.startswith("linux"):
        return "run as a user who may use serial ports"
    try:
        status = Path(port).stat()
        group = grp.getgrgid(status.st_gid).gr_name
        group_may = bool(status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP)
    except (OSError, KeyError):
        group, group_may = "dialout", True
    if group_may and group != "root":
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = str(os.getuid())
        return f"join its group: sudo usermod -aG {group} {user}, then log in again"
    rule = 'SUBSYSTEM=="tty", ATTRS{idVendor}=="…", MODE="0660", GROUP="dialout"'
    return f"its group {group} may not use it either: add a udev rule such as {rule} in /etc/udev/rules.d"
