"""What is called after close() says so in one way, whatever it is."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.programs import daemon, free_port, program
from support.servers import http_response, read_request, tls_server

PROGRAM = Path(__file__).parent / "scripts" / "closed.py"
CLOSED = f"TLSError: {HOST}: the connection is closed. Connect again."


def run(cafile: Path, port: int, way: str, **request: Any) -> dict[str, Any]:
    request = {"host": HOST, "port": port, "cafile": str(cafile), "way": way, **request}
    output = run_device(PROGRAM, environment={"REQUEST": json.dumps(request)}, timeout_s=30)
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


@pytest.mark.every_version
@pytest.mark.parametrize("ended", [False, True])
def test_a_closed_connection_says_so_whatever_is_called(ended: bool, root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = run(cafile, server.port, "blocking", ended=ended)
    assert result.pop("ioctl") == 32, "a poll must not fail: it would end asyncio's loop"
    if ended:
        assert "hello" in result.pop("before")
    assert len(result) == 11
    assert set(result.values()) == {CLOSED}


def test_a_connection_that_a_failure_closed_says_so_afterwards(root: pki.Authority, cafile: Path) -> None:
    def truncate(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(http_response()[:-2])
        stream.shutdown(socket.SHUT_RDWR)

    with tls_server(root.issue(HOST), truncate) as server:
        result = run(cafile, server.port, "blocking", failed=True)
    assert result.pop("before").startswith("TruncationError")
    assert result.pop("ioctl") == 32
    assert set(result.values()) == {CLOSED}


@pytest.mark.every_version
def test_a_closed_stream_of_asyncio_says_so_and_does_not_wait(root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = run(cafile, server.port, "asyncio")
    assert len(result) == 7
    assert set(result.values()) == {CLOSED}


@pytest.mark.servers
@pytest.mark.parametrize("way", ["dtls", "dtls in asyncio"])
def test_a_closed_connection_of_dtls_says_so(way: str, root: pki.Authority, cafile: Path, tmp_path: Path) -> None:
    openssl = program("openssl", "openssl")
    identity = root.issue(HOST)
    tmp_path.joinpath("chain.pem").write_bytes(identity.chain_pem + identity.key_pem)
    port = free_port(socket.SOCK_DGRAM)
    command = [openssl, "s_server", "-dtls1_2", "-accept", f"127.0.0.1:{port}", "-cert", tmp_path / "chain.pem"]
    with daemon(*command, port=None, log=tmp_path / "log", ready="ACCEPT", stdin=subprocess.PIPE):
        result = run(cafile, port, way)
    assert len(result) == 3
    assert set(result.values()) == {CLOSED}
