"""Whatever the transport raises, at whichever of its calls: what was open is closed at once."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.http_server import Reply, https_site
from support.servers import Server, http_response

SCRIPT = Path(__file__).parent / "scripts" / "faulty_transport.py"
EXPECTED = {"interrupt": "KeyboardInterrupt", "memory": "MemoryError", "broken": "OSError"}
Fail = Callable[..., dict[str, Any]]


@pytest.fixture
def fail(root: pki.Authority, cafile: Path, tmp_path: Path) -> Fail:
    def run(what: str, error: str, **request: Any) -> dict[str, Any]:
        def serve_plainly(connection: Any) -> None:
            connection.recv(4096)
            connection.sendall(http_response())

        identity = pki.self_signed(HOST) if what == "tofu" else root.issue(HOST)
        # To upgrade a connection again is up to the program: with TLS 1.3 the first one fails.
        maximum = ssl.TLSVersion.TLSv1_2 if what == "upgrade" else None
        with (
            https_site(identity, lambda _: Reply(body=os.urandom(300)), maximum) as site,
            Server(serve_plainly) as plain,
        ):
            request = {
                "what": what,
                "error": error,
                "url": f"https://{HOST}:{site.port}/",
                "plain": f"http://{HOST}:{plain.port}/",
                "port": site.port,
                "cafile": str(cafile),
                "folder": str(tmp_path),
                **request,
            }
            output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)})
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert found["last"] == "nothing"
        return found

    return run


@pytest.mark.parametrize("error", EXPECTED)
@pytest.mark.parametrize("what", ["get", "client", "plain client", "asyncio", "connect", "upgrade", "tofu", "update"])
def test_what_the_transport_raises_leaves_nothing_open(what: str, error: str, fail: Fail) -> None:
    found = fail(what, error)
    raised = set(found["raised"])
    # Over plain HTTP a short answer may be there as a whole with its first line.
    assert {"write", "setblocking"} <= raised and raised & {"readinto", "readline"}
    assert found["left"] == []
    assert set(found["ends"]) <= {EXPECTED[error], "TLSError", "nothing"}
    if error == "interrupt":
        # Nothing may swallow it, but what ends a connection that is not needed any more.
        ends = [end for end, call in zip(found["ends"], found["raised"], strict=True) if end == "nothing"]
        assert len(ends) <= 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_never_answers_is_a_deadline_error_in_asyncio_too(scheme: str, fail: Fail) -> None:
    found = fail("unreachable", "broken", url=f"{scheme}://{HOST}/")
    assert found["report"] == "DeadlineError"
