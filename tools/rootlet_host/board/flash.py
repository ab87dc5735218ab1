"""The flash of a virtual board: a folder of the host, or an image file with a littlefs or FAT file system in it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import HostError, UsageError
from ..files import write_remedy

FileSystem = Literal["littlefs", "fat"]

# ESP32 erases its flash in sectors of 4096 bytes; MicroPython's stm32 port gives FAT blocks of 512 bytes.
BLOCK_BYTES: dict[FileSystem, int] = {"littlefs": 4096, "fat": 512}
# Below, littlefs and FatFs refuse to make a file system.
MIN_BLOCKS: dict[FileSystem, int] = {"littlefs": 4, "fat": 50}
DEFAULT_BYTES = 1024 * 1024

_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
_MAKE = """
import sys, vfs
path, block, blocks, kind = sys.argv[1:]
block = int(block)
file = open(path, "r+b")
class Flash:
    def readblocks(self, n, buf, off=0):
        file.seek(n * block + off)
        file.readinto(buf)
    def writeblocks(self, n, buf, off=0):
        file.seek(n * block + off)
        file.write(buf)
    def ioctl(self, op, arg):
        return {4: int(blocks), 5: block}.get(op, 0)
(vfs.VfsLfs2 if kind == "littlefs" else vfs.VfsFat).mkfs(Flash())
"""


def parse_size(text: str) -> int:
    """Bytes in `text`: a number, optionally followed by K (1024) or M (1024 x 1024)."""
    match = re.fullmatch(r"(\d+)\s*([KM]?)(i?B)?", text.strip(), re.IGNORECASE)
    if match is None or int(match[1]) == 0:
        raise UsageError(f"{text!r} is not a size", remedy="write it like 512K or 1M")
    return int(match[1]) * _UNITS[match[2].upper()]


@dataclass(frozen=True)
class Flash:
    """Where a virtual board keeps its files; `block_bytes` and `blocks` are 0 for a folder."""

    kind: Literal["directory", "littlefs", "fat"]
    path: Path
    block_bytes: int = 0
    blocks: int = 0

    @property
    def unique_id(self) -> bytes:
        """Eight bytes that stay the same for the same place."""
        return hashlib.sha256(os.fsencode(self.path)).digest()[:8]


def open_directory(path: Path) -> Flash:
    """A folder as flash; it is made if it does not exist. A full disk there is the host's full disk."""
    path = _resolved(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot use {path} as a board's flash: {error.strerror}", remedy=write_remedy(error)
        ) from error
    return Flash("directory", path)


def _resolved(path: Path) -> Path:
    path = path.resolve()
    try:
        str(path).encode()  # in a program's text
    except UnicodeEncodeError as error:
        what = f"{path} cannot be a board's flash: its name is not UTF-8"
        raise UsageError(what, remedy="choose another name") from error
    return path


def open_image(path: Path, interpreter: Path, file_system: FileSystem = "littlefs", size: int | None = None) -> Flash:
    """The image `path` as flash; it is made with `size` bytes (default 1 MiB) and formatted if it does not exist.

    An image that exists is never formatted: what does not mount is an error when the board starts.
    """
    if file_system not in get_args(FileSystem):
        raise UsageError(f"unknown file system {file_system!r}", remedy="choose littlefs or fat")
    path = _resolved(path)
    block = BLOCK_BYTES[file_system]
    if not path.exists():
        _make_image(path, interpreter, file_system, size or DEFAULT_BYTES)
    elif not path.is_file():
        raise UsageError(f"{path} is not a file", remedy="use --dir for a folder")
    found = path.stat().st_size
    if size is not None and size != found:
        raise UsageError(f"{path} has {found} bytes, not {size}", remedy="leave the size out, or name a new file")
    if found == 0 or found % block:
        raise UsageError(
            f"{path} is not a flash image: {found} bytes are not whole blocks of {block}",
            remedy="name another file; one that is not there is made",
        )
    return Flash(file_system, path, block, found // block)


def _make_image(path: Path, interpreter: Path, file_system: FileSystem, size: int) -> None:
    block = BLOCK_BYTES[file_system]
    blocks, rest = divmod(size, block)
    if rest or blocks < MIN_BLOCKS[file_system]:
        least = MIN_BLOCKS[file_system] * block
        raise UsageError(f"{size} bytes cannot hold {file_system}", remedy=f"use a multiple of {block} from {least} on")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot make {path}: {error.strerror}", remedy=write_remedy(error)) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            erased = b"\xff" * block
            for _ in range(blocks):
                file.write(erased)
        script = [str(interpreter), "-c", _MAKE, name, str(block), str(blocks), file_system]
        made = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
        if made.returncode:
            reason = (made.stderr or made.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            raise HostError(f"MicroPython cannot make a {file_system} image: {reason[0]}")
        temporary.replace(path)
    except OSError as error:
        raise HostError(f"cannot make {path}: {error.strerror}", remedy=write_remedy(error)) from error
    finally:
        temporary.unlink(missing_ok=True)
