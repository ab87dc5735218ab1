#!/usr/bin/env python3
"""Bytes of compiled .mpy: of each device module, of the package, and of what one GET imports.

    python tools/dev/footprint.py [--check] [--json]

`--check` exits with 1 when a budget below is exceeded. What a GET imports is not listed by hand: a GET is made.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring.workbench import MeasurementError, Workbench
from packages import CORE, Packages
from rich.console import Console
from rich.table import Table
from rootlet_host.errors import HostError
from rootlet_host.interpreter import find_micropython

# Not part of the core, which is verified connections and a streaming GET: installed only where they are wanted.
EXTRAS = tuple(
    sorted({name.split(".")[0] for each in Packages.load().values() if each.name != CORE for name in each.modules})
)

# What the product aims at.
PACKAGE_GOAL_BYTES = 24 * 1024
GET_GOAL_BYTES = 14 * 1024
STORE_GOAL_BYTES_PER_ROOT = 350

# What a change may not exceed without somebody deciding so; to be lowered with every saving, to the goals at last.
PACKAGE_BUDGET_BYTES = 52 * 1024
GET_BUDGET_BYTES = 31 * 1024


@dataclass(frozen=True)
class Footprint:
    """Bytes by module (dotted, below `rootlet`; a package's own `__init__` included)."""

    modules: dict[str, int]
    imported_by_get: list[str] = field(default_factory=list)

    @property
    def package_bytes(self) -> int:
        """All modules without the extras."""
        return sum(size for name, size in self.modules.items() if name.split(".")[0] not in EXTRAS)

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
            "package_bytes": self.package_bytes,
            "extras_bytes": self.extras_bytes,
            "get_bytes": self.get_bytes,
        }


def measure(workbench: Workbench) -> Footprint:
    """The footprint of the working copy. Makes one verified GET on the Unix port."""
    request = workbench.request(workbench.targets[0])
    imported, _ = workbench.run(find_micropython(), "list_imports", request)
    names = [name.partition(".")[2] or "__init__" for name in imported]
    return Footprint(workbench.module_bytes, sorted(names))


def table(footprint: Footprint) -> Table:
    found = Table(title="Compiled device modules (.mpy, bytes)", title_justify="left")
    found.add_column("module")
    found.add_column("bytes", justify="right")
    found.add_column("imported by a GET", justify="center")
    for name, size in sorted(footprint.modules.items(), key=lambda item: -item[1]):
        found.add_row(name, f"{size:,}", "yes" if name in footprint.imported_by_get else "")
    found.add_section()
    found.add_row(f"a GET (goal {GET_GOAL_BYTES:,})", f"{footprint.get_bytes:,}", "")
    found.add_row(f"core (goal {PACKAGE_GOAL_BYTES:,})", f"{footprint.package_bytes:,}", "")
    found.add_row("extras", f"{footprint.extras_bytes:,}", "")
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
    parser = argparse.ArgumentParser(description="Bytes of compiled .mpy, by module.")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a budget is exceeded")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    try:
        with Workbench(("P-256",)) as workbench:
            footprint = measure(workbench)
    except (MeasurementError, HostError) as error:
        print(f"footprint: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(footprint.as_json(), indent=2))
    else:
        Console().print(table(footprint))
    lines = over_budget(footprint) if options.check else []
    for line in lines:
        print(f"footprint: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
