"""Servers, and people on the line, who do what the protocols do not foresee."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST, Connect
from support.board import run_device
from support.datagrams import Relay
from support.programs import openssl_server
from support.servers import Server, tls_server

SCRIPTS = Path(__file__).parent / "scripts"
HELLO_REQUEST = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"  # RFC 5246, 7.4.1.1
WARNING = b"\x15\x03\x03\x00\x02\x01\x5a"  # user_canceled: RFC 8446, 6.1
CLEAN = ("HandshakeError", "ConnectError", "AlertError", "NotTLSError", "TLSError")

Forward = Callable[[bytes, socket.socket], None]


@contextlib.contextmanager
def relay(port: int, forward: Forward) -> Iterator[Server]:
    """A server before the one at `port`: `forward(data, client)` passes on what that one sends."""

    def serve(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            while True:
                for end in select.select([client, upstream], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client:
                        upstream.sendall(data)
                    else:
                        forward(data, client)

    with Server(serve) as server:
        yield server


def in_asyncio(cafile: Path, *ports: int, **request: Any) -> list[dict[str, Any]]:
    """GETs from all `ports` at once, with rootlet.open_connection. No socket may stay open."""
    request = {"job": "gets", "ports": ports, "cafile": str(cafile), "host": HOST, **request}
    output = run_device(SCRIPTS / "aio.py", environment={"REQUEST": json.dumps(request)}, timeout_s=40)
    report = json.loads(output.splitlines()[-1])
    assert report["stayed_open"] == 0
    results: list[dict[str, Any]] = report["results"]
    return results


# --- TLS ---


def test_a_hello_request_before_the_servers_hello_is_refused_or_passed_over(
    root: pki.Authority, connect: Connect
) -> None:
    def forward(data: bytes, client: socket.socket) -> None:
        client.sendall(HELLO_REQUEST + data if data[5:6] == b"\x02" else data)

    with tls_server(root.issue(HOST)) as server, relay(server.port, forward) as line:
        outcome = connect(line.port, timeout_ms=3000)
    assert outcome.connected or outcome.kind in CLEAN, outcome


def test_a_hello_request_in_clear_behind_the_handshake_breaks_the_connection(
    root: pki.Authority, connect: Connect
) -> None:
    def forward(data: bytes, client: socket.socket) -> None:
        client.sendall(data.replace(b"\x17\x03\x03", HELLO_REQUEST + b"\x17\x03\x03", 1))

    with tls_server(root.issue(HOST)) as server, relay(server.port, forward) as line:
        outcome = connect(line.port, timeout_ms=3000)
    assert outcome.kind in CLEAN and outcome.body == "", outcome


@pytest.mark.servers
def test_a_server_that_wants_to_renegotiate_gets_no_second_handshake(
    root: pki.Authority, cafile: Path, tmp_path: Path
) -> None:
    identity = root.issue(HOST)
    tmp_path.joinpath("chain.pem").write_bytes(identity.chain_pem + identity.key_pem)
    with openssl_server(tmp_path, "-cert", tmp_path / "chain.pem", "-tls1_2") as (port, running):
        stdin = running.process.stdin
        assert stdin is not None

        def ask() -> None:
            deadline = time.monotonic() + 10
            while "hello" not in running.log and time.monotonic() < deadline:
                time.sleep(0.02)
            # OpenSSL takes a line that is an "r" for the wish to renegotiate.
            for line in (b"r\n", b"still here\n"):
                stdin.write(line)
                stdin.flush()
                time.sleep(0.3)

        asking = threading.Thread(target=ask)
        asking.start()
        request = {"host": HOST, "port": port, "context": {"cafile": str(cafile)}, "say": {"hex": b"hello\n".hex()}}
        environment = {"REQUEST": json.dumps({**request, "bytes": 11})}
        result = json.loads(run_device(SCRIPTS / "exchange.py", environment=environment).splitlines()[-1])
        asking.join()
    assert result["stayed_open"] == 0
    if result["kind"] is None:
        assert bytes.fromhex(result["heard"]) == b"still here\n"
    else:
        assert result["kind"] in (*CLEAN, "TruncationError", "DeadlineError"), result
    assert running.log.count("CIPHER is") <= 1, "there was a second handshake"


def test_warnings_without_end_do_not_outlast_the_deadline(connect: Connect) -> None:
    def flood(client: socket.socket) -> None:
        client.recv(4096)
        while True:
            client.sendall(WARNING * 500)

    with Server(flood) as server:
        outcome = connect(server.port, timeout_ms=500)
    assert outcome.kind in ("DeadlineError", *CLEAN)
    assert outcome.elapsed_ms < 1500


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_flight_that_is_cut_anywhere_is_a_failure_in_words_and_leaves_nothing_open(
    reset: bool, root: pki.Authority, cafile: Path
) -> None:
    places = (0, 1, 4, 5, 6, 60, 90, 300, 500, 700)

    def cut(place: int) -> Forward:
        def forward(data: bytes, client: socket.socket) -> None:
            client.sendall(data[:place])
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            raise OSError

        return forward

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(tls_server(root.issue(HOST)))
        ports = [stack.enter_context(relay(server.port, cut(place))).port for place in places]
        results = in_asyncio(cafile, *ports)
    assert [r["kind"] in CLEAN and r["message"] != "" and r["remedy"] != "" for r in results] == [True] * len(places), (
        results
    )


@pytest.mark.parametrize("way", ["blocking", "asyncio"])
@pytest.mark.parametrize("stop", [3, 40, 400])
def test_a_server_that_stalls_in_the_middle_of_an_upgrade_meets_the_deadline(
    stop: int, way: str, root: pki.Authority, cafile: Path
) -> None:
    over = threading.Event()

    with tls_server(root.issue(HOST)) as server:

        def serve(client: socket.socket) -> None:
            client.sendall(b"* OK ready\r\n")
            client.recv(100)
            client.sendall(b"a OK go ahead\r\n")
            with socket.create_connection(("127.0.0.1", server.port)) as upstream:
                upstream.sendall(client.recv(4096))
                client.sendall(upstream.recv(4096)[:stop])
                over.wait(20)

        with Server(serve) as line:
            request = {"protocol": "imap", "port": line.port, "way": way, "host": HOST, "cafile": str(cafile)}
            environment = {"REQUEST": json.dumps({**request, "then": "hello\r\n"})}
            result = json.loads(run_device(SCRIPTS / "upgrade.py", environment=environment).splitlines()[-1])
            over.set()
    assert result["kind"] == "DeadlineError", result
    assert result["stayed_open"] == 0


# --- DTLS ---

FORGED = (
    b"\x14\xfe\xfd\x00\x00" + bytes(5) + b"\x09" + b"\x00\x01\x01"  # ChangeCipherSpec
    b"\x16\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x28" + os.urandom(40)  # what looks like Finished
)


class Forger(Relay):
    """Answers every datagram with FORGED, and passes it on to the server at `server_port` if there is one."""

    def __init__(self, server_port: int | None = None) -> None:
        super().__init__()
        self._server = None if server_port is None else self.listen(server_port)
        self._client: Any = None

    def received(self, end: socket.socket, data: bytes, sender: Any) -> None:
        if end is self._server:
            self.front.sendto(data, self._client)
        else:
            self._client = sender
        self.front.sendto(FORGED, self._client)
        if end is not self._server and self._server is not None:
            self._server.send(data)


def talk(port: int, context: dict[str, Any], **request: Any) -> dict[str, Any]:
    request = {
        "host": HOST,
        "port": port,
        "context": context,
        "say": [b"hello\n".hex()],
        "timeout_ms": 1500,
        "wait_ms": 300,
        **request,
    }
    output = run_device(SCRIPTS / "dtls.py", environment={"REQUEST": json.dumps(request)}, timeout_s=40)
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert result["stayed_open"] == 0
    return result


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("trust", ["certificates", pytest.param("key", marks=pytest.mark.needs("psk"))])
def test_a_forged_end_of_a_dtls_handshake_lets_no_datagram_out(trust: str, asynchronous: bool, cafile: Path) -> None:
    context: dict[str, Any] = {"cafile": str(cafile)}
    if trust == "key":
        context = {"psk": ["board", {"hex": "00112233445566778899aabbccddeeff"}]}
    with Forger() as forger:
        result = talk(forger.port, context, asynchronous=asynchronous)
    assert result["kind"] == "DeadlineError", result
    assert result["heard"] == []


def with_forged_ends(
    identity: pki.Issued, cafile: Path, folder: Path, asynchronous: bool, *options: str
) -> dict[str, Any]:
    """What comes of talking to `openssl s_server` with these options."""
    folder.joinpath("chain.pem").write_bytes(identity.chain_pem + identity.key_pem)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["openssl", "s_server", "-dtls1_2", "-quiet", "-accept", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        [*command, "-cert", str(folder / "chain.pem"), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Forger(port) as forger:
            return talk(forger.port, {"cafile": str(cafile)}, asynchronous=asynchronous, timeout_ms=8000)
    finally:
        server.kill()
        server.communicate()


@pytest.mark.servers
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
@pytest.mark.parametrize(("name", "kind"), [(HOST, None), ("other.example.org", "HostnameError")])
def test_forged_ends_do_not_change_what_a_dtls_handshake_comes_to(
    name: str, kind: str | None, asynchronous: bool, root: pki.Authority, cafile: Path, tmp_path: Path
) -> None:
    identity = root.issue(name)
    result = with_forged_ends(identity, cafile, tmp_path, asynchronous, "-no_ticket")
    assert result["kind"] == kind, result
    if kind is None:
        assert result["certificate"] == identity.der.hex()


@pytest.mark.servers
@pytest.mark.needs("tickets")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
def test_a_forged_end_before_a_session_ticket_may_end_a_dtls_handshake_and_do_no_more(
    asynchronous: bool, root: pki.Authority, cafile: Path, tmp_path: Path
) -> None:
    """The ticket comes before the server's Finished, and Mbed TLS is left with the forged one."""
    identity = root.issue(HOST)
    result = with_forged_ends(identity, cafile, tmp_path, asynchronous)
    if result["kind"] is None:
        assert result["certificate"] == identity.der.hex()
    else:
        assert "fails its integrity check" in result["message"], result
        assert result["heard"] == []
