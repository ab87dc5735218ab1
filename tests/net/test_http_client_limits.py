"""rootlet.http.Client against servers that are slow, endless, or break HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.http_client import Outcome
from support.http_server import Raw, Reply, Request

Play = Callable[..., Outcome]
OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "both lengths": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "list of lengths": OK + b"Content-Length: 5, 6\r\n\r\nhello",
    "signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "two codings": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "list of codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "odd coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding behind a vertical tab": OK + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "folded line": OK + b"A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n",
    "CR without LF in a field": OK + b"A: b\rContent-Length: 5\r\nContent-Length: 2\r\n\r\nhello",
    "CR without LF instead of an end of line": b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok\r\n\r\n",
    "two CRs before the LF": OK + b"Content-Length: 2\r\r\n\r\nok",
    "end of the head with two CRs": OK + b"Content-Length: 2\r\n\r\r\nok",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a field": OK + b"A: b\0\r\nContent-Length: 2\r\n\r\nok",
    "CR without LF in a chunk's line": OK + b"Transfer-Encoding: chunked\r\n\r\n2\rok\r\n0\r\n\r\n",
    "CR without LF behind a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r0\r\n\r\n",
    "CR in a trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\rc\r\n\r\n",
    "chunk of spaces": OK + b"Transfer-Encoding: chunked\r\n\r\n \r\nok\r\n0\r\n\r\n",
    "empty chunk line": OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n",
    "chunk with an underscore": OK + b"Transfer-Encoding: chunked\r\n\r\n0_2\r\nok\r\n0\r\n\r\n",
    "plus before a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
    "no colon": OK + b"hello\r\n\r\n",
    "negative chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "chunk in 0x": OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "huge chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk longer than it said": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "endless chunk extension": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300_000,
    "endless trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 50_000,
    "header of a megabyte": OK + b"A: " + b"x" * (1 << 20) + b"\r\n\r\n",
    "endless headers": OK + b"A: b\r\n" * 50_000,
    "endless interim responses": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 1000,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "unknown coding of the content": OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n\x06",
}
CUT = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a head": OK + b"Content-Le",
    "half a body": OK + b"Content-Length: 10\r\n\r\nhello",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "half the end": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
}


def by_name(cases: dict[str, bytes], then: str) -> Callable[[Request], Raw]:
    return lambda request: Raw(cases[request.target[1:].replace("%20", " ")], then)


def test_whatever_breaks_http_is_refused(play: Play) -> None:
    steps = ["/" + name.replace(" ", "%20") for name in BROKEN]
    outcome = play(by_name(BROKEN, "cut"), *steps)
    assert dict(zip(BROKEN, outcome.kinds(), strict=True)) == dict.fromkeys(BROKEN, "HTTPError")
    assert outcome.site.connections == len(BROKEN), "none of these connections may be used again"


@pytest.mark.parametrize("then", ["end", "cut"])
def test_an_early_end_is_a_truncation_wherever_it_is(play: Play, then: str) -> None:
    outcome = play(by_name(CUT, then), *("/" + name.replace(" ", "%20") for name in CUT))
    assert dict(zip(CUT, outcome.kinds(), strict=True)) == dict.fromkeys(CUT, "TruncationError")


def test_what_is_odd_and_right_is_read(play: Play) -> None:
    cases = {
        "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        "http-1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
        "http-1.0-length": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "same-length-twice": OK + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\nok",
        "extensions": OK + b"transfer-encoding: Chunked\r\n\r\n1;a=b\r\no\r\n01 ; c\r\nk\r\n0;d\r\nTrailer: x\r\n\r\n",
        "bare-line-feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "no-reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    }
    outcome = play(by_name(cases, "end"), *("/" + name for name in cases))
    assert {name: report.text for name, report in zip(cases, outcome.reports, strict=True)} == dict.fromkeys(
        cases, "ok"
    )


def drip(head: bytes, pause_s: float) -> Iterator[bytes]:
    yield head
    while True:
        time.sleep(pause_s)
        yield b"x"


def test_bytes_that_drip_do_not_outlast_the_deadline(play: Play) -> None:
    heads = {
        "/body": OK + b"Content-Length: 100000\r\n\r\n",
        "/head": OK + b"A: ",
        "/chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n1;",
    }
    outcome = play(
        lambda request: Raw(drip(heads[request.target], 0.05)),
        *({"url": target, "timeout_ms": 600, "take": "into"} for target in heads),
        idle_ms=300,
        breaks_off=True,
    )
    assert outcome.kinds() == ["DeadlineError"] * 3
    for report in outcome.reports:
        assert 580 < report.elapsed_ms < 1200
        assert "altogether" in report.message


def test_silence_ends_with_the_idle_time_and_not_with_the_deadline(play: Play) -> None:
    replies = {
        "/nothing": Raw(b"", "silence"),
        "/head": Raw(OK, "silence"),
        "/body": Raw(OK + b"Content-Length: 5\r\n\r\nhe", "silence"),
    }
    outcome = play(lambda request: replies[request.target], *replies, idle_ms=250, breaks_off=True)
    assert outcome.kinds() == ["DeadlineError"] * 3
    for report in outcome.reports:
        assert 240 < report.elapsed_ms < 900
        assert "silent" in report.message


def test_a_body_that_goes_on_slowly_is_not_idle(play: Play) -> None:
    def slowly() -> Iterator[bytes]:
        yield OK + b"Content-Length: 8\r\n\r\n"
        for _ in range(8):
            time.sleep(0.08)
            yield b"x"

    outcome = play(lambda _: Raw(slowly()), {"url": "/", "take": "into"}, idle_ms=300)
    assert (outcome.only.kind, outcome.only.bytes) == (None, 8)


def test_what_has_come_is_handed_out_at_once(play: Play) -> None:
    """So that a stream of events can be followed: nothing waits for a buffer to be full."""

    def application(request: Request) -> Raw:
        return Raw(OK + b"Content-Length: 5000\r\n\r\nevent", "silence")

    outcome = play(application, {"url": "/", "take": "some"}, timeout_ms=3000, breaks_off=True)
    assert outcome.only.text == "event"
    assert outcome.only.elapsed_ms < 1000


def test_a_server_that_does_not_read_does_not_hold_up_a_long_body(play: Play) -> None:
    step = {"method": "POST", "url": "/", "send": {"chunks": [4096] * 4000}}
    outcome = play(lambda _: Reply(), step, idle_ms=300, breaks_off=True, deaf=True)
    assert outcome.only.kind == "DeadlineError"
    assert outcome.only.elapsed_ms < 5000


def test_bodies_are_capped(play: Play) -> None:
    replies = {
        "/announced": Reply(body=bytes(5001)),
        "/chunks": Reply(body=[bytes(100)] * 51),
        "/right": Reply(body=bytes(5000)),
    }
    for take in ("read", "into"):
        steps = [{"url": target, "take": take} for target in replies]
        outcome = play(lambda request: replies[request.target], *steps, max_bytes=5000, breaks_off=True)
        assert outcome.kinds() == ["HTTPError", "HTTPError", None]
        assert "max_bytes" in outcome.reports[0].remedy


def test_a_body_larger_than_the_memory_fails_cleanly(play_blocking: Play) -> None:
    outcome = play_blocking(lambda _: Reply(body=bytes(2_000_000)), "/", "/", breaks_off=True)
    assert outcome.kinds() == ["MemoryError"] * 2


def test_http_without_tls_passes_only_if_it_is_allowed(play_blocking: Play, tmp_path: Path) -> None:
    outcome = play_blocking(lambda _: Reply(), {"url": "http://127.0.0.1/"})
    assert outcome.only.kind == "ConfigError"
    assert "allow_http" in outcome.only.remedy
