"""Other versions of MicroPython than the one of the environment: `make versions` fetches them."""

from __future__ import annotations

from pathlib import Path

from rootlet_host.interpreter import find_micropython

from .programs import built

FOLDER = Path(__file__).resolve().parents[2] / "build" / "micropython"
OTHERS = ("1.25.0", "1.26.1")  # both negotiate TLS 1.3
CURRENT = "current"
ALL = (CURRENT, *OTHERS)


def program(version: str) -> Path:
    """Where the program of one of OTHERS is, if it was fetched."""
    return FOLDER / version / "micropython"


def interpreter(version: str) -> Path:
    """The program of this version; `missing` when it was not fetched."""
    return find_micropython() if version == CURRENT else built(program(version), "versions")
