"""Connections with a pre-shared key: what is refused beforehand, and real servers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.programs import faketime_library, mosquitto, openssl_server
from support.servers import Server, tls_server

Exchange = Callable[..., dict[str, Any]]
GET = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
MQTT_CONNECT = bytes.fromhex("100f00044d515454040200050003627264")
MQTT_ACCEPTED = "20020000"
KEY = os.urandom(32)
PSK = ("board", KEY)


@pytest.mark.parametrize(
    ("psk", "words"),
    [
        (("board", KEY[:15]), "15 bytes"),
        (("board", b""), "0 bytes"),
        (("board", "00112233445566778899aabbccddeeff"), "text"),
        pytest.param(("board", bytes(300)), "300 bytes", marks=pytest.mark.needs("psk")),
        (("", KEY), "identity"),
        (("b" * 129, KEY), "identity"),
    ],
)
def test_keys_that_are_weak_or_unusable_are_refused(psk: Any, words: str, exchange: Exchange) -> None:
    result = exchange(context={"psk": psk}, connect=False)
    assert result["kind"] == "ConfigError" and words in result["message"]


@pytest.mark.needs("psk")
def test_the_shortest_key_and_the_longest_identity_are_taken(exchange: Exchange) -> None:
    assert exchange(context={"psk": ("b" * 128, KEY[:16])}, connect=False).get("kind") is None


@pytest.mark.needs("psk")
def test_a_key_goes_with_neither_certificates_nor_their_cipher_suites(cafile: Path, exchange: Exchange) -> None:
    for context in (
        {"psk": PSK, "cafile": cafile},
        {"psk": PSK, "ciphers": ["TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384"]},
        {"psk": PSK, "ciphers": ["TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384"]},
    ):
        assert exchange(context=context, connect=False)["kind"] == "ConfigError"


@pytest.mark.lacks("psk")
def test_older_firmware_says_which_it_takes(exchange: Exchange) -> None:
    result = exchange(context={"psk": PSK}, connect=False)
    assert result["kind"] == "UnsupportedError"
    assert "1.29" in result["remedy"]


def offered(hello: bytes) -> set[int]:
    """The cipher suites of a record with a ClientHello (RFC 5246, 7.4.1.2)."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    size = int.from_bytes(hello[at : at + 2], "big")
    return {int.from_bytes(hello[i : i + 2], "big") for i in range(at + 2, at + 2 + size, 2)}


@pytest.mark.needs("psk")
def test_only_authenticated_suites_with_pre_shared_keys_are_offered(exchange: Exchange) -> None:
    hellos = []

    def listen(connection: socket.socket) -> None:
        hellos.append(connection.recv(4096))

    with Server(listen) as server:
        assert exchange(server.port, context={"psk": PSK}, say=GET)["kind"] is not None
    # TLS_PSK_WITH_AES_128_GCM_SHA256 and _256_GCM_SHA384 (RFC 5487), and the signalling value of RFC 5746.
    assert offered(hellos[0]) - {0x00FF} == {0x00A8, 0x00A9}


@pytest.mark.needs("psk")
def test_server_with_a_certificate_only_is_no_peer(root: pki.Authority, exchange: Exchange) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = exchange(server.port, context={"psk": PSK}, say=GET)
    assert result["kind"] == "AlertError" and result["alert"] == 40


@pytest.mark.servers
@pytest.mark.needs("psk")
def test_openssl_and_the_board_share_a_key(tmp_path: Path, exchange: Exchange) -> None:
    options = ("-psk", KEY.hex(), "-psk_identity", "board", "-nocert", "-www", "-tls1_2")
    with openssl_server(tmp_path, *options) as (port, _):
        result = exchange(port, context={"psk": PSK}, say=GET)
        assert result["kind"] is None, result
        assert result["cipher"][0].startswith("TLS-PSK-WITH-AES-")
        assert b"HTTP/1.0 200" in bytes.fromhex(result["heard"])
        wrong = exchange(port, context={"psk": ("board", os.urandom(32))}, say=GET)
        assert wrong["kind"] == "AlertError" and "another pre-shared key" in wrong["message"]


@pytest.mark.servers
@pytest.mark.needs("psk")
def test_no_clock_is_needed(cafile: Path, tmp_path: Path, exchange: Exchange) -> None:
    clock = {"LD_PRELOAD": faketime_library(), "FAKETIME": "@2000-01-01 00:00:00", "TZ": "UTC"}
    options = ("-psk", KEY.hex(), "-psk_identity", "board", "-nocert", "-www", "-tls1_2")
    with openssl_server(tmp_path, *options) as (port, _):
        assert exchange(port, context={"psk": PSK}, say=GET, clock=clock)["kind"] is None
        assert exchange(port, context={"cafile": cafile}, say=GET, clock=clock)["kind"] == "ClockError"


@pytest.mark.servers
@pytest.mark.needs("psk")
def test_mosquitto_and_the_board_share_a_key(tmp_path: Path, exchange: Exchange) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"board:{KEY.hex()}\n")
    with mosquitto(tmp_path, f"psk_file {keys}", "psk_hint hint", "use_identity_as_username true") as (port, broker):
        result = exchange(port, context={"psk": PSK}, say=MQTT_CONNECT, bytes=4)
        assert result.get("heard") == MQTT_ACCEPTED, (result, broker.log)
        assert "u'board'" in broker.log
        wrong = exchange(port, context={"psk": ("board", os.urandom(16))}, say=MQTT_CONNECT, bytes=4)
        assert wrong["kind"] == "AlertError" and "another pre-shared key" in wrong["message"]
        stranger = exchange(port, context={"psk": ("stranger", KEY)}, say=MQTT_CONNECT, bytes=4)
        assert stranger["kind"] == "AlertError" and "identity" in stranger["message"] + stranger["remedy"]


@pytest.mark.servers
@pytest.mark.needs("psk")
def test_asyncio_and_the_board_share_a_key(tmp_path: Path) -> None:
    options = ("-psk", KEY.hex(), "-psk_identity", "board", "-nocert", "-www", "-tls1_2")
    with openssl_server(tmp_path, *options) as (port, _):
        request = {"job": "gets", "ports": [port] * 3, "host": HOST, "psk": ["board", KEY.hex()]}
        output = run_device(
            Path(__file__).parent / "scripts" / "aio.py", environment={"REQUEST": json.dumps(request)}, timeout_s=30
        )
    report = json.loads(output.splitlines()[-1])
    assert [result["kind"] for result in report["results"]] == [None] * 3, report
    assert report["stayed_open"] == 0
