"""A web server that publishes firmware as micropython.org does, with faults."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Published:
    """One file. `cut_at` ends each answer after so many bytes; `cuts` says how many answers are cut; a request sets
    `asked`, and is answered when `gate` is set."""

    data: bytes
    etag: str | None = '"v1"'
    cut_at: int | None = None
    cuts: int = 0
    content_type: str = "application/octet-stream"
    ranges: bool = True
    status: int = 200
    redirect: str | None = None
    chunked: bool = False
    wrong_range: bool = False
    gate: threading.Event | None = None
    asked: threading.Event = field(default_factory=threading.Event)
    requests: list[dict[str, str]] = field(default_factory=list)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that a fault closed is no news."""


class FirmwareSite:
    """Use as a context manager; `url` stands for https://micropython.org."""

    def __init__(self) -> None:
        self.files: dict[str, Published] = {}
        self.pages: dict[str, str] = {}
        self.on_page: Callable[[], None] | None = None
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FirmwareSite:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(self, name: str, data: bytes, **options: Any) -> Published:
        entry = Published(data, **options)
        self.files[f"/resources/firmware/{name}"] = entry
        return entry

    def page(self, board: str, *names: str) -> None:
        """A download page with the shape of micropython.org's: links among much else."""
        links = "\n".join(
            f'<strong><a href="/resources/firmware/{name}">{name}</a></strong> '
            f'/ <a href="https://github.com/micropython/micropython/releases/tag/x">[Release notes]</a>'
            for name in names
        )
        self.pages[f"/download/{board}/"] = (
            f'<!DOCTYPE html><html><head><link href="/static/css/x.css"></head><body><a href="/download/">Downloads</a>'
            f"<h2>{board}</h2><h3>Releases</h3>{links}</body></html>"
        )

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path in self.pages:
            self._send(handler, 200, self.pages[handler.path].encode(), "text/html; charset=utf-8")
            return
        entry = self.files.get(handler.path)
        if entry is None:
            self._send(handler, 404, b"<!DOCTYPE html><html>Not found</html>", "text/html")
            return
        entry.requests.append({name.lower(): value for name, value in handler.headers.items()})
        entry.asked.set()
        if entry.gate is not None:
            entry.gate.wait(30)
        if entry.redirect is not None:
            handler.send_response(302)
            handler.send_header("Location", entry.redirect)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        self._send_file(handler, entry)

    @staticmethod
    def _send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def _send_file(handler: http.server.BaseHTTPRequestHandler, entry: Published) -> None:
        start, status = 0, entry.status
        wanted = handler.headers.get("Range", "")
        same = handler.headers.get("If-Range") in (None, entry.etag)
        if entry.ranges and wanted.startswith("bytes=") and same and status == 200:
            start, status = int(wanted[6:].split("-")[0]), 206
            if start >= len(entry.data):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(entry.data)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
        body = entry.data[start:]
        handler.send_response(status)
        handler.send_header("Content-Type", entry.content_type)
        if entry.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body)))
        if entry.etag:
            handler.send_header("ETag", entry.etag)
        if status == 206:
            told = start + 1 if entry.wrong_range else start
            handler.send_header("Content-Range", f"bytes {told}-{len(entry.data) - 1}/{len(entry.data)}")
        handler.end_headers()
        with contextlib.suppress(OSError):
            if entry.chunked:
                for offset in range(0, len(body), 65536):
                    piece = body[offset : offset + 65536]
                    handler.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                handler.wfile.write(b"0\r\n\r\n")
            elif entry.cut_at is not None and entry.cuts > 0:
                entry.cuts -= 1
                handler.wfile.write(body[: entry.cut_at])
                handler.wfile.flush()
                handler.close_connection = True
                handler.connection.close()
            else:
                handler.wfile.write(body)
