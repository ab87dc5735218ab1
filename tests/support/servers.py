"""Servers for tests: on loopback, on a port that the system chooses, in threads of the test process."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .pki import Issued

Handler = Callable[[socket.socket], None]


class Server:
    """Accepts connections on `port` and gives each to `handler` in a thread of its own, until closed."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            # A client that goes away, or refuses our certificate, is what many tests are about.
            with contextlib.suppress(OSError):
                self._handler(connection)
        finally:
            self._open.discard(connection)
            connection.close()


def server_context(identity: Issued) -> ssl.SSLContext:
    """CPython's server side of TLS with the chain and key of `identity`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.write_bytes(identity.key_pem + identity.chain_pem)
        context.load_cert_chain(path)
    return context


def http_response(body: bytes = b"hello") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)


def read_request(stream: socket.socket) -> bytes:
    """All up to the end of the request's head, or nothing if the client goes away before."""
    request = b""
    while b"\r\n\r\n" not in request:
        more = stream.recv(4096)
        if not more:
            return b""
        request += more
    return request


def answer(response: bytes | Callable[[bytes], bytes]) -> Callable[[ssl.SSLSocket], None]:
    """A handler of TLS streams: reads one request, sends `response`, closes with close_notify."""

    def handle(stream: ssl.SSLSocket) -> None:
        request = read_request(stream)
        stream.sendall(response(request) if callable(response) else response)
        stream.unwrap()

    return handle


@contextlib.contextmanager
def tls_server(
    identity: Issued,
    handler: Callable[[ssl.SSLSocket], None] | None = None,
    *,
    context: ssl.SSLContext | None = None,
    maximum: ssl.TLSVersion | None = None,
) -> Iterator[Server]:
    """A TLS server that answers every request with 'hello', or as `handler` says. `maximum`: its highest version."""
    context = context or server_context(identity)
    if maximum is not None:
        context.maximum_version = maximum
    handle = handler or answer(http_response())

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            handle(stream)

    with Server(serve) as server:
        yield server
