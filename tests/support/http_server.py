"""An HTTPS server for tests. It parses requests with h11, which refuses what breaks HTTP, and answers as told: rightly,
or byte for byte as wrongly as a test wants."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import h11

from .pki import Issued
from .servers import Server, tls_server


@dataclass
class Request:
    """What arrived; `connection` counts from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Reply:
    """A proper response: with Content-Length, or in chunks if the body is an iterable."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Raw:
    """These bytes and nothing else; then the connection goes on, ends properly or is cut."""

    data: bytes | Iterable[bytes]
    then: str = "end"  # "keep", "end" (close_notify), "cut" (without), "silence" (until the client goes away)


Application = Callable[[Request], Reply | Raw]


class Site:
    """A running server: `requests` in the order of their arrival, `faults` for what h11 refused."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.connections = 0
        self.deaf = False
        self.origins: list[str] = []  # of this site and those beside it
        self.others: list[Site] = []
        self.heard_enough = threading.Event()
        self.server: Server

    @property
    def port(self) -> int:
        return self.server.port

    def serve(self, stream: ssl.SSLSocket) -> None:
        self.connections += 1
        number = self.connections
        if self.deaf:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.heard_enough.wait(10)
            return
        h11_connection = h11.Connection(h11.SERVER)
        while True:
            try:
                request = self._read(stream, h11_connection, number)
            except h11.RemoteProtocolError as error:
                self.faults.append(str(error))
                return
            if request is None:
                end(stream)
                return
            self.requests.append(request)
            reply = self.application(request)
            if isinstance(reply, Raw):
                for piece in [reply.data] if isinstance(reply.data, bytes) else reply.data:
                    stream.sendall(piece)
                if reply.then == "keep":
                    h11_connection = h11.Connection(h11.SERVER)
                    continue
                if reply.then == "end":
                    end(stream)
                elif reply.then == "silence":
                    while stream.recv(4096):
                        pass
                return
            self._answer(stream, h11_connection, request.method, reply)
            if h11_connection.our_state is h11.MUST_CLOSE or h11_connection.their_state is not h11.DONE:
                end(stream)
                return
            h11_connection.start_next_cycle()

    def _read(self, stream: ssl.SSLSocket, connection: h11.Connection, number: int) -> Request | None:
        request: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(stream.recv(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                headers = {name.decode().lower(): value.decode() for name, value in request.headers}
                return Request(request.method.decode(), request.target.decode(), headers, body, number)
            else:
                return None

    def _answer(self, stream: ssl.SSLSocket, connection: h11.Connection, method: str, reply: Reply) -> None:
        headers = list(reply.headers.items())
        if isinstance(reply.body, bytes):
            headers.append(("Content-Length", str(len(reply.body))))
        # Together, as long as that is no stream: Nagle's algorithm would hold back the second part.
        data = connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
            if method != "HEAD":
                data += connection.send(h11.Data(data=piece)) or b""
            if len(data) > 4096:
                stream.sendall(data)
                data = b""
        stream.sendall(data + (connection.send(h11.EndOfMessage()) or b""))


def end(stream: ssl.SSLSocket) -> None:
    """Sends close_notify. Stock MicroPython never answers it and waits for the end of the connection instead."""
    stream.settimeout(0.3)
    with contextlib.suppress(OSError):
        stream.unwrap()


@contextlib.contextmanager
def https_site(identity: Issued, application: Application, maximum: ssl.TLSVersion | None = None) -> Iterator[Site]:
    """Serves `application` over TLS, at most of the version `maximum`."""
    site = Site(application)
    with tls_server(identity, site.serve, maximum=maximum) as server:
        site.server = server
        try:
            yield site
        finally:
            site.heard_enough.set()
