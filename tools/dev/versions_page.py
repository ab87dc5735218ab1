#!/usr/bin/env python3
"""What works on which version of MicroPython, tried out: the table in docs/notes-versions.md.

    python tools/dev/versions_page.py [--check] [--json]

Every version, once with the library's sources and once compiled, runs tests/versions/device/capabilities.py against
real servers on this machine. The versions are those of tests/support/versions.py (`make versions` fetches them).
`--check` exits with 1 if the page says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from measuring.report import write_block
from measuring.workbench import compile_tree
from rootlet_host.interpreter import find_micropython
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store.anchors import anchor_from_certificate
from rootlet_host.store.builder import build_store
from rootlet_host.store.sources import mozilla_certificates
from support import pki, versions
from support.board import run_device
from support.programs import daemon, free_port, program
from support.servers import answer, http_response, read_request, server_context, tls_server

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "notes-versions.md"
PROGRAM = REPOSITORY / "tests" / "versions" / "device" / "capabilities.py"
FORMS = ("source", "compiled")
HOST = "board.example.org"
KEY = bytes(range(16)).hex()
_ISSUED_AT = 1_700_000_000

Found = dict[str, str]


class Servers:
    """All that the program talks to, made fresh, as a context manager: `request` is what the program is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self.root = pki.make_ca("versions root")
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Servers:
        root, stranger = self.root, pki.make_ca("stranger")
        identity = root.child("issuer").issue(HOST)
        self._tls("modern", identity)
        self._tls("older", identity, maximum=ssl.TLSVersion.TLSv1_2)
        self._tls("new", identity, minimum=ssl.TLSVersion.TLSv1_3)
        self._tls("stranger", stranger.issue(HOST))
        old = pki.now() - pki.days(10)
        self._tls("expired", root.issue(HOST, not_before=old - pki.days(10), not_after=old))
        self._tls("alone", pki.self_signed(HOST))
        packed = gzip.compress(b"hello" * 500)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self._tls("gzip", identity, answer(head % len(packed) + packed))
        self._tls("cut", identity, self._cut)
        demanding = server_context(identity)
        demanding.verify_mode = ssl.CERT_REQUIRED
        demanding.load_verify_locations(cadata=root.pem.decode())
        self.ports["mutual"] = self._stack.enter_context(tls_server(identity, context=demanding)).port
        self._write("ca.pem", root.pem)
        board = root.issue(key="P-256", common_name="board", usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
        self._write("board.pem", board.pem + board.key_pem)
        self._write("server.pem", identity.key_pem + identity.chain_pem)
        key = new_publisher_key()
        publisher = publisher_certificate("publisher", key)
        store = build_store([anchor_from_certificate(root.certificate)], sequence=1, issued_at=_ISSUED_AT)
        self._write("signed.rtlt", sign_store(store, key, publisher))
        self._write("publisher.der", publisher.public_bytes(Encoding.DER))
        other = publisher_certificate("publisher", new_publisher_key())
        self._write("other_publisher.der", other.public_bytes(Encoding.DER))
        anchors = [anchor_from_certificate(each) for each in mozilla_certificates()]
        self._write("mozilla.rtlt", build_store(anchors, sequence=1, issued_at=_ISSUED_AT))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def _cut(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(http_response()[:-2])
        stream.shutdown(socket.SHUT_RDWR)  # without close_notify

    def _write(self, name: str, data: bytes) -> None:
        self.folder.joinpath(name).write_bytes(data)

    def _tls(
        self,
        name: str,
        identity: pki.Issued,
        handler: Any = None,
        minimum: ssl.TLSVersion | None = None,
        maximum: ssl.TLSVersion | None = None,
    ) -> None:
        context = server_context(identity)
        if minimum is not None:
            context.minimum_version = minimum
        if maximum is not None:
            context.maximum_version = maximum
        self.ports[name] = self._stack.enter_context(tls_server(identity, handler, context=context)).port

    @contextlib.contextmanager
    def openssl(self) -> Iterator[dict[str, int]]:
        """Ports of OpenSSL's servers for pre-shared keys and DTLS, new each time: left sessions stay open."""
        pem = str(self.folder / "server.pem")
        certificate = ("-cert", pem, "-key", pem, "-cert_chain", pem)
        shared = ("-nocert", "-psk", KEY, "-psk_identity", "board")
        with contextlib.ExitStack() as stack:
            ports = {}
            for name, kind, options in (
                ("psk", socket.SOCK_STREAM, ("-tls1_2", *shared)),
                ("dtls", socket.SOCK_DGRAM, ("-dtls1_2", *certificate)),
                ("dtls_psk", socket.SOCK_DGRAM, ("-dtls1_2", *shared)),
            ):
                port = ports[name] = free_port(kind)
                command = [program("openssl", "openssl"), "s_server", "-accept", f"127.0.0.1:{port}", *options]
                log = self.folder / f"{name}.log"
                stack.enter_context(daemon(*command, port=None, log=log, ready="ACCEPT", stdin=subprocess.PIPE))
            yield ports

    def request(self, ports: dict[str, int]) -> dict[str, Any]:
        """What the program is told."""
        paths = {
            **{"ca": "ca.pem", "board": "board.pem", "mozilla": "mozilla.rtlt", "signed": "signed.rtlt"},
            **{"publisher": "publisher.der", "other_publisher": "other_publisher.der"},
        }
        named = {name: str(self.folder / path) for name, path in paths.items()}
        return {"host": HOST, "ports": {**self.ports, **ports}, "key": KEY, "folder": str(self.folder), **named}


@contextlib.contextmanager
def bench() -> Iterator[tuple[Servers, dict[str, Path]]]:
    """(servers, library by form)."""
    with tempfile.TemporaryDirectory(prefix="rootlet-versions-") as name:
        folder = Path(name)
        compile_tree(REPOSITORY / "lib" / "rootlet", folder / "lib" / "rootlet")
        with Servers(folder) as servers:
            yield servers, {"source": REPOSITORY / "lib", "compiled": folder / "lib"}


def try_out(servers: Servers, version: str, library: Path) -> Found:
    """What the program finds on one version, with one form of the library."""
    with servers.openssl() as ports:
        output = run_device(
            PROGRAM,
            library=library,
            interpreter=versions.interpreter(version),
            environment={"REQUEST": json.dumps(servers.request(ports))},
            heap="4M",
            timeout_s=90,
        )
    return dict(json.loads(output.strip().splitlines()[-1]))


def name_of(version: str) -> str:
    """A version as the page calls it."""
    if version != versions.CURRENT:
        return version
    code = "import sys; print(*sys.implementation.version)"
    done = subprocess.run([str(find_micropython()), "-c", code], capture_output=True, text=True, check=True)
    numbers, rest = done.stdout.split()[:3], done.stdout.split()[3:]
    return "-".join([".".join(numbers), *rest])


def collect() -> dict[str, dict[str, Found]]:
    """What is found, by version and form."""
    with bench() as (servers, libraries):
        return {
            name_of(version): {form: try_out(servers, version, libraries[form]) for form in FORMS}
            for version in (*versions.OTHERS, versions.CURRENT)
        }


def cell(forms: dict[str, Found], capability: str) -> str:
    """One cell: what both forms say, or what each does."""
    said = {form: found.get(capability, "did not come to it") for form, found in forms.items()}
    words = list(dict.fromkeys(said.values()))
    if len(words) == 1:
        return words[0]
    return ", ".join(f"{form}: {words}" for form, words in said.items())


def table(found: dict[str, dict[str, Found]]) -> str:
    """The table as Markdown."""
    capabilities = list(dict.fromkeys(name for forms in found.values() for each in forms.values() for name in each))
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for name in capabilities:
        lines.append(f"| {name} | " + " | ".join(cell(forms, name) for forms in found.values()) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="What works on which version of MicroPython.")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the page says otherwise")
    parser.add_argument("--json", action="store_true", help="print JSON, change nothing")
    options = parser.parse_args()
    missing = [name for name in versions.OTHERS if not (versions.FOLDER / name / "micropython").is_file()]
    if missing or shutil.which("openssl") is None:
        print("versions_page: run `make versions` and install openssl", file=sys.stderr)
        return 2
    began = time.monotonic()
    found = collect()
    if options.json:
        print(json.dumps(found, indent=2))
    elif options.check:
        if table(found) not in PAGE.read_text("utf-8"):
            print("versions_page: docs/notes-versions.md says otherwise: run it without --check", file=sys.stderr)
            return 1
    else:
        write_block(PAGE, "versions", table(found))
        print(f"{PAGE.relative_to(REPOSITORY)}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
