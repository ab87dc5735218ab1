"""Driver and emulator in one process and in simulated time: no wait costs anything, and every run is reproducible."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import cpython_shim  # noqa: F401  (gives CPython the modules that only MicroPython has)
from emulator import Fault, Sim800

_PERIOD = 1 << 30  # of ticks_ms: MicroPython's documentation of time.ticks_ms


def load_driver() -> Any:
    """The package rootlet.modem, without rootlet itself: that needs the module tls, which only MicroPython has."""
    import types

    if "rootlet" not in sys.modules:
        package = types.ModuleType("rootlet")
        package.remembered_s = 0  # type: ignore[attr-defined]
        package.__path__ = [str(Path(__file__).resolve().parents[2] / "lib" / "rootlet")]
        sys.modules["rootlet"] = package
    import rootlet.modem

    return rootlet.modem


class Hang(AssertionError):
    """The driver waits for longer than any of its deadlines."""


class Clock:
    """The functions of MicroPython's module time that the driver uses. Ticks wrap soon after the start."""

    LIMIT_MS = 3_600_000
    LONGEST_STEP_MS = 400

    def __init__(self) -> None:
        self.now_ms = 0
        self.modem: Sim800 | None = None
        self.idle = 0

    def ticks_ms(self) -> int:
        return (self.now_ms + _PERIOD - 5000) % _PERIOD

    def ticks_add(self, ticks: int, delta: int) -> int:
        return (ticks + delta) % _PERIOD

    def ticks_diff(self, end: int, start: int) -> int:
        return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2

    def sleep_ms(self, ms: int) -> None:
        """Sleeps up to the next event, and the longer the longer nothing happens."""
        assert self.modem is not None
        due = self.modem.next_ms()
        self.idle = 0 if due is not None else min(self.idle + 1, 8)
        step = ms << self.idle
        if due is not None:
            step = max(ms, min(due - self.now_ms, self.LONGEST_STEP_MS))
        self.now_ms += step
        if self.now_ms > self.LIMIT_MS:
            raise Hang(f"simulated time {self.now_ms} ms")
        self.modem.advance(self.now_ms)


class Uart:
    """machine.UART in memory. Delivers in pieces of random size, and takes only so much at once."""

    def __init__(self, modem: Sim800, rng: random.Random | None = None) -> None:
        self.modem = modem
        self.rng = rng
        self.buffer = bytearray()
        self.blocked = False
        self.calls = 0
        self.most = 0

    def any(self) -> int:
        self.calls += 1
        if self.calls > 300_000:
            raise Hang("300,000 looks at the UART")
        self.buffer += self.modem.take()
        self.most = max(self.most, len(self.buffer))
        return len(self.buffer)

    def readinto(self, buffer: Any, n: int) -> int | None:
        n = min(n, len(self.buffer))
        if self.rng and n > 1:
            n = self.rng.randint(1, n)
        buffer[:n] = self.buffer[:n]
        del self.buffer[:n]
        return n or None

    def write(self, data: Any) -> int | None:
        if self.blocked:
            return None
        n = len(data)
        if self.rng and n > 1 and self.rng.random() < 0.2:
            n = self.rng.randint(1, n)
        self.modem.receive(bytes(data[:n]))
        return n


class MemoryPeer:
    """The far end of a connection: sends what it is given to send, and keeps what it receives."""

    def __init__(self, network: MemoryNetwork, host: str, port: int, to_send: bytes, closes: bool) -> None:
        self.network = network
        self.state = "open"
        self.host = host
        self.port = port
        self.to_send = to_send
        self.sent = 0
        self.received = bytearray()
        self.closes = closes

    def poll(self) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.received += data

    def receive(self, limit: int) -> bytes:
        if self.state != "open":
            return b""
        n = min(limit, len(self.to_send) - self.sent)
        if n and self.network.rng:
            n = self.network.rng.randint(0, n)
        data = self.to_send[self.sent : self.sent + n]
        self.sent += n
        if not data and self.sent == len(self.to_send) and self.closes:
            self.state = "closed"
        return data

    def close(self) -> None:
        self.state = "closed"


class MemoryNetwork:
    """Makes a MemoryPeer for each connection; `to_send` maps ports to what the server there sends at once."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.rng = rng
        self.to_send: dict[int, bytes] = {}
        self.closes = True
        self.peers: list[MemoryPeer] = []

    def connect(self, host: str, port: int) -> MemoryPeer:
        peer = MemoryPeer(self, host, port, self.to_send.get(port, b""), self.closes)
        if port == 1:
            peer.state = "refused"
        elif port == 2:
            peer.state = "connecting"  # for ever
        self.peers.append(peer)
        return peer


class PowerKey:
    """machine.Pin on PWRKEY."""

    def __init__(self, modem: Sim800) -> None:
        self.modem = modem
        self.low = False

    def value(self, level: int) -> None:
        if self.low and level:
            self.modem.press_power_key()
        self.low = not level


class Bench:
    """Everything wired together. `driver` is the SIM800 under test, `modem` the emulated one."""

    def __init__(
        self,
        faults: list[Fault] | tuple[Fault, ...] = (),
        *,
        rng: random.Random | None = None,
        key: bool = False,
        driver: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.package = load_driver()
        self.clock = Clock()
        self.network = MemoryNetwork(rng)
        self.modem = Sim800(self.network, faults, **options)
        self.clock.modem = self.modem
        self.uart = Uart(self.modem, rng)
        settings: dict[str, Any] = {"apn": "internet", "clock": self.clock, **(driver or {})}
        if key:
            settings["power_key"] = PowerKey(self.modem)
        self.driver = self.package.SIM800(self.uart, **settings)

    def run(self, ms: int) -> None:
        """Lets `ms` pass as a program does that only pumps."""
        end = self.clock.now_ms + ms
        while self.clock.now_ms < end:
            if not self.driver.pump():
                self.clock.sleep_ms(1)


def connected(bench: Bench, port: int = 80, timeout_ms: int = 60_000) -> tuple[Any, MemoryPeer]:
    """A connection through `bench`, and its far end."""
    stream = bench.driver.connect("example.org", port, timeout_ms)
    return stream, bench.network.peers[-1]


@contextmanager
def failing(number: int) -> Iterator[None]:
    """What is inside must raise OSError with this errno."""
    with pytest.raises(OSError) as caught:
        yield
    # OSError(n) has an errno on MicroPython only.
    assert caught.value.args[0] == number
