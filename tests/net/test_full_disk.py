"""A file that does not fit says so, takes no room from others, and leaves nothing open."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.http_server import Reply, Request, https_site

SCRIPT = Path(__file__).parent / "scripts" / "full_disk.py"


@pytest.mark.parametrize("volume", ["VfsLfs2", "VfsFat"])
def test_what_does_not_fit_leaves_the_disk_to_what_does(volume: str, root: pki.Authority, cafile: Path) -> None:
    def application(request: Request) -> Reply:
        return Reply(body=os.urandom(60_000) if request.target == "/big" else b"small", headers={"ETag": '"1"'})

    with https_site(root.issue("127.0.0.1", HOST), application) as site:
        request = {"url": f"https://{HOST}:{site.port}", "cafile": str(cafile), "volume": volume}
        output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)})
    report = json.loads(output.splitlines()[-1])
    room = "there is no room for /disk/{}. Remove other files."
    assert report["attempts"] == 2 * [
        ["TLSError", room.format("file")],
        ["TLSError", room.format("other")],
        [None, 5],
    ]
    assert report["files"] == ["small"]
    assert report["open"] == 0
