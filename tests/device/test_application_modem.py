"""main.py on a board whose network is a modem, as rootlet.json describes it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.application import HOST, SCRIPTS, Board
from support.programs import faketime_library
from support.servers import Server, tls_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "modem"))

from pty_modem import PtyModem

NAMES = {HOST: "127.0.0.1"}
MODEM = {"uart": 1, "tx": 17, "rx": "B7", "power_key": 4, "apn": "internet", "pin": "1234"}


def configure(board: Board, port: int, *, modem: dict[str, Any] | None = None, **settings: Any) -> None:
    board.fake("machine")
    network = {"kind": "modem", "timeout_ms": 5000, "retries": 0}
    job = {"url": f"https://{HOST}:{port}/", "timeout_ms": 8000}
    board.configure(job=job, **{"network": network, "modem": MODEM if modem is None else modem, **settings})


def test_a_verified_get_goes_through_the_modem_that_is_configured_and_the_watchdog_is_fed_meanwhile(
    board: Board, root: pki.Authority
) -> None:
    board.trust(root)
    with tls_server(root.issue(HOST)) as server, PtyModem(NAMES, sim_pin="1234", registers_after=2) as modem:
        configure(board, server.port, watchdog_ms=16_000)
        board.environment["MODEM"] = modem.path
        run = board.run()
    assert run.status == 0, run.output
    assert "uart 1 115200 [('rx', 'B7'), ('rxbuf', 576), ('tx', 17)]" in run.events("machine")
    assert "pin 4 1" in run.events("machine")
    assert "ok (10.64.0.7)\n" in run.output
    assert "    hello\n" in run.output
    assert 'AT+CSTT="internet","",""' in modem.modem.log
    alone = [int(event.removeprefix("alone ")) for event in run.events("machine") if event.startswith("alone ")]
    assert max(alone) < 1500  # registering takes 2 s


def test_a_proxy_is_reached_through_the_modem(board: Board, root: pki.Authority) -> None:
    board.trust(root)
    asked: list[bytes] = []

    def back(there: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := there.recv(4096):
                client.sendall(data)

    def tunnel(client: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += client.recv(4096)
        asked.append(request)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as there:
            threading.Thread(target=back, args=(there, client), daemon=True).start()
            while data := client.recv(4096):
                there.sendall(data)

    with tls_server(root.issue(HOST)) as server, Server(tunnel) as proxy, PtyModem(NAMES) as modem:
        board.fake("machine")
        job = {"url": f"https://{HOST}:{server.port}/", "proxy": f"http://127.0.0.1:{proxy.port}", "timeout_ms": 8000}
        board.configure(job=job, network={"kind": "modem"}, modem={"uart": 1})
        board.environment["MODEM"] = modem.path
        run = board.run()
    assert run.status == 0, run.output
    assert asked[0].startswith(f"CONNECT {HOST}:{server.port} ".encode())


@pytest.mark.parametrize("tells_time", [True, False], ids=["the network's", "a time server's"])
def test_the_clock_is_set_by_the_modem_which_asks_the_time_server_itself(
    tells_time: bool, board: Board, root: pki.Authority
) -> None:
    board.trust(root)
    board.write("faketime", "@2000-01-01 00:00:00\n")
    board.environment = {
        "LD_PRELOAD": faketime_library(),
        "FAKETIME_TIMESTAMP_FILE": str(board.root / "faketime"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC",
    }
    clock = time.strftime("%y/%m/%d,%H:%M:%S+00", time.gmtime())
    with (
        tls_server(root.issue(HOST)) as server,
        PtyModem(NAMES, network_clock=clock, tells_time=tells_time) as modem,
    ):
        configure(board, server.port, modem={"uart": 1}, ntp_host="time.example.org")
        fakes = [SCRIPTS.joinpath(f"fake_{name}.py").read_text() for name in ("machine", "rtc")]
        board.write("machine.py", "".join(fakes))
        board.environment["MODEM"] = modem.path
        run = board.run()
    assert run.status == 0, run.output
    assert len(run.events("rtc")) == 1
    assert ('AT+CNTP="time.example.org",0' in modem.modem.log) is not tells_time


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sim": "SIM PUK"}, "the modem does not come up: the SIM is locked and asks for its PUK"),
        ({"registers_after": 60}, "the modem does not come up: the modem is not ready: registration"),
    ],
)
def test_a_modem_that_does_not_come_up_is_told_with_what_it_wants(
    board: Board, root: pki.Authority, options: dict[str, Any], words: str
) -> None:
    board.trust(root)
    with PtyModem(NAMES, **options) as modem:
        configure(board, 443, modem={"uart": 1}, network={"kind": "modem", "timeout_ms": 1500, "retries": 0})
        board.environment["MODEM"] = modem.path
        run = board.run(timeout_s=15)
    assert run.status == 1
    assert f"  ! {words}" in run.output


def test_a_uart_that_the_board_has_not_is_named(board: Board, root: pki.Authority) -> None:
    board.trust(root)
    configure(board, 443, modem={"uart": 7})
    run = board.run()
    assert run.status == 1
    assert "  ! this board cannot use UART 7 for a modem (UART(7) doesn't exist)\n" in run.output
    assert "    Correct modem.uart" in run.output
