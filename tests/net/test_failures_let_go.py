"""What a failure loads to say what it was is let go of, where memory is short: the next attempt needs the room."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import Server, tls_server

SCRIPT = Path(__file__).with_name("scripts") / "failures.py"
FATAL_HANDSHAKE_FAILURE = b"\x15\x03\x03\0\x02\x02\x28"
# What stays: the classes, because programs compare them, and what dialling or watching needs at once again.
MAY_STAY = {"dial", "entropy", "errors", "observer"}


def run(cafile: Path, **ports: int) -> Any:
    request = json.dumps({"cafile": str(cafile), "host": HOST, "ports": ports})
    output = run_device(SCRIPT, environment={"REQUEST": request}, timeout_s=30)
    return json.loads(output.splitlines()[-1])


def test_what_succeeds_loads_no_words_of_failures(root: pki.Authority, cafile: Path) -> None:
    # With TLS 1.3 the first of two connections fails.
    with tls_server(root.child("issuer").issue(HOST), maximum=ssl.TLSVersion.TLSv1_2) as server:
        (kind, loaded) = run(cafile, good=server.port)["good"]
    assert kind == "nothing"
    assert not {"errors", "diagnosis", "codes", "alerts", "refusals", "rules"} & set(loaded)


def test_after_a_failure_only_the_classes_of_the_exceptions_stay(root: pki.Authority, cafile: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FATAL_HANDSHAKE_FAILURE)
        connection.recv(100)

    def speak_http(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(100)

    stranger = pki.make_ca("stranger").issue(HOST)
    other = root.child("issuer").issue("other.example.org")
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    with (
        Server(refuse) as alert,
        Server(speak_http) as plain,
        tls_server(stranger) as unknown,
        tls_server(other) as misnamed,
    ):
        ports = {
            "ConnectError": nobody,
            "AlertError": alert.port,
            "NotTLSError": plain.port,
            "UnknownIssuerError": unknown.port,
            "HostnameError": misnamed.port,
        }
        result = run(cafile, **ports)
    assert {name: kind for name, (kind, _) in result.items()} == {name: name for name in ports}
    for name, (_, loaded) in result.items():
        assert set(loaded) <= MAY_STAY, name
