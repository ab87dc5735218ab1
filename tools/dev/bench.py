#!/usr/bin/env python3
"""Speed and size of rootlet against module tls alone, side by side in one run.

    python tools/dev/bench.py [--pairs N] [--quick] [--docs]

rootlet trusts the full Mozilla store and a site CA, both on flash; module tls has the one CA that is needed preloaded.
rootlet runs as compiled .mpy, as on a board. Both connect alternately, from one process, to a server in another; ratios
are medians over pairs of neighbours. Prints tables, writes build/bench.json, with --docs the tables of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import footprint
from measuring.comparison import Comparison, Line, describe
from measuring.workbench import REPOSITORY, MeasurementError, Target, Workbench
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython
from rootlet_host.store.sources import mozilla_certificates

COMPARISON = Comparison(
    "bench",
    "rootlet against module tls alone",
    ("", "tls alone", "rootlet", "ratio or difference", "goal", "met"),
    REPOSITORY / "docs" / "performance.md",
)
TRANSFER_BYTES = 2 * 1024 * 1024
HANDSHAKE_GOAL = 1.03
TRANSFER_GOAL = 0.97
MOST_READS_GOAL = 10
COUNTED_HANDSHAKES = 4


def ratio_of_medians(pairs: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """(median of the first, median of the second, median of second / first pair by pair)."""
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return first, second, statistics.median(b / a for a, b in pairs)


def handshakes(workbench: Workbench, target: Target, pairs: int) -> tuple[list[Line], dict[str, Any]]:
    """TCP connect, tls.SSLContext and handshake; rootlet with one Context for all, then with a new one each time, which
    checks the stores from the first byte to the last."""
    lines = []
    found: dict[str, Any] = {}
    for fresh in (False, True):
        request = workbench.request(target, pairs=pairs, fresh=fresh)
        data, _ = workbench.run(find_micropython(), "race_handshakes", request, timeout_s=600)
        if len(data["suites"]) != 1:
            raise MeasurementError(f"the two used different cipher suites: {', '.join(data['suites'])}")
        found["new Context" if fresh else "one Context"] = data
        for key, name in (("wall", "handshake"), ("processor", "handshake, processor time of the client")):
            bare, verified, ratio = ratio_of_medians(data[key])
            if key == "processor":
                # Its clock may tick in milliseconds: only sums mean something.
                bare, verified = (statistics.mean(column) for column in zip(*data[key], strict=True))
                ratio = verified / bare
            data[f"{key}_ratio"] = ratio
            lines.append(
                Line(
                    f"{name}, {target.key_kind}{', new Context' if fresh else ''}",
                    f"{bare / 1000:.1f} ms",
                    f"{verified / 1000:.1f} ms",
                    f"{ratio:.3f}",
                    f"≤ {HANDSHAKE_GOAL}",
                    ratio <= HANDSHAKE_GOAL,
                )
            )
    return lines, found


def count_instructions(workbench: Workbench, program: str, request: dict[str, Any]) -> int:
    """Of a whole run of a device program, by callgrind."""
    prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    _, errors = workbench.run(find_micropython(), program, request, prefix=prefix, timeout_s=600)
    found = re.search(r"Collected : (\d+)", errors)
    if found is None:
        raise MeasurementError("valgrind gave no count: " + errors[-300:])
    return int(found[1])


def handshake_instructions(workbench: Workbench, target: Target) -> tuple[list[Line], dict[str, Any]]:
    """Instructions of one connection; nothing where there is no valgrind. The start of the interpreter, imports
    included, cancels out: the count for one connection is taken from that for several."""
    if shutil.which("valgrind") is None:
        return [], {}
    counts: dict[str, Any] = {}
    for who in ("bare", "verified", "verified-fresh"):
        one, several = (
            count_instructions(workbench, "repeat_handshakes", workbench.request(target, who=who, count=count))
            for count in (1, 1 + COUNTED_HANDSHAKES)
        )
        counts[who] = (several - one) / COUNTED_HANDSHAKES
    lines = []
    for who, name in (("verified", ""), ("verified-fresh", ", new Context")):
        ratio = counts[f"{who} ratio"] = counts[who] / counts["bare"]
        lines.append(
            Line(
                f"handshake, instructions, {target.key_kind}{name}",
                f"{counts['bare'] / 1e6:.1f} M",
                f"{counts[who] / 1e6:.1f} M",
                f"{ratio:.3f}",
                f"≤ {HANDSHAKE_GOAL}",
                ratio <= HANDSHAKE_GOAL,
            )
        )
    return lines, counts


def transfer_instructions(workbench: Workbench, target: Target) -> tuple[list[Line], dict[str, Any]]:
    """Instructions of receiving; nothing where there is no valgrind. The handshake and all before it cancel out."""
    if shutil.which("valgrind") is None:
        return [], {}
    counts: dict[str, Any] = {}
    for who in ("bare", "verified"):
        short, long = (
            count_instructions(workbench, "repeat_transfers", workbench.request(target, who=who, size=size))
            for size in (TRANSFER_BYTES, 2 * TRANSFER_BYTES)
        )
        counts[who] = long - short
    ratio = counts["ratio"] = counts["bare"] / counts["verified"]
    line = Line(
        f"2 MB received, instructions, {target.key_kind}",
        f"{counts['bare'] / 1e6:.1f} M",
        f"{counts['verified'] / 1e6:.1f} M",
        f"{ratio:.3f}",
        f"≥ {TRANSFER_GOAL}",
        ratio >= TRANSFER_GOAL,
    )
    return [line], counts


def transfers(workbench: Workbench, target: Target, pairs: int) -> tuple[list[Line], dict[str, Any]]:
    request = workbench.request(target, pairs=pairs, size=TRANSFER_BYTES)
    data, _ = workbench.run(find_micropython(), "race_transfers", request, timeout_s=600)
    bare, verified, _ = ratio_of_medians(data["pairs"])
    # Of speeds, so that more is better.
    ratio = statistics.median(a / b for a, b in data["pairs"])
    data["ratio"] = ratio
    line = Line(
        f"2 MB received, {target.key_kind}",
        f"{TRANSFER_BYTES / bare:.1f} MB/s",
        f"{TRANSFER_BYTES / verified:.1f} MB/s",
        f"{ratio:.3f}",
        f"≥ {TRANSFER_GOAL}",
        ratio >= TRANSFER_GOAL,
    )
    return [line], data


def python_heap(workbench: Workbench, target: Target) -> tuple[list[Line], dict[str, Any]]:
    data = {}
    for who in ("bare", "verified-fresh"):
        data[who], _ = workbench.run(find_micropython(), "allocate", workbench.request(target, who=who))
    lines = []
    for key, what in (("allocated", "allocated by a connection, garbage included"), ("live", "kept by a connection")):
        bare, verified = data["bare"][key], data["verified-fresh"][key]
        lines.append(Line(f"Python heap {what}", f"{bare:,} B", f"{verified:,} B", f"{verified - bare:+,} B"))
    return lines, data


def lookups(workbench: Workbench) -> tuple[list[Line], dict[str, Any]]:
    names = workbench.folder / "names"
    with names.open("wb") as file:
        for certificate in mozilla_certificates():
            subject = certificate.subject.public_bytes()
            file.write(len(subject).to_bytes(2, "big") + subject)
    request = {"store": str(workbench.mozilla), "names": str(names), "rounds": 20}
    data, _ = workbench.run(find_micropython(), "count_lookups", request)
    per_root = workbench.mozilla.stat().st_size / workbench.root_count
    data |= {"store_bytes": workbench.mozilla.stat().st_size, "roots": workbench.root_count, "bytes_per_root": per_root}
    return [
        Line(f"lookups in {workbench.root_count} roots", "", f"{data['per_second']:,.0f} /s", ""),
        Line(
            "file reads of a lookup, mean (most)",
            "",
            f"{data['reads']:.1f} ({data['most_reads']})",
            "",
            f"≤ {MOST_READS_GOAL}",
            data["most_reads"] <= MOST_READS_GOAL,
        ),
        Line(
            "calls of readblocks under littlefs, mean (most)",
            "",
            f"{data['block_reads']:.1f} ({data['most_block_reads']})",
            "",
        ),
        Line(
            "store bytes for each root",
            "",
            f"{per_root:.1f}",
            "",
            f"≤ {footprint.STORE_GOAL_BYTES_PER_ROOT}",
            per_root <= footprint.STORE_GOAL_BYTES_PER_ROOT,
        ),
    ], data


def compiled_sizes(workbench: Workbench) -> tuple[list[Line], dict[str, Any]]:
    found = footprint.measure(workbench)
    lines = []
    for what, size, goal in (
        (".mpy bytes that a GET imports", found.get_bytes, footprint.GET_GOAL_BYTES),
        (".mpy bytes of the package", found.package_bytes, footprint.PACKAGE_GOAL_BYTES),
    ):
        lines.append(Line(what, "", f"{size:,}", "", f"≤ {goal:,}", size <= goal))
    return lines, found.as_json()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure rootlet against module tls alone.")
    parser.add_argument("--pairs", type=int, default=60, help="pairs of handshakes for each kind of key (default: 60)")
    parser.add_argument("--quick", action="store_true", help="no instruction counts, fewer transfers")
    parser.add_argument("--docs", action="store_true", help="write the table of docs/performance.md")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs must be 1 or more")
    console = Console()
    lines: list[Line] = []
    data: dict[str, Any] = {}
    try:
        about = describe() + "; lower ratios are better for handshakes, higher ones for transfers"
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        with Workbench() as workbench, Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("")
            for target in workbench.targets:
                steps: list[tuple[str, Any]] = [("handshakes", lambda t: handshakes(workbench, t, options.pairs))]
                if not options.quick:
                    steps.append(("instructions", lambda t: handshake_instructions(workbench, t)))
                steps.append(("transfers", lambda t: transfers(workbench, t, 5 if options.quick else 20)))
                if not options.quick:
                    steps.append(("transfer instructions", lambda t: transfer_instructions(workbench, t)))
                for name, step in steps:
                    progress.update(task, description=f"{target.key_kind}: {name}")
                    more, data[f"{name} {target.key_kind}"] = step(target)
                    lines += more
            progress.update(task, description="heap, sizes, look-ups")
            for name, found in (
                ("python heap", python_heap(workbench, workbench.targets[0])),
                ("footprint", compiled_sizes(workbench)),
                ("store", lookups(workbench)),
            ):
                lines += found[0]
                data[name] = found[1]
    except (MeasurementError, HostError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    COMPARISON.publish(about, lines, data, docs=options.docs, console=console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
