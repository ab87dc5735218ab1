"""Other versions of MicroPython than the one of the environment: `make versions` fetches them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rootlet_host.interpreter import find_micropython

FOLDER = Path(__file__).resolve().parents[2] / "build" / "micropython"
OTHERS = ("1.25.0", "1.26.1")  # both negotiate TLS 1.3
CURRENT = "current"
ALL = (CURRENT, *OTHERS)


def program(version: str) -> Path:
    """Where the program of one of OTHERS is, if it was fetched."""
    return FOLDER / version / "micropython"


def interpreter(version: str) -> Path:
    """The program of this version. Skips the test when it was not fetched, but fails it in CI."""
    if version == CURRENT:
        return find_micropython()
    if not program(version).is_file():
        message = f"MicroPython {version} is not there: run `make versions`"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return program(version)
