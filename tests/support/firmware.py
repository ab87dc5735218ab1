"""The firmware that device programs of the tests run on: a version of MicroPython, and rootlet as sources or compiled.

The fixture `firmware` puts one in force: `board.run_device` and whatever asks `find_micropython` then use it. Tests in
tests/device run on every firmware, those marked `every_version` on every version, the others on the current one;
`pytest --micropython` names others and chooses the tests that depend on it. A test marked `needs("…")` or `lacks("…")`
runs where the interpreter says so, see device/has.py.
"""

from __future__ import annotations

import functools
import json
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rootlet_host.bytecode import compile_module
from rootlet_host.interpreter import find_micropython

from . import versions

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "lib"
HAS = Path(__file__).parent / "device" / "has.py"
COMPILED = "-mpy"

# What `needs` and `lacks` may ask for, in words.
CAPABILITIES = {
    "tls1.3": "TLS 1.3",
    "tickets": "session tickets",
    "psk": "pre-shared keys",
    "ssl": "module ssl",
    "tls1.2-rsa": "TLS 1.2 with servers that have an RSA key",
}


@dataclass(frozen=True)
class Firmware:
    """A version of MicroPython with the library in one form."""

    version: str = versions.CURRENT
    compiled: bool = False

    def __str__(self) -> str:
        return self.version + (COMPILED if self.compiled else "")

    @property
    def interpreter(self) -> Path:
        """`programs.missing` where it was not fetched."""
        if self.version == versions.CURRENT and _in_force.version != versions.CURRENT:
            return _current  # which $MICROPYTHON does not name now
        return versions.interpreter(self.version)

    @property
    def library(self) -> Path:
        """The folder with the package `rootlet`."""
        return _compiled_library() if self.compiled else LIBRARY

    def has(self, capability: str) -> bool:
        """Whether the interpreter has what CAPABILITIES describes."""
        if capability == "tls1.2-rsa":
            return _meets_rsa(self.interpreter)
        return _measured(self.interpreter)[capability]

    @property
    def highest(self) -> str:
        """The version of TLS that it negotiates with the servers of the tests."""
        return "TLSv1.3" if self.has("tls1.3") else "TLSv1.2"

    @property
    def first_visit(self) -> int:
        """How many connections it takes to verify a server for the first time: TLS 1.3 encrypts the issuers."""
        return 2 if self.has("tls1.3") else 1


CURRENT = Firmware()
EVERY_VERSION = tuple(Firmware(version) for version in versions.ALL)
ALL = tuple(Firmware(version, compiled) for version in versions.ALL for compiled in (False, True))
_NAMED = {"all": ALL, "others": ALL[1:], **{str(each): (each,) for each in ALL}}

_in_force = CURRENT
_current: Path  # the current version's interpreter, while another is in force


def in_force() -> Firmware:
    """The firmware that device programs run on now."""
    return _in_force


@functools.cache
def _measured(interpreter: Path) -> dict[str, bool]:
    done = subprocess.run([interpreter, HAS], capture_output=True, text=True, timeout=30, check=True)
    found: dict[str, bool] = json.loads(done.stdout)
    assert found.keys() | {"tls1.2-rsa"} == CAPABILITIES.keys()
    return found


@functools.cache
def _meets_rsa(interpreter: Path) -> bool:
    """Whether it can talk to a server of TLS 1.2 that has an RSA key. Firmware may offer signatures that it refuses."""
    from . import pki
    from .servers import tls_server

    with tls_server(pki.make_ca().issue("localhost", key="RSA-2048"), maximum=ssl.TLSVersion.TLSv1_2) as server:
        command = [interpreter, HAS, str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return bool(json.loads(done.stdout))


_compiled: list[tempfile.TemporaryDirectory[str]] = []  # for this run of the tests


def _compiled_library() -> Path:
    if not _compiled:
        _compiled.append(tempfile.TemporaryDirectory(prefix="rootlet-compiled-"))
        package = LIBRARY / "rootlet"
        for source in sorted(package.rglob("*.py")):
            target = Path(_compiled[0].name, source.relative_to(LIBRARY)).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(compile_module(source, source.relative_to(LIBRARY).as_posix()))
    return Path(_compiled[0].name)


@contextmanager
def running(firmware: Firmware) -> Iterator[Firmware]:
    """Puts a firmware in force."""
    global _in_force, _current
    before = _in_force
    with pytest.MonkeyPatch.context() as patch:
        if firmware.version != versions.CURRENT:
            if before.version == versions.CURRENT:
                _current = find_micropython()
            patch.setenv("MICROPYTHON", str(firmware.interpreter))
        _in_force = firmware
        try:
            yield firmware
        finally:
            _in_force = before


@pytest.fixture(scope="module")
def firmware(request: pytest.FixtureRequest) -> Iterator[Firmware]:
    """What the test's device programs run on."""
    with running(getattr(request, "param", CURRENT)) as chosen:
        yield chosen


# --- Which tests run on which firmware: for conftest.py ---


def parse(text: str) -> tuple[Firmware, ...]:
    """The firmwares that a text such as "1.25.0,1.26.1-mpy", "others" or "all" names. Raises ValueError."""
    chosen: list[Firmware] = []
    for name in text.split(","):
        if name not in _NAMED:
            raise ValueError(f"--micropython knows {', '.join(_NAMED)}; not {name!r}")
        chosen += _NAMED[name]
    return tuple(dict.fromkeys(chosen))


def candidates(
    markers: Iterable[pytest.Mark], named: tuple[Firmware, ...] | None, usual: tuple[Firmware, ...]
) -> tuple[Firmware, ...]:
    """What a test with these markers runs on. `named`: by --micropython; `usual`: for tests in its folder."""
    marks = list(markers)
    if named is not None:
        return named
    if any(mark.name == "every_version" for mark in marks) and len(usual) < len(EVERY_VERSION):
        usual = EVERY_VERSION
    if unfit(marks, CURRENT) is None:
        return usual
    # Not for the version that nearly all tests run on: on those that can.
    able = (each for each in (ALL if usual == ALL else EVERY_VERSION) if each.version != versions.CURRENT)
    return tuple(each for each in able if not _is_there(each) or unfit(marks, each) is None) or usual


def _is_there(firmware: Firmware) -> bool:
    return firmware.version == versions.CURRENT or versions.program(firmware.version).is_file()


def unfit(markers: Iterable[pytest.Mark], firmware: Firmware) -> str | None:
    """Why a test with these markers cannot run on a firmware, in words; None if it can."""
    for mark in markers:
        for capability in mark.args if mark.name in ("needs", "lacks") else ():
            if firmware.has(capability) != (mark.name == "needs"):
                word = "no " if mark.name == "needs" else ""
                return f"{firmware.version} has {word}{CAPABILITIES[capability]}"
    return None
