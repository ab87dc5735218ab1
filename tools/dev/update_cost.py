#!/usr/bin/env python3
"""Measures what an update of the full store costs a board: time, heap, code. Prints the table of docs/updates.md.

Runs on the Unix port and, if it was built (make micropython32), on the 32-bit build whose Mbed TLS allocates from the
Python heap as on a board.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring.workbench import PACKAGE, REPOSITORY, compile_tree
from rootlet_host.interpreter import find_micropython
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import BuildOptions, collect
from support.servers import Server, http_response

PROGRAM = Path(__file__).with_name("measuring") / "device" / "update_store.py"
MICROPYTHON32 = REPOSITORY / "build" / "micropython32" / "micropython"


def main() -> int:
    interpreters = {"Unix port, 64 bits": Path(find_micropython())}
    if MICROPYTHON32.exists():
        interpreters["32 bits, Mbed TLS on the Python heap"] = MICROPYTHON32
    else:
        print("build/micropython32 is missing: run make micropython32 for the heap", file=sys.stderr)
    for name, interpreter in interpreters.items():
        print_row(name, run(interpreter), run(interpreter, "heap"))
        if interpreter == MICROPYTHON32:
            print(f"  least heap for an update: {least_heap(interpreter)} KB")
    return 0


def least_heap(interpreter: Path) -> int:
    """The smallest heap, in steps of 4 KB, on which an update succeeds three times in a row."""
    kilobytes = 256
    while all(run(interpreter, heap=f"{kilobytes - 4}K") for _ in range(3)):
        kilobytes -= 4
    return kilobytes


def run(interpreter: Path, *what: str, heap: str = "512K") -> dict[str, dict[str, float]]:
    key = new_publisher_key()
    publisher = publisher_certificate("publisher", key)
    contents = collect(BuildOptions())
    new = sign_store(contents.encode(2), key, publisher)

    def serve(connection: object) -> None:
        connection.recv(4096)  # type: ignore[attr-defined]
        connection.sendall(http_response(new))  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as folder, Server(serve) as server:
        library = Path(folder) / "lib"
        compile_tree(PACKAGE, library / "rootlet")
        certs = Path(folder) / "certs"
        certs.mkdir()
        certs.joinpath("roots.rtlt").write_bytes(sign_store(contents.encode(1), key, publisher))
        from cryptography.hazmat.primitives.serialization import Encoding

        certs.joinpath("publisher.der").write_bytes(publisher.public_bytes(Encoding.DER))
        url = f"http://127.0.0.1:{server.port}/roots.rtlt"
        done = subprocess.run(
            [str(interpreter), "-X", f"heapsize={heap}", str(PROGRAM), str(certs / "roots.rtlt"), url, *what],
            env={**os.environ, "MICROPYPATH": f"{library}:.frozen"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    if done.returncode and heap != "512K":
        return {}
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    result: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    result["store"] = {"bytes": len(new)}
    return result


def print_row(name: str, result: dict[str, dict[str, float]], heap: dict[str, dict[str, float]]) -> None:
    signature, update = result["signature"], result["update"]
    print(f"{name}:")
    print(f"  signature check: {signature['ms']:.0f} ms")
    print(f"  update of {result['store']['bytes']:.0f} bytes over plain HTTP: {update['ms']:.0f} ms")
    signature, update = heap["signature"], heap["update"]
    if "peak_bytes" in update:
        for what, cost in (("the check", signature), ("the update", update)):
            print(f"  peak heap of {what}: {cost['peak_bytes']} bytes, {cost['tls_peak_bytes']} of them Mbed TLS's")
    print(f"  code and objects that stay: {result['resident_bytes']} bytes")


if __name__ == "__main__":
    sys.exit(main())
