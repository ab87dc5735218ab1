"""The servers of `make soak`: good ones and ones that fail in every way, and what a board must make of each."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .workbench import HOST, REPOSITORY

MODEM_TESTS = REPOSITORY / "tests" / "modem"
sys.path.insert(0, str(MODEM_TESTS))

from pty_modem import PtyModem  # noqa: E402
from support import pki  # noqa: E402
from support.datagrams import Relay  # noqa: E402
from support.programs import daemon, free_port, openssl_server  # noqa: E402
from support.servers import Server, answer, http_response, read_request, server_context, tls_server  # noqa: E402

BODY = ("".join(chr(33 + n * 7 % 90) for n in range(250)) * 8).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD: list[str | None] = [None]
PER_CONNECTION = 100  # requests after which the server ends a kept connection
IMPATIENT_MS = 40
RESET_EVERY = 150  # AT commands

TLSHandler = Callable[[ssl.SSLSocket], None]


@dataclass
class Kind:
    """`share`: how many of about a thousand requests; `expect`: names of the exceptions that may end it, None if none
    shall. `job` is a method of device/soak_jobs.py, `settings` are for it."""

    name: str
    share: int
    job: str
    expect: list[str | None]
    settings: dict[str, Any] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        return {"name": self.name, "share": self.share, "job": self.job, "expect": self.expect, **self.settings}


def kept(stream: ssl.SSLSocket) -> None:
    """Answers, keeps the connection, and ends it now and then."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    packed = gzip.compress(BODY)
    chunked = CHUNKED + b"%x\r\n%s\r\n0\r\nTrailer: none\r\n\r\n" % (len(packed), packed)
    for _ in range(PER_CONNECTION):
        request = read_request(stream)
        if not request:
            break
        stream.sendall(chunked if b"/packed " in request else response)
    end(stream)


def end(stream: ssl.SSLSocket) -> None:
    stream.settimeout(0.3)
    with contextlib.suppress(OSError):
        stream.unwrap()


def until_gone(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def truncated(stream: ssl.SSLSocket) -> None:
    read_request(stream)
    stream.sendall(http_response(BODY)[:-50])
    stream.shutdown(socket.SHUT_RDWR)


def silent_in_the_body(stream: ssl.SSLSocket) -> None:
    read_request(stream)
    stream.sendall(http_response(BODY)[:-50])
    until_gone(stream)


def redirects(stream: ssl.SSLSocket) -> None:
    while request := read_request(stream):
        again = b"/b" if b" /a " in request else b"/a"
        stream.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % again)


def plain_http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    until_gone(connection)


def garbage(connection: socket.socket) -> None:
    connection.recv(4096)
    # As long as it says, and of the right kind: Mbed TLS waits for the rest of a longer one.
    connection.sendall(b"\x16\x03\x03\x01\x00\x02\x00\x00\xfc" + os.urandom(252))
    until_gone(connection)


def hangs_up(connection: socket.socket) -> None:
    connection.recv(4096)


def agreeing(context: ssl.SSLContext, more: bytes = b"") -> Callable[[socket.socket], None]:
    """A server with STARTTLS; `more` is what somebody puts behind its agreement."""

    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"220 go ahead\r\n" + more)
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(100)
            stream.sendall(BODY)
            end(stream)

    return serve


class Sessions(Relay):
    """Carries datagrams of clients of `port` to the server at `server_port`, each handshake from a port of its own.

    A board cannot tell a server that it has gone (its firmware has no call for that), and servers keep a session for
    minutes. Who then gets the port of one that has gone is taken for it, and not answered.
    """

    HELD = 250  # sessions whose port nobody else gets: libcoap forgets them after five minutes

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server_port = server_port
        self._clients: dict[socket.socket, Any] = {}  # in the order of their coming
        self._latest: dict[Any, socket.socket] = {}

    def received(self, end: socket.socket, data: bytes, sender: Any) -> None:
        if end is self.front:
            self._to_server(data, sender)
            return
        client = self._clients[end]
        # What a session that was given up still sends is not for the next one.
        if self._latest[client] is end:
            self.front.sendto(data, client)

    def _to_server(self, data: bytes, client: Any) -> None:
        # A handshake begins with the record number 0 of epoch 0: RFC 6347, 4.1.
        if client not in self._latest or (data[:1] == b"\x16" and not any(data[3:11])):
            back = self.listen(self._server_port)
            self._latest[client] = back
            self._clients[back] = client
            if len(self._clients) > self.HELD:
                oldest = next(iter(self._clients))
                self._clients.pop(oldest)
                self.forget(oldest)
        self._latest[client].send(data)


class Servers:
    """All of them, running. `kinds` are those that this machine can serve, `left_out` says why others are missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.kinds: list[Kind] = []
        self.left_out: dict[str, str] = {}
        self.roots = {key: pki.make_ca(f"{key} root", key=key) for key in ("P-256", "RSA-2048")}
        self._quick = self.roots["RSA-2048"].child("issuer", key="RSA-2048")

    def __enter__(self) -> Servers:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        good = self._tls(kept)
        self._add("GET, kept connection", 341, "client_get", GOOD, good)
        self._add("GET, new connection, RSA", 80, "get", GOOD, self._tls(answer(http_response(BODY))))
        self._add(
            "GET, new connection, P-256", 40, "get", GOOD, self._tls(answer(http_response(BODY)), self._issue_ec())
        )
        self._add("GET, new Context", 20, "get_anew", GOOD, self._tls(answer(http_response(BODY))))
        self._add("gzip in chunks, kept", 40, "client_get", GOOD, self._tls(kept), path="/packed", compressed=True)
        self._add("asyncio: good, refused, cancelled", 20, "in_asyncio", GOOD, good, refusing_port=self._wrong_host())
        self._add("STARTTLS", 20, "upgrade", GOOD, self._server(agreeing(self._tls_1_2())))
        injected = agreeing(self._tls_1_2(), b"250 injected\r\n")
        self._add("STARTTLS with injected text", 10, "upgrade", ["HandshakeError"], self._server(injected))
        self._add("wrong host", 45, "get", ["HostnameError"], self._wrong_host())
        yesterday = pki.now() - pki.days(0.5)
        expired = self._quick.issue(HOST, key="RSA-2048", not_after=yesterday)
        self._add("expired", 45, "get", ["ExpiredError"], self._tls(kept, expired))
        stranger = pki.make_ca("stranger", key="RSA-2048").issue(HOST, key="RSA-2048")
        self._add("unknown CA", 45, "get", ["UnknownIssuerError"], self._tls(kept, stranger))
        self._add("plain HTTP", 45, "get", ["NotTLSError"], self._server(plain_http))
        self._add("garbage", 45, "get", ["HandshakeError"], self._server(garbage))
        self._add("early close", 45, "get", ["HandshakeError", "ConnectError"], self._server(hangs_up))
        self._add("nobody listens", 40, "get", ["ConnectError"], self._nobody())
        hasty = {"timeout_ms": IMPATIENT_MS}
        self._add("silent in the handshake", 15, "get", ["DeadlineError"], self._server(until_gone), **hasty)
        self._add("silent in the body", 10, "get", ["DeadlineError"], self._tls(silent_in_the_body), timeout_ms=150)
        self._add("truncated", 40, "get", ["TruncationError"], self._tls(truncated))
        flood = b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + http_response(BODY)
        self._add("interim responses without end", 20, "get", ["HTTPError"], self._tls(answer(flood)))
        self._add("redirects in a circle", 20, "client_get", ["HTTPError"], self._tls(redirects), path="/a")
        self._client_certificates()
        self._pre_shared_keys()
        self._datagrams()
        self._modems()

    def _client_certificates(self) -> None:
        clients = pki.make_ca("clients' root")
        board = clients.issue(common_name="board", usage=None)
        for name, data in (("clients.pem", clients.pem), ("board.pem", board.pem), ("board.key", board.key_pem)):
            self._folder.joinpath(name).write_bytes(data)
        context = self._tls_1_2()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._folder / "clients.pem")
        port = self._stack.enter_context(tls_server(self._issue(), answer(http_response(BODY)), context=context)).port
        own = {"client_cert": str(self._folder / "board.pem"), "client_key": str(self._folder / "board.key")}
        self._add("client certificate", 20, "get", GOOD, port, **own)
        self._add("no client certificate", 20, "get", ["AlertError"], port)

    def _pre_shared_keys(self) -> None:
        names = ("pre-shared key", "another pre-shared key")
        if shutil.which("openssl") is None:
            self.left_out |= dict.fromkeys(names, "openssl is not installed (apt install openssl)")
            return
        key = os.urandom(32).hex()
        options = ("-psk", key, "-psk_identity", "board", "-nocert", "-www", "-tls1_2", "-quiet")
        # -quiet would also keep it from telling its port.
        port, _ = self._stack.enter_context(openssl_server(self._folder, *options[:-1]))
        talk = {"say": "GET / HTTP/1.0\r\n\r\n", "hear": "HTTP/1.0 200"}
        self._add(names[0], 15, "raw", GOOD, port, psk=["board", key], **talk)
        other = ["board", os.urandom(32).hex()]
        self._add(names[1], 5, "raw", ["AlertError"], port, psk=other, **talk)

    def _datagrams(self) -> None:
        nobody = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stack.callback(nobody.close)
        nobody.bind(("127.0.0.1", 0))
        silent = nobody.getsockname()[1]
        self._add("DTLS, silence", 5, "datagrams", ["DeadlineError"], silent, timeout_ms=IMPATIENT_MS)
        names: dict[str, tuple[str, str, list[str | None]]] = {
            "DTLS": ("datagrams", HOST, GOOD),
            "DTLS, asyncio: good and cancelled": ("datagrams_in_asyncio", HOST, GOOD),
            "DTLS, wrong host": ("datagrams", "other.example.org", ["HostnameError"]),
        }
        server = shutil.which("coap-server-openssl")
        if server is None:
            self.left_out |= dict.fromkeys(names, "coap-server-openssl is not installed (apt install libcoap3-bin)")
            return
        for number, (name, (job, host, expect)) in enumerate(names.items()):
            identity = self.roots["RSA-2048"].issue(host, key="RSA-2048")
            chain, key = identity.write(self._folder, f"dtls{number}")
            port = free_port(socket.SOCK_DGRAM)  # of plain CoAP; DTLS takes the next
            command = [server, "-A", "127.0.0.1", "-p", str(port), "-c", str(chain), "-j", str(key), "-n"]
            self._stack.enter_context(daemon(*command, port=None, log=self._folder / f"dtls{number}.log"))
            sessions = self._stack.enter_context(Sessions(port + 1))
            self._add(name, 3, job, expect, sessions.port)

    def _modems(self) -> None:
        site = self._tls(answer(http_response(BODY)))
        names = {HOST: "127.0.0.1"}
        modem = self._stack.enter_context(PtyModem(names))
        self._add("modem", 3, "through_modem", GOOD, site, pty=modem.path)
        resets = [("command", n, "reset", None) for n in range(RESET_EVERY, 1_000_000, RESET_EVERY)]
        talk = [("command", n, "urc", "RING") for n in range(7, 1_000_000, 11) if n % RESET_EVERY]
        unsteady = self._stack.enter_context(PtyModem(names, [*resets, *talk]))
        ends: list[str | None] = [None, "ConnectError", "ModemError", "TruncationError"]
        self._add("modem that is reset now and then", 2, "through_modem", ends, site, pty=unsteady.path)

    # Pieces.

    def _add(self, name: str, share: int, job: str, expect: list[str | None], port: int, **settings: Any) -> None:
        self.kinds.append(Kind(name, share, job, expect, {"port": port, **settings}))

    def _issue(self) -> pki.Issued:
        return self._quick.issue(HOST, key="RSA-2048")

    def _tls_1_2(self) -> ssl.SSLContext:
        """Of a server whose refusal ends the handshake, and which takes one attempt: with TLS 1.3 neither is so."""
        context = server_context(self._issue_ec())
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _issue_ec(self) -> pki.Issued:
        return self.roots["P-256"].child("EC issuer").issue(HOST)

    def _tls(self, handler: TLSHandler, identity: pki.Issued | None = None) -> int:
        return self._stack.enter_context(tls_server(identity or self._issue(), handler)).port

    def _wrong_host(self) -> int:
        return self._tls(kept, self._quick.issue("other.example.org", key="RSA-2048"))

    def _server(self, handler: Callable[[socket.socket], None]) -> int:
        return self._stack.enter_context(Server(handler)).port

    def _nobody(self) -> int:
        # Bound and not listening: connections are refused, and nobody else gets the port.
        bound = socket.socket()
        self._stack.callback(bound.close)
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
