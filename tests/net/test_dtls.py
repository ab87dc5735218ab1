"""TLS on datagrams, against OpenSSL, GnuTLS and libcoap, on good lines and bad ones."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.datagrams import DROP, LATE, PASS, TWICE, BadLine
from support.programs import daemon, faketime_library, free_port, program, wait_for_udp

pytestmark = pytest.mark.servers

WAYS = pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
PROGRAM = Path(__file__).parent / "scripts" / "dtls.py"
KEY = b"0123456789abcdef"  # coap-server takes text
PSK = ["board", {"hex": KEY.hex()}]
HELLO = [b"hello\n".hex(), b"again\n".hex()]

Talk = Callable[..., dict[str, Any]]
Serve = Callable[..., contextlib.AbstractContextManager[int]]


@pytest.fixture(scope="module")
def faketime() -> str:
    return faketime_library()


@pytest.fixture(scope="module")
def talk(root: pki.Authority, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """Lets the board exchange datagrams with `port`. Whatever happens, no socket may stay open."""
    cafile = tmp_path_factory.mktemp("trust") / "ca.pem"
    cafile.write_bytes(root.pem)

    def run(port: int, *, environment: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
        request = {
            "host": HOST,
            "port": port,
            "context": {"cafile": str(cafile)},
            "say": HELLO,
            "timeout_ms": 8000,
            **request,
        }
        output = run_device(
            PROGRAM,
            environment={"REQUEST": json.dumps(request), **(environment or {})},
            timeout_s=30,
        )
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["stayed_open"] == 0, "a socket stayed open"
        if result["kind"] is not None:
            assert result["message"] and result["remedy"]
        return result

    return run


@pytest.fixture(scope="module")
def identity(root: pki.Authority) -> pki.Issued:
    return root.child("issuer").issue(HOST)


@pytest.fixture(scope="module")
def gnutls(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """GnuTLS's server, which sends every datagram back."""

    @contextlib.contextmanager
    def start(identity: pki.Issued | None, *options: str, environment: dict[str, str] | None = None) -> Iterator[int]:
        server = program("gnutls-serv", "gnutls-bin")
        folder = tmp_path_factory.mktemp("gnutls")
        port = free_port(socket.SOCK_DGRAM)
        command = [server, "--udp", "--echo", "-p", str(port), "--disable-client-cert", *options]
        if identity is not None:
            chain, key = identity.write(folder, "server")
            command += ["--x509certfile", str(chain), "--x509keyfile", str(key)]
        env = {**os.environ, **(environment or {})}
        # Its output is complete only at its end, so whether it runs is asked of the port.
        with daemon(*command, port=None, log=folder / "log", env=env):
            wait_for_udp(port)
            yield port

    return start


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """OpenSSL's server, which says nothing of itself."""

    @contextlib.contextmanager
    def start(identity: pki.Issued | None, *options: str, environment: dict[str, str] | None = None) -> Iterator[int]:
        server = program("openssl", "openssl")
        folder = tmp_path_factory.mktemp("openssl")
        port = free_port(socket.SOCK_DGRAM)
        command = [server, "s_server", "-dtls1_2", "-accept", f"127.0.0.1:{port}", "-quiet", *options]
        if identity is not None:
            chain, key = identity.write(folder, "server")
            command += ["-cert", str(chain), "-cert_chain", str(chain), "-key", str(key)]
        env = {**os.environ, **(environment or {})}
        with daemon(*command, port=None, log=folder / "log", stdin=subprocess.PIPE, env=env):
            wait_for_udp(port)
            yield port

    return start


@WAYS
@pytest.mark.every_version
def test_datagrams_come_back_as_they_were_sent(
    asynchronous: bool, identity: pki.Issued, gnutls: Serve, talk: Talk
) -> None:
    with gnutls(identity) as port:
        result = talk(port, asynchronous=asynchronous)
    assert result["kind"] is None, result
    assert result["cipher"][1] == "DTLSv1.2" and "-ECDHE-ECDSA-" in result["cipher"][0]
    assert result["anchors"] == 1
    assert result["certificate"] == identity.der.hex()
    assert result["heard"] == HELLO


@pytest.mark.every_version
@pytest.mark.parametrize("mtu", [256, 700])
def test_certificate_message_in_pieces_is_read(mtu: int, root: pki.Authority, openssl: Serve, talk: Talk) -> None:
    identity = root.child("outer").child("inner").issue(HOST, key="RSA-2048")
    with openssl(identity, "-mtu", str(mtu)) as port, BadLine(port) as line:
        result = talk(line.port, wait_ms=1)
    assert result["kind"] is None, result
    assert result["anchors"] == 1
    assert max(line.sizes) <= mtu and len(line.sizes) > 2000 // mtu


@WAYS
@pytest.mark.parametrize(
    ("case", "kind"),
    [("wrong host", "HostnameError"), ("expired", "ExpiredError"), ("stranger", "UnknownIssuerError")],
)
def test_bad_chain_is_refused_in_words(
    case: str, kind: str, asynchronous: bool, root: pki.Authority, openssl: Serve, talk: Talk
) -> None:
    bad = {
        "wrong host": lambda: root.issue("other.example.org"),
        "expired": lambda: root.issue(HOST, not_after=pki.now() - pki.days(0.5)),
        "stranger": lambda: pki.make_ca("stranger").issue(HOST),
    }[case]()
    with openssl(bad) as port:
        result = talk(port, asynchronous=asynchronous)
    assert result["kind"] == kind, result


@WAYS
def test_silence_meets_the_deadline_and_nobody_is_a_refusal(asynchronous: bool, talk: Talk) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = talk(silent.getsockname()[1], timeout_ms=400, asynchronous=asynchronous)
        assert result["kind"] == "DeadlineError" and 390 <= result["elapsed_ms"] < 1500
        assert result["beats"] > 100 or not asynchronous, "the loop stood still"
    result = talk(free_port(socket.SOCK_DGRAM), timeout_ms=2000, asynchronous=asynchronous)
    assert result["kind"] == "ConnectError"


def test_cancelled_handshakes_leave_no_socket_and_no_memory(identity: pki.Issued, openssl: Serve, talk: Talk) -> None:
    with openssl(identity) as port:
        result = talk(port, asynchronous=True, steps=24)
    assert result["finished"] < 2 * 24
    assert result["after"] - result["before"] <= 1024


def test_the_largest_datagram_fits_into_the_mtu_and_one_byte_more_is_refused(
    identity: pki.Issued, openssl: Serve, talk: Talk
) -> None:
    mtu, headers, most = 600, 40 + 8, 515  # of IPv6 and UDP: 127.0.0.1 has shorter ones
    with openssl(identity, "-cipher", "ECDHE+AESGCM") as port, BadLine(port) as line:
        assert talk(line.port, mtu=mtu, say=[bytes(most).hex()], wait_ms=1)["kind"] is None
    assert max(line.client_sizes) + headers == mtu
    with openssl(identity) as port:
        result = talk(port, mtu=mtu, say=[bytes(most + 1).hex()], wait_ms=1)
    assert result["kind"] == "ConfigError" and f"{most + 1} bytes" in result["message"]


@WAYS
@pytest.mark.needs("psk")
def test_pre_shared_key_is_enough_for_openssl(asynchronous: bool, openssl: Serve, talk: Talk) -> None:
    options = ("-psk", KEY.hex(), "-nocert")
    with openssl(None, *options) as port:
        result = talk(port, context={"psk": PSK}, wait_ms=1, asynchronous=asynchronous)
    assert result["kind"] is None, result
    assert "-PSK-" in result["cipher"][0] and result["certificate"] is False
    with openssl(None, *options) as port:
        wrong = talk(port, context={"psk": ["board", {"hex": "00" * 16}]}, timeout_ms=1500, asynchronous=asynchronous)
    assert wrong["kind"] == "DeadlineError" and "pre-shared key" in wrong["remedy"], wrong


def test_board_shows_its_own_certificate(
    identity: pki.Issued, root: pki.Authority, openssl: Serve, talk: Talk, tmp_path: Path
) -> None:
    clients = pki.make_ca("clients' root")
    board = clients.issue(common_name="board", usage=None)
    (tmp_path / "clients.pem").write_bytes(clients.pem)
    context = {"cadata": {"hex": root.pem.hex()}}
    own = {"client_cert": {"hex": board.pem.hex()}, "client_key": {"hex": board.key_pem.hex()}}
    demand = ("-Verify", "1", "-verify_return_error", "-CAfile", str(tmp_path / "clients.pem"))
    with openssl(identity, *demand) as port:
        assert talk(port, context={**context, **own}, wait_ms=1)["kind"] is None
    with openssl(identity, *demand) as port:
        result = talk(port, context=context, wait_ms=1)
    assert result["kind"] == "AlertError" and "demands a client certificate" in result["message"], result


@pytest.mark.needs("psk")
def test_coap_server_answers_a_get(talk: Talk, tmp_path: Path) -> None:
    server = program("coap-server-openssl", "libcoap3-bin")
    port = free_port(socket.SOCK_DGRAM)  # of plain CoAP; DTLS takes the next
    # CON GET /.well-known/core, message 1: RFC 7252, 3; options 11 (Uri-Path) twice.
    request = b"\x40\x01\x00\x01\xbb.well-known\x04core"
    with daemon(server, "-A", "127.0.0.1", "-p", str(port), "-k", KEY.decode(), port=None, log=tmp_path / "log"):
        wait_for_udp(port + 1)
        result = talk(port + 1, context={"psk": PSK}, say=[request.hex()])
    assert result["kind"] is None, result
    answer = bytes.fromhex(result["heard"][0])
    assert answer[:4] == b"\x60\x45\x00\x01", "an acknowledgement with 2.05 Content"
    assert b"</time>" in answer


def fast(faketime: str) -> dict[str, str]:
    """An environment in which a second takes a twentieth of one: repeats after 1, 2, 4 s come soon."""
    return {"LD_PRELOAD": faketime, "FAKETIME": "+0 x20"}


def check_bad_line(
    gnutls: Serve,
    talk: Talk,
    identity: pki.Issued,
    faketime: str,
    to_server: list[str],
    to_client: list[str],
    asynchronous: bool = False,
) -> None:
    environment = fast(faketime)
    request = {"timeout_ms": 120_000, "tries": 20, "wait_ms": 4000, "asynchronous": asynchronous}
    with gnutls(identity, environment=environment) as port, BadLine(port, to_server, to_client) as line:
        result = talk(line.port, environment=environment, **request)
    assert result["kind"] is None, result
    assert result["anchors"] == 1
    # Answers may be those to a datagram that was said before.
    assert all(heard in HELLO for heard in result["heard"]), result


@WAYS
@pytest.mark.parametrize("seed", range(6))
def test_line_that_loses_three_of_ten_datagrams_is_endured(
    seed: int, asynchronous: bool, identity: pki.Issued, gnutls: Serve, talk: Talk, faketime: str
) -> None:
    dice = random.Random(seed)
    fates = [[DROP if dice.random() < 0.3 else PASS for _ in range(400)] for _ in range(2)]
    check_bad_line(gnutls, talk, identity, faketime, *fates, asynchronous)


@pytest.mark.parametrize("seed", range(4))
def test_certificate_message_in_pieces_is_read_however_they_come(
    seed: int, root: pki.Authority, openssl: Serve, talk: Talk, faketime: str
) -> None:
    dice = random.Random(seed)
    fates = [[dice.choice([PASS, PASS, PASS, TWICE, LATE, LATE, DROP]) for _ in range(60)] for _ in range(2)]
    identity = root.child("outer").child("inner").issue(HOST)
    environment = fast(faketime)
    with openssl(identity, "-mtu", "256", environment=environment) as port, BadLine(port, *fates) as line:
        result = talk(line.port, environment=environment, timeout_ms=120_000, wait_ms=1)
    assert result["kind"] is None and result["anchors"] == 1, result


FATES = st.lists(st.sampled_from([PASS, DROP, TWICE, LATE]), max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(to_server=FATES, to_client=FATES, asynchronous=st.booleans())
def test_loss_repetition_and_disorder_end_in_a_verified_connection(
    to_server: list[str],
    to_client: list[str],
    asynchronous: bool,
    identity: pki.Issued,
    gnutls: Serve,
    talk: Talk,
    faketime: str,
) -> None:
    check_bad_line(gnutls, talk, identity, faketime, to_server, to_client, asynchronous)
