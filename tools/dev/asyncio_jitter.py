"""How long asyncio's loop stands still while connections are made, against one handshake on its own.

    python tools/dev/asyncio_jitter.py [--docs] [--at-once 1 3 10] [--rounds 10] [--runs 10]

A task sleeps 1 ms again and again; what its naps take longer are the gaps. Server and board share this machine, and
what else runs on it only makes times longer: of several runs, the least of each figure is reported. With --docs, the
table is written into docs/connections.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / "dev"), str(REPOSITORY / "tests")]

from measuring.report import markdown_table, write_block  # noqa: E402
from support import pki  # noqa: E402
from support.attempt import HOST  # noqa: E402
from support.board import run_device  # noqa: E402
from support.servers import tls_server  # noqa: E402

PROGRAM = REPOSITORY / "tests" / "net" / "scripts" / "aio.py"
HEADS = ("keys", "connections at once", "handshake alone", "longest gap", "median gap")


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
    parser.add_argument("--docs", action="store_true", help="write the table into docs/connections.md")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 3, 10], help="connections made at once")
    parser.add_argument("--rounds", type=int, default=10, help="how often they are made in one run")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    rows = []
    for kind in ("P-256", "RSA-2048"):
        runs = {
            at_once: [measure(kind, at_once, options.rounds) for _ in range(options.runs)]
            for at_once in options.at_once
        }
        handshake = min(run["handshake_ms"] for several in runs.values() for run in several)
        for at_once, several in runs.items():
            longest, median = (min(run[name] for run in several) for name in ("longest_ms", "median_ms"))
            rows.append((kind, at_once, f"{handshake:.1f} ms", f"{longest:.1f} ms", f"{median:.2f} ms"))
    table = markdown_table(HEADS, rows)
    print(table)
    if options.docs:
        write_block(REPOSITORY / "docs" / "connections.md", "jitter", table)


if __name__ == "__main__":
    main()
