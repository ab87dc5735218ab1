"""rootlet.json: what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import pki
from support.application import HOST, Board

URL = f"https://{HOST}/"
SECRET = "hunter2 hunter2"  # noqa: S105


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "job.url is missing"),
        ({"job": {}}, "job.url is missing"),
        ({"job": {"url": f"http://{HOST}/"}}, "job.url must begin with https://"),
        ({"job": {"url": 443}}, "job.url must be a text"),
        ({"job": URL}, "job is no table"),
        ({"job": {"url": URL, "verify": False}}, "job.verify is no setting"),
        ({"job": {"url": URL, "period_s": "5"}}, "job.period_s must be a whole number"),
        ({"job": {"url": URL, "period_s": 0.5}}, "job.period_s must be a whole number"),
        ({"job": {"url": URL, "period_s": True}}, "job.period_s must be a whole number"),
        ({"job": {"url": URL, "period_s": -1}}, "job.period_s must be 0 to 604800"),
        ({"job": {"url": URL, "timeout_ms": 0}}, "job.timeout_ms must be 100 to 120000"),
        ({"job": {"url": URL, "headers": ["a"]}}, "job.headers must be a table of texts"),
        ({"job": {"url": URL, "headers": {"a": 1}}}, "job.headers must be a table of texts"),
        ({"job": {"url": URL}, "insecure": True}, "insecure is no setting"),
        ({"job": {"url": URL}, "stores": "/certs/roots.rtlt"}, "stores must be a list of texts"),
        ({"job": {"url": URL}, "stores": [1]}, "stores must be a list of texts"),
        ({"job": {"url": URL}, "stores": ["a"] * 5}, "stores must be 0 to 4 entries long"),
        ({"job": {"url": URL}, "stores": []}, "stores is empty and there is no cafile"),
        ({"job": {"url": URL}, "policy": "none"}, "policy must be one of: default, webpki"),
        ({"job": {"url": URL}, "watchdog_ms": 60_000}, "watchdog_ms must be 0 to 32000"),
        ({"job": {"url": URL}, "watchdog_ms": False}, "watchdog_ms must be a whole number"),
        ({"job": {"url": URL}, "watchdog_ms": 12_000}, "watchdog_ms is 12000: here it must be 0 or at least 15000"),
        (
            {"job": {"url": URL, "timeout_ms": 1000}, "watchdog_ms": 12_000, "network": {"kind": "ethernet"}},
            "watchdog_ms is 12000: here it must be 0 or at least 15000",
        ),
        ({"job": {"url": URL}, "network": {"kind": "lora"}}, "network.kind must be one of: none, wifi, ethernet"),
        ({"job": {"url": URL}, "network": {"kind": "wifi"}}, "network.ssid is missing"),
        ({"job": {"url": URL}, "network": {"kind": "wifi", "ssid": ""}}, "network.ssid must be 1 to 32 bytes long"),
        ({"job": {"url": URL}, "network": {"kind": "wifi", "ssid": "é" * 17}}, "network.ssid must be 1 to 32 bytes"),
        ({"job": {"url": URL}, "network": {"kind": "wifi", "ssid": "a\0b"}}, "network.ssid has a zero byte"),
        ({"job": {"url": URL}, "network": {"password": SECRET * 9}}, "network.password must be 0 to 64 bytes long"),
        ({"job": {"url": URL}, "network": {"password": [SECRET]}}, "network.password must be a text"),
        ({"job": {"url": URL}, "network": {"pasword": SECRET}}, "network.pasword is no setting"),
        ([], "the configuration is no table"),
        ("url", "the configuration is no table"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_secrets_are_not_shown(board: Board, settings: Any, words: str) -> None:
    board.write("rootlet.json", json.dumps(settings))
    run = board.run()
    assert run.status == 1
    assert f"  ! {words}" in run.output
    assert run.lines[-1].startswith("    ")  # a remedy
    assert SECRET not in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "rootlet.json cannot be read"),
        (b"", "rootlet.json is not JSON"),
        (b'{"job": {"url": "https://a', "rootlet.json is not JSON"),
        (b"\xff\xfe\x00", "rootlet.json "),
        (b" " * 9000, "rootlet.json is longer than 8192 characters"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_with_words(board: Board, content: bytes | None, words: str) -> None:
    if content is not None:
        board.write("rootlet.json", content)
    run = board.run()
    assert run.status == 1
    assert f"  ! {words}" in run.output
    assert run.lines[-1].startswith("    ")


def test_an_unknown_setting_is_answered_with_the_known_ones(board: Board) -> None:
    board.configure(network={"kind": "wifi", "ssid": "attic", "psk": "x"})
    remedy = board.run().lines[-1].strip()
    assert remedy == "Known here: hostname, kind, password, retries, ssid, timeout_ms"


def test_a_cipher_suite_that_the_firmware_lacks_is_refused_with_those_it_has(board: Board, root: pki.Authority) -> None:
    board.trust(root)
    board.configure(ciphers=["TLS-NULL"])
    run = board.run()
    assert run.status == 1
    assert "  ! this firmware has no cipher suite TLS-NULL\n    It has TLS" in run.output
