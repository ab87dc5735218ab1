"""Servers that do not speak TLS, or not for long."""

from __future__ import annotations

import os
import socket

import pytest
from support.attempt import Connect
from support.servers import Server


def test_server_that_speaks_plain_http_is_told_apart(connect: Connect) -> None:
    def plain_http(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(100)

    with Server(plain_http) as server:
        outcome = connect(server.port)
    assert outcome.kind == "NotTLSError"
    assert "plain HTTP" in outcome.message
    assert "port" in outcome.remedy


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"SSH-2.0-OpenSSH_9.2\r\n", os.urandom(5000), b"\x16"])
def test_server_that_sends_garbage_is_refused(garbage: bytes, connect: Connect) -> None:
    def send(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    with Server(send) as server:
        outcome = connect(server.port)
    assert "HandshakeError" in (outcome.kind, *outcome.kinds)


def test_garbage_that_looks_like_a_handshake_is_refused(connect: Connect) -> None:
    def send(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"\x16\x03\x03\x00\x40\x02\x00\x00\x3c" + os.urandom(60))
        while connection.recv(4096):
            pass

    with Server(send) as server:
        outcome = connect(server.port)
    assert {"HandshakeError", "CertificateError"} & {outcome.kind, *outcome.kinds}


def test_server_that_hangs_up_during_the_handshake_is_reported(connect: Connect) -> None:
    with Server(lambda connection: None) as server:
        outcome = connect(server.port)
    assert outcome.kind in ("HandshakeError", "ConnectError")


def test_refused_connection_is_reported(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = connect(port)
    assert outcome.kind == "ConnectError"
    assert "refuses" in outcome.message


def test_name_that_does_not_resolve_is_reported(connect: Connect) -> None:
    outcome = connect(443, "does-not-exist.invalid", address="does-not-exist.invalid")
    assert outcome.kind == "ResolveError"
