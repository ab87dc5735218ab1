"""The library that counts both heaps of a 64-bit MicroPython, and what tools/dev/memory_psk.py makes of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import program

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "dev"))

import memory_psk
from memory_bench import CONFIGURATIONS, Phase
from rootlet_host.interpreter import find_micropython

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and glibc")

PROGRAM = """
import gc, heap_peak, tls
found = []
def note():
    asked = heap_peak.python_peak, heap_peak.tls_used, heap_peak.tls_peak, heap_peak.peak
    found.append([gc.mem_alloc()] + [ask() for ask in asked])
def garbage():
    for _ in range(100):
        bytearray(10_000)
def held():
    kept = bytearray(100_000)
    return len(kept)
heap_peak.start(); note()
garbage(); note()
heap_peak.start(); held(); note()
heap_peak.start()
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT); note()
context.__del__(); note()
heap_peak.stop(); held(); note()
import json
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[list[int]]:
    """[Python live, Python's peak, Mbed TLS's now, its peak, the peak of both] at each `note()` of PROGRAM."""
    program("cc", "gcc")
    counter = memory_psk.build_counter(tmp_path_factory.mktemp("counter"))
    done = subprocess.run(
        [str(find_micropython()), "-c", PROGRAM],
        env={**os.environ, "LD_PRELOAD": str(counter), "MICROPYPATH": str(counter.parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_garbage_does_not_count_as_needed(counted: list[list[int]]) -> None:
    assert 10_000 <= counted[1][1] < 50_000


def test_what_is_held_for_a_moment_counts(counted: list[list[int]]) -> None:
    assert counted[2][1] >= 100_000


def test_what_mbedtls_holds_counts_until_it_is_freed(counted: list[list[int]]) -> None:
    _, python, used, peak, both = counted[3]
    assert used == peak > 100
    assert both > python
    assert counted[4][2] == 0
    assert counted[4][3] == peak


def test_nothing_counts_after_the_end(counted: list[list[int]]) -> None:
    assert counted[5][1] < 100_000


def test_a_configuration_has_a_row_for_each_heap() -> None:
    names = [name for name, _ in memory_psk.PHASES if name]
    phases = [Phase(name, 100 * n, n, 0, 1000 * n, 10 * n) for n, name in enumerate(names, 1)]
    python, mbedtls = memory_psk.rows("some title", phases, 12_345)
    assert python == ("some title", "Python", "100", "200", "300", "4,000", "400", "500", "12,345")
    assert mbedtls == ("", "Mbed TLS", "1", "2", "3", "40", "4", "5", "")


def test_the_page_compares_bare_tls_the_full_store_and_a_pre_shared_key() -> None:
    page = memory_psk.PAGE.read_text(encoding="utf-8")
    table = re.search(r"<!-- psk: begin.*?-->\n(.*?)<!-- psk: end -->", page, re.S)
    assert table is not None
    lines = table[1].strip().splitlines()
    assert lines[0] == "| " + " | ".join(memory_psk.HEADS) + " |"
    titles = [configuration.title for configuration in CONFIGURATIONS if configuration.key in memory_psk.KEYS]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [cell for title in titles for cell in (title, "")]
