"""rootlet.http.AsyncClient among other tasks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from support import pki
from support.attempt import HOST
from support.board import run_device
from support.http_server import Raw, Reply, Request, https_site

SCRIPT = Path(__file__).with_name("scripts") / "http_client_tasks.py"


def application(request: Request) -> Reply | Raw:
    if request.target == "/silent":
        return Raw(b"", "silence")
    if request.target == "/drip":
        return Raw(drip())
    return Reply(body=request.target.encode())


def drip() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    while True:
        time.sleep(0.02)
        yield b"x"


def test_cancelled_tasks_leave_nothing_open_and_tasks_side_by_side_keep_apart(
    root: pki.Authority, cafile: Path
) -> None:
    with https_site(root.issue(HOST), application) as site:
        request = {"url": f"https://{HOST}:{site.port}", "cafile": str(cafile)}
        report = json.loads(run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}).splitlines()[-1])
    assert report["cancelled"] == 5
    assert report["left"] == 0
    assert report["left_by_workers"] == 0
    assert sorted(report["texts"]) == [f"/{name}-{i}" for name in "abcd" for i in range(5)]
