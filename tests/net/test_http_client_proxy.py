"""rootlet.http.Client through proxies: tinyproxy, and proxies that lie."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h11
import pytest
from support import pki
from support.attempt import HOST
from support.firmware import Firmware
from support.http_client import Report, run_steps
from support.http_server import Reply, Request, Site, https_site
from support.programs import daemon, free_port, program
from support.servers import Server

Ask = Callable[..., list[Report]]


@pytest.fixture
def site(root: pki.Authority) -> Iterator[Site]:
    def application(request: Request) -> Reply:
        if request.target == "/away":
            return Reply(302, b"", {"Location": f"https://{HOST}:{site.port}/"})
        return Reply(body=b"through")

    with https_site(root.issue(HOST, "localhost"), application) as site:
        yield site


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, cafile: Path) -> Ask:
    def run(*urls: str, **client: Any) -> list[Report]:
        steps = [{"url": url} for url in urls]
        return run_steps(steps, cafile, asynchronous=request.param, timeout_ms=5000, address=None, **client)[0]

    return run


class Proxy:
    """A proxy for CONNECT that reaches every host on loopback, or answers as told; `seen` has what it was asked."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n", port: int | None = None) -> None:
        self.answer = answer
        self.to = port  # where it leads instead of where it should
        self.seen: list[h11.Request] = []
        self.passed = b""  # what clients sent through the tunnel

    def serve(self, client: socket.socket) -> None:
        connection = h11.Connection(h11.SERVER)
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(client.recv(4096))
        assert isinstance(event, h11.Request)
        self.seen.append(event)
        client.sendall(self.answer)
        if b" 200 " not in self.answer:
            return
        port = self.to or int(event.target.rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            while data := client.recv(4096):
                self.passed += data
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(4096):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_requests_go_through_the_tunnel_and_share_it(site: Site, ask: Ask, firmware: Firmware) -> None:
    proxy = Proxy()
    with Server(proxy.serve) as server:
        reports = ask(
            f"https://{HOST}:{site.port}/",
            f"https://{HOST}:{site.port}/away",
            proxy=f"http://board:pass:word@127.0.0.1:{server.port}",
        )
    assert [report.text for report in reports] == ["through", "through"]
    assert site.connections == 1
    assert len(proxy.seen) == firmware.first_visit
    for connect in proxy.seen:
        assert (connect.method, connect.target) == (b"CONNECT", f"{HOST}:{site.port}".encode())
        assert dict(connect.headers)[b"proxy-authorization"] == b"Basic Ym9hcmQ6cGFzczp3b3Jk"
    assert b"HTTP/1.1" not in proxy.passed, "what goes through must be encrypted"
    assert "proxy-authorization" not in site.requests[0].headers


def test_an_ipv6_address_is_asked_for_in_brackets(ask: Ask) -> None:
    proxy = Proxy(b"HTTP/1.1 403 no\r\n\r\n")
    with Server(proxy.serve) as server:
        (report,) = ask("https://[2001:db8::1]/", proxy=f"http://127.0.0.1:{server.port}")
    assert report.kind == "HTTPError"
    assert [connect.target for connect in proxy.seen] == [b"[2001:db8::1]:443"]


def test_the_host_behind_the_tunnel_is_verified(root: pki.Authority, site: Site, ask: Ask) -> None:
    with https_site(root.issue("other.example.org"), lambda _: Reply(body=b"wrong")) as other:
        proxy = Proxy(port=other.port)
        with Server(proxy.serve) as server:
            (report,) = ask(f"https://{HOST}:{site.port}/", proxy=f"http://127.0.0.1:{server.port}")
    assert report.kind == "HostnameError"
    assert other.requests == []


def test_plain_http_never_goes_through_the_proxy(ask: Ask) -> None:
    proxy = Proxy()
    with Server(proxy.serve) as server:
        (report,) = ask(f"http://{HOST}/", proxy=f"http://127.0.0.1:{server.port}", allow_http=True)
    assert report.kind == "ConfigError"
    assert proxy.seen == []


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"HTTP/1.1 407 Who are you\r\nContent-Length: 2\r\n\r\nno", "HTTPError", "407 Who are you"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTPError", "502"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil/\r\n\r\n", "HTTPError", "302"),
        (b"SSH-2.0-x\r\n", "HTTPError", "SSH"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000, "HTTPError", "too long"),
        (b"HTTP/1.1 2", "TruncationError", "too early"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfake", "NotTLSError", ""),
    ],
)
def test_a_proxy_that_refuses_or_lies_is_an_error_in_words(
    answer: bytes, kind: str, words: str, site: Site, ask: Ask
) -> None:
    proxy = Proxy(answer)
    with Server(proxy.serve) as server:
        (report,) = ask(f"https://{HOST}:{site.port}/", proxy=f"http://127.0.0.1:{server.port}")
    assert report.kind == kind
    assert words in report.message
    assert site.requests == []


@pytest.mark.parametrize("proxy", ["https://127.0.0.1:1", "127.0.0.1:1", "http://a b:1", "http://a\r\nX: y:1"])
def test_a_proxy_that_cannot_be_used_is_refused_at_once(proxy: str, cafile: Path) -> None:
    with pytest.raises(AssertionError, match="ConfigError"):  # the program ends when it makes the client
        run_steps([], cafile, asynchronous=False, proxy=proxy)


@pytest.mark.servers
def test_tinyproxy_lets_board_and_server_talk(site: Site, ask: Ask, tmp_path: Path) -> None:
    tinyproxy = program("tinyproxy", "tinyproxy-bin")
    port = free_port()
    configuration = tmp_path / "tinyproxy.conf"
    configuration.write_text(
        f"Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 10\nBasicAuth board secret\nConnectPort {site.port}\n"
    )
    url = f"https://localhost:{site.port}/"
    with daemon(tinyproxy, "-d", "-c", configuration, port=port, log=tmp_path / "log"):
        assert [report.text for report in ask(url, url, proxy=f"http://board:secret@127.0.0.1:{port}")] == [
            "through"
        ] * 2
        (refused,) = ask(url, proxy=f"http://board:wrong@127.0.0.1:{port}")
        (forbidden,) = ask("https://localhost:1/", proxy=f"http://board:secret@127.0.0.1:{port}")
    assert site.connections == 1
    assert refused.kind == "HTTPError"
    assert "password" in refused.remedy
    assert "403" in forbidden.message
