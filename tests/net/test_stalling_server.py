"""A server that stops at any byte of its flight, or sends it as slowly as it can."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from support import pki
from support.attempt import HOST, Connect
from support.servers import Server, tls_server

TIMEOUT_MS = 700
TOLERANCE_MS = 250


def relay(port: int, forward) -> Server:  # type: ignore[no-untyped-def]
    """A server before the one at `port`; `forward(data, connection)` sends on what comes back."""

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:

            def upload() -> None:
                with contextlib.suppress(OSError):  # either side has closed
                    while data := connection.recv(4096):
                        upstream.sendall(data)

            threading.Thread(target=upload, daemon=True).start()
            while data := upstream.recv(65536):
                forward(data, connection)

    return Server(serve)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 60, 90, 120, 400, 700])
def test_deadline_is_kept_when_the_server_stops_after_some_bytes(
    stop: int, root: pki.Authority, connect: Connect
) -> None:
    done = threading.Event()

    def forward(data: bytes, connection: socket.socket) -> None:
        connection.sendall(data[:stop])
        done.wait(10)

    with tls_server(root.issue(HOST)) as server, relay(server.port, forward) as slow:
        outcome = connect(slow.port, timeout_ms=TIMEOUT_MS)
        done.set()
    assert outcome.kind == "DeadlineError"
    assert abs(outcome.elapsed_ms - TIMEOUT_MS) <= TOLERANCE_MS


def test_deadline_is_kept_when_every_byte_comes_alone(root: pki.Authority, connect: Connect) -> None:
    def forward(data: bytes, connection: socket.socket) -> None:
        for i in range(len(data)):
            connection.sendall(data[i : i + 1])
            time.sleep(0.02)  # each byte well before any time-out of a single read

    with tls_server(root.issue(HOST)) as server, relay(server.port, forward) as slow:
        outcome = connect(slow.port, timeout_ms=TIMEOUT_MS)
    assert outcome.kind == "DeadlineError"
    assert abs(outcome.elapsed_ms - TIMEOUT_MS) <= TOLERANCE_MS


def test_handshake_succeeds_when_every_byte_comes_in_a_segment_of_its_own(
    root: pki.Authority, connect: Connect
) -> None:
    def forward(data: bytes, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            connection.sendall(data[i : i + 1])

    with tls_server(root.child("issuer").issue(HOST)) as server, relay(server.port, forward) as slow:
        assert connect(slow.port).connected


def test_endless_empty_records_do_not_outlast_the_deadline(connect: Connect) -> None:
    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"\x15\x03\x03\x00\x02\x01\x00" * 100)  # warning: close_notify

    with Server(flood) as server:
        outcome = connect(server.port, timeout_ms=TIMEOUT_MS)
    assert {"HandshakeError", "DeadlineError"} & {outcome.kind, *outcome.kinds}
    assert outcome.elapsed_ms <= TIMEOUT_MS + TOLERANCE_MS


def test_address_that_never_answers_keeps_the_deadline(connect: Connect) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # With the queue of pending connections full, Linux drops further ones without an answer.
        waiting = []
        for _ in range(3):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            waiting.append(s)
        outcome = connect(port, timeout_ms=TIMEOUT_MS)
        for s in waiting:
            s.close()
    assert outcome.kind == "DeadlineError"
    assert abs(outcome.elapsed_ms - TIMEOUT_MS) <= TOLERANCE_MS
