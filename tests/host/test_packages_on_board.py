"""Each package as a user installs it: mpremote mip, from an index on this machine, onto a board that has nothing.

Then what was installed makes the connection that the package is for, and refuses the one that it must refuse.
"""

from __future__ import annotations

import functools
import http.server
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import anchor_from_certificate, build_store
from support import pki
from support.attempt import HOST
from support.board import run_device_json
from support.programs import openssl_server
from support.servers import server_context, tls_server

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / "dev"), str(REPOSITORY / "tests" / "modem")]

import packages as tool  # noqa: E402
from pty_modem import PtyModem  # noqa: E402

MPREMOTE = Path(sysconfig.get_path("scripts")) / "mpremote"
PACKAGES = tool.Packages.load()


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def web(folder: Path, identity: pki.Issued | None = None) -> Iterator[int]:
    """A web server of a folder, with TLS if it has an identity: its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        if identity is not None:
            server.socket = server_context(identity).wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Bench:
    """A board with a folder as flash, and an index to install from."""

    board: VirtualBoard
    flash: Path
    index: str
    root: pki.Authority

    def mpremote(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [str(MPREMOTE), "connect", self.board.port, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *names: str, options: tuple[str, ...] = ()) -> None:
        self.mpremote("mip", "install", "--index", self.index, *options, *names)

    def installed(self) -> set[str]:
        """Modules of rootlet on the flash, whether as source or compiled."""
        there = (self.flash / "lib" / "rootlet").rglob("*.*")
        names = {".".join(path.relative_to(self.flash / "lib" / "rootlet").with_suffix("").parts) for path in there}
        return {name.removesuffix(".__init__") for name in names}

    def run(self, program: str, **values: Any) -> str:
        """What a program prints. In it CA and HOST are given, and `refused` says how an attempt ends."""
        before = (
            f"CA = {self.root.der!r}\nHOST = {HOST!r}\n"
            "def refused(attempt, *arguments, **options):\n"
            "    try:\n"
            "        made = attempt(*arguments, **options)\n"
            "        if hasattr(made, 'close'):\n"
            "            made.close()\n"
            "    except OSError as error:\n"
            "        return type(error).__name__\n"
            "import rootlet\n"
        )
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        return self.mpremote("exec", before + given + program).replace("\r\n", "\n").strip()


@pytest.fixture(scope="module")
def root() -> pki.Authority:
    return pki.make_ca("packages root")


@pytest.fixture(scope="module")
def stranger() -> pki.Authority:
    return pki.make_ca("stranger")


@pytest.fixture(scope="module")
def index_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "mip"
    tool.build_index(PACKAGES, folder)
    return folder


@pytest.fixture(scope="module")
def index(index_folder: Path) -> Iterator[str]:
    with web(index_folder) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bench(make_virtual_board: Callable[..., VirtualBoard], index: str, root: pki.Authority, tmp_path: Path) -> Bench:
    flash = tmp_path / "flash"
    flash.mkdir()
    return Bench(make_virtual_board(directory=flash, heap="1M"), flash, index, root)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_installs_what_it_needs_and_nothing_else_and_all_of_it_can_be_imported(
    name: str, bench: Bench
) -> None:
    bench.install(PACKAGES[name].installed_as)
    assert bench.installed() == PACKAGES.modules(name)
    assert {path.suffix for path in (bench.flash / "lib").rglob("*.*")} == {".mpy"}
    names = sorted("rootlet." + module for module in PACKAGES.modules(name) if module != "__init__")
    assert bench.run("for name in NAMES:\n    __import__(name)\nprint('imported')", NAMES=names) == "imported"


GET = """
context = rootlet.Context(cadata=CA)
with rootlet.connect(HOST, PORT, context, address='127.0.0.1') as c:
    c.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
    print(c.read()[-5:])
print(refused(rootlet.connect, 'other.example.org', PORT, context, address='127.0.0.1'))
print(refused(rootlet.connect, HOST, FOREIGN, context, address='127.0.0.1'))
"""


@pytest.mark.parametrize("options", [(), ("--no-mpy",)])
def test_the_core_connects_and_refuses_and_explains(
    options: tuple[str, ...], bench: Bench, root: pki.Authority, stranger: pki.Authority
) -> None:
    bench.install("rootlet", options=options)
    suffixes = {path.suffix for path in (bench.flash / "lib").rglob("*.*")}
    assert suffixes == ({".py"} if options else {".mpy"})
    with tls_server(root.issue(HOST)) as server, tls_server(stranger.issue(HOST)) as foreign:
        said = bench.run(GET, PORT=server.port, FOREIGN=foreign.port)
    assert said.split("\n") == ["b'hello'", "HostnameError", "UnknownIssuerError"]


def test_a_list_beside_the_sources_brings_the_package_without_an_index(
    bench: Bench, root: pki.Authority, stranger: pki.Authority
) -> None:
    with web(REPOSITORY) as port:
        bench.mpremote("mip", "install", f"http://127.0.0.1:{port}/lib/rootlet-starttls.json")
    assert bench.installed() == PACKAGES.modules("starttls")
    with tls_server(root.issue(HOST)) as server, tls_server(stranger.issue(HOST)) as foreign:
        said = bench.run(GET, PORT=server.port, FOREIGN=foreign.port)
    assert said.split("\n") == ["b'hello'", "HostnameError", "UnknownIssuerError"]


def test_an_https_index_is_verified_by_mpremote(
    bench: Bench, index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From Python 3.13 on clients want the key identifiers that RFC 5280, 4.2.1.1 and 4.2.1.2, demands of CAs.
    key = pki.make_key("P-256")
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    root = pki.make_ca(key=key, extensions=[(subject, False)])
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(cafile))
    with web(index_folder, root.issue("localhost", extensions=[(authority, False)])) as port:
        bench.index = f"https://localhost:{port}"
        bench.install("rootlet-memory")
    assert bench.installed() == PACKAGES.modules("memory")


def test_what_is_not_installed_is_named_when_somebody_asks_for_it(bench: Bench) -> None:
    bench.install("rootlet")
    said = bench.run(
        "for options in ({'policy': 'webpki'}, {'pins': ['x']}, {'client_cert': b''}, {'psk': (1, 2)}):\n"
        "    try:\n"
        "        rootlet.Context(cadata=None if 'psk' in options else CA, **options)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
        "for name in ('open_connection', 'upgrade'):\n"
        "    try:\n"
        "        getattr(rootlet, name)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    missing = ("webpki", "pins", "identity", "psk", "aio", "starttls")
    assert len(said.split("\n")) == len(missing), said
    for line, name in zip(said.split("\n"), missing, strict=True):
        assert name in line


def test_webpki_refuses_a_root_that_breaks_its_rules(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-webpki")
    with tls_server(root.issue(HOST)) as server:
        said = bench.run(
            "rootlet.connect(HOST, PORT, rootlet.Context(cadata=CA), address='127.0.0.1').close()\n"
            "print(refused(rootlet.Context, cadata=CA, policy='webpki'))\n",
            PORT=server.port,
        )
    assert said == "ConfigError"  # its root has no subject key identifier


def test_identity_shows_the_board_to_the_server(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-identity")
    board = root.issue(key="P-256", common_name="board", usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    context = server_context(root.issue(HOST))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=root.pem.decode())
    with tls_server(root.issue(HOST), context=context) as server:
        said = bench.run(
            "context = rootlet.Context(cadata=CA, client_cert=BOARD, client_key=BOARD)\n"
            "with rootlet.connect(HOST, PORT, context, address='127.0.0.1') as c:\n"
            "    c.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
            "    print(c.read()[-5:])\n"
            "print(refused(rootlet.connect, HOST, PORT, rootlet.Context(cadata=CA), address='127.0.0.1'))\n",
            PORT=server.port,
            BOARD=board.pem + board.key_pem,
        )
    assert said.split("\n") == ["b'hello'", "AlertError"]


@pytest.mark.servers
def test_psk_connects_with_its_key_and_with_no_other(bench: Bench, tmp_path: Path) -> None:
    bench.install("rootlet-psk")
    key = bytes(range(16))
    options = ("-nocert", "-tls1_2", "-www", "-psk", key.hex(), "-psk_identity", "board")
    with openssl_server(tmp_path, *options) as (port, _):
        said = bench.run(
            "for key in (KEY, bytes(16)):\n"
            "    context = rootlet.Context(psk=('board', key))\n"
            "    print(refused(rootlet.connect, HOST, PORT, context, address='127.0.0.1'))\n",
            PORT=port,
            KEY=key,
        )
    assert said.split("\n") == ["None", "AlertError"]


def test_pins_and_trust_on_first_use(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-pins")
    alone = pki.self_signed(HOST)
    with tls_server(root.issue(HOST)) as server, tls_server(alone) as first:
        said = bench.run(
            "context = rootlet.Context(cadata=CA, pins=['sha256//' + 'A' * 43 + '=', 'sha256//' + 'A' * 42 + 'E='])\n"
            "print(refused(rootlet.connect, HOST, PORT, context, address='127.0.0.1'))\n"
            "from rootlet import tofu\n"
            "arguments = ('server.der', HOST, FIRST)\n"
            "print(refused(tofu.context, *arguments, confirm=lambda shown: False, address='127.0.0.1'))\n"
            "context = tofu.context(*arguments, confirm=lambda shown: HOST in shown['names'], address='127.0.0.1')\n"
            "print(refused(rootlet.connect, HOST, FIRST, context, address='127.0.0.1'))\n",
            PORT=server.port,
            FIRST=first.port,
        )
    assert said.split("\n") == ["PinError", "CertificateError", "None"]
    assert (bench.flash / "server.der").read_bytes() == alone.der


def test_trace_tells_of_certificates_and_the_verdict(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-trace")
    with tls_server(root.issue(HOST)) as server:
        said = bench.run(
            "from rootlet.trace import Trace\n"
            "events = []\n"
            "context = rootlet.Context(cadata=CA, trace=Trace(3, sink=events.append))\n"
            "rootlet.connect(HOST, PORT, context, address='127.0.0.1').close()\n"
            "print(*[event['event'] for event in events])\n",
            PORT=server.port,
        )
    assert {"certificate", "verdict"} <= set(said.split())


def test_starttls_upgrades_a_socket(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-starttls")
    with tls_server(root.issue(HOST)) as server:
        said = bench.run(
            "import socket\n"
            "sock = socket.socket()\n"
            "sock.connect(socket.getaddrinfo('127.0.0.1', PORT)[0][-1])\n"
            "with rootlet.upgrade(sock, HOST, rootlet.Context(cadata=CA)) as c:\n"
            "    print(c.cipher()[1])\n",
            PORT=server.port,
        )
    assert said == "TLSv1.2"


def test_asyncio_connects_and_reads(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-asyncio")
    with tls_server(root.issue(HOST)) as server:
        said = bench.run(
            "import asyncio\n"
            "async def main():\n"
            "    context = rootlet.Context(cadata=CA)\n"
            "    reader, writer = await rootlet.open_connection(HOST, PORT, context, address='127.0.0.1')\n"
            "    writer.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
            "    await writer.drain()\n"
            "    print((await reader.read(-1))[-5:])\n"
            "asyncio.run(main())\n",
            PORT=server.port,
        )
    assert said == "b'hello'"


CLIENT = """
from rootlet import http
context = rootlet.Context(cadata=CA)
with http.Client(context, address='127.0.0.1') as client:
    with client.get('https://%s:%d/' % (HOST, PORT)) as response:
        print(response.status, response.read())
    print(refused(client.get, 'https://%s:%d/' % (HOST, FOREIGN)))
"""

ASYNC_CLIENT = """
import asyncio
from rootlet import http
async def main():
    context = rootlet.Context(cadata=CA)
    async with http.AsyncClient(context, address='127.0.0.1') as client:
        response = await client.get('https://%s:%d/' % (HOST, PORT))
        print(response.status, await response.read())
        try:
            await client.get('https://%s:%d/' % (HOST, FOREIGN))
        except OSError as error:
            print(type(error).__name__)
asyncio.run(main())
"""


@pytest.mark.parametrize(("name", "program"), [("http", CLIENT), ("http-asyncio", ASYNC_CLIENT)])
def test_http_clients_get_what_is_verified_and_refuse_the_rest(
    name: str, program: str, bench: Bench, root: pki.Authority, stranger: pki.Authority
) -> None:
    bench.install(PACKAGES[name].installed_as)
    with tls_server(root.issue(HOST)) as server, tls_server(stranger.issue(HOST)) as foreign:
        said = bench.run(program, PORT=server.port, FOREIGN=foreign.port)
    assert said.split("\n") == ["200 b'hello'", "UnknownIssuerError"]


def test_compat_makes_the_boards_own_mip_install_verified(
    bench: Bench, index_folder: Path, root: pki.Authority, stranger: pki.Authority
) -> None:
    """The board installs the rest of rootlet by itself, over https, and refuses an index that it cannot verify."""
    bench.install("rootlet-compat")
    with (
        web(index_folder, root.issue("localhost")) as port,
        web(index_folder, stranger.issue("localhost")) as foreign,
    ):
        said = bench.run(
            "import rootlet.compat, mip\n"
            "rootlet.compat.install(rootlet.Context(cadata=CA))\n"
            "print(refused(mip.install, 'rootlet-psk', index='https://localhost:%d' % FOREIGN))\n"
            "mip.install('rootlet-modem', index='https://localhost:%d' % PORT)\n"
            "import rootlet.modem\n",
            PORT=port,
            FOREIGN=foreign,
        )
    assert "UnknownIssuerError" in said
    assert bench.installed() == PACKAGES.modules("compat") | PACKAGES.modules("modem")


def test_modem_connects_through_its_driver(bench: Bench, root: pki.Authority, tmp_path: Path) -> None:
    """The board's files run outside it, where the modem's terminal can be opened."""
    bench.install("rootlet-modem")
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)
    with tls_server(root.issue(HOST)) as server, PtyModem({HOST: "127.0.0.1"}) as modem:
        result = run_device_json(
            REPOSITORY / "tests" / "modem" / "scripts" / "fetch.py",
            {"pty": modem.path, "cafile": str(cafile), "host": HOST, "port": server.port},
            library=bench.flash / "lib",
        )
    assert result["bodies"] == ["hello"]


@pytest.mark.servers
def test_dtls_sends_a_datagram(bench: Bench, root: pki.Authority, tmp_path: Path) -> None:
    bench.install("rootlet-dtls")
    identity = root.issue(HOST)
    chain = tmp_path / "server.pem"
    chain.write_bytes(identity.key_pem + identity.chain_pem)
    with openssl_server(tmp_path, "-dtls1_2", "-cert", chain, "-key", chain) as (port, running):
        said = bench.run(
            "from rootlet import dtls\n"
            "with dtls.connect(HOST, PORT, rootlet.Context(cadata=CA), address='127.0.0.1') as c:\n"
            "    c.send(b'by datagram\\n')\n"
            "    print(c.cipher()[1])\n",
            PORT=port,
        )
        deadline = time.monotonic() + 10
        while "by datagram" not in running.log:
            assert time.monotonic() < deadline, running.log
            time.sleep(0.01)
    assert "1.2" in said


def test_updates_are_fetched_checked_and_put_in_force(bench: Bench, root: pki.Authority, tmp_path: Path) -> None:
    bench.install("rootlet-updates")
    key = new_publisher_key()
    publisher = publisher_certificate("publisher", key)
    anchors = [anchor_from_certificate(root.certificate)]
    stores = [
        build_store(anchors, sequence=5, issued_at=1_700_000_000, publisher=publisher.public_bytes(Encoding.DER)),
        sign_store(build_store(anchors, sequence=6, issued_at=1_700_000_000), key, publisher),
    ]
    (bench.flash / "certs").mkdir()
    (bench.flash / "certs" / "roots.rtlt").write_bytes(stores[0])
    site = tmp_path / "site"
    site.mkdir()
    (site / "roots.rtlt").write_bytes(stores[1])
    with web(site, root.issue("localhost")) as port:
        said = bench.run(
            "from rootlet.slots import Slots\n"
            "from rootlet.updater import Updater\n"
            "context = rootlet.Context(store='/certs/roots.rtlt')\n"
            "updater = Updater(Slots('/certs/roots.rtlt'), 'https://localhost:%d/roots.rtlt' % PORT, context)\n"
            "updater.run()\n"
            "print(updater.outcome, updater.error, updater.slots.current().sequence)\n",
            PORT=port,
        )
    assert said == "updated None 6"


def test_app_is_what_main_py_needs(bench: Bench, root: pki.Authority) -> None:
    bench.install("rootlet-app")
    for name in ("boot.py", "main.py"):
        (bench.flash / name).write_bytes((REPOSITORY / name).read_bytes())
    (bench.flash / "certs").mkdir()
    anchors = [anchor_from_certificate(root.certificate)]
    (bench.flash / "certs" / "roots.rtlt").write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000))
    with tls_server(root.issue(HOST)) as server:
        job = f'{{"job": {{"url": "https://{HOST}:{server.port}/", "address": "127.0.0.1"}}}}'
        (bench.flash / "rootlet.json").write_text(job)
        said = bench.mpremote("exec", "exec(open('/main.py').read())")
    assert "200 OK" in said and "hello" in said


def test_doctor_and_memory_examine_the_board(bench: Bench) -> None:
    bench.install("rootlet-doctor", "rootlet-memory")
    said = bench.run(
        "from rootlet import memory, selftest\nprint(selftest.features()[0], sorted(memory.preflight())[0])\n"
    )
    assert said == "ok free_bytes"


def test_time_says_dates(bench: Bench) -> None:
    bench.install("rootlet-time")
    said = bench.run("from rootlet import timekeeping\nprint(timekeeping.utc(0))")
    assert said == "1970-01-01 00:00:00 UTC"
