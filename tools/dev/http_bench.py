#!/usr/bin/env python3
"""The HTTP client: first byte over a kept connection against a new one, throughput against micropython-lib's
`requests`, and the heap that a download to a file needs beside its connection.

    python tools/dev/http_bench.py [--rounds N] [--quick] [--docs]

rootlet runs as compiled .mpy and trusts the full Mozilla store and a site CA; `requests` is the one in the interpreter,
which verifies nothing. Prints a table, writes build/http_bench.json, with --docs the table of docs/http.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring.comparison import Comparison, Line, describe
from measuring.workbench import REPOSITORY, MeasurementError, Workbench
from rich.console import Console
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython

COMPARISON = Comparison(
    "http-bench",
    "The HTTP client",
    ("", "first", "second", "second / first", "goal", "met"),
    REPOSITORY / "docs" / "http.md",
)
INTERPRETER32 = REPOSITORY / "build" / "micropython32" / "micropython"
TRANSFER_BYTES = 2 * 1024 * 1024
PIECES = (4096, 16384)
DOWNLOAD_BYTES = 5 * 1024 * 1024
HEAP_GOAL_BYTES = 6 * 1024
HEAP_STEP_BYTES = 256


class KeepAliveWorkbench(Workbench):
    SERVER = "keep_alive_server.py"


def first_byte(bench: Workbench, rounds: int) -> tuple[Line, dict[str, Any]]:
    data, _ = bench.run(find_micropython(), "http_first_byte", bench.request(bench.targets[0], rounds=rounds))
    new, kept = (statistics.median(column) / 1000 for column in zip(*data["pairs"], strict=True))
    data |= {"new_ms": new, "kept_ms": kept}
    return Line(
        "first byte: new connection, kept connection", f"{new:.2f} ms", f"{kept:.2f} ms", f"{kept / new:.3f}"
    ), data


def throughput(bench: Workbench, pairs: int, piece: int) -> tuple[Line, dict[str, Any]]:
    """`piece`: bytes that are read at a time."""
    request = bench.request(bench.targets[0], size=TRANSFER_BYTES, pairs=pairs, piece=piece)
    data, _ = bench.run(find_micropython(), "http_throughput", request, timeout_s=300)
    theirs, ours = (TRANSFER_BYTES / statistics.median(column) for column in zip(*data["pairs"], strict=True))
    ratio = statistics.median(a / b for a, b in data["pairs"])
    data |= {"requests_mb_per_s": theirs, "rootlet_mb_per_s": ours, "ratio": ratio}
    what = f"2 MB in processor time, {piece // 1024} KB at a time: requests, rootlet"
    return Line(what, f"{theirs:.1f} MB/s", f"{ours:.1f} MB/s", f"{ratio:.3f}"), data


def download_heap(bench: Workbench, interpreter: Path, bits: int) -> tuple[Line, dict[str, Any]]:
    """The least free heap beside a kept connection with which a download to a file works, by bisection."""
    tried: dict[int, bool] = {}

    def works(spare: int) -> bool:
        request = bench.request(bench.targets[0], size=DOWNLOAD_BYTES, spare=spare)
        data, _ = bench.run(interpreter, "http_download", request, heap="512K")
        tried[data["free"]] = data["worked"]
        return bool(data["worked"])

    low, high = 0, 64 * 1024
    if not works(high):
        raise MeasurementError(f"a download needs more than {high:,} bytes")
    while high - low > HEAP_STEP_BYTES:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    needed = min(free for free, worked in tried.items() if worked)
    what = f"heap beside the connection, 5 MB to a file, {bits}-bit"
    if bits == 32:
        line = Line(what, "", f"{needed:,} B", "", f"≤ {HEAP_GOAL_BYTES:,} B", needed <= HEAP_GOAL_BYTES)
    else:
        line = Line(what, "", f"{needed:,} B", "")  # twice the pointers: no board
    return line, {"needed_bytes": needed, "tried": tried}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the HTTP client.")
    parser.add_argument("--rounds", type=int, default=60, help="pairs of small GETs (default: 60)")
    parser.add_argument("--quick", action="store_true", help="fewer transfers")
    parser.add_argument("--docs", action="store_true", help="write the table of docs/http.md")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    data: dict[str, Any] = {}
    lines = []
    try:
        about = describe()
        with KeepAliveWorkbench(("P-256",)) as bench:
            measured = [
                ("first byte", first_byte(bench, options.rounds)),
                *((f"throughput, {piece}", throughput(bench, 5 if options.quick else 20, piece)) for piece in PIECES),
                ("download heap", download_heap(bench, find_micropython(), 64)),
            ]
            # Like a board: 32 bits, and Mbed TLS in the same heap. Made by `make micropython32`.
            if INTERPRETER32.exists():
                measured.append(("download heap, 32-bit", download_heap(bench, INTERPRETER32, 32)))
            for name, (line, found) in measured:
                lines.append(line)
                data[name] = found
    except (MeasurementError, HostError, OSError, subprocess.SubprocessError) as error:
        print(f"http_bench: {error}", file=sys.stderr)
        return 1
    COMPARISON.publish(about, lines, data, docs=options.docs, console=Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
