"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import HostError, UsageError

MAX_READ_BYTES = 64 << 20  # no file that rootlet reads comes near; /dev/zero and its like have no end
_PIPE_WAIT_S = 3  # for a named pipe that nobody has opened for writing yet
_NAME_BYTES = 100  # of the target in the temporary file's name, which a file system limits to 255

_CHECK_NAME = "check its name"
_READ_REMEDIES = {
    errno.ENOENT: _CHECK_NAME,
    errno.ENOTDIR: _CHECK_NAME,
    errno.ELOOP: _CHECK_NAME,
    errno.ENAMETOOLONG: _CHECK_NAME,
    errno.EISDIR: "name a file in it",
    errno.EACCES: "change its permissions",
    errno.EPERM: "change its permissions",
}
_NO_ROOM = "make room on that disk"
_ELSEWHERE = "choose another place, or change its permissions"
_OTHER_NAME = "choose another name"
_WRITE_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: _OTHER_NAME,
    errno.EEXIST: _OTHER_NAME,
    errno.EISDIR: _OTHER_NAME,
    errno.ELOOP: _OTHER_NAME,
    errno.ENAMETOOLONG: _OTHER_NAME,
}


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data` in one step: readers see the old file or the new one, never a part.

    The data goes to a temporary file beside `path` with permissions `mode` from its first byte on,
    is flushed to disk and renamed over the target. Only files are replaced: neither folders nor devices.
    """
    directory = path.parent
    try:
        _require_file(path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:_NAME_BYTES]}.", dir=directory)
    except OSError as error:
        raise HostError(f"cannot write in {directory}: {error.strerror}", remedy=write_remedy(error)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):  # not on Windows
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}", remedy=write_remedy(error)) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _require_file(path: Path) -> None:
    """Raises HostError if something else than a file is there."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a file"
        raise HostError(f"cannot write {path}: it is {kind}", remedy=_OTHER_NAME)


def write_all(files: Sequence[tuple[Path, bytes, int]], *, force: bool = False) -> None:
    """Write (path, data, permissions) all or none: after a failure what was there before is there again.

    Raises `UsageError` if one exists and `force` is not given.
    """
    before: dict[Path, tuple[bytes, int] | None] = {}
    for path, _, _ in files:
        exists = path.exists() or path.is_symlink()
        if exists and not force:
            raise UsageError(f"{path} exists", remedy="choose another name or directory, or replace it with --force")
        _require_file(path)
        before[path] = (read_file(path, "the file to be replaced"), path.stat().st_mode & 0o777) if exists else None
    done: list[Path] = []
    try:
        for path, data, mode in files:
            done.append(path)
            write_atomic(path, data, mode=mode)
    except BaseException:
        for path in done:
            old = before[path]
            with contextlib.suppress(OSError, HostError):  # what failed first is what there is to say
                if old is None:
                    path.unlink(missing_ok=True)
                else:
                    write_atomic(path, old[0], mode=old[1])
        raise


def make_folder(path: Path) -> None:
    """`path` and the folders above it, as far as they are missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"cannot make the folder {path}: {error.strerror}", remedy=write_remedy(error)) from error


def read_file(path: Path, what: str, limit: int = MAX_READ_BYTES) -> bytes:
    """The bytes of `path`, at most `limit`, or a `UsageError` that says `what` could not be read.

    A pipe is waited for only if somebody is going to write into it.
    """
    try:
        # Without O_NONBLOCK, open waits for a writer of a named pipe for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            state = os.fstat(file.fileno())
            if stat.S_ISFIFO(state.st_mode):
                if not select.select([file], [], [], _PIPE_WAIT_S)[0]:
                    raise UsageError(f"cannot read {what} {path}: nobody writes into this pipe", remedy=_CHECK_NAME)
                os.set_blocking(file.fileno(), True)
            if state.st_size <= limit:
                data = file.read(limit + 1)
                if len(data) <= limit:
                    return data
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror}", remedy=read_remedy(error)) from error
    raise UsageError(f"cannot read {what} {path}: it is larger than {limit >> 20} MB", remedy=_CHECK_NAME)


def read_remedy(error: OSError) -> str:
    """What to do about a file that cannot be read, or an empty text."""
    return _READ_REMEDIES.get(error.errno or 0, "")


def write_remedy(error: OSError) -> str:
    """What to do about a file that cannot be written, or an empty text."""
    return _WRITE_REMEDIES.get(error.errno or 0, "")


def file_name(name: str) -> str:
    """`name` if files can be called so on every system, else a `UsageError`."""
    if not name.strip(". ") or any(character in name for character in "/\\:\0") or not name.isprintable():
        raise UsageError(f"{name!r} cannot name files", remedy="choose a name without / \\ and :")
    return name
