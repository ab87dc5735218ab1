"""The command `rootlet demo`: the application on the Unix port, against a server made on the spot or a real one."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
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
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .board.folder import FOLDER
from .errors import EXIT_INTERRUPTED, HostError, UsageError
from .files import write_atomic
from .interpreter import find_micropython
from .output import out, say
from .paths import device_root
from .store.anchors import anchor_from_certificate
from .store.builder import BuildOptions, Contents, build_store, collect, read_store, release
from .store.format import Store
from .store.manifest import manifest, manifest_path, write_manifest

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


def demo(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Fetch this https URL from the Internet, trusting Mozilla's roots only. Default: a server made here.",
            show_default=False,
        ),
    ] = None,
    interpreter: Annotated[
        Path | None,
        typer.Option(
            metavar="PROGRAM",
            help="The MicroPython to run. Default: $MICROPYTHON, else the one installed with rootlet.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=604_800, help="Repeat until Ctrl-C. 0: once.")
    ] = 0,
) -> None:
    """Run the application as on a board: boot.py, then main.py, a verified GET, a report."""
    if url is not None:
        check_url(url)
    program = _program(interpreter) if interpreter is not None else find_micropython()
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-demo-")))
        job: dict[str, Any] = {"url": url, "period_s": every}
        stores = ["/certs/roots.rtlt"]
        install_application(root)
        certs = root / "certs"
        certs.mkdir()
        contents = collect(BuildOptions())
        certs.joinpath("roots.rtlt").write_bytes(_roots(contents))
        if url is None:
            pki = make_pki()
            certs.joinpath("site.rtlt").write_bytes(pki.store)
            stores.append("/certs/site.rtlt")
            port = stack.enter_context(serve(pki))
            job.update(url=f"https://{HOST}:{port}/", address="127.0.0.1")
            _tell("server", f"{job['url']} on 127.0.0.1; its CA was made just now, for the board's /certs/site.rtlt")
        config = {"stores": stores, "job": job}
        root.joinpath("rootlet.json").write_text(json.dumps(config, separators=(",", ":")), encoding="utf-8")
        _tell("board", f"{_short(program)} runs boot.py, then main.py")
        say()
        status = run_board(program, root, interrupts)
    if status and url is not None and status != EXIT_INTERRUPTED:
        hint = _why_not(url)
        if hint:
            raise HostError(hint, remedy="go online, or run it without --url: that needs no network")
    if status < 0:
        raise HostError(f"{program} was ended by {_signal_name(-status)}", remedy="please report this with its output")
    raise typer.Exit(status)


def check_url(url: str) -> None:
    """Refuse what the board would refuse, before anything is started."""
    try:
        parts = urlsplit(url)
        good = parts.scheme.lower() == "https" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"cannot fetch {url!r}", remedy="give https://host[:port]/path")


def _program(path: Path) -> Path:
    found = shutil.which(str(path))
    if found is None:
        raise UsageError(f"{path} is not a program", remedy="give the path of a MicroPython Unix port")
    return Path(found)


def _short(path: Path) -> str:
    """`path` as seen from here, if it lies below."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _tell(what: str, text: str) -> None:
    out.print(f"[bold]{what:<8}[/bold]", end="")
    say(text)


# The trust store


def _roots(contents: Contents) -> bytes:
    """The full Mozilla store: the one in `certs/`, which is built or renewed first unless it is the user's own."""
    folder = Path("certs")
    if not (folder.is_dir() or Path("lib/rootlet").is_dir()):  # not a repository: nothing to keep
        return contents.encode(1)
    target = folder / "roots.rtlt"
    foreign = _foreign(target, contents) if target.exists() else ""
    if foreign:
        data = contents.encode(1)
        _tell("store", f"{target} {foreign}: left as it is, the demo uses a fresh one")
        return data
    folder.mkdir(exist_ok=True)
    made = release(contents, target)
    write_atomic(target, made.data)
    write_manifest(manifest_path(target), manifest(made.data, made.store, contents.anchors))
    count = len(made.store.anchors)
    _tell("store", f"{target}: {count} roots of Mozilla in {len(made.data)} bytes ({made.state})")
    return made.data


def _foreign(target: Path, contents: Contents) -> str:
    """Why the store at `target` must not be replaced, or "" if it is an earlier build of the same."""
    try:
        _, store = read_store(target)
    except HostError as error:
        return f"cannot be used ({error.message.removeprefix(f'{target}: ')}; rebuild it with `rootlet store build`)"
    if _is_plain_mozilla(store, contents):
        return ""
    return "holds something else than all of Mozilla's roots"


def _is_plain_mozilla(store: Store, contents: Contents) -> bool:
    """Whether `store` is what `contents` is, now or in an earlier release of Mozilla's list.

    A list changes by a few roots at a time; a store with far fewer was filtered on purpose.
    """
    known = {(anchor.index_key, anchor.key) for anchor in contents.anchors}
    kept = sum((anchor.index_key, anchor.key) in known for anchor in store.anchors)
    same_list = 10 * kept >= 9 * max(len(known), len(store.anchors))
    limits = any(anchor.dns_suffixes for anchor in store.anchors)
    if store.blocked or store.publisher is not None or store.header.not_used_after or limits or not same_list:
        return False
    if store.header.issued_at == contents.issued_at:
        return set(store.anchors) == set(contents.anchors)
    return store.header.issued_at < contents.issued_at


# The server


@dataclass(frozen=True)
class Pki:
    """A demo CA's trust store (the CA may sign for `HOST` only) and a server's identity below it."""

    store: bytes
    certificate: bytes  # PEM, leaf and intermediate
    key: bytes  # PEM


def make_pki() -> Pki:
    """A root, an intermediate and a server's certificate for `HOST`, all new. Only the server's key is kept."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    root_key, issuing_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root_name, issuing_name = (_name(f"rootlet demo {kind} CA") for kind in ("root", "issuing"))

    def issue(
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        signer: ec.EllipticCurvePrivateKey,
        days: int,
    ) -> x509.Certificate:
        ca = subject in (root_name, issuing_name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        return builder.add_extension(usage, critical=True).sign(signer, hashes.SHA256())

    root = issue(root_name, root_key, root_name, root_key, 365)
    issuing = issue(issuing_name, issuing_key, root_name, root_key, 365)
    server = issue(_name(HOST), server_key, issuing_name, issuing_key, 90)
    anchor = anchor_from_certificate(root, suffixes=(HOST,), source="demo")
    return Pki(
        build_store([anchor], sequence=1, issued_at=anchor.not_before),
        b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (server, issuing)),
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


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
    for name in ("boot.py", "main.py"):
        shutil.copyfile(source / name, root / name)
    shutil.copytree(
        source / "lib" / "rootlet", root / "lib" / "rootlet", ignore=shutil.ignore_patterns("__pycache__", "*.pyi")
    )


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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _why_not(url: str) -> str:
    """What keeps this computer from reaching the URL's server, "" if nothing does: then the board said why."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        socket.create_connection((host, parts.port or 443), timeout=5).close()
    except socket.gaierror:
        text = f"this computer cannot resolve {host} either"
    except OSError as error:
        text = f"this computer cannot reach {host} either ({error.strerror or error})"
    else:
        return ""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        text += "; it may only do so through its proxy, which boards do not use"
    return text
