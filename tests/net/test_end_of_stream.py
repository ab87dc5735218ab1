"""The end of a stream: proper with close_notify, and then at once; else a truncation, however the caller reads."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device_json
from support.servers import Server, tls_server

PROGRAM = Path(__file__).parent / "scripts" / "end_of_stream.py"
SAID = "a line\nand the rest"
WAYS = ["read", "read 3", "readinto", "readline"]
ALL = [*WAYS, *(f"asyncio {way}" for way in WAYS)]
Ask = Callable[[Server, str], dict[str, Any]]


@pytest.fixture
def ask(cafile: Path) -> Ask:
    def run(server: Server, way: str) -> dict[str, Any]:
        request = {"host": HOST, "port": server.port, "cafile": str(cafile), "way": way}
        result: dict[str, Any] = run_device_json(PROGRAM, request)
        return result

    return run


@contextlib.contextmanager
def ending(root: pki.Authority, end: Callable[[ssl.SSLSocket], None]) -> Iterator[Server]:
    """A server that says something and then does `end`; the TCP connection stays open until the test is over."""
    over = threading.Event()

    def talk(stream: ssl.SSLSocket) -> None:
        stream.recv(10)
        stream.sendall(SAID.encode())
        end(stream)
        over.wait(20)

    with tls_server(root.issue(HOST), talk) as server:
        try:
            yield server
        finally:
            over.set()


def properly(stream: ssl.SSLSocket) -> None:
    stream.settimeout(0.05)
    with contextlib.suppress(OSError):
        stream.unwrap()  # sends close_notify and waits for the other one


def by_closing(stream: ssl.SSLSocket) -> None:
    socket.socket.shutdown(stream, socket.SHUT_WR)


def by_reset(stream: ssl.SSLSocket) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(stream)


@pytest.mark.parametrize("way", ALL)
def test_after_close_notify_every_read_returns_at_once(way: str, root: pki.Authority, ask: Ask) -> None:
    """Although the connection stays open: asking the transport again would wait for ever."""
    with ending(root, properly) as server:
        result = ask(server, way)
    assert (result["came"], result["kind"], result["again"]) == (SAID, None, "")
    assert result["ms"] < 2000 and result["again_ms"] < 100


@pytest.mark.parametrize("way", ALL)
def test_end_without_close_notify_is_a_truncation(way: str, root: pki.Authority, ask: Ask) -> None:
    with ending(root, by_closing) as server:
        result = ask(server, way)
    assert result["kind"] == "TruncationError"
    assert SAID.startswith(result["came"])
    assert result["again"] not in (None, ""), "after a truncation a read looked like a proper end"
    assert result["again_ms"] < 100


@pytest.mark.parametrize("way", ["read", "asyncio read"])
def test_reset_is_no_end_either(way: str, root: pki.Authority, ask: Ask) -> None:
    with ending(root, by_reset) as server:
        result = ask(server, way)
    assert result["kind"] is not None and result["again"] not in (None, "")


def test_exact_read_that_comes_short_is_a_truncation_or_an_early_end(root: pki.Authority, ask: Ask) -> None:
    with ending(root, by_closing) as server:
        assert ask(server, "asyncio readexactly")["kind"] == "TruncationError"
    with ending(root, properly) as server:
        assert ask(server, "asyncio readexactly")["kind"] == "EOFError"
