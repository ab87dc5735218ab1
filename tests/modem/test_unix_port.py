"""MicroPython's Unix port behind an emulated modem on a pseudo-terminal: real TLS over real TCP, in real time."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from pty_modem import PtyModem
from support import pki
from support.board import run_device_json
from support.firmware import Firmware
from support.programs import mosquitto
from support.servers import Server, answer, http_response, tls_server

pytestmark = pytest.mark.usefixtures("firmware")

SCRIPTS = Path(__file__).with_name("scripts")
HOST = "board.example.org"
NAMES = {HOST: "127.0.0.1"}


@pytest.fixture(scope="module")
def root() -> pki.Authority:
    return pki.make_ca("modem test root")


@pytest.fixture
def cafile(root: pki.Authority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    return path


def fetch(modem: PtyModem, cafile: Path, port: int, **request: Any) -> Any:
    return run_device_json(
        SCRIPTS / "fetch.py",
        {"pty": modem.path, "cafile": str(cafile), "host": HOST, "port": port, **request},
    )


def body(size: int) -> bytes:
    return bytes(33 + n * 7 % 90 for n in range(size))


@pytest.mark.every_version
def test_a_verified_request_through_the_modem(root: pki.Authority, cafile: Path, firmware: Firmware) -> None:
    with tls_server(root.issue(HOST)) as server, PtyModem(NAMES) as modem:
        result = fetch(modem, cafile, server.port)
    assert result["bodies"] == ["hello"]
    assert result["cipher"][1] == ("TLSv1.3" if firmware.has("tls1.3") else "TLSv1.2")
    assert result["address"] == "10.64.0.7"
    assert result["signal"] == -77
    assert (result["sent"], result["received"]) == (modem.from_board, modem.to_board)


@pytest.mark.parametrize("rx_bytes", [64, 1460])
def test_a_long_chain_and_a_long_body(rx_bytes: int, root: pki.Authority, cafile: Path) -> None:
    issuer = root.child("R3", key="RSA-2048").child("E7", key="P-384")
    with (
        tls_server(issuer.issue(HOST), answer(http_response(body(40_000)))) as server,
        PtyModem(NAMES) as modem,
    ):
        result = fetch(modem, cafile, server.port, rx_bytes=rx_bytes)
    assert result["bodies"] == [body(40_000).decode()]


def test_unsolicited_lines_and_slow_delivery_change_nothing(root: pki.Authority, cafile: Path) -> None:
    faults: list[Any] = [("command", n, "urc", text) for n in range(3, 80, 2) for text in ("RING", '+CMTI: "SM",1')]
    faults += [("out", n, "pause", 3) for n in range(5, 6000, 61)]
    with (
        tls_server(root.issue(HOST), answer(http_response(body(3000)))) as server,
        PtyModem(NAMES, faults, answer_ms=20) as modem,
    ):
        result = fetch(modem, cafile, server.port)
    assert result["bodies"] == [body(3000).decode()]


def test_several_requests_one_after_the_other(root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue(HOST)) as server, PtyModem(NAMES, sim_pin="1234") as modem:
        result = fetch(modem, cafile, server.port, repeat=8, pin="1234")
        deadline = time.monotonic() + 5
        while any(link.state == "CONNECTED" for link in modem.modem.links.values()):
            assert time.monotonic() < deadline, "a connection stayed open in the modem"
            time.sleep(0.01)
    assert result["bodies"] == ["hello"] * 8


def test_a_server_of_an_unknown_ca_is_refused(cafile: Path) -> None:
    with tls_server(pki.make_ca("another root").issue(HOST)) as server, PtyModem(NAMES) as modem:
        result = fetch(modem, cafile, server.port)
    assert result["bodies"] == []
    assert result["error"] == "UnknownIssuerError"


def test_a_server_with_another_name_is_refused(root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue("other.example.org")) as server, PtyModem(NAMES) as modem:
        result = fetch(modem, cafile, server.port)
    assert result["bodies"] == []
    assert "other.example.org" in result["words"] or HOST in result["words"]


@pytest.mark.parametrize("what", ["drop", "flip"])
@pytest.mark.parametrize("where", [1200, 1700, 2600, 4000])
def test_damage_on_the_uart_never_makes_a_wrong_body(what: str, where: int, root: pki.Authority, cafile: Path) -> None:
    handler = answer(http_response(body(4000)))
    faults: list[Any] = [("out", where, what, 1)]
    with tls_server(root.issue(HOST), handler) as server, PtyModem(NAMES, faults) as modem:
        result = fetch(modem, cafile, server.port, timeout_ms=1500)
        assert modem.modem.counts["out"] >= where, "the fault was not reached"
    if "error" in result:
        assert result["bodies"] == []
        assert result["words"]
    else:  # a result code was hit that says nothing new
        assert result["bodies"] == [body(4000).decode()]


def test_a_reset_of_the_modem_ends_the_connection_in_words(root: pki.Authority, cafile: Path) -> None:
    handler = answer(http_response(body(4000)))
    faults: list[Any] = [("command", 25, "reset", None)]
    with tls_server(root.issue(HOST), handler) as server, PtyModem(NAMES, faults) as modem:
        result = fetch(modem, cafile, server.port)
    assert result["bodies"] == []
    assert result["error"] == "ConnectError"


def test_what_the_sim_wants_is_said(root: pki.Authority, cafile: Path) -> None:
    with PtyModem(NAMES, sim="SIM PUK") as modem:
        result = fetch(modem, cafile, 443)
        again = fetch(modem, cafile, 443, up=False)
    assert result["error"] == "ModemError"
    assert again["error"] == "ConnectError"
    for words in (result["words"], again["words"]):
        assert "asks for its PUK" in words


def test_connect_brings_the_modem_up_by_itself(root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue(HOST)) as server, PtyModem(NAMES) as modem:
        assert fetch(modem, cafile, server.port, up=False)["bodies"] == ["hello"]


@pytest.mark.servers
def test_mqtt_over_tls_with_mosquitto(root: pki.Authority, cafile: Path, tmp_path: Path) -> None:
    message = "21.5 °C " * 4
    certificate, key = root.issue(HOST).write(tmp_path, "server")
    with mosquitto(tmp_path, f"certfile {certificate}", f"keyfile {key}") as (port, _), PtyModem(NAMES) as modem:
        result = run_device_json(
            SCRIPTS / "mqtt.py",
            {"pty": modem.path, "cafile": str(cafile), "host": HOST, "port": port, "message": message, "count": 5},
        )
    assert result["back"] == [message * 50] * 5


def test_connections_in_asyncio_keep_apart_and_do_not_block_the_loop() -> None:
    def echo(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            connection.sendall(data)

    with Server(echo) as server, socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, PtyModem(NAMES) as modem:
        # A full backlog answers no SYN: connecting takes for ever.
        filling = [socket.socket() for _ in range(3)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        result = run_device_json(
            SCRIPTS / "in_asyncio.py",
            {
                "pty": modem.path,
                "host": HOST,
                "port": server.port,
                "deaf": deaf.getsockname()[1],
                "count": 4,
                "size": 5000,
            },
        )
        for each in filling:
            each.close()
        states = {link.state for link in modem.modem.links.values()}
    assert result["wrong"] == []
    assert result["cancelled"] is True
    assert result["left"] == 0
    assert states == {"CLOSED"}
    assert result["longest_gap_ms"] < 200


def test_the_tls_server_alone_works() -> None:
    """Else the tests of refusals above would prove nothing."""
    authority = pki.make_ca("plain root")
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on: it wants key identifiers
    with tls_server(authority.issue(HOST)) as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(connection, server_hostname=HOST) as stream:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"hello" in stream.recv(1000)
