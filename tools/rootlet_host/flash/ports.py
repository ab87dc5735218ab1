"""Serial ports: which one the board is on, and why one cannot be opened."""

from __future__ import annotations

import errno
import getpass
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import Obstacle

if sys.platform != "win32":
    import grp

# USB ids that ESP32 boards and serial adapters carry: Espressif's own USB, Silicon Labs CP210x, WCH CH34x/CH910x,
# FTDI, Prolific. Sources: the vendors' USB ids (usb.ids); esptool's documentation "Establish serial connection".
ESP32_VENDORS = frozenset({0x303A, 0x10C4, 0x1A86, 0x0403, 0x067B})
ADAPTER_VENDORS = frozenset({0x10C4, 0x1A86, 0x0403, 0x067B})

_NO_BOARD = "no board was found on any serial port"


@dataclass(frozen=True)
class Found:
    """The port to use, or why there is none."""

    port: str | None
    obstacle: Obstacle | None


def attached(vendors: Iterable[int]) -> list[str]:
    """The serial ports whose USB device comes from one of `vendors`, sorted."""
    from serial.tools import list_ports

    wanted = set(vendors)
    return sorted(item.device for item in list_ports.comports() if item.vid in wanted)


def pick(named: str | None, vendors: Iterable[int], what: str) -> Found:
    """The named port, or the only one that fits; opened once for a moment to see whether it can be."""
    if named is None:
        ports = attached(vendors)
        if not ports:
            return Found(None, Obstacle(_NO_BOARD, f"plug in {what}, or name its port with --port"))
        if len(ports) > 1:
            return Found(
                None,
                Obstacle(f"{len(ports)} boards are attached ({', '.join(ports)})", "name one of them with --port"),
            )
        named = ports[0]
    obstacle = why_not_open(named)
    return Found(None if obstacle else named, obstacle)


def why_not_open(port: str) -> Obstacle | None:
    """Open `port` exclusively and close it again; the reason if that fails.

    The modem lines are left alone as far as the system allows: DTR and RTS reset an ESP32.
    """
    import serial

    if port.startswith(("socket://", "rfc2217://")):
        return None
    connection: Any = None
    try:
        connection = serial.serial_for_url(port, do_not_open=True, exclusive=True, timeout=0.1)
        connection.rts = False
        connection.dtr = False
        connection.open()
    except (OSError, ValueError) as error:  # SerialException is an OSError
        return explain(port, error)
    finally:
        if connection is not None and connection.is_open:
            connection.close()
    return None


def explain(port: str, error: Exception) -> Obstacle:
    """A failure to open a serial port in plain words, with what to do about it."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in text or "PermissionError" in text:
        return Obstacle(f"you may not open {port}", _permission_remedy(port))
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text or "No such file" in text:
        return Obstacle(f"there is no serial port {port}", "see `mpremote connect list` for the ports")
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "Access is denied" in text:
        return Obstacle(f"{port} is in use by another program", "close the terminal or editor that holds it")
    if number == errno.ENOTTY or "Inappropriate ioctl" in text:
        return Obstacle(f"{port} is not a serial port", "see `mpremote connect list` for the ports")
    return Obstacle(f"cannot open {port}: {text.splitlines()[0] if text else type(error).__name__}")


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
