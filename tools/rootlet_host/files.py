"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import HostError, UsageError


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data` in one step: readers see the old file or the new one, never a part.

    The data goes to a temporary file beside `path` with permissions `mode` from its first byte on,
    is flushed to disk and renamed over the target.
    """
    directory = path.parent
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=directory)
    except OSError as error:
        raise HostError(f"cannot write in {directory}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):  # not on Windows
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_all(files: Sequence[tuple[Path, bytes, int]], *, force: bool = False) -> None:
    """Write (path, data, permissions) all or none: after a failure what was there before is there again.

    Raises `UsageError` if one exists and `force` is not given.
    """
    before: dict[Path, tuple[bytes, int] | None] = {}
    for path, _, _ in files:
        exists = path.exists() or path.is_symlink()
        if exists and not force:
            raise UsageError(f"{path} exists", remedy="choose another name or directory, or replace it with --force")
        before[path] = (read_file(path, "the file to be replaced"), path.stat().st_mode & 0o777) if exists else None
    done: list[Path] = []
    try:
        for path, data, mode in files:
            done.append(path)
            write_atomic(path, data, mode=mode)
    except BaseException:
        for path in done:
            old = before[path]
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
        raise HostError(f"cannot make the folder {path}: {error.strerror}") from error


def read_file(path: Path, what: str) -> bytes:
    """The bytes of `path`, or a `UsageError` that says `what` could not be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror}") from error


def file_name(name: str) -> str:
    """`name` if files can be called so on every system, else a `UsageError`."""
    if not name.strip(". ") or any(character in name for character in "/\\:\0") or not name.isprintable():
        raise UsageError(f"{name!r} cannot name files", remedy="choose a name without / \\ and :")
    return name
