"""The application's clock, from waking up without one to a verified connection: what sets it, what it remembers."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.store import build_store
from rootlet_host.store.anchors import anchor_from_certificate
from support import pki
from support.application import HOST, SCRIPTS, Board, Run
from support.programs import faketime_library
from support.servers import tls_server
from support.timeservers import chrony, packet, scripted

WOKE_UP = 946684800  # 2000-01-01
DAY = 86400
Wake = Callable[..., Run]


@pytest.fixture
def store(board: Board, root: pki.Authority) -> int:
    """A trust store on the board; when it was issued."""
    issued_at = int(time.time()) - 30 * DAY
    anchor = anchor_from_certificate(root.certificate)
    board.write("certs/roots.rtlt", build_store([anchor], sequence=1, issued_at=issued_at))
    return issued_at


@pytest.fixture
def wake(board: Board, root: pki.Authority, store: int) -> Wake:
    """Starts the board when its clock shows `seconds`; `ntp`: the port of its time server."""
    board.write("machine.py", SCRIPTS.joinpath("fake_rtc.py").read_bytes())
    shown = board.root / "faketime"
    board.environment = {
        "LD_PRELOAD": faketime_library(),
        "FAKETIME_TIMESTAMP_FILE": str(shown),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC",
    }

    def start(seconds: float, ntp: int | None = None, script: str = "", **job: Any) -> Run:
        shown.write_text(time.strftime("@%Y-%m-%d %H:%M:%S\n", time.gmtime(seconds)))
        board.change("timekeeping", {"timeout_ms=5_000": "timeout_ms=1_000", "port=123": f"port={ntp}"})
        with tls_server(root.issue(HOST, not_after=pki.now() + pki.days(300))) as server:
            url = {"url": f"https://{HOST}:{server.port}/", "address": "127.0.0.1", **job}
            board.configure(job=url, ntp_host=None if ntp is None else "127.0.0.1")
            return board.run_script(script) if script else board.run()

    return start


def remembered(board: Board) -> int:
    data = board.root.joinpath("clock").read_bytes()
    assert len(data) == 8
    seconds = int.from_bytes(data[:4], "little")
    assert seconds ^ int.from_bytes(data[4:], "little") == 0xFFFFFFFF
    return seconds


@pytest.mark.servers
def test_board_that_woke_up_in_2000_asks_a_real_time_server_connects_and_remembers(
    board: Board, wake: Wake, tmp_path: Path
) -> None:
    with chrony(tmp_path) as port:
        run = wake(WOKE_UP, port)
    assert run.status == 0, run.output
    assert "boot: the clock is not set: it says 2000-01-01" in run.output
    [setting] = run.events("rtc")
    assert setting.startswith("set to " + time.strftime("%Y-%m-%d", time.gmtime()))
    assert abs(remembered(board) - time.time()) < 20


def test_board_without_time_and_time_server_does_not_connect(board: Board, wake: Wake) -> None:
    run = wake(WOKE_UP)
    assert run.status == 1
    assert "  ! the clock is not set" in run.output and "Handshake" not in run.output
    assert not board.root.joinpath("clock").exists()


def test_clock_that_lost_time_is_not_believed_because_a_later_one_is_remembered(
    board: Board, wake: Wake, store: int
) -> None:
    """Not before the store's date, so only what is on flash tells."""
    assert wake(time.time()).status == 0
    earlier = remembered(board) - 2 * DAY
    assert earlier > store
    run = wake(earlier)
    assert run.status == 1 and "  ! the clock is not set" in run.output
    # Some seconds later: libfaketime's clock may show a fraction of a second less than it was set to.
    with scripted(lambda question: [packet(question, time.time() + 3)]) as port:
        run = wake(earlier, port)
    assert run.status == 0 and len(run.events("rtc")) == 1, run.output
    with scripted(lambda question: [packet(question, earlier + 60)]) as port:
        run = wake(earlier, port)
    assert run.status == 1 and "not believed" in run.output and run.events("rtc") == []


LIES: dict[str, tuple[Callable[[bytes], list[bytes]], str]] = {
    "1970": (lambda question: [packet(question, 60)], "gives 1970-01-01"),
    "2099": (lambda question: [packet(question, 4070908800)], "gives 2099-01-01"),
    "before the store": (lambda question: [packet(question, time.time() - 40 * DAY)], "not believed"),
    "kiss of death": (lambda question: [packet(question, time.time(), stratum=0, code=b"RATE")], "kiss of death, RATE"),
    "unsynchronised": (lambda question: [packet(question, time.time(), first=0xE4)], "does not know the time"),
    "answer to another question": (
        lambda question: [packet(os.urandom(48), time.time())],
        "no answer to our question in time",
    ),
    "silence": (lambda question: [], "no answer to our question in time"),
}


@pytest.mark.parametrize("name", LIES)
def test_time_server_that_lies_sets_no_clock_and_harms_no_good_one(name: str, wake: Wake) -> None:
    answer, words = LIES[name]
    with scripted(answer) as port:
        run = wake(WOKE_UP, port)
        assert run.status == 1 and run.events("rtc") == []
        assert words in run.output and "Handshake" not in run.output
        run = wake(time.time(), port)
        assert run.status == 0, run.output
        assert run.events("rtc") == []


def test_forged_later_time_is_not_remembered(wake: Wake, board: Board) -> None:
    """Nothing contradicts it but the certificates; on flash it would be a floor that no right time passes."""
    with scripted(lambda question: [packet(question, time.time() + 400 * DAY)]) as port:
        run = wake(WOKE_UP, port)
    assert run.status == 1 and len(run.events("rtc")) == 1
    assert "expired" in run.output
    assert not board.root.joinpath("clock").exists()
    with scripted(lambda question: [packet(question, time.time())]) as port:
        assert wake(WOKE_UP, port).status == 0
    assert abs(remembered(board) - time.time()) < 20


def test_good_clock_is_set_forward_when_it_is_late_and_never_back(wake: Wake, board: Board) -> None:
    with scripted(lambda question: [packet(question, time.time())]) as port:
        run = wake(time.time() - 5 * DAY, port)
        assert run.status == 0 and len(run.events("rtc")) == 1, run.output
        board.root.joinpath("clock").unlink()
        run = wake(time.time() + 5 * DAY, port)
        assert run.status == 0 and run.events("rtc") == []


def test_good_clock_is_compared_once_a_day_and_the_flash_written_as_rarely(wake: Wake, board: Board) -> None:
    asked = []

    def answer(question: bytes) -> list[bytes]:
        asked.append(question)
        return [packet(question, time.time())]

    with scripted(answer) as port:
        assert wake(time.time(), port).status == 0
        before = board.root.joinpath("clock").stat().st_mtime_ns
        for _ in range(2):
            assert wake(time.time(), port).status == 0
        assert len(asked) == 1 and board.root.joinpath("clock").stat().st_mtime_ns == before
        assert wake(time.time() + 1.1 * DAY, port).status == 0
    assert len(asked) == 2
    assert 1.0 < (remembered(board) - time.time()) / DAY < 1.2


def test_file_that_cannot_be_written_stops_nobody(wake: Wake, board: Board) -> None:
    board.root.joinpath("clock").mkdir()
    assert wake(time.time()).status == 0


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\xff\xff\xff\xff\0\0\0", bytes(8)])
def test_damaged_file_is_no_floor_and_is_replaced(content: bytes, wake: Wake, board: Board) -> None:
    board.write("clock", content)
    assert wake(time.time()).status == 0
    assert abs(remembered(board) - time.time()) < 20


def test_modem_is_asked_before_the_time_server(wake: Wake, board: Board) -> None:
    board.environment["NETWORK_TIME"] = str(int(time.time()))
    with scripted(lambda question: [packet(question, 60)]) as port:
        run = wake(WOKE_UP, port, script="clock_of_a_modem.py")
    assert run.status == 0, run.output
    assert len(run.events("rtc")) == 1


@pytest.mark.parametrize("year", [2028, 2037, 2039])
def test_leap_days_and_the_year_2038_are_passed_without_notice(year: int, board: Board, wake: Wake) -> None:
    """The end of 32 bits of seconds comes in 2038, that of NTP's first era in 2036."""
    root = pki.make_ca("root of later", not_after=pki.now() + pki.days(366 * 20))
    then = time.strptime(f"{year}-02-28 23:59:50", "%Y-%m-%d %H:%M:%S")
    seconds = calendar.timegm(then)
    identity = root.issue(HOST, not_after=pki.now() + pki.days(366 * 19))
    anchor = anchor_from_certificate(root.certificate)
    board.write("certs/roots.rtlt", build_store([anchor], sequence=1, issued_at=int(time.time())))
    with tls_server(identity) as server, scripted(lambda question: [packet(question, seconds + 15)]) as port:
        later = {"url": f"https://{HOST}:{server.port}/", "address": "127.0.0.1"}
        run = wake(seconds, port, **later)
        assert run.status == 0, run.output
    assert remembered(board) in range(seconds + 10, seconds + 60)


def test_port_whose_epoch_is_2000_is_understood(board: Board, wake: Wake) -> None:
    board.write(
        "time.py",
        "from utime import *\nimport utime\n\n"
        "def time():\n    return utime.time() - 946684800\n\n"
        "def gmtime(seconds=None):\n    return utime.gmtime(946684800 + (time() if seconds is None else seconds))\n",
    )
    with scripted(lambda question: [packet(question, time.time())]) as port:
        run = wake(WOKE_UP, port)
        assert run.status == 0, run.output
        assert "boot: the clock is not set: it says 2000-01-01" in run.output
    assert abs(remembered(board) - time.time()) < 20
