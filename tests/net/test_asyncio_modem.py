"""rootlet.open_connection through a modem: the transport is all that changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import answer, http_response, tls_server

MODEM = Path(__file__).resolve().parents[1] / "modem"
sys.path.insert(0, str(MODEM))

from pty_modem import PtyModem  # noqa: E402

PROGRAM = Path(__file__).parent / "scripts" / "aio_modem.py"


def test_verified_connections_at_once_through_a_modem(root: pki.Authority, cafile: Path) -> None:
    body = "x" * 3000
    with (
        tls_server(root.child("issuer").issue(HOST), answer(http_response(body.encode()))) as server,
        PtyModem({HOST: "127.0.0.1"}) as modem,
    ):
        request = {
            "pty": modem.path,
            "host": HOST,
            "port": server.port,
            "cafile": str(cafile),
            "count": 3,
            "modules": str(MODEM / "scripts"),
        }
        output = run_device(PROGRAM, environment={"REQUEST": json.dumps(request)}, timeout_s=60)
    report = json.loads(output.splitlines()[-1])
    assert report["bodies"][:3] == [body] * 3, report
    assert report["bodies"][3] == "ConnectError"
    assert report["left"] == 0, "a connection of the modem stayed open"
