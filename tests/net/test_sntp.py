"""Setting an unset clock from the network: a real time server, and servers that must not be believed."""

from __future__ import annotations

import calendar
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.board import run_device_json

PROBE = Path(__file__).with_name("clock_probe.py")
NTP_EPOCH = 2208988800


@pytest.fixture(scope="module")
def faketime() -> str:
    found = next((str(p) for p in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if found is None:
        assert not os.environ.get("CI"), "libfaketime must be installed in CI"
        pytest.skip("libfaketime is not installed (apt install faketime)")
    return found


def synchronise(port: int, faketime: str, timeout_ms: int = 2000) -> dict[str, Any]:
    """What a board that woke up in the year 2000 makes of the time server at `port`."""
    environment = {"LD_PRELOAD": faketime, "FAKETIME": "@2000-01-01 00:00:00", "TZ": "UTC"}
    request = {"host": "127.0.0.1", "port": port, "timeout_ms": timeout_ms}
    result: dict[str, Any] = run_device_json(PROBE, request, environment=environment)
    assert result["before"] < 950_000_000, "the clock was not unset"
    return result


@contextmanager
def scripted(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """A UDP server that sends what `answer` makes of each question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    question, sender = server.recvfrom(200)
                except OSError:
                    return
                for packet in answer(question):
                    server.sendto(packet, sender)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def packet(question: bytes, seconds: float, *, first: int = 0x24, stratum: int = 2, code: bytes = b"TEST") -> bytes:
    stamp = ((int(seconds) + NTP_EPOCH) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes((first, stratum)) + bytes(10) + code + bytes(8) + question[40:48] + bytes(8) + stamp + bytes(4)


@pytest.mark.servers
def test_clock_is_set_from_a_real_time_server(faketime: str, tmp_path: Path) -> None:
    chronyd = shutil.which("chronyd") or shutil.which("chronyd", path="/usr/sbin")
    if chronyd is None:
        assert not os.environ.get("CI"), "chrony must be installed in CI"
        pytest.skip("chronyd is not installed (apt install chrony)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = tmp_path / "chrony.conf"
    configuration.write_text(
        f"port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 3\ncmdport 0\n"
        f"bindcmdaddress /\npidfile {tmp_path}/chronyd.pid\n"
    )
    server = subprocess.Popen(
        [chronyd, "-x", "-d", "-u", "root", "-f", str(configuration)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            result = synchronise(port, faketime, timeout_ms=1000)
            if "seconds" in result or time.monotonic() > deadline:
                break
    finally:
        server.terminate()
        output = server.communicate()[0].decode()
    assert "seconds" in result, (result, output)
    assert abs(result["seconds"] - time.time()) < 15
    year, month, day, weekday, hour, minute, second, _ = result["rtc"]
    assert calendar.timegm((year, month, day, hour, minute, second)) == result["seconds"]
    assert weekday == calendar.weekday(year, month, day)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("1970", {"seconds": 1}, "not believed"),
        ("2000", {"seconds": 946684801}, "not believed"),
        ("2099", {"seconds": 4070908800}, "not believed"),
        ("kiss of death", {"stratum": 0, "code": b"DENY"}, "kiss of death, DENY"),
        ("unsynchronised", {"first": 0xE4}, "does not know the time"),
        ("a client's packet", {"first": 0x23}, "no server's answer"),
    ],
)
def test_lying_server_is_not_believed(name: str, options: dict[str, Any], words: str, faketime: str) -> None:
    seconds = options.pop("seconds", time.time())
    with scripted(lambda question: [packet(question, seconds, **options)]) as port:
        result = synchronise(port, faketime)
    assert result["kind"] == "ClockError"
    assert words in result["message"]
    assert result["rtc"] is None


def test_answers_to_other_questions_are_passed_over(faketime: str) -> None:
    def answer(question: bytes) -> list[bytes]:
        return [packet(os.urandom(48), 1_999_999_999), b"", question, packet(question, time.time())]

    with scripted(answer) as port:
        assert abs(synchronise(port, faketime)["seconds"] - time.time()) < 15


def test_silent_server_is_given_up_in_time(faketime: str) -> None:
    with scripted(lambda question: []) as port:
        result = synchronise(port, faketime, timeout_ms=500)
    assert result["kind"] == "ClockError"
    assert result["elapsed_ms"] < 900


def test_flood_of_wrong_answers_does_not_outlast_the_deadline(faketime: str) -> None:
    with scripted(lambda question: [os.urandom(48)] * 200) as port:
        result = synchronise(port, faketime, timeout_ms=500)
    assert result["kind"] == "ClockError"
    assert result["elapsed_ms"] < 900
