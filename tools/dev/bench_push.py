#!/usr/bin/env python3
"""Measure how fast files and stores get to a board, beside `mpremote fs cp`, and how much of the link that uses.

    tools/dev/bench_push.py [--port PORT] [--bytes N] [--rounds N]

Without --port a virtual board with a 128 KiB heap is used: a pseudo-terminal carries as much as both ends can handle,
so there the rate says how much work a byte is, and the share of content among the bytes sent what a serial line would
make of it. On a board the rate is that of the link.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

from mpremote.transport_serial import SerialTransport
from rootlet_host.board.transport import Board
from rootlet_host.board.virtual import VirtualBoard

_NAME = "bench_push.bin"


class Counting:
    """A serial port that counts what is written to it."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.written = 0

    def write(self, data: bytes) -> Any:
        self.written += len(data)
        return self._port.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def by_mpremote(port: str, data: bytes) -> tuple[float, int]:
    """Seconds and bytes on the wire for `mpremote fs cp`, without the start of the program."""
    transport = SerialTransport(port)
    transport.enter_raw_repl(soft_reset=False)
    transport.serial = counting = Counting(transport.serial)
    start = time.monotonic()
    transport.fs_writefile(_NAME, data)
    seconds = time.monotonic() - start
    transport.fs_rmfile(_NAME)
    transport.exit_raw_repl()
    transport.close()
    return seconds, counting.written


def by_rootlet(port: str, data: bytes) -> tuple[float, int]:
    """The same for `Board.put`, which also reads the file back, hashes it on the board and renames it."""
    with Board(port) as board:
        board.identify()
        link = board._open_link.port
        link._port = counting = Counting(link._port)
        seconds = board.put(data, _NAME).seconds
        board.remove(_NAME)
    return seconds, counting.written


@contextlib.contextmanager
def port_of(name: str | None) -> Iterator[str]:
    if name is not None:
        yield name
        return
    with VirtualBoard(heap="128K") as virtual:
        yield virtual.port


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", help="a real board; default: a virtual one")
    parser.add_argument("--bytes", type=int, default=41_500, help="size of the file (default: that of Mozilla's roots)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = os.urandom(options.bytes)
    print(f"{len(data)} bytes that do not pack, median of {options.rounds} rounds")
    with port_of(options.port) as port:
        for name, way in (("mpremote fs cp", by_mpremote), ("rootlet put", by_rootlet)):
            runs = [way(port, data) for _ in range(options.rounds)]
            seconds = statistics.median(run[0] for run in runs)
            written = runs[0][1]
            rate = len(data) / seconds / 1000
            print(f"{name:15} {rate:8.1f} kB/s   {written:7} bytes sent, {100 * len(data) / written:.0f} % content")


if __name__ == "__main__":
    main()
