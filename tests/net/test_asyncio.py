"""Connections made by asyncio: rootlet.open_connection, and asyncio.open_connection(ssl=context)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import Server, answer, http_response, server_context, tls_server

PROGRAM = Path(__file__).parent / "scripts" / "aio.py"
WAYS = pytest.mark.parametrize("standard", [False, True], ids=["rootlet", "asyncio"])

Loop = Callable[..., Any]


@pytest.fixture
def loop(cafile: Path) -> Loop:
    """Runs a job of scripts/aio.py against the ports; returns its results. No socket may stay open."""

    def run(job: str, *ports: int, heap: str = "4M", **request: Any) -> Any:
        request = {"job": job, "ports": ports, "cafile": str(cafile), "host": HOST, **request}
        environment = {"REQUEST": json.dumps(request)}
        output = run_device(PROGRAM, heap=heap, environment=environment, timeout_s=30)
        report = json.loads(output.splitlines()[-1])
        assert report["stayed_open"] == 0, "a socket stayed open"
        return report["results"]

    return run


@pytest.fixture(scope="module")
def identity(root: pki.Authority) -> pki.Issued:
    return root.child("issuer").issue(HOST)


@WAYS
@pytest.mark.every_version
def test_twenty_connections_at_once_are_verified_and_whole(standard: bool, identity: pki.Issued, loop: Loop) -> None:
    body = bytes(range(256)) * 150
    context = server_context(identity)
    if standard:
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # TLS 1.3 takes two attempts, which asyncio does not make
    with tls_server(identity, answer(http_response(body)), context=context) as server:
        results = loop("gets", *[server.port] * 20, standard=standard)
    assert {(r["kind"], r.get("body_sha256")) for r in results} == {(None, hashlib.sha256(body).hexdigest())}


@pytest.mark.needs("tls1.3")
def test_with_tls_1_3_the_second_attempt_is_made_without_being_asked(identity: pki.Issued, loop: Loop) -> None:
    with tls_server(identity) as server:
        (result,) = loop("gets", server.port)
        assert result["kind"] is None, result
        assert server.accepted == 2


@pytest.mark.every_version
def test_refusals_are_said_in_words(root: pki.Authority, loop: Loop) -> None:
    def plain_http(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(100)

    with (
        tls_server(root.issue("other.example.org")) as wrong_host,
        tls_server(root.issue(HOST, not_after=pki.now() - pki.days(0.5))) as expired,
        tls_server(pki.make_ca("stranger").issue(HOST)) as stranger,
        Server(plain_http) as http,
        Server(lambda connection: None) as hangs_up,
        socket.socket() as nobody,
    ):
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        ports = [wrong_host.port, expired.port, stranger.port, http.port, hangs_up.port, nobody.getsockname()[1]]
        results = loop("gets", *ports, in_turn=True)
    assert [r["kind"] for r in results[:4]] == [
        "HostnameError",
        "ExpiredError",
        "UnknownIssuerError",
        "NotTLSError",
    ], results
    assert results[4]["kind"] in ("HandshakeError", "ConnectError")
    assert results[5]["kind"] == "ConnectError" and "refuses connections" in results[5]["message"]
    assert all(r["message"] and r["remedy"] for r in results)


@pytest.mark.every_version
def test_deadline_holds_against_silence_dripping_and_dialling(identity: pki.Issued, loop: Loop) -> None:
    stop = threading.Event()

    def silent(connection: socket.socket) -> None:
        stop.wait(20)

    def drips(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
            if stop.wait(0.02):
                return
            connection.sendall(bytes([byte]))

    with Server(silent) as one, Server(drips) as other:
        results = loop("gets", one.port, other.port, timeout_ms=300)
        stop.set()
    for result in results:
        assert result["kind"] == "DeadlineError", result
        assert 290 <= result["elapsed_ms"] < 1500


@WAYS
@pytest.mark.every_version
def test_server_that_talks_first_is_heard(standard: bool, identity: pki.Issued, loop: Loop) -> None:
    def greet(stream: ssl.SSLSocket) -> None:
        stream.sendall(b"220 ready\r\nmore")
        stream.unwrap()

    context = server_context(identity)
    if standard:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(identity, greet, context=context) as server:
        result = loop("listen", server.port, standard=standard)
    assert result == {"kind": None, "said": "220 ready\r\n", "rest": "more"}


@pytest.mark.every_version
def test_a_line_is_read_in_whatever_records_it_comes_and_no_further_than_the_limit(
    identity: pki.Issued, loop: Loop
) -> None:
    def talk(stream: ssl.SSLSocket) -> None:
        for record in (b"2", b"20 re", b"ady\r", b"\n\nlong", b"er than that\nno end"):
            stream.sendall(record)
            time.sleep(0.01)
        stream.unwrap()

    with tls_server(identity, talk) as server:
        said = loop("lines", server.port, limits=[-1, -1, 6, -1, 0, 100, -1])
    assert said == ["220 ready\r\n", "\n", "longer", " than that\n", "", "no end", ""]


@pytest.mark.every_version
def test_server_that_ends_at_once_is_no_failed_handshake(identity: pki.Issued, loop: Loop) -> None:
    def leave(stream: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            stream.unwrap()

    with tls_server(identity, leave) as server:
        result = loop("listen", server.port)
    assert result == {"kind": None, "said": "", "rest": ""}


@pytest.mark.every_version
def test_end_without_close_notify_is_reported(identity: pki.Issued, loop: Loop) -> None:
    def cut(stream: ssl.SSLSocket) -> None:
        stream.recv(4096)
        stream.sendall(http_response()[:-2])
        stream.shutdown(socket.SHUT_RDWR)

    with tls_server(identity, cut) as server:
        (result,) = loop("gets", server.port)
    assert result["kind"] == "TruncationError", result


@WAYS
@pytest.mark.every_version
def test_large_transfers_in_both_directions_at_once_lose_nothing(
    standard: bool, identity: pki.Issued, loop: Loop
) -> None:
    size = 600_000
    payload = (bytes(range(251)) * (size // 251 + 1))[:size]
    got = hashlib.sha256()

    def exchange(stream: ssl.SSLSocket) -> None:
        # What the board sends must pile up there: nothing is read before half has gone the other way.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        stream.sendall(payload[: size // 2])
        left = size
        at = size // 2
        while left:
            data = stream.recv(16384)
            if not data:
                return
            got.update(data)
            left -= len(data)
            stream.sendall(payload[at : at + len(data) // 3])
            at += len(data) // 3
        stream.sendall(payload[at:])
        stream.recv(1)

    context = server_context(identity)
    if standard:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(identity, exchange, context=context) as server:
        result = loop("exchange", server.port, size=size, standard=standard)
    assert result["left"] == 0
    assert result["received"] == hashlib.sha256(payload).hexdigest()
    assert result["sent"] == got.hexdigest()


@pytest.mark.every_version
def test_cancelling_at_any_moment_leaves_no_socket_and_no_memory(identity: pki.Issued, loop: Loop) -> None:
    with tls_server(identity, lambda stream: None) as server:
        result = loop("cancelled", server.port, steps=40, heap="256K")
    assert result["finished"] < 4 * 40
    assert result["after"]["files"] == result["before"]["files"]
    # What the last of 40 attempts holds, 1280 bytes, is there at one count and not at another.
    assert result["after"]["heap_bytes"] - result["before"]["heap_bytes"] <= 1536
    assert result["after"]["resident_kb"] - result["before"]["resident_kb"] <= 256


def test_loop_never_stands_still_for_longer_than_a_handshake_alone_takes(identity: pki.Issued, loop: Loop) -> None:
    with tls_server(identity, lambda stream: None) as server:
        result = loop("jitter", server.port, rounds=4, at_once=3)
    # Generous, for a busy machine; tools/dev/asyncio_jitter.py measures.
    assert result["longest_ms"] < max(3 * result["handshake_ms"], 150), result
    assert result["beats"] > 10
