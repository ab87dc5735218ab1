"""Runs every `unit_*.py` under CPython and under MicroPython, and reports each of its functions as a test."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from rootlet_host.interpreter import find_micropython

HERE = Path(__file__).parent


def _functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


CASES = [
    pytest.param(path.stem, interpreter, name, id=f"{path.stem}-{interpreter}-{name}")
    for path in sorted(HERE.glob("unit_*.py"))
    for interpreter in ("cpython", "micropython")
    for name in _functions(path)
]


@cache
def _run(module: str, interpreter: str) -> tuple[str, dict[str, str]]:
    """All output of one module, and of each function its own part. One process per module and interpreter."""
    program = sys.executable if interpreter == "cpython" else str(find_micropython())
    done = subprocess.run(
        [program, str(HERE / "run.py"), module], capture_output=True, text=True, timeout=110, check=False
    )
    parts: dict[str, str] = {}
    name = ""
    for line in done.stdout.splitlines():
        words = line.split(" ")
        if words[0] in ("ok", "skip", "FAIL") and len(words) > 1 and words[1].startswith(module + "."):
            name = words[1].rstrip(":")[len(module) + 1 :]
            parts[name] = line
        elif name:
            parts[name] += "\n" + line
    return done.stdout + done.stderr, parts


@pytest.mark.parametrize(("module", "interpreter", "name"), CASES)
def test_unit(module: str, interpreter: str, name: str) -> None:
    everything, parts = _run(module, interpreter)
    if name not in parts:
        pytest.fail(f"{module}.{name} was not run:\n{everything}", pytrace=False)
    if parts[name].startswith("skip "):
        pytest.skip(parts[name].partition(": ")[2])
    if not parts[name].startswith("ok "):
        pytest.fail(parts[name], pytrace=False)
