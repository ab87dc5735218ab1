#!/usr/bin/env python3
"""What an update of the full store costs a board: time, heap, code.

    python tools/dev/update_cost.py [--docs]

Runs on the Unix port and, if it was built (make micropython32), on the 32-bit build whose Mbed TLS allocates from the
Python heap as on a board. With --docs, which needs that build, the table is written into docs/updates.md.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from least_heap import JobFailed, least_size
from measuring.report import markdown_table, write_block
from measuring.workbench import DEVICE_PROGRAMS, PACKAGE, REPOSITORY, MeasurementError, compile_tree
from rootlet_host.interpreter import find_micropython
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import BuildOptions, collect
from support.servers import Server, http_response

MICROPYTHON32 = REPOSITORY / "build" / "micropython32" / "micropython"
RUNS = 5  # what else the machine does only makes times longer: the least is reported
SMALL_HEAP = "160K"  # modules are let go of below 256 KB, as on a board
LOW_BYTES, HIGH_BYTES, STEP_BYTES = 64 * 1024, 256 * 1024, 2048
ROWS = (
    "signature check",
    "update over plain HTTP",
    "peak heap of the check",
    "Mbed TLS's part of it: two ends of a connection",
    "peak heap of the update, with the code it loads",
    "least heap for an update",
    "least heap for a push over USB",
    "code and objects that stay, from .mpy files (frozen: next to nothing)",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", action="store_true", help="write the table into docs/updates.md")
    options = parser.parse_args()
    interpreters = {"Unix port, 64 bits": find_micropython()}
    if MICROPYTHON32.exists():
        interpreters["32 bits"] = MICROPYTHON32
    elif options.docs:
        print("update_cost: build/micropython32 is missing: run make micropython32", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="rootlet-bench-") as folder:
            bench = Bench(Path(folder))
            columns = [bench.costs(interpreter) for interpreter in interpreters.values()]
    except (MeasurementError, JobFailed) as error:
        print(f"update_cost: {error}", file=sys.stderr)
        return 1
    table = markdown_table(("full store", *interpreters), [(what, *(c[what] for c in columns)) for what in ROWS])
    print(table)
    if options.docs:
        write_block(REPOSITORY / "docs" / "updates.md", "costs", table)
    return 0


class Bench:
    """A publisher, a server with its next store, and rootlet as .mpy files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        key = new_publisher_key()
        publisher = publisher_certificate("publisher", key)
        contents = collect(BuildOptions())
        self._old, self._new = (sign_store(contents.encode(sequence), key, publisher) for sequence in (1, 2))
        self._publisher = publisher.public_bytes(Encoding.DER)
        compile_tree(PACKAGE, folder / "lib" / "rootlet")
        compile_tree(DEVICE_PROGRAMS, folder / "lib")

    def costs(self, interpreter: Path) -> dict[str, str]:
        """The cells of one interpreter, by ROWS."""
        timed = [self.run(interpreter) for _ in range(RUNS)]
        heap = self.run(interpreter, "heap")
        signature, update = heap["signature"], heap["update"]
        peaks = ["", "", "", "", ""]
        if "peak_bytes" in update:  # the interpreter can watch its heap
            watched = (signature["peak_bytes"], signature["tls_peak_bytes"], update["peak_bytes"])
            least = (self.least_heap_bytes(interpreter, what) for what in ("once", "push"))
            peaks = [f"{size:,} B" for size in (*watched, *least)]
        times = [f"{min(one[name]['ms'] for one in timed):.0f} ms" for name in ("signature", "update")]
        return dict(zip(ROWS, [*times, *peaks, f"{heap['resident_bytes']:,} B"], strict=True))

    def least_heap_bytes(self, interpreter: Path, what: str) -> int:
        def works(heap_bytes: int) -> tuple[bool, str]:
            try:
                self.run(interpreter, what, heap=str(heap_bytes))
            except MeasurementError as error:
                return False, str(error)
            return True, ""

        return least_size(works, LOW_BYTES, HIGH_BYTES, STEP_BYTES)

    def run(self, interpreter: Path, *what: str, heap: str = SMALL_HEAP) -> dict[str, Any]:
        """What device/update_store.py measures in one update. Raises MeasurementError if it fails."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, Server(self._serve) as server:
            certs = Path(folder)
            store = certs / "roots.rtlt"
            store.write_bytes(self._old)
            certs.joinpath("next.rtlt").write_bytes(self._new)
            certs.joinpath("publisher.der").write_bytes(self._publisher)
            url = f"http://127.0.0.1:{server.port}/roots.rtlt"
            done = subprocess.run(
                [str(interpreter), "-X", f"heapsize={heap}", "-m", "update_store", str(store), url, *what],
                env={**os.environ, "MICROPYPATH": f"{self._folder / 'lib'}:.frozen"},
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
        if done.returncode:
            raise MeasurementError((done.stdout + done.stderr).strip()[-500:])
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def _serve(self, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(http_response(self._new))


if __name__ == "__main__":
    sys.exit(main())
