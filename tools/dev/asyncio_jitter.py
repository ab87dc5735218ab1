"""How long asyncio's loop stands still while connections are made, against one handshake on its own.

    python tools/dev/asyncio_jitter.py [--at-once 1 3 10] [--rounds 10]

A heartbeat task sleeps 1 ms again and again; what its naps take longer is printed. Server and board share this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

from support import pki  # noqa: E402
from support.attempt import HOST  # noqa: E402
from support.board import run_device  # noqa: E402
from support.servers import tls_server  # noqa: E402

PROGRAM = REPOSITORY / "tests" / "net" / "scripts" / "aio.py"


def measure(kind: str, at_once: int, rounds: int) -> dict[str, float]:
    """Milliseconds: `handshake_ms` on its own, `longest_ms` and `median_ms` gap of the heartbeat."""
    root = pki.make_ca("root", key=kind)
    identity = root.child("issuer", key=kind).issue(HOST, key=kind)
    with tempfile.TemporaryDirectory() as folder, tls_server(identity, lambda stream: None) as server:
        cafile = Path(folder) / "ca.pem"
        cafile.write_bytes(root.pem)
        request = {
            "job": "jitter",
            "ports": [server.port],
            "cafile": str(cafile),
            "host": HOST,
            "at_once": at_once,
            "rounds": rounds,
        }
        output = run_device(PROGRAM, environment={"REQUEST": json.dumps(request)})
    results: dict[str, float] = json.loads(output.splitlines()[-1])["results"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 3, 10], help="connections made at once")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(f"{'keys':10}{'at once':>8}{'handshake alone':>18}{'longest gap':>14}{'median gap':>13}")
    for kind in ("P-256", "RSA-2048"):
        for at_once in options.at_once:
            got = measure(kind, at_once, options.rounds)
            print(
                f"{kind:10}{at_once:8}{got['handshake_ms']:15.1f} ms"
                f"{got['longest_ms']:11.1f} ms{got['median_ms']:10.2f} ms"
            )


if __name__ == "__main__":
    main()
