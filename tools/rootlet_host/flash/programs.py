"""Runs a flashing program and hands its output out as it comes."""

from __future__ import annotations

import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

TIMED_OUT = -1


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
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for above
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            alive = time.monotonic()
            while True:
                if selector.select(timeout=0.2):
                    piece = process.stdout.read1(4096)  # type: ignore[attr-defined]  # a BufferedReader
                    if not piece:
                        break
                    alive = time.monotonic()
                    collected += piece
                    if on_text is not None:
                        on_text(piece.decode("utf-8", "replace"))
                elif time.monotonic() - alive > timeout_s:
                    return Finished(TIMED_OUT, collected.decode("utf-8", "replace"))
        return Finished(process.wait(timeout=timeout_s), collected.decode("utf-8", "replace"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
