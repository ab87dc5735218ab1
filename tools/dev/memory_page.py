"""What is recorded of `make memory`, in words: tables and plots of docs/memory.md, and the board's own figures."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory_plot
from measuring.report import markdown_table, write_block
from measuring.workbench import REPOSITORY
from memory_bench import COMPILED, CONFIGURATIONS, FROZEN, PYTHON_HEAP, SYSTEM_HEAP, Result
from memory_records import Record, limits
from rootlet_host.catalogue import Board, load

PAGE = REPOSITORY / "docs" / "memory.md"
README = REPOSITORY / "README.md"
PLOTS = {"least": REPOSITORY / "docs" / "memory-least.svg", "phases": REPOSITORY / "docs" / "memory-phases.svg"}
MODULE = REPOSITORY / "lib" / "rootlet" / "memory.py"
DOCTOR = REPOSITORY / "tools" / "rootlet_host" / "doctor" / "memory.py"

PHASES = (
    *(("imported", "imported"), ("ready", "context ready"), ("dialled", "TCP connected"), ("", "handshake peak")),
    *(("connected", "connected"), ("closed", "closed")),
)
HEADS = ("configuration", "rootlet", *(title for _, title in PHASES), "least heap", "more than `tls` alone")
INSTALLED = {FROZEN: "frozen", COMPILED: ".mpy"}
CHAIN = "RSA-2048"  # what boards are judged by: it takes more than elliptic curves
APPLICATION_BYTES = 8 * 1024  # what an application has for itself on a board of which we say that something fits
FITS, FITS_FROZEN, DOES_NOT_FIT, UNKNOWN = "fits", "fits frozen", "does not fit", "?"
# Heaps that are drawn into the plot, beside the configurations.
DRAWN_BOARDS = ("NUCLEO_F429ZI",)


def phase_rows(record: Record, chain: str, tls_heap: str = PYTHON_HEAP, *, brief: bool = False) -> list[list[str]]:
    """A row for each configuration and way to install rootlet. `brief`: for a terminal, in KiB."""

    def number(size: int, sign: str = "") -> str:
        return f"{size / 1024:{sign}.1f}" if brief else f"{size:{sign},}"

    alone = record.find(chain, "tls", COMPILED, tls_heap)
    rows = []
    for configuration in CONFIGURATIONS:
        for packaging in (FROZEN, COMPILED):
            result = record.find(chain, configuration.key, packaging, tls_heap)
            if result is None:
                continue
            sizes = (_size(result, name) for name, _ in PHASES)
            row = [
                configuration.key if brief else configuration.title,
                "" if configuration.bare else INSTALLED[packaging],
                *("" if size is None else number(size) for size in sizes),
                number(result.least_heap_bytes),
            ]
            more = alone is not None and not configuration.bare
            rows.append([*row, number(result.least_heap_bytes - alone.least_heap_bytes, "+") if more and alone else ""])
    return rows


def _size(result: Result, name: str) -> int | None:
    """Live bytes at the phase `name`, without a name the peak of the handshake."""
    phase = result.phase(name or "connected")
    return None if phase is None else phase.live_bytes if name else phase.peak_bytes


def verdict(record: Record, board: Board, configuration: str) -> str:
    """Whether `configuration` fits on `board`, with APPLICATION_BYTES to spare."""
    if board.heap_kib is None:
        return FITS if board.psram else UNKNOWN
    tls_heap = SYSTEM_HEAP if board.port == "esp32" else PYTHON_HEAP
    room = board.heap_kib * 1024 - APPLICATION_BYTES
    for packaging, answer in ((COMPILED, FITS), (FROZEN, FITS_FROZEN)):
        result = record.find(CHAIN, configuration, packaging, tls_heap)
        if result is not None and result.least_heap_bytes <= room:
            return answer
    return DOES_NOT_FIT


def board_rows(record: Record) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) of what fits where."""
    shown = [
        configuration
        for configuration in CONFIGURATIONS
        if not configuration.bare and record.find(CHAIN, configuration.key, COMPILED) is not None
    ]
    heads = ["board", "TLS in stock firmware", "heap, KiB", *(configuration.key for configuration in shown)]
    rows = []
    for board in load():
        heap = str(board.heap_kib) if board.heap_kib is not None else "PSRAM" if board.psram else UNKNOWN
        if board.sources.get("heap_kib", "").startswith("estimated"):
            heap = "≈ " + heap
        tls = {True: "yes", False: "no", None: UNKNOWN}[board.tls]
        rows.append([board.id, tls, heap, *(verdict(record, board, configuration.key) for configuration in shown)])
    return heads, rows


def blocks(record: Record) -> Iterator[tuple[str, str]]:
    """(name, text) of what stands between markers on the page."""
    yield "about", f"Measured: {record.about}, 32-bit, rootlet with the full Mozilla store."
    for name, chain, tls_heap in (
        ("phases-p256", "P-256", PYTHON_HEAP),
        ("phases-rsa2048", "RSA-2048", PYTHON_HEAP),
        ("phases-system", "RSA-2048", SYSTEM_HEAP),
        ("phases-rsa4096", "RSA-4096", PYTHON_HEAP),
    ):
        heads = HEADS if record.find(chain, "tls", COMPILED, tls_heap) else HEADS[:-1]
        yield name, markdown_table(heads, [row[: len(heads)] for row in phase_rows(record, chain, tls_heap)])
    yield "boards", markdown_table(*board_rows(record))
    yield "missing", "\n".join(f"- {_title(key)}: {why}." for key, why in record.not_measured.items()) or "Nothing."
    again = [result for result in record.results if result.again_heap_bytes]
    cells = [[r.chain, INSTALLED[r.packaging], f"{r.least_heap_bytes:,}", f"{r.again_heap_bytes:,}"] for r in again]
    yield "again", markdown_table(("chain", "rootlet", "three connections", "a hundred"), cells)
    yield (
        "preflight",
        markdown_table(
            (
                "figure of `rootlet.memory`",
                "frozen, elliptic curves",
                "frozen, RSA",
                ".mpy, elliptic curves",
                ".mpy, RSA",
            ),
            list(_limit_rows(record)),
        ),
    )


def summary(record: Record) -> str:
    """The sentence of the README."""
    alone = record.need(CHAIN, "tls", COMPILED).least_heap_bytes
    frozen, files = (record.need(CHAIN, "store", packaging).least_heap_bytes for packaging in (FROZEN, COMPILED))
    return (
        f"The least heap for a verified GET, Mbed TLS in the same heap, as on an STM32 ({CHAIN} chain):\n"
        f"{frozen:,} bytes with rootlet frozen into the firmware, {files:,} with it as files; "
        f"with module `tls` alone and\nthe one CA that is needed, {alone:,}."
    )


def _title(key: str) -> str:
    return next((c.title for c in CONFIGURATIONS if c.key == key), key)


def _limit_rows(record: Record) -> Iterator[list[str]]:
    found = limits(record)
    beside, python, tls = found["_BESIDE_BUFFERS"], found["_PYTHON"], found["_TLS"]
    yield ["free beside the record buffers, Mbed TLS in the Python heap", *(f"{n:,}" for pair in beside for n in pair)]
    yield ["free in the Python heap, Mbed TLS elsewhere", *(f"{n:,}" for n in python for _ in range(2))]
    yield ["Mbed TLS's own part, elsewhere", *(f"{n:,}" for n in tls * 2)]


def plots(record: Record) -> dict[str, str]:
    """The SVG of each of PLOTS."""
    bars = []
    for configuration in CONFIGURATIONS:
        sizes = {}
        for packaging in (FROZEN, COMPILED):
            result = record.find(CHAIN, configuration.key, packaging)
            if result is not None:
                sizes["alone" if configuration.bare else packaging] = result.least_heap_bytes
        if sizes:
            bars.append(memory_plot.Bar(_short(configuration.title), sizes))
    boards = [(board.id, board.heap_kib * 1024) for board in load() if board.id in DRAWN_BOARDS and board.heap_kib]
    panels = []
    for key, packaging, name in (
        ("tls", COMPILED, "module tls alone"),
        ("store", FROZEN, "rootlet frozen, full store"),
        ("store", COMPILED, "rootlet as .mpy, full store"),
    ):
        panels.append((name, _moments(record.need(CHAIN, key, packaging))))
    return {
        "least": memory_plot.least_heaps(f"Least heap for one verified job, {CHAIN} chain, 32-bit", bars, boards),
        "phases": memory_plot.phases(f"Live heap over one verified GET, {CHAIN} chain, 32-bit", panels),
    }


def _moments(result: Result) -> list[memory_plot.Moment]:
    titles = dict(PHASES)
    moments = []
    for phase in result.phases:
        if phase.name in titles:
            python = phase.live_bytes - phase.tls_bytes
            peak = max(phase.peak_bytes, phase.live_bytes)
            moments.append(memory_plot.Moment(titles[phase.name], python, phase.tls_bytes, peak))
    return moments


def _short(title: str) -> str:
    return title.replace("`", "").replace("module ", "").replace(" preloaded", "").partition(":")[0]


def constants(record: Record) -> str:
    """The lines of lib/rootlet/memory.py between its markers."""
    comments = {
        "_BESIDE_BUFFERS": "where Mbed TLS allocates in the Python heap, besides its buffers",
        "_PYTHON": "of the Python heap, where Mbed TLS allocates elsewhere",
        "_TLS": "and there",
    }
    return "".join(f"{name} = {value}  # {comments[name]}\n" for name, value in limits(record).items())


def doctor_constants(record: Record) -> str:
    """The lines of tools/rootlet_host/doctor/memory.py between its markers."""
    alone, store = (record.need("P-256", key, COMPILED) for key in ("tls", "store"))
    found = {
        "TLS_ALONE_READY_BYTES": _size(alone, "ready"),
        "TLS_ALONE_PEAK_BYTES": alone.peak_bytes,
        "READY_BYTES": _size(store, "ready"),
        "PEAK_BYTES": store.peak_bytes,
        "LEAST_HEAP_BYTES": store.least_heap_bytes,
    }
    return "".join(f"{name} = {value:_}\n" for name, value in found.items())


def with_figures(source: Path, lines: str) -> str:
    """The content of `source`, a module of Python, with `lines` between its markers."""
    text = source.read_text(encoding="utf-8")
    found = re.search(r"(?<=^# memory: begin\n).*?(?=^# memory: end$)", text, re.M | re.S)
    if found is None:
        raise ValueError(f"{source} has no markers")
    return text[: found.start()] + lines + text[found.end() :]


def modules(record: Record) -> dict[Path, str]:
    """The content of each module that has figures: what boards refuse by, and what `rootlet doctor` expects."""
    lines = {MODULE: constants(record), DOCTOR: doctor_constants(record)}
    return {path: with_figures(path, text) for path, text in lines.items()}


def write_all(record: Record) -> None:
    """The page, its plots, and the modules."""
    drawn = plots(record)
    for name, text in blocks(record):
        write_block(PAGE, name, text)
    write_block(README, "memory", summary(record))
    for name, path in PLOTS.items():
        path.write_text(drawn[name], encoding="utf-8")
    for path, text in modules(record).items():
        path.write_text(text, encoding="utf-8")
