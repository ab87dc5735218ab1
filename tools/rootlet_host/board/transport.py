"""The one way from the host tools to a board: find it, run code on it, move files that arrive whole or not at all."""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import HostError
from . import identity, upload
from .identity import BoardInfo
from .link import LinkError, understood
from .ports import AttachedPort, attached_ports, resolve_port
from .session import BoardError, Session

__all__ = [
    "AttachedPort",
    "Board",
    "BoardError",
    "BoardInfo",
    "LinkError",
    "Space",
    "Transfer",
    "attached_ports",
    "resolve_port",
]

Progress = Callable[[int, int], None]
"""`progress(done, total)` in bytes."""

_PART = ".part"
_MAX_FILE_BYTES = 64 << 20  # more than any board's flash
_LEAST_LITTLEFS_BLOCK = 4096
_ENOENT, _EACCES, _EEXIST, _ENOTDIR, _EISDIR, _ENOSPC, _EROFS = 2, 13, 17, 20, 21, 28, 30

# Functions that stay on the board for the time of a connection. `_h`: SHA-256 of a file. `_k`: feeds the watchdog that
# the configuration asks for, which boot.py or main.py have started and nobody can stop. `_f` is what a connection that
# broke has left open: FatFs lets it be removed all the same, and whenever it is collected, its closing would write its
# entry over that of a file which is there by then.
_HELPERS = """
try: _f.close()
except Exception: pass
def _h(p):
 from hashlib import sha256
 h = sha256()
 b = memoryview(bytearray(1024))
 with open(p, 'rb') as f:
  while True:
   n = f.readinto(b)
   if not n: return h.digest()
   h.update(b[:n])
   _k()
def _k(): pass
def _s():
 global _k
 import os
 if 'rootlet.json' not in os.listdir() or not ('main.py' in os.listdir() or 'main.mpy' in os.listdir()): return
 import json, machine
 with open('rootlet.json') as f: t = json.load(f).get('watchdog_ms', 0)
 if t: _k = machine.WDT(timeout=t).feed
try: _s()
except Exception: pass
del _s
"""


@dataclass(frozen=True)
class Transfer:
    """What `put` did: `size` bytes of content, `sent` bytes on the wire for them (0: it was there already)."""

    size: int
    sent: int
    seconds: float
    sha256: str

    @property
    def bytes_per_second(self) -> float:
        """Effective rate: content by time, reading back and hashing included."""
        return self.size / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Space:
    """The room on a file system."""

    block_bytes: int
    free_bytes: int

    @property
    def copies_on_write(self) -> bool:
        """Whether it writes a copy of what is changed first (littlefs), or over what is there (FAT)."""
        return self.block_bytes >= _LEAST_LITTLEFS_BLOCK

    def bytes_for(self, size: int) -> int:
        """The whole blocks that a file of `size` bytes takes.

        littlefs keeps some pointers in each block of a file: 8 of 4096 bytes on average (its DESIGN.md, CTZ lists).
        """
        return -(-(size + size // 500) // self.block_bytes) * self.block_bytes


def _entries(answer: Any) -> list[tuple[str, bool, int]]:
    return sorted((str(name), bool(folder), int(size)) for name, folder, size in answer)


def _space(answer: Any) -> Space:
    block, fragment, total, free = map(int, answer)
    if block <= 0:
        raise ValueError("no block size")
    # littlefs counts blocks that two files share twice: when it is nearly full, what is left is below zero.
    return Space(block, (fragment or block) * (free if free <= total else 0))


class Board(Session):
    """A board to run code on and to move files to and from. See `Session` for how to open it."""

    def __init__(self, port: str | None = None, *, timeout_s: float = 10.0) -> None:
        super().__init__(port, timeout_s=timeout_s)
        self._info: BoardInfo | None = None
        self._helpers_there = False

    def _forget(self) -> None:
        self._helpers_there = False

    def identify(self, *, again: bool = False) -> BoardInfo:
        """What the board is. Asked once; `again` asks anew, since free memory changes."""
        if self._info is None or again:
            answer = self.run(identity.question()).strip().splitlines()
            with understood(self.port):
                self._info = identity.parse(self.port, ast.literal_eval(answer[-1]))
        return self._info

    def put(self, data: bytes, path: str, progress: Progress | None = None) -> Transfer:
        """Write `data` to the file `path`, so that it is whole or what it was before.

        It goes to a temporary file, is read back and hashed on the board and renamed. Nothing is sent if the content is
        there already. Directories on the way are made. Raises `HostError` when the flash is too small.
        """
        start = time.monotonic()
        wanted = hashlib.sha256(data)
        if self.hash(path) == wanted.hexdigest():
            return Transfer(len(data), 0, time.monotonic() - start, wanted.hexdigest())
        part = path + _PART
        self.make_directories(path.rpartition("/")[0])
        self.remove(part, missing_ok=True)
        self.require_space(len(data), path)
        try:
            self.run(f"_f = open({part!r}, 'wb')\n_w = _f.write")
            sent = self.send(data, progress)
            self.run("_f.close()")
            if self.hash(part) != wanted.hexdigest():
                raise HostError(f"{path} did not arrive as it was sent", remedy="check the cable and the flash")
            self._rename(part, path)
        except BaseException as error:
            self._clean_up(part)
            if isinstance(error, BoardError):
                full = error.errno == _ENOSPC
                raise (self._full(len(data), path) if full else self._file_error(error, path)) from error
            raise
        return Transfer(len(data), sent, time.monotonic() - start, wanted.hexdigest())

    def send(self, data: bytes, progress: Progress | None = None) -> int:
        """Pass `data` in pieces to the function `_w` on the board, which must take all it gets; the bytes sent."""
        self._load_helpers()
        info = self.identify()
        bits = upload.window_bits(info.heap_free_bytes) if info.has_deflate else None
        if bits is not None:
            self.run(upload.INFLATE % bits)
        done = sent = 0
        for size, expression in upload.pieces(data, upload.chunk_bytes(info.heap_free_bytes), bits):
            # A short count is how the Unix port's files say that the disk is full. Slot files return nothing.
            code = b"_k()\nif _w(" + expression + b") not in (None, %d): raise OSError(%d)" % (size, _ENOSPC)
            self.run(code)
            done += size
            sent += len(code)
            if progress is not None:
                progress(done, len(data))
        return sent

    def get(self, path: str, progress: Progress | None = None) -> bytes:
        """The content of the file `path`, checked against its SHA-256 on the board."""
        self._load_helpers()
        try:
            size = self.evaluate(f"__import__('os').stat({path!r})[6]", int)
            received: list[bytes] = []
            rest = ""

            def consume(text: str) -> None:
                nonlocal rest
                *lines, rest = (rest + text).split("\n")
                received.extend(base64.b64decode(line) for line in lines)
                if progress is not None and lines:
                    progress(min(size, sum(map(len, received))), size)

            step = min(1536, upload.chunk_bytes(self.identify().heap_free_bytes) // 3 * 3)
            self.run(
                f"from binascii import b2a_base64\nwith open({path!r}, 'rb') as _f:\n"
                f" while True:\n  _d = _f.read({step})\n  if not _d: break\n  _k()\n"
                "  print(str(b2a_base64(_d), 'ascii'), end='')\ndel _d",
                on_output=consume,
                max_bytes=min(2 * size, _MAX_FILE_BYTES),
            )
        except BoardError as error:
            raise self._file_error(error, path) from error
        except ValueError as error:
            raise LinkError(f"{path} did not arrive as it is on the board", remedy="check the cable") from error
        data = b"".join(received)
        if self.hash(path) not in (None, hashlib.sha256(data).hexdigest()):
            raise LinkError(f"{path} did not arrive as it is on the board", remedy="check the cable")
        return data

    def hash(self, path: str) -> str | None:
        """SHA-256 of the file `path` in hexadecimal, computed on the board; None if there is no such file.

        Firmware without `hashlib.sha256` (none that rootlet runs on) raises `BoardError`.
        """
        self._load_helpers()
        try:
            return self.evaluate(f"_h({path!r})", bytes.hex)
        except BoardError as error:
            if error.errno in (_ENOENT, _ENOTDIR):
                return None
            raise self._file_error(error, path) from error

    def remove(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove the file or empty directory `path`."""
        code = (
            f"import os\ntry: os.remove({path!r})\nexcept OSError as _e:\n"
            f" if _e.errno != {_EISDIR}: raise\n os.rmdir({path!r})"
        )
        try:
            self.run(code)
        except BoardError as error:
            if not (missing_ok and error.errno == _ENOENT):
                raise self._file_error(error, path) from error

    def listdir(self, path: str = "") -> list[tuple[str, bool, int]]:
        """`(name, is a directory, size in bytes)` of what is in `path` (default: the current directory), sorted."""
        code = "[(e[0], e[1] == 0x4000, e[3] if len(e) > 3 else 0) for e in __import__('os').ilistdir(%s)]"
        try:
            return self.evaluate(code % (repr(path) if path else ""), _entries)
        except BoardError as error:
            raise self._file_error(error, path) from error

    def make_directories(self, path: str) -> None:
        """Make the directory `path` and those above it, as far as they are missing."""
        parts = [part for part in path.split("/") if part]
        for count in range(1, len(parts) + 1):
            folder = ("/" if path.startswith("/") else "") + "/".join(parts[:count])
            code = (
                f"import os\ntry: _m = os.stat({folder!r})[0]\nexcept OSError: os.mkdir({folder!r})\n"
                f"else:\n if not _m & 0x4000: raise OSError({_ENOTDIR})"
            )
            try:
                self.run(code)
            except BoardError as error:
                # FatFs denies a folder for which no cluster is left (ff.c, f_mkdir).
                raise (_no_room(folder) if error.errno == _EACCES else self._file_error(error, folder)) from error

    def space(self) -> Space:
        """What is free on the board's internal file system now."""
        root = self.identify().root
        return self.evaluate(f"[__import__('os').statvfs({root!r})[i] for i in (0, 1, 2, 4)]", _space)

    def free_bytes(self) -> int:
        """How many bytes are free on the board's internal file system now."""
        return self.space().free_bytes

    def require_space(self, size: int, path: str) -> None:
        """Raise `HostError` unless a file of `size` bytes fits, with two blocks for what the file system adds."""
        space = self.space()
        if space.free_bytes < space.bytes_for(size) + 2 * space.block_bytes:
            raise self._full(size, path)

    def _full(self, size: int, path: str) -> HostError:
        free = self.free_bytes()
        return HostError(
            f"{path} needs {size} bytes and the flash of the board has {free} free", remedy="remove something from it"
        )

    def _file_error(self, error: BoardError, path: str) -> HostError:
        if error.errno == _ENOENT:
            remedy = f"list what there is: mpremote connect {self.port} ls"
            return HostError(f"there is no {path} on the board", remedy=remedy)
        if error.errno == _ENOSPC:
            return _no_room(path)
        if error.errno == _EROFS:
            remedy = "look in its boot.py at how the flash is mounted, or flash it again with --erase"
            return HostError(f"{path} cannot be written: the file system of the board is read-only", remedy=remedy)
        if error.errno in (_EISDIR, _ENOTDIR):
            kinds = ("folder", "file") if error.errno == _EISDIR else ("file", "folder")
            message = "{} on the board is a {} where a {} is needed".format(path, *kinds)
            return HostError(message, remedy="remove or rename it")
        return error

    def _load_helpers(self) -> None:
        if not self._helpers_there:
            self.run(_HELPERS)
            self._helpers_there = True

    def _rename(self, old: str, new: str) -> None:
        # FAT does not replace a file by renaming another one.
        self.run(
            f"import os\ntry: os.rename({old!r}, {new!r})\nexcept OSError as _e:\n"
            f" if _e.errno != {_EEXIST}: raise\n os.remove({new!r})\n os.rename({old!r}, {new!r})\n"
            "if hasattr(os, 'sync'): os.sync()"
        )

    def _clean_up(self, part: str) -> None:
        """Leave no temporary file behind, if the board still answers."""
        with contextlib.suppress(HostError):
            self.interrupt()
            self.run("try: _f.close()\nexcept Exception: pass")
            self.remove(part, missing_ok=True)


def _no_room(path: str) -> HostError:
    return HostError(f"there is no room for {path} on the flash of the board", remedy="remove something from it")
