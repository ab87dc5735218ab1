"""Import this, and CPython can import the device package `rootlet`."""

from __future__ import annotations

import sys
from pathlib import Path

_UNIT = str(Path(__file__).resolve().parents[1] / "unit")
if _UNIT not in sys.path:
    sys.path.append(_UNIT)

import cpython_shim  # noqa: E402, F401
