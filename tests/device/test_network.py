"""Bringing Wi-Fi and Ethernet up, against a stand-in for the firmware's module `network`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from support import pki
from support.application import HOST, Board, Run
from support.servers import Server, tls_server

WIFI = {"kind": "wifi", "ssid": "attic", "password": "correct horse", "timeout_ms": 2000}
ETHERNET = {"kind": "ethernet", "timeout_ms": 1000}

Start = Callable[..., Run]


@pytest.fixture
def server(root: pki.Authority) -> Iterator[Server]:
    with tls_server(root.issue(HOST)) as server:
        yield server


@pytest.fixture
def start(board: Board, root: pki.Authority, server: Server) -> Start:
    """Runs the application with a network whose attempts end as the scenario says."""

    def start(scenario: list[str], network: dict[str, Any], **settings: Any) -> Run:
        board.trust(root)
        board.fake("network")
        board.write("scenario.json", json.dumps(scenario))
        job = {"url": f"https://{HOST}:{server.port}/", "address": "127.0.0.1"}
        board.configure(network=network, job=job, **settings)
        run = board.run()
        assert WIFI["password"] not in run.output
        return run

    return start


def test_wifi_is_joined_before_anything_else(start: Start) -> None:
    run = start(["connected"], {**WIFI, "hostname": "board-7"})
    assert run.status == 0
    assert run.events("network") == [
        "hostname board-7",
        "active True",
        "config {'reconnects': 1}",
        "connect attic 13 characters",
        "config {'reconnects': -1}",
    ]
    report = run.output
    assert report.index("ok (192.0.2.7)") < report.index("Checking the entropy") < report.index("Handshake with")


def test_an_open_network_is_joined_without_a_password(start: Start) -> None:
    run = start(["connected"], {"kind": "wifi", "ssid": "attic"})
    assert run.status == 0
    assert "connect attic open" in run.events("network")


def test_wifi_is_tried_again_and_the_old_attempt_is_ended_first(start: Start) -> None:
    run = start(["error", "no access point", "connected"], WIFI)
    assert run.status == 0
    events = run.events("network")
    attempts = [i for i, event in enumerate(events) if event.startswith("connect ")]
    assert len(attempts) == 3
    for earlier, later in pairwise(attempts):
        assert events[earlier:later].count("disconnect") == 1


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("wrong password", "the password is wrong"), ("no access point", "no access point has this name")],
)
def test_wifi_that_cannot_be_joined_is_reported_with_the_drivers_reason(
    start: Start, server: Server, outcome: str, reason: str
) -> None:
    run = start([outcome, outcome], {**WIFI, "retries": 1, "timeout_ms": 20_000})
    assert run.status == 1
    assert f"  ! Wi-Fi attic cannot be joined: {reason} (2 attempts)\n    Check network.ssid" in run.output
    assert server.accepted == 0


def test_silent_wifi_is_given_up_after_its_time(start: Start) -> None:
    began = time.monotonic()
    run = start(["silence", "silence"], {**WIFI, "retries": 1, "timeout_ms": 1000})
    elapsed = time.monotonic() - began
    assert run.status == 1
    assert "Wi-Fi attic cannot be joined: no answer in time (2 attempts)" in run.output
    assert 3 <= elapsed < 5  # two attempts and the pause between them


def test_ethernet_comes_up(start: Start) -> None:
    run = start(["connected"], ETHERNET)
    assert run.status == 0
    assert "ok (192.0.2.7)" in run.output


def test_ethernet_is_tried_again_when_the_cable_is_plugged_in_late(start: Start) -> None:
    run = start(["no link", "no link", "connected"], ETHERNET)
    assert run.status == 0
    assert run.events("network") == ["active True", "active False", "active True", "active False", "active True"]


@pytest.mark.parametrize(
    ("outcome", "reason"), [("no link", "there is no link"), ("silence", "no DHCP server gave an address")]
)
def test_ethernet_that_stays_down_is_reported_with_its_reason(start: Start, outcome: str, reason: str) -> None:
    run = start([outcome], {**ETHERNET, "retries": 0})
    assert run.status == 1
    assert f"  ! Ethernet does not come up: {reason} (1 attempt)\n    Check the cable" in run.output


def test_the_watchdog_is_fed_while_the_network_is_awaited(board: Board, start: Start) -> None:
    board.fake("machine")
    run = start(["silence", "connected"], {**WIFI, "timeout_ms": 2500}, watchdog_ms=15_000)
    assert run.status == 0
    assert max(int(event.removeprefix("alone ")) for event in run.events("machine")[2:]) < 2000


@pytest.mark.parametrize(("kind", "name"), [("wifi", "Wi-Fi"), ("ethernet", "Ethernet")])
def test_a_firmware_without_the_interface_is_refused_with_words(board: Board, kind: str, name: str) -> None:
    board.configure(network={**WIFI, "kind": kind})
    run = board.run()
    assert run.status == 1
    assert f"  ! this firmware has no {name}\n    Correct network.kind; none is for what has" in run.output


def test_a_network_that_broke_down_is_brought_up_again_in_the_next_cycle(board: Board) -> None:
    board.fake("network")
    board.write("scenario.json", json.dumps(["connected", "connected"]))
    board.configure(network=WIFI)
    run = board.run_script("reconnect.py")
    assert run.status == 0, run.output
    assert [event for event in run.events("network") if event.startswith("connect ")] == [
        "connect attic 13 characters"
    ] * 2
    assert run.lines[-1] == "up up up"
