"""The Unix port as a board: runs device programs with the device library on their path."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .firmware import LIBRARY, REPOSITORY, in_force

__all__ = ["LIBRARY", "REPOSITORY", "run_device", "run_device_json"]

_MAX_ARGUMENT = 255  # bytes of an interned string: py/qstr.c


def run_device(
    program: Path,
    *arguments: str,
    heap: str = "2M",
    timeout_s: float = 60,
    library: Path | None = None,
    interpreter: Path | None = None,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Runs `program` on the firmware in force; returns its standard output. A traceback or crash fails the test."""
    command = [str(interpreter or in_force().interpreter), "-X", f"heapsize={heap}", str(program), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "MICROPYPATH": f"{library or in_force().library}:.frozen", **(environment or {})},
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_device_json(program: Path, request: dict[str, Any], **options: Any) -> Any:
    """Runs `program` with `request`, in JSON, as its only argument; returns the JSON of its last line.

    A longer request than MicroPython takes as an argument is in the variable REQUEST of the environment.
    """
    text = json.dumps(request)
    if len(text) > _MAX_ARGUMENT:
        options["environment"] = {**(options.get("environment") or {}), "REQUEST": text}
        text = ""
    output = run_device(program, text, **options)
    return json.loads(output.strip().splitlines()[-1])
