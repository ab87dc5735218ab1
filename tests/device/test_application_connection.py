"""Settings of rootlet.json that decide how the application connects: pins, and a proxy."""

from __future__ import annotations

import base64
import hashlib
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import pki
from support.application import HOST, Board
from support.servers import Server, tls_server


def pin(identity: pki.Issued) -> str:
    spki = identity.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def job(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"https://{HOST}:{port}/", "address": "127.0.0.1", **more}


@pytest.mark.parametrize("right", [True, False])
def test_pins_of_the_configuration_hold(right: bool, board: Board, root: pki.Authority) -> None:
    identity, other = root.issue(HOST), root.issue("other.example.org")
    board.trust(root)
    with tls_server(identity) as server:
        board.configure(job=job(server.port), pins=[pin(identity if right else other), pin(pki.make_ca("backup"))])
        run = board.run()
    assert run.status == (0 if right else 1), run.output
    assert right or "pin" in run.output


def tunnel(seen: list[bytes]) -> Callable[[socket.socket], None]:
    """A proxy that tunnels to 127.0.0.1, whatever the host is called."""

    def serve(client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(4096)
        seen.append(request)
        port = int(request.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (server if end is client else client).sendall(data)

    return serve


@pytest.mark.parametrize("name", [HOST, "other.example.org"])
def test_the_job_goes_through_the_proxy_of_the_configuration_and_is_verified(
    name: str, board: Board, root: pki.Authority
) -> None:
    seen: list[bytes] = []
    board.trust(root)
    with tls_server(root.issue(name)) as server, Server(tunnel(seen)) as proxy:
        url = f"https://{HOST}:{server.port}/"
        board.configure(job={"url": url, "proxy": f"http://user:word@127.0.0.1:{proxy.port}"})
        run = board.run()
    assert seen[0].startswith(b"CONNECT %s:%d HTTP/1.1\r\n" % (HOST.encode(), server.port))
    assert b"\r\nProxy-Authorization: Basic " in seen[0]
    assert run.status == (0 if name == HOST else 1), run.output
    assert "word" not in run.output
