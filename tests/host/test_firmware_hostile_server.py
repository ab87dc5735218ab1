"""A server that says anything at all instead of firmware: one error in words, in a time that has an end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rootlet_host.catalogue import load
from rootlet_host.errors import HostError, UsageError
from rootlet_host.firmware import download
from rootlet_host.firmware.download import Downloader, parse_page
from rootlet_host.firmware.lockfile import LockFile

BOARD = load().get("ESP32_GENERIC")
NAME = "ESP32_GENERIC-20250911-v1.26.1.bin"
PAGE = f'<a href="/resources/firmware/{NAME}">'.encode()
OK = b"HTTP/1.1 200 OK\r\n"
Say = Callable[[socket.socket, str], None]


def answer(body: bytes, head: bytes = OK) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextlib.contextmanager
def serving(say: Say, over: threading.Event | None = None) -> Iterator[str]:
    """The address of a server that lets `say` answer (connection, path)."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            asked = b""
            while b"\r\n\r\n" not in asked:
                if not (piece := connection.recv(4096)):
                    return
                asked += piece
            say(connection, asked.split(b" ")[1].decode())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=talk, args=(listener.accept()[0],)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    if over is not None:
        over.set()
    for thread in (acceptor, *threads):
        thread.join(15)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"\xff" * 3000,
        OK + b"X: " + b"y" * 200_000,
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::bad/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: -5\r\n\r\nxx",
        OK + b"Content-Length: 99999999999999999999\r\n\r\nxx",
        OK + b"Content-Length: 500\r\n\r\nxx",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx",
        b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
    ],
)
@pytest.mark.parametrize("stage", ["page", "file"])
def test_whatever_a_server_says_is_an_error_in_words(stage: str, said: bytes, tmp_path: Path) -> None:
    def say(connection: socket.socket, path: str) -> None:
        connection.sendall(answer(PAGE) if stage == "file" and path.startswith("/download/") else said)

    with (
        serving(say) as address,
        Downloader(address, tmp_path / "cache") as downloader,
        pytest.raises(HostError) as caught,
    ):
        downloader.get(downloader.releases(BOARD)[0], BOARD, LockFile(tmp_path / "lock"))
    assert caught.value.remedy
    assert not (tmp_path / "lock").exists()
    assert not (tmp_path / "cache" / NAME).exists()


@pytest.mark.parametrize("stage", ["page", "file"])
def test_a_byte_now_and_then_keeps_no_download_alive(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_RATE_S", 0.3)
    over = threading.Event()

    def say(connection: socket.socket, path: str) -> None:
        if stage == "file" and path.startswith("/download/"):
            connection.sendall(answer(PAGE))
            return
        connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
        while not over.wait(0.05):
            connection.sendall(b"x")

    start = time.monotonic()
    with (
        serving(say, over) as address,
        Downloader(address, tmp_path / "cache") as downloader,
        pytest.raises(HostError, match="bytes came within"),
    ):
        downloader.get(downloader.releases(BOARD)[0], BOARD, LockFile(tmp_path / "lock"))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "link",
    [
        "http://[bad/ESP32_GENERIC-20250911-v1.26.1.bin",
        f"/ESP32_GENERIC-20250911-v{'9' * 5000}.26.1.bin",
        "/ESP32_GENERIC-20250911-v1" + ".9" * 3000 + ".bin",
    ],
)
def test_links_that_make_no_sense_are_passed_over(link: str) -> None:
    page = f'<a href="{link}"><a href="/{NAME}">'
    assert [release.name for release in parse_page(page, "https://mirror.example/", BOARD)] == [NAME]


@pytest.mark.parametrize("address", ["https://[bad", "https://mirror.example:99999", "https://mirror\x1b.example"])
def test_an_address_that_makes_no_sense_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is not a web address"):
        Downloader(address)


def test_a_proxy_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy:x")
    with pytest.raises(UsageError, match="proxy cannot be used"):
        Downloader()
