#!/usr/bin/env python3
"""Check the types of what runs on boards; `make lint` does it.

    python tools/dev/check_types.py

Three steps:
  1. the stubs in typings/rootlet and the device library name the same things, with the same parameters (stubs.py);
  2. mypy --strict on the stubs themselves;
  3. mypy on the library, boot.py and main.py, with the annotations of the stubs written into a copy of each file
     (annotate.py), against the MicroPython stubs from PyPI, corrected by typings/micropython.

The stubs from PyPI replace the standard library's, so they cannot lie in the environment in which mypy runs: they are
installed into build/typings, in the versions of constraints.txt.

Exit codes: 0 no fault, 1 faults, which are printed, 2 the stubs from PyPI cannot be had.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import stubs
from annotate import annotate

BUILD = stubs.REPOSITORY / "build"
INSTALLED = BUILD / "typings"
COPY = BUILD / "typecheck"
CORRECTIONS = stubs.REPOSITORY / "typings" / "micropython"
CONSTRAINTS = stubs.REPOSITORY / "constraints.txt"
PACKAGES = ("micropython-esp32-stubs", "micropython-stdlib-stubs")
PROGRAMS = ("boot.py", "main.py")

# Faults that are none, each with the reason: file, what mypy says of it, why that is right as it is.
KNOWN = (
    ("", 'Module "asyncio" has no attribute "core"', "MicroPython's has; the stubs do not"),
    ("compat.py", "", "it replaces parts of modules"),
    ("boot.py", "tuple[type[Nothing]]", "a class serves as well as an object"),
    ("clock.py", '"Store" has no attribute "path"', "only a store from a file has an end"),
    ("dtls_aio.py", "incompatible with", "a connection whose methods are awaited; see the stub"),
    ("dial.py", 'Argument 3 to "ResolveError"', "one name for a result or its failure"),
    ("entropy.py", 'target has type "int"', "a dict of several types"),
    ("entropy.py", "_implementation", "the stubs do not know that sys.implementation is a tuple"),
    ("network.py", 'positional argument "id" in call to "LAN"', "optional on some ports"),
    ("probe.py", 'target has type "int"', "a dict of several types"),
    ("probe.py", '"Observer"', "a class that is an attribute of another"),
    ("report.py", '"BaseException" has no attribute "remedy"', "asked for with hasattr"),
    ("requests.py", "generic type", "MicroPython has no dict[str, str]"),
    ("requests.py", '"object" has no attribute "lower"', "`in` is for texts"),
    ("tofu.py", '"Context" has no attribute "digest"', "a KnownContext has"),
    ("trace.py", '"base"', "a class that is a parameter"),
    ("trace.py", "Invalid base class", "a class that is a parameter"),
    ("webpki.py", "Invalid index type", "numbers and None are its keys"),
    ("web/aio.py", 'has incompatible type "Transport"', "an AsyncClient's is an AsyncTransport"),
)

CONFIGURATION = """\
[mypy]
strict = true
strict_optional = false
custom_typeshed_dir = {installed}
mypy_path = {corrections}:{copy}:{installed}
cache_dir = {cache}
warn_return_any = false
allow_redefinition_new = true
local_partial_types = true
disable_error_code = var-annotated
allow_untyped_defs = true
allow_untyped_calls = true
allow_incomplete_defs = true
"""


class StubsMissingError(Exception):
    """The stubs from PyPI cannot be had."""


def install(folder: Path = INSTALLED) -> Path:
    """The folder with the MicroPython stubs, installed if these are not there or not those of constraints.txt."""
    pins = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("micropython-")]
    wanted = hashlib.sha256("\n".join(pins).encode()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        stamp = folder / ".installed"
        if not stamp.is_file() or stamp.read_text() != wanted:
            _install(folder, wanted)
    return folder


def _install(folder: Path, wanted: str) -> None:
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--constraint", str(CONSTRAINTS), "--target", str(new), *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StubsMissingError(f"{' and '.join(PACKAGES)} cannot be installed: {done.stderr.strip()[-300:]}")
    (new / ".installed").write_text(wanted)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def copy_annotated(folder: Path = COPY) -> None:
    """Write the device library with its annotations, and the programs as they are, into a folder."""
    wanted: dict[Path, str] = {}
    for path in stubs.LIBRARY.rglob("*.py"):
        relative = path.relative_to(stubs.LIBRARY)
        stub = (stubs.STUBS / relative).with_suffix(".pyi")
        if str(relative) in ("__init__.py", "errors.py"):
            # Their names are made when they are asked for: what they are only the stub can say.
            wanted[folder / "rootlet" / relative.with_suffix(".pyi")] = stub.read_text("utf-8")
        else:
            typed = stub.read_text("utf-8") if stub.is_file() else ""
            wanted[folder / "rootlet" / relative] = annotate(path.read_text("utf-8"), typed)
    wanted[folder / "rootlet" / "_types.pyi"] = (stubs.STUBS / "_types.pyi").read_text("utf-8")
    for name in PROGRAMS:
        wanted[folder / name] = annotate((stubs.REPOSITORY / name).read_text("utf-8"), "")
    for path in [each for each in folder.rglob("*.py*") if each not in wanted]:
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:  # mypy remembers what did not change
            path.write_text(text, "utf-8")


def mypy(*arguments: str | Path, configuration: str = "") -> list[str]:
    """What mypy finds, a line for each fault."""
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as config:
        config.write(configuration)
        config.flush()
        options = ["--config-file", config.name, "--no-error-summary", "--hide-error-context"]
        command = [sys.executable, "-m", "mypy", *options, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=stubs.REPOSITORY)
    if done.returncode not in (0, 1):
        return [line for line in (done.stdout + done.stderr).splitlines() if line]
    return [line for line in done.stdout.splitlines() if ": error:" in line or ": note:" in line]


def check_stubs() -> list[str]:
    """Faults of the stubs themselves: what an application sees that is checked without MicroPython's stubs."""
    path = f"[mypy]\nstrict = true\nmypy_path = {stubs.STUBS.parent}\ncache_dir = {BUILD / '.mypy_cache' / 'stubs'}\n"
    return mypy("-p", "rootlet", configuration=path)


def check_code() -> list[str]:
    """Faults in the library and the programs, with the stubs' annotations."""
    installed = install()
    copy_annotated()
    configuration = CONFIGURATION.format(
        installed=installed, corrections=CORRECTIONS, copy=COPY, cache=BUILD / ".mypy_cache" / "device"
    )
    lines = mypy("-p", "rootlet", "-m", "boot", "-m", "main", configuration=configuration)
    # The stubs from PyPI have faults of their own, which only count where they meet ours.
    lines = [line for line in lines if not line.startswith(str(installed.relative_to(stubs.REPOSITORY)))]
    folder = f"{COPY.relative_to(stubs.REPOSITORY)}/"
    lines = [line.replace(f"{folder}rootlet/", "lib/rootlet/").removeprefix(folder) for line in lines]
    return without_known(lines)


def without_known(lines: list[str], known: tuple[tuple[str, str, str], ...] = KNOWN) -> list[str]:
    """The faults that are not known, and what is known but no fault any more."""
    found = []
    unused = set(known)
    for line in (each for each in lines if ": error:" in each):
        path, _, said = line.partition(":")
        fits = {each for each in known if path.endswith(each[0]) and each[1] in said}
        unused -= fits
        if not fits:
            found.append(line)
    return found + [f"check_types.py: not to be found any more: {file} {text!r}" for file, text, _ in sorted(unused)]


def main() -> int:
    COPY.mkdir(parents=True, exist_ok=True)
    try:
        faults = stubs.differences() or check_stubs() + check_code()
    except StubsMissingError as error:
        print(f"check_types: {error}", file=sys.stderr)
        return 2
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
