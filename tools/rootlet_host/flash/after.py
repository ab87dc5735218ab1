"""After flashing: wait for the board's REPL and let it say what it is."""

from __future__ import annotations

import json
import time
from typing import Any

from ..board.transport import Board, attached_ports
from ..errors import HostError
from .ports import ESP32_VENDORS

# USB vendors under which a MicroPython board shows its own REPL, or the ST-LINK its virtual port: those of the ESP32
# boards, ST (0483) and MicroPython's own id for STM32 boards (f055, ports/stm32/usb.h).
_REPL_VENDORS = ESP32_VENDORS | {0x0483, 0xF055}

# Runs on every MicroPython from v1.24 on. The features are those a program can see: TLS 1.3 is not among them.
_QUESTION = """
import sys, os, json
i = sys.implementation
v = ".".join(str(n) for n in i.version[:3]) + ("-" + i.version[3] if len(i.version) > 3 and i.version[3] else "")
d = {"version": v, "platform": sys.platform, "machine": getattr(i, "_machine", ""), "urandom": hasattr(os, "urandom")}
try:
    import tls
    c = dir(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT))
    d["tls"] = True
    d["mbedtls"] = getattr(tls, "MBEDTLS_VERSION", "")
    f = d["features"] = {"verify_callback": "verify_callback" in c, "psk": "psk_key" in c}
    f["dtls"] = hasattr(tls, "PROTOCOL_DTLS_CLIENT")
except ImportError:
    d["tls"] = False
print(json.dumps(d))
"""


def repl_port(known: str | None) -> str | None:
    """The port to look at: the known one, else the only one that can be a board's."""
    if known is not None:
        return known
    candidates = attached_ports(_REPL_VENDORS)
    return candidates[0].device if len(candidates) == 1 else None


def show_board(port: str, timeout_s: float) -> dict[str, Any]:
    """Wait up to `timeout_s` for the REPL on `port` and return what the board says of itself.

    Keys: version, platform, machine, urandom (bool), tls (bool) and, with tls, mbedtls and features
    (verify_callback, dtls, psk). Raises `HostError` when no MicroPython answers.
    """
    deadline = time.monotonic() + timeout_s
    last: Exception | None = None
    while True:
        try:
            answer = _ask(port, max(0.5, min(3.0, deadline - time.monotonic())))
            return dict(json.loads(answer))
        except (HostError, ValueError, TypeError, RecursionError) as error:
            # The port may still be away (USB comes back after the reset) or the firmware still starting.
            last = error
        if time.monotonic() > deadline:
            raise HostError(
                f"no MicroPython answers on {port} within {timeout_s:g} s",
                remedy="reset the board; if that does not help, flash it again with --erase",
            ) from last
        time.sleep(0.3)


def _ask(port: str, patience_s: float) -> str:
    with Board(port, timeout_s=patience_s) as board:
        return board.run(_QUESTION, timeout_s=patience_s)


def describe(identity: dict[str, Any]) -> list[str]:
    """What `show_board` returned, in lines for a person."""
    lines = [f"MicroPython {identity['version']} on {identity['machine'] or identity['platform']}"]
    if identity["tls"]:
        names = {"verify_callback": "verify callback", "dtls": "DTLS", "psk": "pre-shared keys"}
        features = identity.get("features", {})
        listed = ", ".join(f"{text} {'yes' if features.get(key) else 'no'}" for key, text in names.items())
        lines.append(f"TLS: {identity.get('mbedtls') or 'version not told'}; {listed}")
    else:
        lines.append("TLS: none, this firmware has no module tls")
    lines.append(
        f"Random numbers: os.urandom {'present' if identity['urandom'] else 'missing, so no hardware generator'}"
    )
    return lines
