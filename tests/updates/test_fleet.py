"""Fifty boards and one nginx that serves what `rootlet publish` wrote."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rootlet_host import publish
from rootlet_host.store import BuildOptions, collect
from support import pki
from support.programs import daemon, free_ports, program

from .conftest import FieldBoard, Publisher

BOARDS = 50
pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture
def web(tmp_path: Path) -> Path:
    return tmp_path / "web"


@pytest.fixture
def nginx(tmp_path: Path, web: Path, root: pki.Authority) -> Iterator[tuple[int, int]]:
    """(port of http, port of https) of an nginx that serves the folder `web` and logs to access.log."""
    chain, key = root.issue("127.0.0.1").write(tmp_path, "server")
    http, https = free_ports(2)
    tmp_path.joinpath("nginx.conf").write_text(
        f"""
        daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; user root;
        events {{ worker_connections 256; }}
        http {{
            access_log {tmp_path}/access.log;
            client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path}; fastcgi_temp_path {tmp_path};
            uwsgi_temp_path {tmp_path}; scgi_temp_path {tmp_path};
            server {{ listen 127.0.0.1:{http}; root {web}; }}
            server {{
                listen 127.0.0.1:{https} ssl; root {web};
                ssl_certificate {chain}; ssl_certificate_key {key};
            }}
        }}
        """
    )
    command = (program("nginx", "nginx-light"), "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    with daemon(*command, "-e", tmp_path / "error.log", port=https, log=tmp_path / "nginx.log"):
        yield http, https


def read_log(path: Path) -> list[str]:
    """The lines of an access log, which nginx writes a moment after its answers."""
    deadline = time.monotonic() + 10
    while len(lines := path.read_text().splitlines()) < BOARDS and time.monotonic() < deadline:
        time.sleep(0.02)
    return lines


def test_fifty_boards_update_at_once_and_then_cost_one_304_each(
    tmp_path: Path, web: Path, nginx: tuple[int, int], publisher: Publisher, root: pki.Authority
) -> None:
    pem = tmp_path / "root.pem"
    pem.write_bytes(root.pem)
    contents = collect(BuildOptions(sources=["mozilla", str(pem)]))
    release = tmp_path / "roots.rtlt"
    release.write_bytes(publisher.sign(contents.encode(6)))
    publish.write(web, publish.examine(web, release, publisher.certificate))
    old = contents.encode(5)
    boards = [FieldBoard(tmp_path / str(number), publisher, old) for number in range(BOARDS)]

    def update(number: int) -> dict[str, object]:
        board = boards[number]
        scheme, port = ("https", nginx[1]) if number % 2 else ("http", nginx[0])
        context = {"context": {"store": str(board.store), "timeout_ms": 60_000}} if number % 2 else {}
        options = {"updater": {"wait_ms": 60_000}, "heap": "512K", **context}
        return board.run(f"{scheme}://127.0.0.1:{port}/roots.rtlt", **options)

    for outcome, status in (("updated", 200), ("current", 304)):
        (tmp_path / "access.log").write_bytes(b"")
        began = time.monotonic()
        with ThreadPoolExecutor(BOARDS) as pool:
            runs = list(pool.map(update, range(BOARDS)))
        elapsed_s = time.monotonic() - began
        assert [(run["outcome"], run["sequence"]) for run in runs] == [(outcome, 6)] * BOARDS
        slowest = max(int(str(run["elapsed_ms"])) for run in runs)
        print(f"{BOARDS} boards, {len(release.read_bytes())} bytes, {outcome}: {elapsed_s:.1f} s, slowest {slowest} ms")
        log = read_log(tmp_path / "access.log")
        assert len(log) == BOARDS
        assert all(f'" {status} ' in line for line in log)
    described = json.loads((web / "roots.json").read_text())
    assert described["sequence"] == 6
