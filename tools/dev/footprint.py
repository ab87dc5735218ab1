#!/usr/bin/env python3
"""Bytes of every device module: compiled on flash, and of heap when it is imported; which of them a GET imports.

    python tools/dev/footprint.py [--check] [--json] [--docs]

`--check` exits with 1 when a budget below is exceeded; `--docs` writes the table of docs/performance.md. What a GET
imports is not listed by hand: a GET is made. What belongs to the core stands in lib/packages.toml. Heap is measured
where build/micropython32 exists (make micropython32).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring.report import markdown_table, write_block
from measuring.workbench import REPOSITORY, MeasurementError, Workbench
from packages import CORE, Packages, imports, module_files
from rich.console import Console
from rich.table import Table
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython

DOCUMENT = REPOSITORY / "docs" / "performance.md"
BOARD_LIKE = REPOSITORY / "build" / "micropython32" / "micropython"  # 32 bits, as on a board

# What the product aims at.
PACKAGE_GOAL_BYTES = 24 * 1024
GET_GOAL_BYTES = 14 * 1024
STORE_GOAL_BYTES_PER_ROOT = 350

# What a change may not exceed without somebody deciding so; to be lowered with every saving, to the goals at last.
PACKAGE_BUDGET_BYTES = 53 * 1024
GET_BUDGET_BYTES = 30 * 1024


@dataclass(frozen=True)
class Footprint:
    """Bytes by module (dotted, below `rootlet`; a package's own `__init__` included)."""

    modules: dict[str, int]
    imported_by_get: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)  # by module, as in lib/packages.toml
    heap: dict[str, int] = field(default_factory=dict)  # empty where it was not measured; without what is not on Unix

    @property
    def package_bytes(self) -> int:
        """The modules of the package `rootlet`, the core."""
        return sum(size for name, size in self.modules.items() if self.packages.get(name) == CORE)

    @property
    def extras_bytes(self) -> int:
        return sum(self.modules.values()) - self.package_bytes

    @property
    def get_bytes(self) -> int:
        return sum(self.modules[name] for name in self.imported_by_get)

    def as_json(self) -> dict[str, object]:
        return {
            "modules": self.modules,
            "imported_by_get": self.imported_by_get,
            "packages": self.packages,
            "heap": self.heap,
            "package_bytes": self.package_bytes,
            "extras_bytes": self.extras_bytes,
            "get_bytes": self.get_bytes,
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(module, where it belongs, bytes of .mpy, bytes of heap): what a GET imports first, then package by package,
        the largest first; at last the sums.
        """
        places = [*dict.fromkeys(("GET", CORE, *self.packages.values()))]

        def order(name: str) -> tuple[int, int]:
            return places.index(self._place(name)), -self.modules[name]

        def row(what: str, place: str, names: list[str]) -> tuple[str, str, str, str]:
            heap = sum(self.heap.get(name, 0) for name in names)
            return what, place, f"{sum(self.modules[name] for name in names):,}", f"{heap:,}" if heap else ""

        names = sorted(self.modules, key=order)
        core = [name for name in names if self.packages.get(name) == CORE]
        return [
            *(row(f"`{name}`", self._place(name), [name]) for name in names),
            row(f"a GET (goal {GET_GOAL_BYTES:,})", "", self.imported_by_get),
            row(f"core, a GET's included (goal {PACKAGE_GOAL_BYTES:,})", "", core),
            row("everything", "", names),
        ]

    def _place(self, name: str) -> str:
        return "GET" if name in self.imported_by_get else self.packages.get(name, "")


HEADS = ("module", "belongs to", ".mpy bytes", "heap bytes")


def measure(workbench: Workbench, board_like: Path | None = None) -> Footprint:
    """The footprint of the working copy; of the heap, too, with `board_like`. Makes a verified GET on the Unix port."""
    request = workbench.request(workbench.targets[0])
    imported, _ = workbench.run(find_micropython(), "list_imports", request)
    names = sorted(name.partition(".")[2] or "__init__" for name in imported)
    modules = {name.removesuffix(".__init__"): size for name, size in workbench.module_bytes.items()}
    packages = {module: package.name for package in Packages.load().values() for module in package.modules}
    heap = {} if board_like is None else import_costs(workbench, board_like)
    return Footprint(modules, names, packages, heap)


def import_costs(workbench: Workbench, interpreter: Path) -> dict[str, int]:
    """Bytes of heap that the import of each module keeps, without those that it imports in turn.

    Of names that two modules have in common the first pays. A package has the cost of those of its modules that it
    imports itself; they are left out, as are modules that need a board's own modules.
    """
    files = module_files()
    found = {}
    for name, path in files.items():
        before = _imported_with(name, files)
        if any(name.startswith(f"{parent}.") and name in _imported_with(parent, files) for parent in before):
            continue
        before = [each for each in before if not each.startswith(f"{name}.")]
        words = [f"rootlet.{each}" if each != "__init__" else "rootlet" for each in (*before, name)]
        done = subprocess.run(
            [str(interpreter), "-X", "heapsize=1M", "-m", "import_cost", *words],
            capture_output=True,
            text=True,
            env={**os.environ, **workbench.environment()},
            timeout=30,
            check=False,
        )
        if done.returncode == 0:
            found[name] = int(done.stdout)
        elif "ImportError" not in done.stderr + done.stdout:
            raise MeasurementError(f"importing {path} failed: {(done.stdout + done.stderr).strip()[-300:]}")
    return found


def _imported_with(name: str, files: dict[str, Path]) -> list[str]:
    """The modules that are imported when `name` is, in an order in which they can be."""
    found: list[str] = []
    begun = set()

    def add(module: str) -> None:
        begun.add(module)
        # `__init__` imports firmware.py only to complain.
        parents = [module[:at] for at, letter in enumerate(module) if letter == "."]
        eager = [each.imported for each in imports(module, files[module], files) if not each.lazy]
        for each in () if module == "__init__" else ("__init__", *parents, *eager):
            if each in files and each not in begun:
                add(each)
        found.append(module)

    add(name)
    return found[:-1]


def table(footprint: Footprint) -> Table:
    found = Table(title="Device modules", title_justify="left")
    for head in HEADS:
        found.add_column(head, justify="right" if "bytes" in head else "left")
    rows = footprint.rows()
    for row in rows:
        if row is rows[-3]:
            found.add_section()
        found.add_row(*row)
    return found


def over_budget(footprint: Footprint) -> list[str]:
    """One line for each budget that is exceeded."""
    lines = []
    for what, size, budget in (
        ("the core of the package", footprint.package_bytes, PACKAGE_BUDGET_BYTES),
        ("what a GET imports", footprint.get_bytes, GET_BUDGET_BYTES),
    ):
        if size > budget:
            lines.append(f"{what} has {size:,} bytes of .mpy, its budget is {budget:,}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Bytes of the device modules: of .mpy, and of heap when imported.")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a budget is exceeded")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--docs", action="store_true", help="write the table of docs/performance.md")
    options = parser.parse_args()
    try:
        if options.docs and not BOARD_LIKE.exists():
            raise MeasurementError("the page also has the heap: build the interpreter with make micropython32")
        with Workbench(("P-256",)) as workbench:
            footprint = measure(workbench, BOARD_LIKE if BOARD_LIKE.exists() else None)
    except (MeasurementError, HostError) as error:
        print(f"footprint: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(footprint.as_json(), indent=2))
    else:
        Console().print(table(footprint))
    if options.docs:
        write_block(DOCUMENT, "footprint", markdown_table(HEADS, footprint.rows()))
    lines = over_budget(footprint) if options.check else []
    for line in lines:
        print(f"footprint: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
