"""A small static web server, and handlers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from support.pki import Issued
from support.servers import Server, read_request, server_context

from .conftest import etag

Headers = dict[str, str]


def parse(request: bytes) -> tuple[str, Headers]:
    lines = request.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return lines[0].split()[1], {name.lower(): value for name, value in headers.items()}


class Site:
    """Serves `files` (path: content) as nginx would: ETag, If-None-Match, Range with If-Range. Counts what it sends."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, Headers]] = []
        self.answers: list[tuple[int, int]] = []  # status, bytes of body
        self.cut_after: int | None = None  # body bytes after which the connection breaks
        self.ranges = True

    def respond(self, stream: socket.socket) -> None:
        request = read_request(stream)
        if not request:
            return
        path, headers = parse(request)
        self.requests.append((path, headers))
        if path in self.redirects:
            self.answers.append((302, 0))
            stream.sendall(
                f"HTTP/1.1 302 Found\r\nLocation: {self.redirects[path]}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            return
        if path not in self.files:
            self.answers.append((404, 0))
            stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        data = self.files[path]
        tag = etag(data)
        status, start = "200 OK", 0
        extra = ""
        if headers.get("if-none-match") == tag:
            self.answers.append((304, 0))
            stream.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode())
            return
        if "range" in headers and headers.get("if-range") == tag and self.ranges:
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            status = "206 Partial Content"
            extra = f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}\r\n"
        body = data[start:]
        head = f"HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        sent = body if self.cut_after is None else body[: self.cut_after]
        self.answers.append((int(status[:3]), len(sent)))
        stream.sendall(head.encode() + sent)


@contextlib.contextmanager
def serving(site: Site, identity: Issued | None = None) -> Iterator[str]:
    """The base URL of `site`, over TLS if it has an `identity`."""
    context = server_context(identity) if identity else None

    def handle(connection: socket.socket) -> None:
        if context is None:
            site.respond(connection)
            connection.shutdown(socket.SHUT_WR)
            return
        with context.wrap_socket(connection, server_side=True) as stream:
            site.respond(stream)
            stream.unwrap()

    with Server(handle) as server:
        yield f"http{'s' if identity else ''}://127.0.0.1:{server.port}"


@contextlib.contextmanager
def raw(*pieces: bytes, pause_s: float = 0, identity: Issued | None = None, times: int = 1) -> Iterator[str]:
    """A server that sends `pieces`, whatever it is asked, so many `times` over and with a pause after each; then
    nothing more."""
    context = server_context(identity) if identity else None

    def send(stream: socket.socket) -> None:
        stream.recv(4096)
        for _ in range(times):
            for piece in pieces:
                stream.sendall(piece)
                time.sleep(pause_s)

    def handle(connection: socket.socket) -> None:
        if context is None:
            send(connection)
        else:
            with context.wrap_socket(connection, server_side=True) as stream:
                send(stream)

    with Server(handle) as server:
        yield f"http{'s' if identity else ''}://127.0.0.1:{server.port}/roots.rtlt"
