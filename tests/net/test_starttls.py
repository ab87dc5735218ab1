"""Connections that begin in plain text and go on with TLS: SMTP, IMAP, PostgreSQL."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.firmware import Firmware
from support.programs import free_port
from support.servers import Server, server_context

PROGRAM = Path(__file__).parent / "scripts" / "upgrade.py"
WAYS = pytest.mark.parametrize("way", ["blocking", "asyncio"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["imap", "postgresql"])

Upgrade = Callable[..., dict[str, Any]]


@pytest.fixture
def upgrade(cafile: Path, firmware: Firmware) -> Upgrade:
    """Lets the board upgrade a connection to `port`. Whatever comes of it, no socket may stay open."""

    def run(protocol: str, port: int, way: str, **request: Any) -> dict[str, Any]:
        request = {
            "protocol": protocol,
            "port": port,
            "way": way,
            "host": HOST,
            "cafile": str(cafile),
            "then": "hello\r\n",
            "again": firmware.has("tls1.3"),  # TLS 1.3 hides the issuers from the first attempt
            **request,
        }
        output = run_device(
            PROGRAM,
            environment={"REQUEST": json.dumps(request)},
            timeout_s=30,
        )
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["stayed_open"] == 0, "a socket stayed open"
        return result

    return run


@pytest.fixture(scope="module")
def smtp_port(root: pki.Authority) -> Iterator[int]:
    """A real SMTP server that talks of nothing but STARTTLS before it."""
    context = server_context(root.child("issuer").issue(HOST))
    controller = Controller(
        object(), hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True, ready_timeout=10
    )
    controller.start()
    yield controller.port
    controller.stop()


PREAMBLE = {
    "imap": [(b"* OK ready\r\n", b"a STARTTLS\r\n"), (b"a OK go ahead\r\n", b"")],
    "postgresql": [(b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), (b"S", b"")],
}


def agree(connection: socket.socket, protocol: str, suffix: bytes = b"") -> None:
    """The server's side up to its agreement, with `suffix` behind it in the same segment."""
    for say, hear in PREAMBLE[protocol]:
        connection.sendall(say + (b"" if hear else suffix))
        if hear:
            assert connection.recv(100) == hear


def answering(context: ssl.SSLContext, protocol: str) -> Server:
    def serve(connection: socket.socket) -> None:
        agree(connection, protocol)
        with context.wrap_socket(connection, server_side=True) as stream:
            assert stream.recv(100) == b"hello\r\n"
            stream.sendall(b"hello to you\r\n")
            stream.unwrap()

    return Server(serve)


@WAYS
@pytest.mark.every_version
def test_smtp_goes_on_with_tls(way: str, smtp_port: int, upgrade: Upgrade) -> None:
    result = upgrade("smtp", smtp_port, way, then="EHLO board\r\n")
    assert result["kind"] is None, result
    assert result["answer"].startswith("250-")


@WAYS
@PROTOCOLS
@pytest.mark.every_version
def test_imap_and_postgresql_go_on_with_tls(protocol: str, way: str, root: pki.Authority, upgrade: Upgrade) -> None:
    with answering(server_context(root.issue(HOST)), protocol) as server:
        result = upgrade(protocol, server.port, way)
    assert result["kind"] is None, result
    assert result["answer"] == "hello to you\r\n"


@WAYS
@PROTOCOLS
def test_a_wrong_name_is_refused(protocol: str, way: str, root: pki.Authority, upgrade: Upgrade) -> None:
    with answering(server_context(root.issue("other.example.org")), protocol) as server:
        assert upgrade(protocol, server.port, way)["kind"] == "HostnameError"


@WAYS
@PROTOCOLS
def test_plain_text_behind_the_agreement_is_refused_as_injected(
    protocol: str, way: str, root: pki.Authority, upgrade: Upgrade
) -> None:
    context = server_context(root.issue(HOST))
    served = []

    def inject(connection: socket.socket) -> None:
        agree(connection, protocol, b"b OK injected\r\n")
        with context.wrap_socket(connection, server_side=True) as stream:
            served.append(stream.recv(100))

    with Server(inject) as server:
        result = upgrade(protocol, server.port, way)
    assert result["kind"] == "HandshakeError"
    assert "plain text where TLS should begin" in result["message"] and "injected" in result["remedy"]
    assert served == [], "nothing may have been sent"


@WAYS
@PROTOCOLS
def test_plain_text_that_comes_later_is_refused_by_the_handshake(protocol: str, way: str, upgrade: Upgrade) -> None:
    def inject(connection: socket.socket) -> None:
        agree(connection, protocol)
        connection.recv(1)  # of the ClientHello
        connection.sendall(b"b OK injected\r\n")
        connection.recv(4096)

    with Server(inject) as server:
        assert upgrade(protocol, server.port, way)["kind"] == "NotTLSError"


@WAYS
def test_server_that_agrees_and_then_says_nothing_meets_the_deadline(way: str, upgrade: Upgrade) -> None:
    over = threading.Event()

    def silence(connection: socket.socket) -> None:
        agree(connection, "imap")
        over.wait(20)

    with Server(silence) as server:
        assert upgrade("imap", server.port, way)["kind"] == "DeadlineError"
        over.set()


@WAYS
def test_server_that_agrees_and_hangs_up_is_no_injection(way: str, upgrade: Upgrade) -> None:
    def hang_up(connection: socket.socket) -> None:
        agree(connection, "imap")

    with Server(hang_up) as server:
        result = upgrade("imap", server.port, way)
    assert result["kind"] in ("HandshakeError", "ConnectError") and "plain text" not in result["message"]
