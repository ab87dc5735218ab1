"""rootlet.compat: requests, mip, asyncio and ssl.wrap_socket of the stock firmware, before and after."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.board import run_device
from support.firmware import Firmware
from support.http_server import Raw, Reply, Request, https_site

pytestmark = pytest.mark.needs("ssl")

SCRIPT = Path(__file__).with_name("scripts") / "drop_in_requests.py"
CODE = "answer = 42\n"


def application(request: Request) -> Reply | Raw:
    target = request.target
    if target == "/json":
        return Reply(body=b'{"a": [1]}', headers={"X-Answer": "b" + request.headers.get("x-board", "")})
    if target == "/echo":
        framing = request.headers.get("content-length", "chunked")
        kind = request.headers.get("content-type", "none")
        return Reply(body=f"{request.method} {framing} {kind} ".encode() + request.body)
    if target == "/auth":
        return Reply(body=request.headers["authorization"].encode())
    if target == "/to-http":
        return Reply(302, b"", {"Location": f"http://{request.headers['host']}/"})
    if target == "/cut":
        return Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "cut")
    if target == "/silent":
        return Raw(b"", "silence")
    bodies = {"/text": b"text", "/code": CODE.encode()}
    return Reply(body=bodies[target]) if target in bodies else Reply(404, b"missing")


def package(origin: str) -> Reply:
    return Reply(body=json.dumps({"v": 1, "urls": [["from_mip.py", f"{origin}/code"]]}).encode())


class PlainHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"plain")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), PlainHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def run(root: pki.Authority, plain: str, folder: Path, cafile: Path | None) -> dict[str, Any]:
    with (
        https_site(root.issue("localhost"), application) as right,
        https_site(root.issue("other.example.org"), application) as wrong,
    ):
        for site in (right, wrong):
            reply = package(f"https://localhost:{site.port}")
            site.application = lambda request, reply=reply: (
                reply if request.target == "/package.json" else application(request)
            )
        request = {
            "cafile": str(cafile) if cafile else None,
            "right": f"https://localhost:{right.port}",
            "wrong": f"https://localhost:{wrong.port}",
            "plain": plain,
            "folder": str(folder),
        }
        output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}, cwd=folder)
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


@pytest.fixture(scope="module")
def report(
    root: pki.Authority, plain: str, tmp_path_factory: pytest.TempPathFactory, firmware: Firmware
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("board")
    cafile = folder / "ca.pem"
    cafile.write_bytes(root.pem)
    return run(root, plain, folder, cafile)


GOOD = {"requests": "text", "mip": CODE, "asyncio": "200 text", "ssl": "HTTP/1.1 200 "}


@pytest.mark.parametrize("way", GOOD)
def test_the_stock_firmware_takes_a_certificate_for_another_host(report: dict[str, Any], way: str) -> None:
    assert report[f"before wrong {way}"] == report[f"before right {way}"] == GOOD[way]
    assert report["installed before"] is False


@pytest.mark.parametrize("way", GOOD)
@pytest.mark.parametrize("when", ["after", "again"])
def test_after_install_it_is_refused_and_the_right_one_still_works(report: dict[str, Any], when: str, way: str) -> None:
    assert report[f"{when} right {way}"] == GOOD[way]
    assert report[f"{when} wrong {way}"] == "HostnameError"
    assert report["installed after"] is True


def test_a_context_that_is_passed_to_asyncio_verifies(report: dict[str, Any]) -> None:
    assert report["passed context"] == "200 text"
    assert report["passed context wrong"] == "HostnameError"


def test_the_names_of_older_firmware_verify_too(report: dict[str, Any]) -> None:
    assert report["urequests wrong"] == "HostnameError"
    assert report["ussl right"] == GOOD["ssl"]
    assert report["ussl no name"] == "ConfigError"
    assert report["ussl key"] == "ConfigError"
    assert report["ussl option"] == "ConfigError"


def test_functions_that_were_copied_before_verify_or_refuse(report: dict[str, Any]) -> None:
    assert report["copied before"] == "HostnameError"
    assert report["copied request before"] == "ConfigError"


def test_responses_have_what_programs_expect(report: dict[str, Any]) -> None:
    body = '{"a": [1]}'
    assert report["response"] == [200, "", "b7", True, "-", {"a": [1]}, body, body, "utf-8"]
    assert report["raw"] == [4, '{"a"', ": ["]
    assert report["missing"] == 404
    assert report["head"] == "b''"


def test_requests_are_sent_as_programs_expect(report: dict[str, Any]) -> None:
    assert report["post"] == "POST 2 none ab"
    assert report["post json"] == 'POST 8 application/json {"a": 1}'
    assert report["put chunks"] == "PUT chunked none xxx"
    assert report["post length"] == "POST 3 none yyy"
    assert report["auth"] == "Basic dXNlcjpwYXNzd29yZA=="


def test_http_works_as_it_did_but_not_as_the_end_of_https(report: dict[str, Any]) -> None:
    assert report["plain"] == "plain"
    assert report["to http"] == "HTTPError"


def test_what_cannot_be_right_fails(report: dict[str, Any]) -> None:
    assert report["other host"] == "ConfigError"
    assert report["time-out"] == "DeadlineError"
    assert report["cut"] == "TruncationError"
    assert report["cut again"] == report["closed"] == "TLSError"


def test_without_a_context_the_boards_configuration_counts(root: pki.Authority, plain: str, tmp_path: Path) -> None:
    tmp_path.joinpath("site.pem").write_bytes(root.pem)
    settings = {"job": {"url": "https://localhost/"}, "stores": [], "cafile": "site.pem"}
    tmp_path.joinpath("rootlet.json").write_text(json.dumps(settings))
    report = run(root, plain, tmp_path, None)
    assert report["after right requests"] == "text"
    assert report["after wrong requests"] == "HostnameError"
