"""The lock file: the SHA-256 that each published firmware file had when it was first used here.

micropython.org publishes no signatures, so the first use is trusted (over verified HTTPS) and every later one is held
to it.
JSON, sorted, so that it can be kept in version control: `{"schema": 1, "files": {NAME: {"sha256", "bytes", "url"}}}`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from ..errors import HostError, UsageError
from ..files import make_folder, read_file, write_atomic

SCHEMA = 1
ENVIRONMENT = "ROOTLET_FIRMWARE_LOCK"


@dataclass(frozen=True)
class Pin:
    """What one file must be."""

    sha256: str
    size: int
    url: str


class HashMismatch(HostError):
    """A file is not the one that was recorded."""


def default_path() -> Path:
    """`$ROOTLET_FIRMWARE_LOCK`, else a file in the user's data folder (not in the cache, which may be emptied)."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else platformdirs.user_data_path("rootlet") / "firmware.lock"


class LockFile:
    """Pins by file name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pins = self._read()

    def _read(self) -> dict[str, Pin]:
        try:
            data = read_file(self.path, "the lock file")
        except UsageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return {}
            raise
        try:
            document = json.loads(data)
            if document["schema"] != SCHEMA:
                raise UsageError(
                    f"the lock file {self.path} has schema {document['schema']}, not {SCHEMA}",
                    remedy="another version of rootlet wrote it: use that one, or another file with --lock",
                )
            return {
                str(name): Pin(str(entry["sha256"]), int(entry["bytes"]), str(entry["url"]))
                for name, entry in document["files"].items()
            }
        except (ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"the lock file {self.path} is damaged", remedy="restore it; to start afresh, delete it"
            ) from error

    def require(self, name: str, sha256: str) -> bool:
        """Whether `name` is pinned; raises `HashMismatch` when it is pinned to another hash."""
        pin = self.pins.get(name)
        if pin is None:
            return False
        if pin.sha256 != sha256:
            raise HashMismatch(
                f"{name} has SHA-256 {sha256[:16]}…, and {pin.sha256[:16]}… was recorded when it was first used",
                remedy=f"it was changed or tampered with; if you know why, remove its entry from {self.path}",
            )
        return True

    def record(self, name: str, sha256: str, size: int, url: str) -> bool:
        """Pin `name` if it is new (True), else hold it to its pin (False).

        The file is read again before: another run may have pinned files since.
        """
        self.pins = self._read()
        if self.require(name, sha256):
            return False
        self.pins[name] = Pin(sha256, size, url)
        self._write()
        return True

    def _write(self) -> None:
        files: dict[str, Any] = {
            name: {"sha256": pin.sha256, "bytes": pin.size, "url": pin.url} for name, pin in sorted(self.pins.items())
        }
        make_folder(self.path.parent)
        write_atomic(self.path, json.dumps({"schema": SCHEMA, "files": files}, indent=2).encode() + b"\n")
