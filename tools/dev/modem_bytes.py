#!/usr/bin/env python3
"""How many bytes one verified request costs on the UART of a modem, and how long a UART takes for them.

    python tools/dev/modem_bytes.py [--docs]

The board is MicroPython's Unix port behind the emulated SIM800 of tests/modem; the server has a chain as the web's are,
two certificates of ECDSA P-256 and P-384 below an RSA root. With --docs, writes the table of docs/modem.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "modem"))

from measuring.report import markdown_table, write_block
from pty_modem import PtyModem
from support import pki
from support.board import run_device_json
from support.servers import answer, http_response, tls_server

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "board.example.org"
BODIES = (100, 10_000)
BUFFERS = (256, 512, 1460)
BIT_RATE = 115_200
BITS_PER_BYTE = 10  # start bit, eight bits, stop bit


def measure(rx_bytes: int, body: int) -> tuple[int, int]:
    """Bytes on the UART and on TCP for one connection and request, the modem being up already."""
    root = pki.make_ca("ISRG Root X1", key="RSA-4096")
    identity = root.child("E7", key="P-384").issue(HOST)
    program = REPOSITORY / "tests" / "modem" / "scripts" / "fetch.py"
    with (
        tempfile.TemporaryDirectory() as folder,
        tls_server(identity, answer(http_response(bytes(body)))) as server,
    ):
        cafile = Path(folder) / "ca.pem"
        cafile.write_bytes(root.pem)
        counts = []
        # The same twice, with one and with two requests: the difference is one request.
        for repeat in (1, 2):
            with PtyModem({HOST: "127.0.0.1"}) as modem:
                request = {"pty": modem.path, "cafile": str(cafile), "host": HOST, "port": server.port}
                result = run_device_json(program, {**request, "rx_bytes": rx_bytes, "repeat": repeat})
            if len(result["bodies"]) != repeat or any(len(text) != body for text in result["bodies"]):
                raise SystemExit(f"the request failed: {result}")
            core = modem.modem
            counts.append((modem.to_board + modem.from_board, core.payload_in + core.payload_out))
    return counts[1][0] - counts[0][0], counts[1][1] - counts[0][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write the table of docs/modem.md")
    arguments = parser.parse_args()
    rows = []
    for body in BODIES:
        for rx_bytes in BUFFERS:
            uart, tcp = measure(rx_bytes, body)
            seconds = uart * BITS_PER_BYTE / BIT_RATE
            rows.append(
                (
                    f"{body:,}",
                    f"{rx_bytes:,}",
                    f"{tcp:,}",
                    f"{uart:,}",
                    f"{100 * (uart - tcp) / tcp:.0f} %",
                    f"{seconds:.2f} s",
                )
            )
    table = markdown_table(
        ("body, bytes", "`rx_bytes`", "bytes on TCP", "bytes on the UART", "more", "time at 115,200 bit/s"), rows
    )
    print(table)
    if arguments.docs:
        write_block(REPOSITORY / "docs" / "modem.md", "bytes", table)


if __name__ == "__main__":
    main()
