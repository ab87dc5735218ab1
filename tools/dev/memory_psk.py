#!/usr/bin/env python3
"""What a connection with a pre-shared key takes, beside one with a certificate: two heaps of a 64-bit MicroPython.

    python tools/dev/memory_psk.py [--docs]

The 32-bit interpreter of memory.py has no pre-shared keys, the one from PyPI has. There Mbed TLS allocates with malloc,
which valgrind's massif counts; Python's heap is searched for the least that is enough. 64-bit objects take up to twice
the room of a board's, so these figures are for comparing rows with each other, not with those of a board.
With --docs, the table is written into docs/memory.md.

Needs valgrind and openssl. Exit codes: 0 done, 1 something could not be measured.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from least_heap import completes, least_size
from measuring.report import markdown_table, write_block
from measuring.workbench import REPOSITORY, MeasurementError, Target
from memory_bench import COMPILED, CONFIGURATIONS, RUN_LIMIT_S, Bench, Configuration
from rich.console import Console
from rootlet_host.interpreter import find_micropython

KEY_KIND = "P-256"
KEYS = ("tls", "store", "psk")
LOW_BYTES, HIGH_BYTES, STEP_BYTES = 8 * 1024, 256 * 1024, 512
MASSIF_HEAP_BYTES = 255 * 1024
HEADS = ("configuration", "least Python heap", "Mbed TLS's peak")


def native_peak_bytes(command: list[str], environment: dict[str, str], out: Path) -> int:
    """The most that was allocated with malloc at any moment."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MeasurementError("valgrind is not installed (Debian: valgrind)")
    massif = [valgrind, "--tool=massif", "--peak-inaccuracy=0.0", "--depth=1", f"--massif-out-file={out}"]
    done = subprocess.run(
        [*massif, *command], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise MeasurementError("the job failed under valgrind: " + (done.stdout + done.stderr)[-300:])
    return max(map(int, re.findall(r"^mem_heap_B=(\d+)$", out.read_text(encoding="utf-8"), re.M)))


def measure(bench: Bench, configuration: Configuration, target: Target, base_bytes: int) -> tuple[int, int]:
    """(the least Python heap, what malloc gave beyond `base_bytes`)."""
    interpreter = find_micropython()
    environment = {**os.environ, "MICROPYPATH": bench.path(COMPILED)}

    def command(port: int, heap_bytes: int) -> list[str]:
        return bench.command(configuration, target, port, interpreter, heap_bytes, "complete")

    def works(heap_bytes: int) -> tuple[bool, str]:
        with bench.around(configuration, target) as (port, more):
            return completes(command(port, heap_bytes), RUN_LIMIT_S, {**environment, **more})

    with bench.around(configuration, target) as (port, more):
        out = bench.folder / "massif.out"
        peak = native_peak_bytes(command(port, MASSIF_HEAP_BYTES), {**environment, **more}, out)
    return least_size(works, LOW_BYTES, HIGH_BYTES, STEP_BYTES), peak - base_bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--docs", action="store_true", help="write the table into docs/memory.md")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    rows = []
    try:
        with Bench([KEY_KIND]) as bench, console.status("measuring") as status:
            (target,) = bench.targets
            idle = [str(find_micropython()), "-X", f"heapsize={MASSIF_HEAP_BYTES}", "-c", "import tls, socket"]
            base_bytes = native_peak_bytes(idle, dict(os.environ), bench.folder / "massif.out")
            for configuration in CONFIGURATIONS:
                if configuration.key in KEYS:
                    status.update(configuration.title)
                    least, native = measure(bench, configuration, target, base_bytes)
                    rows.append((configuration.title, f"{least:,}", f"{native:,}"))
    except MeasurementError as error:
        print(f"memory_psk: {error}", file=sys.stderr)
        return 1
    table = markdown_table(HEADS, rows)
    print(table)
    if arguments.docs:
        write_block(REPOSITORY / "docs" / "memory.md", "psk", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
