"""Runs the jobs of `make memory`: what each needs beside the board, and how its heap is watched and searched for."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "modem"))

from least_heap import completes, least_size
from measuring.workbench import HOST, PACKAGE, REPOSITORY, MeasurementError, Target, Workbench

BUILD = REPOSITORY / "build"
SCRIPT = Path(__file__).with_name("build_micropython32.sh")

FROZEN, COMPILED = "frozen", "mpy"  # rootlet in the firmware, and as files
PYTHON_HEAP, SYSTEM_HEAP = "python", "system"  # where Mbed TLS allocates: as on an STM32, and as on an ESP32
LOW_BYTES = 24 * 1024
LOW_SYSTEM_BYTES = 3 * 1024
HIGH_BYTES = 192 * 1024
STEP_BYTES = 256
# Ample, so that what is watched is what the job wants, not what it gets; but a heap that rootlet takes for a small one.
WATCHED_HEAP_BYTES = 255 * 1024
RUN_LIMIT_S = 60.0
AGAIN_STEP_BYTES = 512
AGAIN_LIMIT_S = 300.0

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: E402
from pty_modem import PtyModem  # noqa: E402
from support import pki  # noqa: E402
from support.programs import serves_udp  # noqa: E402


@dataclass(frozen=True)
class Configuration:
    """One way to use rootlet. `needs`: what has to be there beside the server (see `Bench.around`)."""

    key: str
    title: str
    job: str
    stores: bool = True
    needs: str = ""

    @property
    def bare(self) -> bool:
        """Whether it does without rootlet."""
        return self.job == "job_bare"


CONFIGURATIONS = (
    Configuration("tls", "module `tls` alone, one CA preloaded", "job_bare", stores=False),
    Configuration("one-ca", "one CA (cafile)", "job_connect", stores=False),
    Configuration("store", "full store", "job_connect"),
    Configuration("mtls", "full store, own certificate (mutual TLS)", "job_connect", needs="client"),
    Configuration("http", "full store, `http.get`", "job_http"),
    Configuration("client", "full store, `http.Client`: kept connection, 5 MB to a file", "job_client", needs="keep"),
    Configuration("asyncio", "full store, asyncio", "job_asyncio"),
    Configuration("modem", "full store, AT modem", "job_modem", needs="modem"),
    Configuration("dtls", "full store, DTLS", "job_dtls", needs="datagrams"),
    Configuration("psk", "pre-shared key", "job_psk", stores=False, needs="psk"),
)
# What rootlet.memory.preflight decides by: three connections, because a board does not connect only once.
PREFLIGHT = Configuration("preflight", "full store, three connections after a preflight", "job_preflight")
# Whether a heap that is enough for a few is enough for ever.
AGAIN = Configuration("again", "full store, a hundred connections after a preflight", "job_again")
AGAIN_BYTES = 2048  # that may take so much more at most


@dataclass(frozen=True)
class Phase:
    """A point of a job: live bytes of the heap, Mbed TLS's among them; and the peaks since the point before: of all, of
    what is not Mbed TLS's, and of what is."""

    name: str
    live_bytes: int
    tls_bytes: int
    peak_bytes: int
    python_peak_bytes: int
    tls_peak_bytes: int


@dataclass(frozen=True)
class Result:
    """What one configuration needs with one kind of chain, rootlet being installed in one way (`packaging`).

    `preflight_bytes`: what was free in the Python heap, and what beside Mbed TLS's record buffers, in the least heap.
    `again_heap_bytes`: the heap in which a hundred connections in a row succeeded; 0: not tried.
    """

    chain: str
    configuration: str
    packaging: str
    tls_heap: str
    least_heap_bytes: int
    preflight_bytes: tuple[int, ...] = ()
    again_heap_bytes: int = 0
    phases: list[Phase] = field(default_factory=list)

    @property
    def peak_bytes(self) -> int:
        return max(phase.peak_bytes for phase in self.phases)

    @property
    def python_peak_bytes(self) -> int:
        """What the Python heap has to hold at least where Mbed TLS allocates elsewhere."""
        return max(phase.python_peak_bytes for phase in self.phases)

    @property
    def tls_peak_bytes(self) -> int:
        return max(phase.tls_peak_bytes for phase in self.phases)

    def phase(self, name: str) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)


def build(packaging: str, tls_heap: str = PYTHON_HEAP, *, skip: bool) -> Path:
    """The 32-bit interpreter, with rootlet in it for FROZEN. Built first, unless `skip`.

    Raises MeasurementError, with the build's own words, where it cannot be built.
    """
    folder = "micropython32" + ("-system" if tls_heap == SYSTEM_HEAP else "")
    output = BUILD / (folder + ("-frozen" if packaging == FROZEN else ""))
    interpreter = output / "micropython"
    if not skip:
        environment = {name: value for name, value in os.environ.items() if name != "FROZEN"}
        environment["TLS_HEAP"] = tls_heap
        if packaging == FROZEN:
            environment["FROZEN"] = str(PACKAGE)
        done = subprocess.run(
            [str(SCRIPT), str(output)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise MeasurementError(f"the 32-bit MicroPython cannot be built here: {said[-1] if said else 'no reason'}")
    if not interpreter.exists():
        raise MeasurementError(f"there is no {interpreter}; run without --skip-build")
    return interpreter


class Bench(Workbench):
    """A Workbench with everything that a configuration may need."""

    def __init__(self, key_kinds: Sequence[str]) -> None:
        super().__init__(key_kinds)
        self._ports: dict[tuple[str, str], int] = {}
        self._more = contextlib.ExitStack()
        self._lock = threading.Lock()

    def __enter__(self) -> Bench:
        super().__enter__()
        clients = pki.make_ca("clients' root")
        usage = (ExtendedKeyUsageOID.CLIENT_AUTH,)
        board = clients.issue(key="P-256", common_name="board", usage=usage)
        self._clients = self.folder / "clients.pem"
        self._clients.write_bytes(clients.pem)
        self._board_cert = self.folder / "board.der"
        self._board_cert.write_bytes(board.der)
        self._board_key = self.folder / "board-key.der"
        form = PrivateFormat.TraditionalOpenSSL
        self._board_key.write_bytes(board.key.private_bytes(Encoding.DER, form, NoEncryption()))
        self._psk = secrets.token_hex(16)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._more.close()
        super().__exit__(*exception)

    def _port(self, program: str, chain: str, *arguments: str) -> int:
        """Of a server for this chain, which is started when it is first needed."""
        with self._lock:
            if (program, chain) not in self._ports:
                server = self._server(self.identities[chain], program.partition(" ")[0], *arguments)
                self._ports[program, chain] = self._more.enter_context(server)
            return self._ports[program, chain]

    @contextlib.contextmanager
    def around(self, configuration: Configuration, target: Target) -> Iterator[tuple[int, dict[str, str]]]:
        """What one run needs: (port of the server, environment)."""
        chain = target.key_kind
        if configuration.needs == "client":
            port = self._port("server.py clients", chain, str(self._clients))
            yield port, {"CLIENT_CERT": str(self._board_cert), "CLIENT_KEY": str(self._board_key)}
        elif configuration.needs == "keep":
            port = self._port("keep_alive_server.py", chain)
            yield port, {"DOWNLOAD": str(self.folder / f"download-{threading.get_ident()}")}
        elif configuration.needs == "modem":
            with PtyModem({HOST: "127.0.0.1"}) as modem:
                yield target.port, {"UART": modem.path}
        elif configuration.needs == "datagrams":
            with self._datagram_server(chain) as port:
                yield port, {}
        elif configuration.needs == "psk":
            with self._psk_server() as port:
                yield port, {"PSK": self._psk}
        else:
            yield target.port, {}

    @contextlib.contextmanager
    def _datagram_server(self, chain: str) -> Iterator[int]:
        pem, key = self.identities[chain].write(self.folder, f"datagrams-{chain}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        command = ["gnutls-serv", "--udp", "--echo", "-p", str(port), "--disable-client-cert"]
        with _daemon([*command, "--x509certfile", str(pem), "--x509keyfile", str(key)]):
            _wait_for(lambda: serves_udp(port), "gnutls-serv")
            yield port

    @contextlib.contextmanager
    def _psk_server(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2", "-nocert", "-quiet", "-www"]
        with _daemon([*command, "-psk", self._psk, "-cipher", "ECDHE-PSK:PSK"]):
            _wait_for(lambda: _answers(port), "openssl s_server")
            yield port

    def command(
        self, configuration: Configuration, target: Target, port: int, interpreter: Path, heap_bytes: int, action: str
    ) -> list[str]:
        words = [str(interpreter), "-X", f"heapsize={heap_bytes}", "-m", "run_job", configuration.job, action]
        words += [HOST, str(port), str(target.ca)]
        return words + ([str(self.mozilla), str(self.site)] if configuration.stores else [])

    def environment_for(self, packaging: str, *further: Path) -> dict[str, str]:
        """With a MICROPYPATH of the programs, rootlet and `further` folders."""
        library = [] if packaging == FROZEN else [self.library]
        return {**os.environ, "MICROPYPATH": ":".join([str(self.programs), *map(str, (*library, *further)), ".frozen"])}

    def watch(
        self, configuration: Configuration, target: Target, interpreter: Path, environment: dict[str, str]
    ) -> list[Phase]:
        """Run the job once in an ample heap that module heap_peak looks at."""
        with self.around(configuration, target) as (port, more):
            watched = subprocess.run(
                self.command(configuration, target, port, interpreter, WATCHED_HEAP_BYTES, "watch"),
                capture_output=True,
                text=True,
                timeout=180,
                env={**environment, **more},
                check=False,
            )
        if watched.returncode:
            raise MeasurementError(f"{configuration.key} failed: {(watched.stdout + watched.stderr).strip()[-500:]}")
        return [Phase(*values) for values in json.loads(watched.stdout.strip().splitlines()[-1])]

    def least(
        self,
        configuration: Configuration,
        target: Target,
        interpreter: Path,
        environment: dict[str, str],
        low: int,
        guess: int | None = None,
    ) -> tuple[int, str]:
        """The least heap, `low` bytes or more, that the job completes with; and what it said there."""
        said: dict[int, str] = {}

        def works(heap_bytes: int) -> tuple[bool, str]:
            with self.around(configuration, target) as (port, more):
                command = self.command(configuration, target, port, interpreter, heap_bytes, "complete")
                worked, said[heap_bytes] = completes(command, RUN_LIMIT_S, {**environment, **more})
                return worked, said[heap_bytes]

        found = least_size(works, low, HIGH_BYTES, STEP_BYTES, guess=guess)
        return found, said[found]

    def measure(
        self,
        configuration: Configuration,
        target: Target,
        packaging: str,
        tls_heap: str,
        interpreter: Path,
        guess: int | None = None,
    ) -> Result:
        """Watch the job, then search for its least heap, beginning with `guess`."""
        environment = self.environment_for(packaging)
        phases = self.watch(configuration, target, interpreter, environment)
        low = LOW_BYTES if tls_heap == PYTHON_HEAP else LOW_SYSTEM_BYTES
        least, said = self.least(configuration, target, interpreter, environment, low, guess)
        free = tuple(map(int, said.split())) if configuration is PREFLIGHT else ()
        return Result(
            target.key_kind, configuration.key, packaging, tls_heap, least, preflight_bytes=free, phases=phases
        )

    def again(self, result: Result, target: Target, interpreter: Path) -> Result:
        """`result` with the heap, not smaller than its least, in which a hundred connections in a row succeed."""
        environment = self.environment_for(result.packaging)
        for heap_bytes in range(result.least_heap_bytes, HIGH_BYTES, AGAIN_STEP_BYTES):
            command = self.command(AGAIN, target, target.port, interpreter, heap_bytes, "complete")
            if completes(command, AGAIN_LIMIT_S, environment)[0]:
                return replace(result, again_heap_bytes=heap_bytes)
        raise MeasurementError("a hundred connections in a row do not succeed")


def missing(configuration: Configuration, interpreter: Path) -> str | None:
    """Why this configuration cannot be measured here, or None."""
    test, reason = {
        "dtls": ("import tls; tls.PROTOCOL_DTLS_CLIENT", "the MicroPython that was built has no DTLS"),
        "psk": (
            "import tls; tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).psk_key = None",
            "the MicroPython that was built has no pre-shared keys; they came after 1.28",
        ),
    }.get(configuration.key, ("", ""))
    done = subprocess.run([str(interpreter), "-c", test], capture_output=True, check=False)
    return reason if done.returncode else None


@contextlib.contextmanager
def _daemon(command: list[str]) -> Iterator[None]:
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise MeasurementError(f"{command[0]} is not installed (Debian: {_PACKAGES[command[0]]})") from error
    try:
        yield
    finally:
        process.kill()
        process.communicate()


_PACKAGES = {"gnutls-serv": "gnutls-bin", "openssl": "openssl"}


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait_for(condition: Any, who: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementError(f"{who} does not start")
        time.sleep(0.02)
