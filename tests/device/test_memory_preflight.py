"""rootlet.memory: refuses before a connection where one would fail, and only there (docs/memory.md states the margin).

On the 64-bit MicroPython, whose Mbed TLS allocates outside the Python heap as on an ESP32, and on the 32-bit build of
`make micropython32`, where both share one heap as on an STM32.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.interpreter import find_micropython
from support.programs import built

pytestmark = pytest.mark.own_firmware

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

from least_heap import least_size  # noqa: E402
from measuring.workbench import HOST, Target, Workbench  # noqa: E402

PROGRAM = Path(__file__).parent / "scripts" / "preflight.py"
BUILD32 = REPOSITORY / "build" / "micropython32" / "micropython"
KIB = 1024
MARGIN_BYTES = {32: 3 * KIB, 64: 12 * KIB}  # what a computer's objects take is estimated from a board's
LOW_BYTES, HIGH_BYTES = {32: 48 * KIB, 64: 48 * KIB}, {32: 112 * KIB, 64: 160 * KIB}


def interpreter(bits: int) -> Path:
    return find_micropython() if bits == 64 else built(BUILD32, "micropython32")


@dataclass
class Device:
    """MicroPython with rootlet as .mpy files, and servers with chains of each kind."""

    bench: Workbench
    bits: int

    def run(
        self, what: str, target: Target, heap_bytes: int, *, modules: str = "", rsa: bool = True, path: str = ""
    ) -> dict[str, Any] | None:
        """What preflight.py reports; None if it failed."""
        words = [str(interpreter(self.bits)), "-X", f"heapsize={heap_bytes}", str(PROGRAM), what, HOST]
        words += [str(target.port), modules, str(int(rsa)), str(self.bench.mozilla), str(self.bench.site)]
        environment = {**os.environ, "MICROPYPATH": f"{path}:{self.bench.library}:.frozen"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
        if done.returncode:
            said = done.stdout + done.stderr
            assert "emory" in said or "UnknownIssuer" in said, said  # nothing else is wrong
            return None
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def least(self, what: str, target: Target, *, rsa: bool) -> int:
        """The least heap in which `what` succeeds."""

        def works(heap_bytes: int) -> tuple[bool, str]:
            found = self.run(what, target, heap_bytes, rsa=rsa)
            return found is not None and found["refused"] is None, ""

        low, high = LOW_BYTES[self.bits], HIGH_BYTES[self.bits]
        return least_size(works, low, high, 512, confirmations=2 if what == "ask" else 1)


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with Workbench() as bench:
        yield bench


@pytest.fixture(params=[32, 64])
def device(request: pytest.FixtureRequest, bench: Workbench) -> Device:
    interpreter(request.param)
    return Device(bench, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["P-256", "RSA-2048"])
def test_what_it_lets_pass_succeeds_and_it_lets_pass_what_would_succeed(device: Device, chain: str) -> None:
    target = next(target for target in device.bench.targets if target.key_kind == chain)
    rsa = chain == "RSA-2048"
    accepted = device.least("ask", target, rsa=rsa)
    for heap_bytes in range(accepted, accepted + 6 * KIB, 768):
        found = device.run("go 3", target, heap_bytes, rsa=rsa)
        assert found and found["good"] == 3 and found["figures"]["spare_bytes"] >= 0, heap_bytes
    enough = device.least("3", target, rsa=rsa)
    assert accepted <= enough + MARGIN_BYTES[device.bits]


@pytest.mark.slow
def test_a_hundred_connections_succeed_in_a_heap_that_it_lets_pass(bench: Workbench) -> None:
    """Fragmentation does not end what began well."""
    device = Device(bench, 32)
    target = next(target for target in bench.targets if target.key_kind == "RSA-2048")
    found = device.run("go 100", target, device.least("ask", target, rsa=True) + 512)
    assert found and found["good"] == 100


def test_where_too_little_is_free_it_says_how_much_is_missing_and_what_to_do(device: Device) -> None:
    target = device.bench.targets[0]
    accepted = device.least("ask", target, rsa=True)
    missing = []
    for below in (5 * KIB, 2 * KIB):
        found = device.run("go 3", target, accepted - below)
        assert found and found["good"] == 0
        assert found["kind"] == "OutOfMemoryError" and "more than there are" in found["refused"]
        assert "Freeze rootlet" in found["remedy"] and "board" in found["remedy"]
        missing.append(int(next(word for word in found["refused"].split() if word.isdigit())))
    assert 2 * KIB < missing[0] - missing[1] < 4 * KIB
    assert KIB < missing[1] < 3 * KIB


def test_whatever_the_heap_it_refuses_in_words(device: Device) -> None:
    target = device.bench.targets[0]
    accepted = device.least("ask", target, rsa=True)
    refusals = set()
    for heap_bytes in range(accepted // 2, accepted - KIB, 2 * KIB):
        found = device.run("ask", target, heap_bytes)
        if found is not None:  # there was room for the program itself
            assert found["refused"], heap_bytes
            refusals.add(found["kind"])
            assert "figures" not in found
    assert "OutOfMemoryError" in refusals


def test_figures_say_where_mbed_tls_allocates(device: Device) -> None:
    found = device.run("go 3", device.bench.targets[0], 400 * KIB)
    assert found and found["good"] == 3
    assert found["figures"]["tls_in_python_heap"] == (device.bits == 32)
    assert 200 * KIB < found["figures"]["spare_bytes"] < found["figures"]["free_bytes"] < 400 * KIB


def test_what_the_application_uses_besides_is_imported(device: Device) -> None:
    bare, with_http = (
        device.run("ask", device.bench.targets[0], 400 * KIB, modules=m) for m in ("", "http,web.client")
    )
    assert bare and with_http
    assert set(with_http["modules"]) - set(bare["modules"]) >= {"rootlet.http", "rootlet.web.client"}
    assert with_http["figures"]["spare_bytes"] < bare["figures"]["spare_bytes"] - 4 * KIB
    assert "rootlet.memory" not in bare["modules"]


def test_elliptic_curves_need_no_more(device: Device) -> None:
    curves, rsa = (device.run("ask", device.bench.targets[0], 400 * KIB, rsa=rsa) for rsa in (False, True))
    assert curves and rsa
    difference = curves["figures"]["spare_bytes"] - rsa["figures"]["spare_bytes"]
    # How much less they need is up to the gaps that .mpy modules leave: docs/memory.md.
    assert difference >= 0 if device.bits == 32 else abs(difference) < KIB


def test_a_heap_in_pieces_is_refused_though_enough_is_free(bench: Workbench) -> None:
    """Where Mbed TLS's 17 KB have to come out of it."""
    found = Device(bench, 32).run("pieces", bench.targets[0], 200 * KIB)
    assert found and "in pieces" in found["refused"]
    assert "smaller buffers" in found["remedy"]


ESP32 = """
HEAP_DATA = 4


def idf_heap_info(kind):
    return %r
"""


@pytest.mark.parametrize(
    ("regions", "passes"),
    [
        ([(100_000, 60_000, 40_000, 50_000), (60_000, 20_000, 15_000, 10_000)], True),
        ([(100_000, 18_000, 18_000, 9_000), (60_000, 15_000, 15_000, 10_000)], False),  # less than Mbed TLS takes
    ],
)
def test_on_esp32_boards_the_system_heap_must_have_room_for_mbed_tls(
    bench: Workbench, tmp_path: Path, regions: list[tuple[int, ...]], passes: bool
) -> None:
    tmp_path.joinpath("esp32.py").write_text(ESP32 % regions)
    found = Device(bench, 64).run("ask", bench.targets[0], 400 * KIB, path=str(tmp_path))
    assert found
    if passes:
        assert found["refused"] is None and 0 <= found["figures"]["spare_bytes"] < 80_000
    else:
        assert "more than there are" in found["refused"]


def test_asking_again_and_again_takes_nothing(bench: Workbench, tmp_path: Path) -> None:
    program = tmp_path / "again.py"
    program.write_text(
        "import gc\nfrom rootlet import memory\n"
        "def free():\n    memory.preflight()\n    gc.collect()\n    return gc.mem_free()\n"
        "free()\nbefore = free()\nfor _ in range(50):\n    after = free()\nprint(before - after)\n"
    )
    environment = {**os.environ, "MICROPYPATH": f"{bench.library}:.frozen"}
    for bits in (32, 64):
        command = [str(interpreter(bits)), "-X", "heapsize=300K", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) <= 64
