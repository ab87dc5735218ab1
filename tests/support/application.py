"""A folder that is a board's flash, with the application on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from rootlet_host.bytecode import compile_module
from rootlet_host.demo import board_command, install_application
from rootlet_host.store import BuildOptions, collect

from . import pki
from .firmware import LIBRARY, in_force

SCRIPTS = Path(__file__).resolve().parents[1] / "device" / "scripts"
HOST = "board.example.org"


class Run:
    """What one start of the board printed, and how it ended."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output
        self.lines = output.splitlines()

    def events(self, name: str) -> list[str]:
        """What a stand-in for a module wrote after `[name]`; the report may have begun a line before."""
        return re.findall(rf"\[{name}\] (.*)", self.output)


class Board:
    """A board whose flash is the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}  # besides this process's own
        install_application(root)
        if in_force().compiled:
            shutil.rmtree(root / "lib")
            shutil.copytree(in_force().library, root / "lib")
        root.joinpath("certs").mkdir()

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def change(self, module: str, texts: dict[str, str]) -> None:
        """Replaces texts in a module of rootlet."""
        source = LIBRARY.joinpath("rootlet", f"{module}.py").read_text()
        for old, new in texts.items():
            assert old in source
            source = source.replace(old, new)
        changed = self.root / "lib" / "rootlet" / f"{module}.py"
        changed.write_text(source)
        if in_force().compiled:
            changed.with_suffix(".mpy").write_bytes(compile_module(changed, f"rootlet/{module}.py"))
            changed.unlink()

    def configure(self, *, job: dict[str, Any] | None = None, **settings: Any) -> None:
        """Writes rootlet.json: the store and a job, with `settings` over them."""
        self.write("rootlet.json", json.dumps({"job": job or {"url": f"https://{HOST}/"}, **settings}))

    def fake(self, module: str) -> None:
        """Puts a stand-in for a module of the firmware on the flash, where it is found first."""
        self.write(f"{module}.py", SCRIPTS.joinpath(f"fake_{module}.py").read_bytes())

    def trust(self, *authorities: pki.Authority) -> None:
        """Builds the store with these CAs only."""
        folder = self.root / "pem"
        folder.mkdir(exist_ok=True)
        for i, authority in enumerate(authorities):
            folder.joinpath(f"{i}.pem").write_bytes(authority.pem)
        store = collect(BuildOptions(sources=[str(folder)])).encode(1)
        self.write("certs/roots.rtlt", store)

    def start(self) -> subprocess.Popen[str]:
        """Starts the board: boot.py, then main.py."""
        command = board_command(in_force().interpreter, self.root)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment},
        )

    def run(self, timeout_s: float = 60) -> Run:
        """Starts the board and waits until it ends by itself."""
        with self.start() as process:
            try:
                output, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Run(process.returncode, output)

    def run_until(self, wanted: str, *, times: int = 1, timeout_s: float = 60) -> Run:
        """Starts the board, sends Ctrl-C when a line with `wanted` has come so many times, and waits for the end.

        Again if it goes on: MicroPython prints an exception that comes while it calls a finaliser, and drops it
        (mp_call_function_1_protected in py/gc.c). Whoever sits there presses the keys once more.
        """
        output = ""
        with self.start() as process:
            assert process.stdout is not None
            for line in process.stdout:
                output += line
                times -= wanted in line
                if times == 0:
                    process.send_signal(signal.SIGINT)
                    break
            for _ in range(3):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout_s / 12)
                    break
                process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=timeout_s)
        return Run(process.returncode, output + rest)

    def run_script(self, script: str, timeout_s: float = 60) -> Run:
        """Runs a script of tests/device/scripts in place of main.py, which it may import."""
        self.root.joinpath("application.py").write_bytes(self.root.joinpath("main.py").read_bytes())
        self.write("main.py", SCRIPTS.joinpath(script).read_bytes())
        return self.run(timeout_s)
