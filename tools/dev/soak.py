#!/usr/bin/env python3
"""Endurance: makes a great many requests to good and failing servers and shows that memory and open files stay flat.

    python tools/dev/soak.py [--requests N] [--json] [--docs]

The board is the Unix port (or --micropython). Each kind of server has one end that a request to it must have; any other
is a failure. While the requests go on, samples are taken of the Python heap after a collection, of the process's
anonymous memory (Mbed TLS has its own outside the heap there) and of the open files. A straight line is laid through
them. Heap and memory are flat if the upper end of the 99 % confidence interval of its slope is below the limit: that is
more than an interval that contains 0, which says only that too little was measured to see a leak. Open files must be
the same in every sample.

Exit code: 0 flat and every request ended as it must, 1 not so, 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring.report import markdown_table, write_block
from measuring.soak_servers import BODY, MODEM_TESTS, Kind, Servers
from measuring.trend import CONFIDENCE, LEAST_SAMPLES, Trend, fit
from measuring.workbench import (
    DEVICE_PROGRAMS,
    HOST,
    PACKAGE,
    REPOSITORY,
    MeasurementError,
    compile_tree,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython
from rootlet_host.store.anchors import anchor_from_certificate
from rootlet_host.store.builder import build_store
from rootlet_host.store.sources import mozilla_certificates

DOCUMENT = REPOSITORY / "docs" / "connections.md"
REQUESTS = 100_000
SAMPLES = 200
# Bytes per request that a leak may have without being noticed. A block of the 64-bit heap has 32 bytes, so one that is
# lost in every request of a kind with a share of 5 in a thousand grows by 0.16 bytes per request.
HEAP_LIMIT = 0.15
# What Mbed TLS keeps of a handshake that MicroPython leaves without cleaning up is 2,400 bytes: with a share of 5 in a
# thousand 12 bytes per request.
RESIDENT_LIMIT = 10.0
HEAP = "768K"
QUIET_S = 150  # a board that says nothing for so long hangs


class SoakError(RuntimeError):
    """It could not be measured; the text says why."""


@dataclass(frozen=True)
class Row:
    """One kind of server: requests, ends that should not have been, mean and longest time in milliseconds."""

    name: str
    expected: str
    requests: int
    wrong: int
    mean_ms: float
    longest_ms: int


@dataclass(frozen=True)
class Quantity:
    """`verdict`: flat, grows, or undecided (more requests are needed to tell)."""

    name: str
    first: int
    last: int
    trend: Trend
    limit: float
    verdict: str


def judge(name: str, samples: list[dict[str, Any]], key: str, limit: float) -> Quantity:
    values = [sample[key] for sample in samples]
    trend = fit([sample["done"] for sample in samples], values)
    if key == "files":
        verdict = "flat" if len(set(values)) == 1 else "grows"
    elif trend.high < limit:
        verdict = "flat"
    else:
        verdict = "grows" if trend.low > 0 else "undecided"
    return Quantity(name, values[0], values[-1], trend, limit, verdict)


class Board:
    """MicroPython that makes the requests. Iterating gives what it says, line by line."""

    def __init__(self, interpreter: Path, request: dict[str, Any], folder: Path, heap: str) -> None:
        path = folder / "request.json"
        path.write_text(json.dumps(request))
        # Compiled, as on a board; and a copy, so that nothing changes under a long run.
        compile_tree(PACKAGE, folder / "lib" / "rootlet")
        compile_tree(DEVICE_PROGRAMS, folder / "lib")
        self._errors = (folder / "errors").open("w+b")
        self.process = subprocess.Popen(
            [str(interpreter), "-X", f"heapsize={heap}", "-m", "soak", str(path)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "MICROPYPATH": f"{folder / 'lib'}:.frozen"},
        )
        self._heard = time.monotonic()
        self._hung = False
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def __iter__(self) -> Any:
        for line in self.process.stdout or ():
            self._heard = time.monotonic()
            try:
                yield json.loads(line)
            except ValueError:
                self._errors.write(line.encode())  # of the interpreter, which has but one way to say anything
        if self.process.wait():
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            why = f"it was silent for {QUIET_S} s" if self._hung else said or f"exit status {self.process.returncode}"
            raise SoakError(f"the board stopped: {why}")

    def _watch(self) -> None:
        while self.process.poll() is None:
            time.sleep(1)
            if time.monotonic() - self._heard > QUIET_S:
                self._hung = True
                self.process.kill()


def soak(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs everything; returns the report."""
    interpreter = options.micropython or find_micropython()
    with tempfile.TemporaryDirectory(prefix="rootlet-soak-") as name, Servers(Path(name)) as servers:
        folder = Path(name)
        kinds = chosen(servers.kinds, options.kinds)
        if options.expect:
            kinds = [replace(kind, expect=[options.expect]) for kind in kinds]
        request = {
            "host": HOST,
            "stores": stores(folder, servers),
            "timeout_ms": 10_000,
            "body": BODY.decode(),
            "modules": str(MODEM_TESTS / "scripts"),
            "native_port": next(kind for kind in servers.kinds if kind.name == "wrong host").settings["port"],
            "kinds": [kind.request() for kind in kinds],
            "requests": options.requests,
            "warm_up": min(2000, options.requests // 5),
            "samples": min(SAMPLES, options.requests // 10),
            "seed": options.seed,
            "leak": options.leak,
            "leak_every": options.leak_every,
        }
        began = time.monotonic()
        samples: list[dict[str, Any]] = []
        wrong: list[dict[str, str]] = []
        about: dict[str, Any] = {}
        told = 0
        with progress(console) as bar, Board(interpreter, request, folder, options.heap) as board:
            task = bar.add_task("warming up", total=options.requests)
            for line in board:
                if "done" in line:
                    samples.append(line)
                    tenth = 10 * line["done"] // options.requests
                    held = f"heap {line['heap_bytes']:,} B, memory {line['resident_bytes'] // 1024:,} kB, "
                    held += f"{line['files']} files"
                    bar.update(task, completed=line["done"], description=held)
                    if tenth > told and not console.is_terminal:  # where a bar cannot move
                        console.print(f"{line['done']:,} of {options.requests:,}: {held}", highlight=False)
                        told = tenth
                elif "wrong" in line:
                    wrong.append(line)
                    bar.console.print(f"[red]{line['wrong']}[/red]: {line['end']}", highlight=False)
                else:
                    about = line
    counts = samples[-1].pop("kinds")
    for sample in samples[:-1]:
        del sample["kinds"]
    left_out = {**servers.left_out, **about["left_out"]}
    kinds = [kind for kind in kinds if kind.name not in left_out]
    rows = [
        Row(kind.name, " or ".join(end or "success" for end in kind.expect), n, bad, total / n if n else 0.0, longest)
        for kind, (n, bad, total, longest) in zip(kinds, counts, strict=True)
    ]
    quantities = [
        judge("Python heap, bytes", samples, "heap_bytes", options.heap_limit),
        judge("process memory, bytes", samples, "resident_bytes", options.resident_limit),
        judge("open files", samples, "files", 0.0),
    ]
    return {
        "version": about["version"],
        "requests": sum(row.requests for row in rows),
        "seconds": round(time.monotonic() - began, 1),
        "confidence": CONFIDENCE,
        "kinds": [asdict(row) for row in rows],
        "quantities": [{**asdict(quantity), "contains_zero": quantity.trend.contains_zero} for quantity in quantities],
        "left_out": left_out,
        "wrong": wrong,
        "flat": all(quantity.verdict == "flat" for quantity in quantities),
        "right": not any(row.wrong for row in rows),
        "samples": samples,
    }


def chosen(kinds: list[Kind], names: str | None) -> list[Kind]:
    if names is None:
        return kinds
    wanted = [name.strip() for name in names.split(";")]
    for name in wanted:
        if name not in [kind.name for kind in kinds]:
            raise SoakError(f"no kind of server is called {name!r}; there are: " + "; ".join(k.name for k in kinds))
    return [kind for kind in kinds if kind.name in wanted]


def stores(folder: Path, servers: Servers) -> list[str]:
    """Mozilla's roots and those of the servers, in two stores."""
    paths = []
    own = [root.certificate for root in servers.roots.values()]
    for name, roots in (("mozilla", mozilla_certificates()), ("site", own)):
        path = folder / f"{name}.rtlt"
        path.write_bytes(
            build_store([anchor_from_certificate(root) for root in roots], sequence=1, issued_at=1_700_000_000)
        )
        paths.append(str(path))
    return paths


def progress(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console, transient=True)


KIND_HEADS = ("server", "must end in", "requests", "wrong", "mean", "longest")
QUANTITY_HEADS = ("", "first", "last", "slope per 1,000 requests", "99 % confidence interval", "limit", "verdict")


def kind_cells(row: dict[str, Any]) -> list[str]:
    times = [f"{row['mean_ms']:.1f} ms", f"{row['longest_ms']:,} ms"]
    return [row["name"], row["expected"], f"{row['requests']:,}", str(row["wrong"]), *times]


def quantity_cells(row: dict[str, Any]) -> list[str]:
    trend = row["trend"]
    slope, low, high = (f"{1000 * trend[name]:+.2f}" for name in ("slope", "low", "high"))
    limit = f"{1000 * row['limit']:.0f}" if row["limit"] else "all the same"
    return [row["name"], f"{row['first']:,}", f"{row['last']:,}", slope, f"{low} … {high}", limit, row["verdict"]]


def show(report: dict[str, Any], console: Console) -> None:
    kinds = Table(title="Endurance", title_justify="left")
    for head in KIND_HEADS:
        kinds.add_column(head, justify="left" if head in KIND_HEADS[:2] else "right")
    for row in report["kinds"]:
        kinds.add_row(*kind_cells(row), style="red" if row["wrong"] else None)
    console.print(kinds)
    for name, why in report["left_out"].items():
        console.print(f"left out: {name}: {why}")
    held = Table(title="What the board holds", title_justify="left")
    for head in QUANTITY_HEADS:
        held.add_column(head, justify="right" if head else "left")
    for row in report["quantities"]:
        held.add_row(*quantity_cells(row), style=None if row["verdict"] == "flat" else "red")
    console.print(held)
    console.print(f"{report['requests']:,} requests in {report['seconds']:,.0f} s, MicroPython {report['version']}")


def write_document(report: dict[str, Any]) -> None:
    version = report["version"].partition("; ")[2] or report["version"]
    text = f"{version}; {report['requests']:,} requests in {report['seconds'] / 60:,.0f} minutes.\n\n"
    heads = ("server", "requests", "ended otherwise than they must", "mean")
    rows = [[row["name"], f"{row['requests']:,}", row["wrong"], f"{row['mean_ms']:.1f} ms"] for row in report["kinds"]]
    text += markdown_table(heads, rows) + "\n\n"
    text += markdown_table(QUANTITY_HEADS, [quantity_cells(row) for row in report["quantities"]])
    write_block(DOCUMENT, "soak", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"how many (default: {REQUESTS:,})")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the requests (default: 1)")
    parser.add_argument("--kinds", metavar="NAME;NAME", help="only these kinds of servers")
    parser.add_argument("--heap-limit", type=float, default=HEAP_LIMIT, help="bytes per request (default: %(default)s)")
    parser.add_argument(
        "--resident-limit", type=float, default=RESIDENT_LIMIT, help="bytes per request (default: %(default)s)"
    )
    parser.add_argument("--expect", metavar="ERROR", help="what all must end in, to see that another end is noticed")
    parser.add_argument("--micropython", type=Path, help="another interpreter than the installed one")
    parser.add_argument("--heap", default=HEAP, help="Python heap of the board (default: %(default)s)")
    parser.add_argument("--leak", choices=["heap", "native", "file"], help="lose some, to see that it is noticed")
    parser.add_argument("--leak-every", type=int, default=50, help="requests from loss to loss (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/connections.md")
    options = parser.parse_args()
    if options.requests < 10 * LEAST_SAMPLES:
        parser.error(f"--requests must be {10 * LEAST_SAMPLES} or more: fewer make no trend")
    if options.micropython and not options.micropython.is_file():
        parser.error(f"there is no {options.micropython}")
    return options


def main() -> int:
    options = arguments()
    console = Console()
    try:
        report = soak(options, Console(stderr=True))
    except (SoakError, MeasurementError, HostError, OSError, subprocess.SubprocessError, AssertionError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soak: stopped", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report, console)
    if not report["right"]:
        print("soak: requests ended otherwise than they must", file=sys.stderr)
    for row in report["quantities"]:
        if row["verdict"] == "grows":
            print(f"soak: {row['name']}: it grows", file=sys.stderr)
        elif row["verdict"] == "undecided":
            print(f"soak: {row['name']}: too few requests to tell whether it grows", file=sys.stderr)
    good = report["flat"] and report["right"]
    if options.docs and good:
        write_document(report)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
