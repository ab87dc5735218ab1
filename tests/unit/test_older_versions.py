"""Runs every `unit_*.py` on the other versions of MicroPython that were fetched: a module each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import versions

HERE = Path(__file__).parent


@pytest.mark.parametrize("module", sorted(path.stem for path in HERE.glob("unit_*.py")))
@pytest.mark.parametrize("version", versions.OTHERS)
def test_unit_module(version: str, module: str) -> None:
    program = versions.interpreter(version)
    done = subprocess.run(
        [str(program), str(HERE / "run.py"), module], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok {module}." in done.stdout
