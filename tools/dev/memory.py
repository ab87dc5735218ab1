#!/usr/bin/env python3
"""How much heap each way to use rootlet takes, phase by phase, and the least heap that it completes with.

    python tools/dev/memory.py [--docs] [--json] [--skip-build] [--only NAME ...] [--minutes N] [--jobs N]

Measured on a 32-bit MicroPython whose Mbed TLS allocates from the Python heap, as on an STM32 board, and on one where
it allocates from the system's, as on an ESP32: rootlet as .mpy files, whose bytecode is loaded into the heap, and
frozen into the firmware. The job itself is an .mpy file everywhere.

Writes build/memory.json. With --docs, what it finds becomes what is recorded: docs/memory.json, from which come the
tables and plots of docs/memory.md and the figures that the board refuses by (lib/rootlet/memory.py). --render writes
those again from what is recorded, without measuring.

Builds the interpreters where they are missing or older than the code (build_micropython32.sh: needs Debian's apt,
gcc-multilib and the network). Exit codes: 0 done, 1 something could not be measured, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import memory_page
from least_heap import JobFailed
from measuring.workbench import KEY_KINDS, MeasurementError, code_digest
from memory_bench import (
    BUILD,
    COMPILED,
    CONFIGURATIONS,
    FROZEN,
    PREFLIGHT,
    PYTHON_HEAP,
    SYSTEM_HEAP,
    Bench,
    Configuration,
    Result,
    build,
    missing,
)
from memory_records import RECORD, Record
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

SHORT_HEADS = ("", "rootlet", "imported", "ready", "TCP", "peak", "connected", "closed", "least heap", "- tls")
LARGE = "RSA-4096"  # the largest keys of the web: measured with one configuration, to know what they add


def plan(only: Sequence[str]) -> list[tuple[str, Configuration, str, str]]:
    """What to measure: (chain, configuration, packaging, where Mbed TLS allocates)."""
    chosen = [c for c in (*CONFIGURATIONS, PREFLIGHT) if not only or c.key in only]
    steps = []
    for chain, tls_heap in (*((kind, PYTHON_HEAP) for kind in KEY_KINDS), (KEY_KINDS[-1], SYSTEM_HEAP)):
        for configuration in chosen:
            for packaging in (COMPILED,) if configuration.bare else (FROZEN, COMPILED):
                steps.append((chain, configuration, packaging, tls_heap))
    store = next(c for c in CONFIGURATIONS if c.key == "store")
    if store in chosen:
        steps += [(LARGE, store, packaging, PYTHON_HEAP) for packaging in (FROZEN, COMPILED)]
    return steps


def measure_all(
    only: Sequence[str], skip_build: bool, limit_s: float, jobs: int, before: Record | None, console: Console
) -> Record:
    """Everything that `plan` lists, `jobs` at a time. The searches begin at what was found `before`.

    Raises MeasurementError when it takes longer than `limit_s`.
    """
    began = time.monotonic()
    steps = plan(only)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn()),
    )
    results: list[Result] = []
    not_measured: dict[str, str] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("building MicroPython", total=len(steps))
        interpreters = {
            (packaging, tls_heap): build(packaging, tls_heap, skip=skip_build)
            for packaging in (FROZEN, COMPILED)
            for tls_heap in (PYTHON_HEAP, SYSTEM_HEAP)
        }
        about = version(interpreters[COMPILED, PYTHON_HEAP])
        with Bench((*KEY_KINDS, LARGE)) as bench, ThreadPoolExecutor(jobs) as pool:
            targets = {target.key_kind: target for target in bench.targets}

            def measure(step: tuple[str, Configuration, str, str]) -> Result | tuple[str, str]:
                """A result, or why there is none: (configuration, reason)."""
                chain, configuration, packaging, tls_heap = step
                if time.monotonic() - began > limit_s:
                    raise MeasurementError(f"not done within {limit_s / 60:g} minutes; see --minutes and --only")
                interpreter = interpreters[packaging, tls_heap]
                reason = missing(configuration, interpreter)
                if reason is not None:
                    return configuration.key, reason
                last = before.find(chain, configuration.key, packaging, tls_heap) if before else None
                guess = last.least_heap_bytes if last else None
                result = bench.measure(configuration, targets[chain], packaging, tls_heap, interpreter, guess)
                if configuration is PREFLIGHT and tls_heap == PYTHON_HEAP and chain in KEY_KINDS:
                    result = bench.again(result, targets[chain], interpreter)
                return result

            progress.update(task, description="measuring")
            try:
                for step, found in zip(steps, pool.map(measure, steps), strict=True):
                    if isinstance(found, Result):
                        results.append(found)
                    else:
                        not_measured[found[0]] = found[1]
                    progress.update(task, advance=1, description=f"{step[0]}, {step[3]} heap, {step[1].key}, {step[2]}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return Record(about, code_digest(), results, not_measured)


def version(interpreter: Path) -> str:
    code = "import sys, tls; print(sys.version.split('; ')[1], 'with', tls.MBEDTLS_VERSION)"
    done = subprocess.run([str(interpreter), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def tables(record: Record) -> Iterator[Table]:
    for chain, tls_heap in record.groups():
        where = "in the Python heap" if tls_heap == PYTHON_HEAP else "outside the Python heap"
        found = Table(title=f"{chain} chain, Mbed TLS {where}: live KiB, 32-bit", title_justify="left")
        for number, head in enumerate(SHORT_HEADS):
            found.add_column(head, justify="left" if number < 2 else "right", no_wrap=True)
        for row in memory_page.phase_rows(record, chain, tls_heap, brief=True):
            found.add_row(*row)
        yield found


def main(arguments: Sequence[str] | None = None) -> int:
    keys = [configuration.key for configuration in (*CONFIGURATIONS, PREFLIGHT)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="record the figures; write tables, plots and constants")
    parser.add_argument("--render", action="store_true", help="write them from the recorded figures, without measuring")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--skip-build", action="store_true", help="use the interpreters as they are")
    parser.add_argument("--only", nargs="+", choices=keys, default=[], help="measure only these configurations")
    parser.add_argument("--minutes", type=float, default=40, help="give up after so many (default: 40)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (default: processors)"
    )
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be 1 or more")
    if options.only and options.docs:
        parser.error("--docs records all configurations: leave --only out")
    console = Console(stderr=options.json)
    try:
        if options.render:
            memory_page.write_all(Record.load(RECORD))
            return 0
        before = Record.load(RECORD) if RECORD.exists() else None
        limit_s = 60 * options.minutes
        record = measure_all(options.only, options.skip_build, limit_s, options.jobs, before, console)
    except (MeasurementError, JobFailed, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"memory: {error}", file=sys.stderr)
        return 1
    BUILD.mkdir(exist_ok=True)
    record.save(BUILD / "memory.json")
    if options.json:
        print(json.dumps(record.as_json(), indent=1))
    else:
        for found in tables(record):
            console.print(found)
        for key, reason in record.not_measured.items():
            console.print(f"not measured: {key} ({reason})")
    if options.docs:
        record.save(RECORD)
        memory_page.write_all(record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
