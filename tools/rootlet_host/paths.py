"""Where the device side lies: in the repository, or inside an installed wheel."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import UsageError

_PACKAGE = Path(__file__).resolve().parent


def device_root() -> Path:
    """The folder that holds `boot.py`, `main.py`, `lib/rootlet` and `firmware/boards.toml`."""
    packaged = _PACKAGE / "device"
    repository = _PACKAGE.parents[1]
    for root in (packaged, repository):
        if (root / "lib" / "rootlet").is_dir():
            return root
    raise UsageError("the device files of rootlet are missing", remedy="reinstall rootlet")


def device_library() -> Path:
    """The folder to put on a board's `sys.path`: it contains the package `rootlet`."""
    return device_root() / "lib"


def device_version() -> str:
    """The version of the device library, which is the version of everything: it stands there and nowhere else."""
    text = (device_library() / "rootlet" / "__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise UsageError("the device files of rootlet are damaged", remedy="reinstall rootlet")
    return found[1]
