"""http.get against real servers that misbehave: over TLS, on a small heap."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import answer, read_request, tls_server

SCRIPT = Path(__file__).parents[1] / "device" / "scripts" / "http_get.py"
Send = Callable[[ssl.SSLSocket], None]


@pytest.fixture
def fetch(root: pki.Authority, cafile: Path) -> Callable[..., Any]:
    """Lets the board GET from a server that runs `handler`; returns its report. Nothing may stay open.

    The heap also holds the sources while they are compiled: with 128K importing the errors can fail for want of memory.
    """

    def run(handler: Send, heap: str = "192K", **request: Any) -> Any:
        with tls_server(root.issue(HOST), handler) as server:
            request = {"url": f"https://{HOST}:{server.port}/", "cafile": str(cafile), **request}
            output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}, heap=heap, timeout_s=20)
        report = json.loads(output.splitlines()[-1])
        assert report["files"] <= 5, "a socket stayed open"
        return report

    return run


def sends(data: bytes, proper: bool = True) -> Send:
    """A server that reads the request, sends `data` and ends: with close_notify, or by closing the socket."""
    if proper:
        return answer(data)

    def cut(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(data)

    return cut


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_a_body_with_content_length_streams_through_a_small_heap(size: int, fetch: Callable[..., Any]) -> None:
    body = bytes(i % 251 for i in range(size))
    # Whether close_notify comes behind a complete body makes no difference.
    for proper in (True, False):
        report = fetch(sends(OK + b"Content-Length: %d\r\n\r\n" % size + body, proper))
        assert report["kind"] is None
        assert (report["status"], report["bytes"], report["sum"]) == (200, size, sum(body))


def test_a_chunked_body_of_half_a_megabyte_streams_through_a_small_heap(fetch: Callable[..., Any]) -> None:
    chunk = b"1000;ext=1\r\n" + b"a" * 4096 + b"\r\n"
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    report = fetch(sends(head + chunk * 128 + b"0\r\nTrailer: x\r\n\r\n"))
    assert report["kind"] is None
    assert report["bytes"] == 128 * 4096
    assert report["grown_bytes"] < 8192


def test_every_byte_in_a_record_of_its_own(fetch: Callable[..., Any]) -> None:
    def drip(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        for byte in OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":
            stream.send(bytes((byte,)))
        stream.unwrap()

    report = fetch(drip)
    assert report["kind"] is None
    assert report["bytes"] == 5


def test_a_body_of_http_1_0_ends_with_close_notify_and_with_nothing_less(fetch: Callable[..., Any]) -> None:
    report = fetch(sends(b"HTTP/1.0 200 OK\r\n\r\nall of it"))
    assert (report["kind"], report["bytes"]) == (None, 9)
    assert fetch(sends(b"HTTP/1.0 200 OK\r\n\r\nall of it", proper=False))["kind"] == "TruncationError"


@pytest.mark.parametrize("proper", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 20",
        OK + b"Content-Length: 10\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
def test_an_early_end_is_a_truncation(data: bytes, proper: bool, fetch: Callable[..., Any]) -> None:
    assert fetch(sends(data, proper))["kind"] == "TruncationError"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: -1\r\n\r\nhello",
        OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 200_000 + b"\r\n",
        OK + b"A: " + b"x" * (1 << 20) + b"\r\n\r\n",
        OK + b"A: bcdefgh\r\n" * 90_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
    ids=lambda data: data[:60].decode(),
)
def test_what_is_ambiguous_endless_or_no_http_is_refused(data: bytes, fetch: Callable[..., Any]) -> None:
    def send(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(data)

    report = fetch(send)
    assert report["kind"] == "HTTPError", report
    assert report["remedy"]


def test_a_server_that_stops_in_the_middle_of_the_body_keeps_the_time_out(fetch: Callable[..., Any]) -> None:
    def stop(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(OK + b"Content-Length: 10\r\n\r\nhello")
        stream.recv(1)  # until the board gives up

    started = time.monotonic()
    report = fetch(stop, timeout_ms=500)
    assert report["kind"] == "DeadlineError"
    assert time.monotonic() - started < 5


def test_a_body_that_does_not_fit_into_memory_fails_without_a_leak(fetch: Callable[..., Any]) -> None:
    report = fetch(sends(OK + b"Content-Length: 1000000\r\n\r\n" + bytes(1_000_000), proper=False), read_all=True)
    assert report["kind"] == "MemoryError"


@pytest.mark.parametrize(
    "head",
    [OK + b"A: ", OK + b"Content-Length: 4000\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n1;"],
    ids=["head", "body", "chunk"],
)
def test_a_server_that_drips_keeps_the_time_out(head: bytes, fetch: Callable[..., Any]) -> None:
    def drip(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(head)
        for _ in range(60):
            time.sleep(0.05)
            stream.sendall(b"x")

    began = time.monotonic()
    assert fetch(drip, timeout_ms=500)["kind"] == "DeadlineError"
    assert time.monotonic() - began < 2


def test_a_long_body_that_comes_steadily_may_take_longer_than_the_time_out(fetch: Callable[..., Any]) -> None:
    def steadily(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(OK + b"Content-Length: 7000\r\n\r\n")
        for _ in range(10):
            time.sleep(0.1)
            stream.sendall(bytes(700))
        stream.unwrap()

    report = fetch(steadily, timeout_ms=500)
    assert (report["kind"], report["bytes"]) == (None, 7000)
