"""A test may be skipped for what it tests, not for want of something: support.programs.missing fails it in CI."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SKIPS = re.compile(r"pytest\.skip\(|mark\.skipif\(|mark\.skip\b|importorskip\(|environ(?:\.get\(|\[)\"CI\"")
ALLOWED = {
    "support/programs.py": "the one that fails in CI",
    "conftest.py": "what a version of MicroPython has not",
    "unit/test_both_interpreters.py": "what only one of the two interpreters has",
    "fuzz/test_fuzz.py": "atheris has wheels for some versions of Python only",
    "conformance/test_conformance.py": "the cases of x509-limbo are not ours to ship",
    "hw/test_board_hw.py": "real boards",
    "hw/test_flash_hw.py": "real boards",
    "host/test_firmware_download.py": "only root becomes another user",
    "host/test_manners.py": "only root becomes another user",
    "host/test_transport.py": "only root becomes another user; names of ports on Windows",
    "host/test_memory_psk.py": "only Linux loads a library before another",
}


def test_nothing_but_the_system_and_the_hardware_lets_a_test_be_skipped_in_ci() -> None:
    skipping = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if path != Path(__file__) and SKIPS.search(path.read_text(encoding="utf-8"))
    }
    assert skipping == ALLOWED.keys(), "use support.programs.missing, or say here why not"
