"""Datagrams without an end, which anybody can send in a server's name: the deadline is kept, other tasks run, and what
the server itself says still arrives."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.datagrams import BadLine, Relay
from support.programs import daemon, free_port, program

PROGRAM = Path(__file__).parent / "scripts" / "dtls.py"
WAYS = pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
TIMEOUT_MS = 1200


def record(kind: int, body: bytes, number: int, epoch: int = 0) -> bytes:
    """A record of DTLS 1.2: RFC 6347, 4.1."""
    return struct.pack(">BHHHIH", kind, 0xFEFD, epoch, 0, number & 0xFFFFFFFF, len(body)) + body


def handshake(kind: int, size: int, offset: int, fragment: bytes, sequence: int) -> bytes:
    """A fragment of a handshake message: RFC 6347, 4.2.2."""
    lengths = size.to_bytes(3, "big"), offset.to_bytes(3, "big") + len(fragment).to_bytes(3, "big")
    return bytes([kind]) + lengths[0] + sequence.to_bytes(2, "big") + lengths[1] + fragment


FLOODS: dict[str, Callable[[int], bytes]] = {
    "no DTLS": lambda n: os.urandom(60),
    "empty records": lambda n: record(22, b"", n),
    "HelloVerifyRequests": lambda n: record(22, handshake(3, 35, 0, b"\xfe\xfd\x20" + os.urandom(32), 0), n),
    "pieces of certificates": lambda n: record(22, handshake(11, 16000, n % 30 * 500, b"x" * 10, 1), n),
    "no certificates": lambda n: record(22, handshake(11, 0, 0, b"", 1), n),
    "encrypted records": lambda n: record(23, os.urandom(40), n, 1),
}


class Flood(Relay):
    """Answers the first datagram with `made(0)`, `made(1)` … as fast as it can."""

    def __init__(self, made: Callable[[int], bytes]) -> None:
        super().__init__()
        self._made = made
        self._over = threading.Event()

    def received(self, end: Any, data: bytes, sender: Any) -> None:
        threading.Thread(target=self._pour, args=(sender,), daemon=True).start()

    def _pour(self, client: Any) -> None:
        number = 0
        while not self._over.is_set() and number < 500_000:
            with contextlib.suppress(OSError):
                self.front.sendto(self._made(number), client)
            number += 1

    def __exit__(self, *error: object) -> None:
        self._over.set()
        super().__exit__(*error)


@pytest.fixture
def talk(root: pki.Authority, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "ca.pem").write_bytes(root.pem)

    def run(port: int, **request: Any) -> dict[str, Any]:
        request = {"host": HOST, "port": port, "context": {"cafile": str(tmp_path / "ca.pem")}, "say": [], **request}
        output = run_device(PROGRAM, environment={"REQUEST": json.dumps(request)}, timeout_s=30)
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["stayed_open"] == 0, "a socket stayed open"
        return result

    return run


@WAYS
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_keeps_no_handshake_beyond_its_deadline(
    flood: str, asynchronous: bool, talk: Callable[..., dict[str, Any]]
) -> None:
    with Flood(FLOODS[flood]) as server:
        result = talk(server.port, timeout_ms=TIMEOUT_MS, asynchronous=asynchronous)
    assert result["kind"] == "DeadlineError", result
    assert result["elapsed_ms"] < TIMEOUT_MS + 800
    if asynchronous:
        assert result["beats"] > 20, "no other task ran"


@WAYS
def test_a_server_that_closes_in_the_middle_of_the_handshake_was_never_connected_to(
    asynchronous: bool, talk: Callable[..., dict[str, Any]]
) -> None:
    with Flood(lambda n: record(21, b"\x01\x00", n)) as server:  # close_notify
        result = talk(server.port, timeout_ms=TIMEOUT_MS, asynchronous=asynchronous)
    assert result["kind"] == "HandshakeError", result
    assert "closed the connection" in result["message"]


class Noise(BadLine):
    """Carries everything, and puts datagrams that mean nothing before and after each one of the server's.

    Of an epoch that is not the next one: Mbed TLS gives a handshake up over a record that does not decrypt where
    Finished must be (ssl_msg.c, ssl_get_next_record). Only so many that none of the server's is lost: more than fit
    into the buffer of the client's socket would take its place.
    """

    NOISE = 12

    def _pass_on(self, end: Any, data: bytes) -> None:
        if end is self.front:
            super()._pass_on(end, data)
            return
        self._noise()
        super()._pass_on(end, data)
        self._noise()

    def _noise(self) -> None:
        for _ in range(self.NOISE):
            super()._pass_on(self._back, record(23, os.urandom(40), 0, 7))


@WAYS
@pytest.mark.servers
def test_what_means_nothing_harms_no_connection(
    asynchronous: bool, root: pki.Authority, talk: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    chain, key = root.child("issuer").issue(HOST).write(tmp_path, "server")
    port = free_port(2)
    command = [program("gnutls-serv", "gnutls-bin"), "--udp", "--echo", "-p", str(port), "--disable-client-cert"]
    said = [b"hello\n".hex(), b"again\n".hex()]
    with (
        daemon(*command, "--x509certfile", str(chain), "--x509keyfile", str(key), port=None, log=tmp_path / "log"),
        Noise(port) as line,
    ):
        # The server may not listen yet: the first flight is then said again after a second.
        result = talk(line.port, say=said, tries=8, timeout_ms=15_000, asynchronous=asynchronous)
    assert result["kind"] is None, result
    assert result["heard"] == said
