"""Everything that a measurement stands on, made fresh: compiled device code, trust stores, certificates, servers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGE = REPOSITORY / "lib" / "rootlet"
DEVICE_PROGRAMS = Path(__file__).with_name("device")
HOST = "board.example.org"
KEY_KINDS = ("P-256", "RSA-2048")

sys.path.insert(0, str(REPOSITORY / "tests"))
sys.path.insert(0, str(REPOSITORY / "tools"))

from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402
from rootlet_host.bytecode import compile_module  # noqa: E402
from rootlet_host.errors import HostError  # noqa: E402
from rootlet_host.store.anchors import anchor_from_certificate  # noqa: E402
from rootlet_host.store.builder import build_store  # noqa: E402
from rootlet_host.store.sources import mozilla_certificates  # noqa: E402
from support import pki  # noqa: E402

_ISSUED_AT = 1_700_000_000


class MeasurementError(RuntimeError):
    """A measurement could not be made; the text says why."""


def compile_tree(source: Path, target: Path) -> dict[str, int]:
    """Compile every .py file below `source` to .mpy below `target`; returns bytes by module, dotted below `source`.

    The result is what lies on a board after `rootlet deploy`, byte for byte.
    """
    sizes: dict[str, int] = {}
    for path in sorted(source.rglob("*.py")):
        relative = path.relative_to(source)
        output = (target / relative).with_suffix(".mpy")
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            sizes[".".join(relative.with_suffix("").parts)] = output.write_bytes(
                compile_module(path, path.relative_to(source.parent).as_posix())
            )
        except HostError as error:
            raise MeasurementError(str(error)) from error
    return sizes


def code_digest() -> str:
    """SHA-256 over the device package: which code a measurement is of."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Target:
    """One server: where it listens, and the DER file of the CA that a bare client has to preload."""

    key_kind: str
    port: int
    ca: Path


class Workbench:
    """A folder with `lib/rootlet` (compiled), `mozilla.rtlt`, `site.rtlt`, the device programs as .mpy, and one running
    server for each kind of key. The chain of a server is root - intermediate - server; it sends the last two.
    """

    SERVER = "server.py"

    def __init__(self, key_kinds: Sequence[str] = KEY_KINDS) -> None:
        self._key_kinds = key_kinds
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Workbench:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-bench-")))
            self.library = self.folder / "lib"
            self.module_bytes = compile_tree(PACKAGE, self.library / "rootlet")
            self.programs = self.folder / "programs"
            compile_tree(DEVICE_PROGRAMS, self.programs)
            roots = mozilla_certificates()
            self.root_count = len(roots)
            self.mozilla = self._store("mozilla.rtlt", roots)
            site_roots = []
            self.targets: list[Target] = []
            self.identities: dict[str, pki.Issued] = {}
            for kind in self._key_kinds:
                root = pki.make_ca(f"{kind} root", key=kind)
                site_roots.append(root.certificate)
                identity = root.child(f"{kind} intermediate", key=kind).issue(HOST, key=kind)
                self.identities[kind] = identity
                ca = self.folder / f"{kind}.der"
                ca.write_bytes(root.certificate.public_bytes(Encoding.DER))
                self.targets.append(Target(kind, stack.enter_context(self._server(identity)), ca))
            self.site = self._store("site.rtlt", site_roots)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _store(self, name: str, roots: Sequence[Any]) -> Path:
        path = self.folder / name
        anchors = [anchor_from_certificate(root) for root in roots]
        path.write_bytes(build_store(anchors, sequence=1, issued_at=_ISSUED_AT))
        return path

    @contextlib.contextmanager
    def _server(self, identity: pki.Issued, program: str | None = None, *arguments: str) -> Iterator[int]:
        """Runs a server `program` of this folder with the key and chain of `identity`; gives its port."""
        pem = self.folder / "identity.pem"
        pem.write_bytes(identity.key_pem + identity.chain_pem)
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program or self.SERVER)), str(pem), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:  # cannot be, with pipes; for the type checker
            raise MeasurementError("the server has no pipes")
        try:
            line = stdout.readline()
            if not line.strip().isdigit():
                raise MeasurementError("the server did not start")
            yield int(line)
        finally:
            stdin.close()
            process.wait(10)
            stdout.close()

    def environment(self, *library: Path) -> dict[str, str]:
        """For a MicroPython that shall find the device programs and rootlet (in `library`, default: compiled)."""
        folders = [self.programs, *(library or (self.library,))]
        return {**os.environ, "MICROPYPATH": ":".join([*map(str, folders), ".frozen"])}

    def request(self, target: Target, **further: Any) -> dict[str, Any]:
        """What every device program has to know."""
        return {
            "host": HOST,
            "port": target.port,
            "ca": str(target.ca),
            "stores": [str(self.mozilla), str(self.site)],
            **further,
        }

    def run(
        self,
        interpreter: Path,
        program: str,
        request: dict[str, Any],
        *,
        heap: str = "4M",
        prefix: Sequence[str] = (),
        timeout_s: float = 120,
    ) -> tuple[Any, str]:
        """Run a device program; returns the JSON of its last line and what it wrote to standard error."""
        command = [*prefix, str(interpreter), "-X", f"heapsize={heap}", "-m", program, json.dumps(request)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment(), timeout=timeout_s, check=False
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            raise MeasurementError(f"{program} failed: {(done.stdout + done.stderr).strip()[-500:]}")
        return json.loads(lines[-1]), done.stderr
