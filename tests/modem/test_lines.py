"""Bytes to lines."""

from __future__ import annotations

import pytest
from simulation import Clock, load_driver

ModemError = load_driver().ModemError


class Lines:
    """A UART that delivers given bytes, and a job that notes what it gets."""

    def __init__(self, data: bytes, step: int = 1) -> None:
        self.data = data
        self.step = step
        self.got: list[bytes] = []
        self.prompt = False

    def any(self) -> int:
        return min(self.step, len(self.data))

    def readinto(self, buffer: bytearray, n: int) -> int:
        buffer[:n], self.data = self.data[:n], self.data[n:]
        return n

    def write(self, data: bytes) -> int:
        return len(data)

    def run(self) -> list[bytes]:
        from rootlet.modem.at import Channel

        channel = Channel(self, Clock(), lambda line: False, lambda error: None)

        def job():
            channel.wait(1000)
            channel.prompt = self.prompt
            while True:
                self.got.append((yield))

        channel.start(job())
        while self.data:
            channel.pump()
        return self.got


@pytest.mark.parametrize("step", [1, 2, 64])
@pytest.mark.parametrize(
    ("data", "prompt", "lines"),
    [
        (b"\r\nOK\r\n", False, [b"OK"]),
        (b"\nOK\n\r\n\r\nERROR\r\n", False, [b"OK", b"ERROR"]),
        (b"ATE0\r\r\nOK\r\n", False, [b"ATE0", b"OK"]),
        (b"half a line\rOK\r\n", False, [b"OK"]),
        (b"x" * 10_000 + b"\r\nOK\r\n", False, [b"x" * 160, b"OK"]),
        (b"\r\n> \r\nOK\r\n", True, [b">", b"OK"]),
        (b"\r\n+CMTI: 1\r\n>", True, [b"+CMTI: 1", b">"]),
        (b"\r\n> \r\nOK\r\n", False, [b"> ", b"OK"]),
        (b"\r\na > b\r\n", True, [b"a > b"]),
        (b"\x00\xff\r\n", False, [b"\x00\xff"]),
    ],
)
def test_finds_lines_and_the_prompt(data: bytes, prompt: bool, lines: list[bytes], step: int) -> None:
    load_driver()
    uart = Lines(data, step)
    uart.prompt = prompt
    assert uart.run() == lines
