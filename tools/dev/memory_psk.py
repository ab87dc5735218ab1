#!/usr/bin/env python3
"""What a connection with a pre-shared key takes, beside those with a certificate: two heaps of a 64-bit MicroPython.

    python tools/dev/memory_psk.py [--docs]

The 32-bit interpreter of memory.py has no pre-shared keys, the one from PyPI has. Its Mbed TLS allocates with malloc; a
library that is loaded before it (measuring/preload) counts both heaps at each phase, and Python's is searched for the
least that is enough. 64-bit objects take up to twice the room of a board's, so these figures are for comparing rows
with each other, not with those of a board. With --docs, the table is written into docs/memory.md.

Needs a C compiler and openssl. Exit codes: 0 done, 1 something could not be measured.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from least_heap import JobFailed
from measuring.report import markdown_table, write_block
from measuring.workbench import MeasurementError, Target, compile_tree
from memory_bench import COMPILED, CONFIGURATIONS, LOW_SYSTEM_BYTES, Bench, Configuration, Phase
from memory_page import PAGE, PHASES
from rich.console import Console
from rootlet_host.interpreter import find_micropython

PRELOAD = Path(__file__).with_name("measuring") / "preload"
KEY_KIND = "P-256"
KEYS = ("tls", "store", "psk")
HEADS = ("configuration", "heap", *(title for _, title in PHASES), "least heap")


def build_counter(folder: Path) -> Path:
    """The library that counts, and in `folder` the module that asks it. Raises MeasurementError."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MeasurementError("there is no C compiler (Debian: gcc)")
    compile_tree(PRELOAD, folder)
    library = folder / "heap_peak.so"
    command = [compiler, "-shared", "-fPIC", "-O1", str(PRELOAD / "heap_peak.c"), "-o", str(library), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementError(f"{PRELOAD.name}/heap_peak.c cannot be compiled: {done.stderr.strip()[-300:]}")
    return library


def measure(bench: Bench, configuration: Configuration, target: Target, counter: Path) -> tuple[list[Phase], int]:
    """(the phases, the least Python heap in bytes)."""
    interpreter = find_micropython()
    watching = {**bench.environment_for(COMPILED, counter.parent), "LD_PRELOAD": str(counter)}
    phases = bench.watch(configuration, target, interpreter, watching)
    least, _ = bench.least(configuration, target, interpreter, bench.environment_for(COMPILED), LOW_SYSTEM_BYTES)
    return phases, least


def rows(title: str, phases: list[Phase], least_heap_bytes: int) -> Iterator[tuple[str, ...]]:
    """One row for Python's heap, one for Mbed TLS's."""
    named = {phase.name: phase for phase in phases}

    def cells(live: Callable[[Phase], int], peak: Callable[[Phase], int]) -> list[str]:
        return [f"{live(named[name]):,}" if name else f"{peak(named['connected']):,}" for name, _ in PHASES]

    python = cells(lambda phase: phase.live_bytes, lambda phase: phase.python_peak_bytes)
    yield (title, "Python", *python, f"{least_heap_bytes:,}")
    yield ("", "Mbed TLS", *cells(lambda phase: phase.tls_bytes, lambda phase: phase.tls_peak_bytes), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--docs", action="store_true", help="write the table into docs/memory.md")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    found: list[tuple[str, ...]] = []
    try:
        with Bench([KEY_KIND]) as bench, console.status("measuring") as status:
            (target,) = bench.targets
            counter = build_counter(bench.folder / "counter")
            for configuration in CONFIGURATIONS:
                if configuration.key in KEYS:
                    status.update(configuration.title)
                    found += rows(configuration.title, *measure(bench, configuration, target, counter))
    except (MeasurementError, JobFailed) as error:
        print(f"memory_psk: {error}", file=sys.stderr)
        return 1
    table = markdown_table(HEADS, found)
    print(table)
    if arguments.docs:
        write_block(PAGE, "psk", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
