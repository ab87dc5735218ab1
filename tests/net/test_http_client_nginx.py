"""rootlet.http.Client against nginx."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.http_client import Report, run_steps
from support.programs import daemon, free_port, program

pytestmark = pytest.mark.servers

NOISE = random.Random(2).randbytes(150_000)
TEXT = b"".join(b"line %d\n" % i for i in range(5000))
CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    types {{ text/plain txt; }}
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {host};
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
        root {folder}/www;
        add_header X-Connection $connection always;
        gzip on; gzip_types text/plain;
        keepalive_timeout 300ms;
        client_max_body_size 1m;
        location /upload/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
        location /slow/ {{ limit_rate 100k; }}
        location /few/ {{ keepalive_requests 2; return 200 few; }}
        location /secret/ {{ auth_basic "board"; auth_basic_user_file {folder}/users; }}
        location /moved/ {{ return 307 /file.bin; }}
        location /insecure/ {{ return 301 http://$host/; }}
    }}
}}
"""
Ask = Callable[..., list[Report]]


@pytest.fixture(scope="module")
def site(root: pki.Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    nginx = program("nginx", "nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    www = folder / "www"
    for name in ("slow", "upload", "folder", "secret"):
        www.joinpath(name).mkdir(parents=True)
    www.joinpath("file.bin").write_bytes(NOISE)
    www.joinpath("slow/file.bin").write_bytes(NOISE)
    www.joinpath("text.txt").write_bytes(TEXT)
    for name in ("folder", "secret"):
        www.joinpath(name, "index.html").write_bytes(b"index")
    identity = root.issue(HOST)
    folder.joinpath("server.pem").write_bytes(identity.chain_pem + identity.key_pem)
    folder.joinpath("users").write_text("board:{PLAIN}pass word\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)  # nginx may run as another user
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, host=HOST))
    with daemon(nginx, "-c", configuration, "-p", folder, "-e", "stderr", port=port, log=folder / "nginx.log"):
        yield f"https://{HOST}:{port}", folder


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, site: tuple[str, Path], cafile: Path) -> Ask:
    def run(*steps: dict[str, Any], **client: Any) -> list[Report]:
        steps = tuple({**step, "url": site[0] + step["url"]} for step in steps)
        return run_steps(steps, cafile, asynchronous=request.param, address="127.0.0.1", **client)[0]

    return run


def test_files_come_whole_over_one_connection(ask: Ask) -> None:
    digest = hashlib.sha256(NOISE).hexdigest()
    reports = ask(
        {"url": "/file.bin", "take": "into", "sha256": digest},
        {"url": "/file.bin", "method": "HEAD"},
        {"url": "/missing"},
        {"url": "/moved/", "take": "counter", "sha256": digest},
        {"url": "/folder"},
    )
    assert [(report.kind, report.status) for report in reports] == [
        (None, 200),
        (None, 200),
        (None, 404),
        (None, 200),
        (None, 200),
    ]
    assert reports[0].sum == sum(NOISE)
    assert reports[1].headers["content-length"] == str(len(NOISE))
    assert reports[4].text == "index"
    assert len({report.headers["x-connection"] for report in reports}) == 1


def test_a_connection_that_nginx_gave_up_is_replaced(ask: Ask) -> None:
    few = {"url": "/few/"}
    reports = ask(few, few, few, {**few, "pause_ms": 450}, {"url": "/upload/x", "method": "PUT", "pause_ms": 450})
    assert [report.kind for report in reports] == [None] * 5
    connections = [report.headers["x-connection"] for report in reports]
    assert connections[0] == connections[1]
    assert len(set(connections)) == 4


def test_what_nginx_compresses_is_decoded(ask: Ask) -> None:
    step = {"url": "/text.txt", "take": "into", "sha256": hashlib.sha256(TEXT).hexdigest()}
    (packed,) = ask(step, compressed=True)
    (plain,) = ask(step)
    assert (packed.kind, packed.bytes, packed.headers["content-encoding"]) == (None, len(TEXT), "gzip")
    assert (plain.kind, plain.bytes) == (None, len(TEXT))
    assert "content-encoding" not in plain.headers


def test_uploads_arrive_whole(ask: Ask, site: tuple[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(NOISE)
    reports = ask(
        {"url": "/upload/file", "method": "PUT", "send": {"file": str(file)}},
        {"url": "/upload/chunks", "method": "PUT", "send": {"chunks": [10_000] * 10 + [1]}},
        {"url": "/upload/gone", "method": "PUT", "send": {"text": "x"}},
        {"url": "/upload/gone", "method": "DELETE"},
        {"url": "/upload/large", "method": "PUT", "send": {"bytes": 10}, "headers": {"X": "y" * 2000}},
    )
    assert [report.status for report in reports] in ([201, 201, 201, 204, 201], [204, 204, 201, 204, 204])
    folder = site[1] / "www" / "upload"
    assert folder.joinpath("file").read_bytes() == NOISE
    assert folder.joinpath("chunks").read_bytes() == b"c" * 100_001
    assert not folder.joinpath("gone").exists()


def test_a_body_that_nginx_finds_too_large_is_an_error_or_413(ask: Ask) -> None:
    (report,) = ask({"url": "/upload/large", "method": "PUT", "send": {"chunks": [16_384] * 80}})
    assert report.status == 413 or report.kind in ("ConnectError", "TruncationError")


def test_credentials_are_checked_by_nginx(ask: Ask) -> None:
    reports = ask(
        {"url": "/secret/"},
        {"url": "/secret/", "auth": ["board", "wrong"]},
        {"url": "/secret/", "auth": ["board", "pass word"]},
    )
    assert [report.status for report in reports] == [401, 401, 200]


def test_a_redirect_to_http_is_refused(ask: Ask) -> None:
    (report,) = ask({"url": "/insecure/"})
    assert report.kind == "HTTPError"


def test_a_download_that_ran_out_of_time_goes_on_with_a_range(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    step = {"url": "/slow/file.bin", "download": str(file), "sha256": hashlib.sha256(NOISE).hexdigest()}
    (report,) = ask({**step, "timeout_ms": 600})
    assert report.kind == "DeadlineError"
    had = file.with_name("file.part").stat().st_size
    assert 10_000 < had < len(NOISE)
    (report,) = ask(step)
    assert (report.kind, report.bytes) == (None, len(NOISE))
    assert file.read_bytes() == NOISE
    assert report.elapsed_ms < 1000 * len(NOISE) / 100_000, "what was there came again"
