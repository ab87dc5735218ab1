#!/usr/bin/env python3
"""How much heap one verified GET needs, on a 32-bit MicroPython whose Mbed TLS allocates from that heap.

    python tools/dev/memory.py [--docs] [--json] [--skip-build]

Compared are module tls alone with one preloaded CA, and rootlet with the full Mozilla store and a site CA on flash:
as .mpy files, whose bytecode is loaded into the heap, and frozen into the firmware. The job itself is an .mpy file
everywhere. For each: the live bytes at each phase, the peak, and the least heap with which the job completes.

Writes build/memory.json; with --docs also the tables of docs/performance.md. Builds the two interpreters where they
are missing or older than the code (see build_micropython32.sh: needs Debian's apt, gcc-multilib and the network).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from least_heap import JobFailed, least_heap_bytes
from measuring.report import markdown_table, write_block
from measuring.workbench import HOST, KEY_KINDS, PACKAGE, REPOSITORY, MeasurementError, Target, Workbench, code_digest
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

BUILD = REPOSITORY / "build"
SCRIPT = Path(__file__).with_name("build_micropython32.sh")
DOCUMENT = REPOSITORY / "docs" / "performance.md"

LOW_BYTES = 24 * 1024
HIGH_BYTES = 160 * 1024
STEP_BYTES = 256
WATCHED_HEAP_BYTES = 1 << 20  # ample, so that what is watched is what the job wants, not what it gets

# (what it is, job, whether rootlet is frozen)
CONFIGURATIONS = (
    ("tls alone, one CA preloaded", "job_bare", False),
    ("rootlet frozen, connect", "job_connect", True),
    ("rootlet frozen, http.get", "job_http", True),
    ("rootlet as .mpy, connect", "job_connect", False),
    ("rootlet as .mpy, http.get", "job_http", False),
)


@dataclass(frozen=True)
class Phase:
    """Live bytes of the heap at a point, Mbed TLS's part of them, and the peaks since the point before."""

    name: str
    live_bytes: int
    peak_bytes: int
    tls_bytes: int
    tls_peak_bytes: int


@dataclass(frozen=True)
class Result:
    key_kind: str
    configuration: str
    least_heap_bytes: int
    phases: list[Phase]

    @property
    def peak_bytes(self) -> int:
        return max(phase.peak_bytes for phase in self.phases)

    def live_bytes(self, name: str) -> int:
        return next(phase.live_bytes for phase in self.phases if phase.name == name)


def build(folder: str, *, frozen: bool, skip: bool) -> Path:
    """The interpreter in build/`folder`; built first, unless `skip`."""
    output = BUILD / folder
    if not skip:
        environment = dict(os.environ)
        environment.pop("FROZEN", None)
        if frozen:
            environment["FROZEN"] = str(PACKAGE)
        done = subprocess.run([str(SCRIPT), str(output)], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise MeasurementError(f"build_micropython32.sh failed with exit code {done.returncode}")
    if not (output / "micropython").exists():
        raise MeasurementError(f"there is no {output / 'micropython'}; run without --skip-build")
    return output / "micropython"


def measure(
    workbench: Workbench, target: Target, configuration: str, job: str, interpreter: Path, frozen: bool
) -> Result:
    """Watch the job once in an ample heap, then search for the least heap that it completes with."""
    library = [] if frozen else [workbench.library]
    path = ":".join([str(workbench.programs), *map(str, library), ".frozen"])

    def command(heap_bytes: int, action: str = "complete") -> list[str]:
        words = [str(interpreter), "-X", f"heapsize={heap_bytes}", "-m", "run_job", job, action, HOST, str(target.port)]
        return [*words, str(target.ca), str(workbench.mozilla), str(workbench.site)]

    os.environ["MICROPYPATH"] = path
    watched = subprocess.run(
        command(WATCHED_HEAP_BYTES, "watch"), capture_output=True, text=True, timeout=60, check=False
    )
    if watched.returncode:
        raise MeasurementError(f"{configuration} failed: {(watched.stdout + watched.stderr).strip()[-500:]}")
    phases = [
        Phase(name, live, peak, tls_live, tls_peak)
        for name, live, peak, tls_live, tls_peak in json.loads(watched.stdout.strip().splitlines()[-1])
    ]
    least = least_heap_bytes(command, LOW_BYTES, HIGH_BYTES, STEP_BYTES, timeout_s=20)
    return Result(target.key_kind, configuration, least, phases)


def measure_all(skip_build: bool, console: Console) -> list[Result]:
    plain = build("micropython32", frozen=False, skip=skip_build)
    with_rootlet = build("micropython32-frozen", frozen=True, skip=skip_build)
    results = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Workbench(KEY_KINDS) as workbench, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        for target in workbench.targets:
            for configuration, job, frozen in CONFIGURATIONS:
                progress.update(task, description=f"{target.key_kind}: {configuration}")
                interpreter = with_rootlet if frozen else plain
                results.append(measure(workbench, target, configuration, job, interpreter, frozen))
    return results


HEADS = ("chain", "configuration", "ready", "connected", "closed", "peak", "least heap", "more than tls alone")


def rows(results: list[Result]) -> list[list[str]]:
    bare = {r.key_kind: r.least_heap_bytes for r in results if r.configuration == CONFIGURATIONS[0][0]}
    return [
        [
            r.key_kind,
            r.configuration,
            *(f"{r.live_bytes(name):,}" for name in ("ready", "connected", "closed")),
            f"{r.peak_bytes:,}",
            f"{r.least_heap_bytes:,}",
            f"{r.least_heap_bytes - bare[r.key_kind]:+,}",
        ]
        for r in results
    ]


def show(results: list[Result], console: Console) -> None:
    table = Table(title="Heap of one verified GET, bytes (32-bit, Mbed TLS included)", title_justify="left")
    for head in HEADS:
        table.add_column(head, justify="left" if head in HEADS[:2] else "right")
    for row in rows(results):
        if row[1] == CONFIGURATIONS[0][0]:
            table.add_section()
        table.add_row(*row)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the heap that one verified GET needs.")
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/performance.md")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--skip-build", action="store_true", help="use the interpreters as they are")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    try:
        results = measure_all(options.skip_build, console)
    except (MeasurementError, JobFailed, OSError, subprocess.TimeoutExpired) as error:
        print(f"memory: {error}", file=sys.stderr)
        return 1
    data = [{**asdict(result), "peak_bytes": result.peak_bytes} for result in results]
    text = json.dumps({"code": code_digest(), "results": data}, indent=2) + "\n"
    BUILD.mkdir(exist_ok=True)
    (BUILD / "memory.json").write_text(text)
    if options.json:
        print(text, end="")
    else:
        show(results, console)
    if options.docs:
        write_block(DOCUMENT, "memory", markdown_table(HEADS, rows(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
