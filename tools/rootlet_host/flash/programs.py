"""Runs a flashing program and hands its output out as it comes."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import write_remedy
from ..firmware.images import Segment
from .base import FlashError

TIMED_OUT = -1


def part_file(folder: Path, part: Segment) -> Path:
    """What `store` calls the file of `part`."""
    return folder / f"part-{part.address:08x}.bin"


def store(folder: Path, parts: Sequence[Segment]) -> None:
    """Put each part into a file of `folder` for a program to read: all of them before the board is touched."""
    for part in parts:
        file = part_file(folder, part)
        try:
            file.write_bytes(part.data)
        except OSError as error:
            what = "; ".join(filter(None, (write_remedy(error), "nothing was written to the board")))
            raise FlashError(f"cannot write {file}: {error.strerror}", remedy=what) from error


@dataclass(frozen=True)
class Finished:
    """How a program ended; `code` is `TIMED_OUT` when it had to be stopped."""

    code: int
    output: str


def run(command: list[str], timeout_s: float, on_text: Callable[[str], None] | None = None) -> Finished:
    """Run `command` with both its outputs joined. `on_text` gets every piece, carriage returns included.

    The time-out counts from the last sign of life, since writing a large flash takes minutes.
    """
    collected = bytearray()
    pieces: queue.Queue[bytes] = queue.Queue()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for above
    descriptor = process.stdout.fileno()

    def read() -> None:
        # A thread, since pipes cannot be waited for with a time-out on Windows.
        while True:
            piece = os.read(descriptor, 4096)
            pieces.put(piece)
            if not piece:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        alive = time.monotonic()
        while True:
            try:
                piece = pieces.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() - alive > timeout_s:
                    return Finished(TIMED_OUT, collected.decode("utf-8", "replace"))
                continue
            if not piece:
                break
            alive = time.monotonic()
            collected += piece
            if on_text is not None:
                on_text(piece.decode("utf-8", "replace"))
        return Finished(process.wait(timeout=timeout_s), collected.decode("utf-8", "replace"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        # The program may have left a child that still holds the pipe; the reader then ends with it.
        reader.join(timeout=1)
        if not reader.is_alive():
            process.stdout.close()
