# A flash in memory whose power can fail, and the file systems that boards put on one.

import os
from errno import EIO
from hashlib import sha256

import vfs
from micropython import const

_BLOCK_COUNT = const(4)
_BLOCK_SIZE = const(5)


def noise(n, seed):
    # The same bytes each time, so that a test that fails does so again.
    data = b""
    while len(data) < n:
        data += sha256(b"%d %d" % (seed, len(data))).digest()
    return data[:n]


class Flash:
    # Writes `budget` units (sectors on FAT, what littlefs programs in one go) and then fails: `fate` says what becomes
    # of the last one. "drop": nothing of it is written. "half": its first half is. "garbage": and the rest is random.
    # "noise": all of it is random. Later writes do nothing, later reads fail.

    def __init__(self, data, block_size):
        self.data = data
        self.block_size = block_size
        self.budget = None
        self.fate = "drop"
        self.writes = 0
        self.failed_at = None

    def readblocks(self, block, buffer, offset=0):
        if self.failed_at is not None:
            return -EIO  # no exception: finalisers of open files come here, too
        at = block * self.block_size + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]
        return 0

    def writeblocks(self, block, buffer, offset=None):
        buffer = memoryview(buffer)
        at = block * self.block_size + (offset or 0)
        step = len(buffer) if offset is not None else self.block_size
        for i in range(0, len(buffer), step):
            self._write(at + i, buffer[i : i + step])
        return 0 if self.failed_at is None else -EIO

    def _write(self, at, buffer):
        if self.failed_at is not None:
            return
        n = len(buffer)
        if self.writes == self.budget:
            self.failed_at = at
            if self.fate in ("half", "garbage"):
                self.data[at : at + n // 2] = buffer[: n // 2]
            if self.fate == "garbage":
                self.data[at + n // 2 : at + n] = noise(n - n // 2, self.writes)
            elif self.fate == "noise":
                self.data[at : at + n] = noise(n, self.writes)
        else:
            self.writes += 1
            self.data[at : at + n] = buffer

    def ioctl(self, request, argument):
        if request == _BLOCK_COUNT:
            return len(self.data) // self.block_size
        if request == _BLOCK_SIZE:
            return self.block_size
        return 0


def make(kind, size, block_size):
    # An empty image.
    data = bytearray(size)
    (vfs.VfsFat if kind == "fat" else vfs.VfsLfs2).mkfs(Flash(data, block_size))
    return data


def mount(kind, data, block_size):
    flash = Flash(data, block_size)
    vfs.mount((vfs.VfsFat if kind == "fat" else vfs.VfsLfs2)(flash), "/flash")
    return flash


def unmount():
    try:
        vfs.umount("/flash")
    except OSError:
        pass  # it wanted to write


def free_bytes():
    volume = os.statvfs("/flash")
    return volume[0] * volume[3]
