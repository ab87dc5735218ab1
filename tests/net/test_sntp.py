"""Setting an unset clock from the network: a real time server, and servers that must not be believed."""

from __future__ import annotations

import calendar
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.board import run_device_json
from support.programs import faketime_library
from support.timeservers import chrony, packet, scripted

PROBE = Path(__file__).with_name("clock_probe.py")


@pytest.fixture(scope="module")
def faketime() -> str:
    return faketime_library()


def synchronise(port: int, faketime: str, timeout_ms: int = 2000) -> dict[str, Any]:
    """What a board that woke up in the year 2000 makes of the time server at `port`."""
    environment = {"LD_PRELOAD": faketime, "FAKETIME": "@2000-01-01 00:00:00", "TZ": "UTC"}
    request = {"host": "127.0.0.1", "port": port, "timeout_ms": timeout_ms}
    result: dict[str, Any] = run_device_json(PROBE, request, environment=environment)
    assert result["before"] < 950_000_000, "the clock was not unset"
    return result


@pytest.mark.servers
def test_clock_is_set_from_a_real_time_server(faketime: str, tmp_path: Path) -> None:
    with chrony(tmp_path) as port:
        result = synchronise(port, faketime)
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
    options = {"seconds": time.time(), **options}
    with scripted(lambda question: [packet(question, **options)]) as port:
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
