"""The command `rootlet` as users start it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

ROOTLET = Path(sysconfig.get_path("scripts")) / "rootlet"


def run(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Its end, with what it wrote; nobody is there to be asked. `environment` is added to that of the tests."""
    return subprocess.run(
        [str(ROOTLET), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )
