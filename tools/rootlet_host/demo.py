"""What `rootlet demo` runs: the application on the Unix port, and a server made on the spot."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from .board.folder import FOLDER
from .certs import make_ca, make_server
from .errors import EXIT_INTERRUPTED, HostError, UsageError
from .paths import device_root
from .store.anchors import anchor_from_certificate
from .store.builder import build_store

HOST = "demo.test"  # .test never exists: RFC 6761, 6.2
_GRACE_S = 3.0

# Makes a directory the interpreter's whole file system, as flash is on a board, and starts as a board does.
_LAUNCHER = """
import os, sys, vfs
vfs.umount("/")
vfs.mount(Folder({root!r}), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
for _name in ("boot.py", "main.py"):
    with open(_name) as _file:
        _code = compile(_file.read(), _name, "exec")
    exec(_code)
"""


# The server


@dataclass(frozen=True)
class Pki:
    """A demo CA's trust store (the CA may sign for `HOST` only) and a server's identity below it."""

    store: bytes
    certificate: bytes  # PEM, leaf and intermediate
    key: bytes  # PEM


def make_pki() -> Pki:
    """A root, an intermediate and a server's certificate for `HOST`, all new. Only the server's key is kept."""
    root = make_ca("rootlet demo root CA", path_length=1)
    issuing = make_ca("rootlet demo issuing CA", issuer=root, days=365)
    server = make_server([HOST], issuing, days=90)
    anchor = anchor_from_certificate(root.certificate, suffixes=(HOST,), source="demo")
    store = build_store([anchor], sequence=1, issued_at=anchor.not_before)
    return Pki(store, server.pem + issuing.pem, server.key_pem())


@contextlib.contextmanager
def serve(pki: Pki) -> Iterator[int]:
    """An HTTPS server on loopback, in threads of its own, for as long as the context lasts. Gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="rootlet-demo-") as folder:
        identity = Path(folder) / "identity.pem"
        identity.touch(mode=0o600)
        identity.write_bytes(pki.key + pki.certificate)
        context.load_cert_chain(identity)
    names: dict[ssl.SSLObject | ssl.SSLSocket, str] = {}
    context.sni_callback = lambda stream, name, _: names.__setitem__(stream, name or "none")

    def talk(connection: socket.socket) -> None:
        # A client that goes away is no matter of the server's.
        with contextlib.suppress(OSError), connection:
            connection.settimeout(10)
            with context.wrap_socket(connection, server_side=True) as stream:
                _answer(stream, names.pop(stream, "none"))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _answer(stream: ssl.SSLSocket, name: str) -> None:
    """Answers one request with what this end of the connection saw, so that there is a second witness."""
    request = b""
    while b"\r\n\r\n" not in request and len(request) < 8192:
        more = stream.recv(4096)
        if not more:
            return
        request += more
    cipher = stream.cipher() or ("none", "", 0)
    line = request.split(b"\r\n", 1)[0].decode("ascii", "replace")
    body = (
        "Hello, board. This is what the server saw:\n"
        f"  request      {line}\n"
        f"  server name  {name}\n"
        f"  protocol     {stream.version()}\n"
        f"  cipher       {cipher[0]}\n"
    ).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    stream.sendall(head.encode() + body)
    stream.unwrap()


# The board


def install_application(root: Path) -> None:
    """Copy boot.py, main.py and the device library to `root`, as `rootlet deploy` does to a board."""
    source = device_root()
    try:
        for name in ("boot.py", "main.py"):
            shutil.copyfile(source / name, root / name)
        shutil.copytree(
            source / "lib" / "rootlet", root / "lib" / "rootlet", ignore=shutil.ignore_patterns("__pycache__", "*.pyi")
        )
    except OSError as error:  # that of copytree holds a line for each file, and the others name what was copied
        reason = error.strerror or re.sub(r"^\[Errno \d+\] |: '.*$", "", str(error.args[0][0][2]))
        raise HostError(f"cannot copy rootlet to {root}: {reason}", remedy="make room there, or set TMPDIR") from error


def board_command(program: Path, root: Path) -> list[str]:
    """The command that starts the board whose flash is `root`."""
    return [str(program), "-X", "heapsize=512k", "-c", FOLDER + _LAUNCHER.format(root=str(root))]


def run_board(program: Path, root: Path, interrupts: Interrupts) -> int:
    """Start the board whose flash is `root`; its output is ours. Returns the exit status, negative for a signal.

    Nothing survives this call: an interpreter that does not end by itself on Ctrl-C is killed.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        try:
            with interrupts.held():  # a child that nobody knows of could not be ended
                process = subprocess.Popen(board_command(program, root), stdin=subprocess.DEVNULL)
        except OSError as error:
            raise UsageError(
                f"cannot start {program}: {error.strerror}", remedy="check MICROPYTHON or --interpreter"
            ) from error
        return process.wait()
    except KeyboardInterrupt:
        # A terminal sends Ctrl-C to both; kill(1) perhaps only to us.
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_GRACE_S / 3)
        return EXIT_INTERRUPTED
    finally:
        for number in (signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)):
            if process is not None and process.poll() is None:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_GRACE_S)


class Interrupts:
    """While the context lasts, SIGINT, SIGTERM and SIGHUP end the demo in the same way: one KeyboardInterrupt.

    Further ones are ignored: putting everything away takes a few seconds at most and must not be interrupted.
    """

    def __init__(self) -> None:
        self._held = self._pending = self._raised = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # no SIGHUP on Windows
                if number is not None:
                    self._previous[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._pending = True
        elif not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What comes inside this context is raised at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._pending:
                self._interrupt(0, None)
