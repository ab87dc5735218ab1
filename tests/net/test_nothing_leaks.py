"""Two hundred failures in a row leave heap, process memory and open files as they were."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST, Connect, Outcome
from support.servers import Server, tls_server

pytestmark = pytest.mark.slow
FAILURES = 200


# A small heap, so that the collector runs often and all of its pages are in use before the counting begins.
SMALL = {"heap": "192K", "timeout_s": 100}


def assert_flat(outcome: Outcome, kind: str | None) -> None:
    assert outcome.kind == kind
    # What the program itself holds of its last result is some hundred bytes.
    assert outcome.after["heap_bytes"] - outcome.before["heap_bytes"] <= 1024
    # One leaked record buffer or chain per attempt would be megabytes here.
    assert outcome.after["resident_kb"] - outcome.before["resident_kb"] <= 256


@pytest.mark.parametrize(
    ("case", "kind"),
    [("unknown issuer", "UnknownIssuerError"), ("wrong host", "HostnameError"), ("expired", "ExpiredError")],
)
def test_two_hundred_refused_chains_leak_nothing(case: str, kind: str, root: pki.Authority, connect: Connect) -> None:
    identity = {
        "unknown issuer": lambda: pki.make_ca("stranger").child("issuer").issue(HOST),
        "wrong host": lambda: root.child("issuer").issue("other.example.org"),
        "expired": lambda: root.issue(HOST, not_after=pki.now() - pki.days(0.5)),
    }[case]()
    with tls_server(identity) as server:
        assert_flat(connect(server.port, repeat=FAILURES, warm_up=40, options=SMALL), kind)


def test_two_hundred_broken_handshakes_leak_nothing(connect: Connect) -> None:
    def garbage(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(100)

    with Server(garbage) as server:
        assert_flat(connect(server.port, repeat=FAILURES, warm_up=40, options=SMALL), "NotTLSError")


def test_two_hundred_failures_before_the_handshake_leak_nothing(connect: Connect, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert_flat(connect(port, repeat=FAILURES, warm_up=40, options=SMALL), "ConnectError")
    store = tmp_path / "bad.rtlt"
    store.write_bytes(os.urandom(1000))
    assert_flat(connect(port, store=str(store), repeat=FAILURES, warm_up=40, options=SMALL), "TrustStoreDamagedError")


def test_fifty_good_connections_leak_nothing(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.child("issuer").issue(HOST)) as server:
        outcome = connect(server.port, repeat=50, warm_up=40, options=SMALL)
    assert outcome.connected
    assert_flat(outcome, None)
