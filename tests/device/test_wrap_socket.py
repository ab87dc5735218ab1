"""Context.wrap_socket, called as other libraries call ssl.SSLContext: asyncio, umqtt.simple, an event loop."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.board import run_device
from support.firmware import Firmware
from support.servers import Server, answer, http_response, tls_server

SCRIPT = Path(__file__).parent / "scripts" / "wrap_socket.py"
HOST = "board.example.org"
STYLES = ("asyncio", "umqtt", "select")

Attempt = Callable[..., Any]


@pytest.fixture(scope="module")
def root() -> pki.Authority:
    return pki.make_ca("root")


@pytest.fixture
def attempt(root: pki.Authority, tmp_path: Path, firmware: Firmware) -> Attempt:
    """Connects to the given ports; returns a report for each: the second one, where TLS 1.3 takes two attempts. No
    socket may stay open."""
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)

    def run(style: str, *ports: int, host: str | None = HOST, **more: Any) -> Any:
        request = {"style": style, "cafile": str(cafile), "ports": ports, "host": host, **more}
        request.setdefault("again", firmware.has("tls1.3"))
        output = run_device(
            SCRIPT,
            environment={"REQUEST": json.dumps(request)},
            timeout_s=15,
        )
        outcome = json.loads(output.splitlines()[-1])
        assert outcome["files"] <= 6, "a socket stayed open"  # three streams, epoll, the folder itself
        return outcome["results"] if "again" in more else outcome["results"][-len(ports) :]

    return run


@pytest.mark.parametrize("style", STYLES)
def test_a_good_server_is_verified(style: str, root: pki.Authority, attempt: Attempt) -> None:
    with tls_server(root.child("issuer").issue(HOST), maximum=ssl.TLSVersion.TLSv1_2) as server:
        (result,) = attempt(style, server.port, again=False)
    assert result["kind"] is None, result
    assert result["status"].startswith("HTTP/1.1 200")
    assert result["body"] == "hello"
    assert server.accepted == 1
    if style == "select":
        assert result["waits"] > 0, "the handshake must have gone on in the background"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("wrong host", "HostnameError"),
        ("expired", "ExpiredError"),
        ("unknown issuer", "UnknownIssuerError"),
        ("forged", "UnknownIssuerError"),
    ],
)
def test_a_bad_chain_is_refused_in_words(
    style: str, case: str, kind: str, root: pki.Authority, attempt: Attempt
) -> None:
    identity = {
        "wrong host": lambda: root.issue("other.example.org"),
        "expired": lambda: root.issue(HOST, not_after=pki.now() - pki.days(0.5)),
        "unknown issuer": lambda: pki.make_ca("stranger").issue(HOST),
        "forged": lambda: pki.make_ca("root").issue(HOST),
    }[case]()
    with tls_server(identity) as server:
        (result,) = attempt(style, server.port)
    assert result["kind"] == kind, result


@pytest.mark.parametrize("style", STYLES)
def test_a_server_that_hangs_up_during_the_handshake_is_reported(style: str, attempt: Attempt) -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(4096)

    with Server(hang_up) as server:
        (result,) = attempt(style, server.port)
    assert result["kind"] in ("HandshakeError", "ConnectError"), result


@pytest.mark.parametrize("style", STYLES)
def test_a_close_notify_during_the_handshake_is_not_taken_for_an_empty_answer(style: str, attempt: Attempt) -> None:
    def close_notify(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"\x15\x03\x03\x00\x02\x01\x00")
        while connection.recv(4096):
            pass

    with Server(close_notify) as server:
        (result,) = attempt(style, server.port)
    assert result["kind"] == "HandshakeError", result


@pytest.mark.parametrize("style", STYLES)
def test_what_is_no_tls_is_told_apart(style: str, attempt: Attempt) -> None:
    def plain_http(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while connection.recv(4096):
            pass

    with Server(plain_http) as server:
        (result,) = attempt(style, server.port)
    assert result["kind"] == "NotTLSError", result


@pytest.mark.parametrize("style", STYLES)
def test_an_end_without_close_notify_is_reported(style: str, root: pki.Authority, attempt: Attempt) -> None:
    def cut(stream: Any) -> None:
        stream.recv(4096)
        stream.sendall(http_response()[:-2])
        stream.shutdown(socket.SHUT_RDWR)

    with tls_server(root.issue(HOST), cut) as server:
        (result,) = attempt(style, server.port)
    assert result["kind"] == "TruncationError", result


@pytest.mark.parametrize("style", STYLES)
def test_no_host_name_is_refused_and_the_socket_closed(style: str, root: pki.Authority, attempt: Attempt) -> None:
    # asyncio puts the address that it dials in its place, which the certificate does not have.
    with tls_server(root.issue(HOST)) as server:
        (result,) = attempt(style, server.port, host=None)
    assert result["kind"] == ("HostnameError" if style == "asyncio" else "ConfigError"), result


def test_ten_connections_at_once_are_verified_one_by_one(root: pki.Authority, attempt: Attempt) -> None:
    body = b"x" * 40_000
    good = root.child("issuer").issue(HOST)
    tls_1_2 = ssl.TLSVersion.TLSv1_2  # with TLS 1.3 each would be told the issuers of the other
    with (
        tls_server(good, answer(http_response(body)), maximum=tls_1_2) as server,
        tls_server(pki.make_ca("stranger").issue(HOST), maximum=tls_1_2) as stranger,
    ):
        ports = [server.port, stranger.port] * 5
        results = attempt("asyncio", *ports, again=False)
    assert [result["kind"] for result in results] == [None, "UnknownIssuerError"] * 5
    assert all(result["body"] == body.decode() for result in results[::2])


@pytest.mark.needs("tls1.3")
@pytest.mark.parametrize("style", STYLES)
def test_with_tls_1_3_a_second_attempt_of_the_caller_succeeds(
    style: str, root: pki.Authority, attempt: Attempt
) -> None:
    with tls_server(root.child("issuer").issue(HOST)) as server:
        first, second = attempt(style, server.port, again=True)
    assert first["kind"] == "UnknownIssuerError"
    assert "TLS 1.3 hid the issuers" in first["message"] and "again with this Context" in first["remedy"]
    assert second["kind"] is None, second
    assert second["body"] == "hello"
