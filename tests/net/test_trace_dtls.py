"""The trace of connections over datagrams, and that no trace has a secret in it, whatever the connection is."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.programs import daemon, free_port, program

pytestmark = pytest.mark.servers

PROBE = Path(__file__).with_name("trace_probe.py")
KEY = b"a key that nobody may read in it"
SAID = "what only the server may read"

Tracing = Callable[..., dict[str, Any]]


@pytest.fixture
def tracing(cafile: Path) -> Tracing:
    def run(port: int, host: str = HOST, **request: Any) -> dict[str, Any]:
        request = {"host": host, "port": port, "cafile": str(cafile), "level": 3, "way": "dtls", **request}
        output = run_device(PROBE, environment={"REQUEST": json.dumps(request)})
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    return run


@contextlib.contextmanager
def serving(folder: Path, identity: pki.Issued | None, *options: str) -> Iterator[int]:
    port = free_port(socket.SOCK_DGRAM)
    command = [program("openssl", "openssl"), "s_server", "-dtls1_2", "-accept", f"127.0.0.1:{port}", "-quiet"]
    if identity is not None:
        for name, content in (("leaf", identity.pem), ("key", identity.key_pem)):
            folder.joinpath(f"{name}.pem").write_bytes(content)
        command += ["-cert", str(folder / "leaf.pem"), "-key", str(folder / "key.pem")]
        if identity.intermediates:
            folder.joinpath("above.pem").write_bytes(identity.chain_pem.removeprefix(identity.pem))
            command += ["-cert_chain", str(folder / "above.pem")]
    with daemon(*command, *options, port=None, log=folder / "log", stdin=subprocess.PIPE):
        deadline = time.monotonic() + 10
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def test_phases_messages_certificates_and_alerts(root: pki.Authority, tracing: Tracing, tmp_path: Path) -> None:
    with serving(tmp_path, root.child("middle").issue(HOST)) as port:
        result = tracing(port)
    events = result["events"]
    found = [event["event"] for event in events]
    order = ["dial", "connected", "handshake", "server_hello", "lookup", "certificate", "established", "closed"]
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)
    assert [event["subject"] for event in named(events, "certificate")] == ["session root", "middle", HOST]
    assert [event["verdict"] for event in named(events, "verdict")] == ["accepted"] * 3
    messages = [(event["direction"], event["message"]) for event in named(events, "message")]
    for message in (
        ("out", "client_hello"),
        ("in", "server_hello"),
        ("in", "certificate"),
        ("out", "client_key_exchange"),
    ):
        assert message in messages
    [established] = named(events, "established")
    assert established["version"] == "DTLSv1.2" and "ECDHE" in established["suite"]
    assert 400 < established["bytes_in"] < 5000
    [closed] = named(events, "closed")
    assert closed["bytes_out"] >= established["bytes_out"]


def test_refusals_keep_their_last_events(root: pki.Authority, tracing: Tracing, tmp_path: Path) -> None:
    with serving(tmp_path, root.issue("other.example.org")) as port:
        result = tracing(port)
    assert result["kind"] == "HostnameError"
    assert result["trace"][-1]["event"] == "failed" and result["trace"][-1]["rule"] == "name-mismatch"
    assert named(result["trace"], "verdict")[-1]["rule"] == "name-mismatch"
    assert named(result["events"], "alert")[-1]["direction"] == "out"


def test_certificates_of_an_unknown_issuer_are_told(tracing: Tracing, tmp_path: Path) -> None:
    with serving(tmp_path, pki.make_ca("stranger").child("their CA").issue(HOST)) as port:
        result = tracing(port, level=2)
    assert result["kind"] == "UnknownIssuerError"
    told = {event["subject"]: event for event in named(result["trace"], "certificate")}
    assert set(told) == {"their CA", HOST} and told[HOST]["sent"] == 0


@pytest.mark.needs("psk")
def test_pre_shared_key_is_in_no_trace(tracing: Tracing, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    options = ("-psk", KEY.hex(), "-psk_identity", "board", "-nocert")
    with serving(tmp_path, None, *options) as port:
        result = tracing(port, psk=["board", KEY.hex()], file=str(file), write=SAID)
    assert "kind" not in result, result
    text = file.read_text() + json.dumps(result)
    assert "established" in text and "PSK" in text
    for secret in (KEY.decode(), KEY.hex(), KEY.hex().upper(), KEY.hex()[:16], SAID, SAID.encode().hex()):
        assert secret not in text


def test_clients_key_is_in_no_trace(root: pki.Authority, tracing: Tracing, tmp_path: Path) -> None:
    client = root.issue("board")
    paths = [tmp_path / "client.pem", tmp_path / "client key.pem"]
    for path, content in zip(paths, (client.pem, client.key_pem), strict=True):
        path.write_bytes(content)
    tmp_path.joinpath("ca for clients.pem").write_bytes(root.pem)
    file = tmp_path / "trace.jsonl"
    options = ("-Verify", "1", "-CAfile", str(tmp_path / "ca for clients.pem"))
    with serving(tmp_path, root.issue(HOST), *options) as port:
        result = tracing(port, client=[str(path) for path in paths], file=str(file), write=SAID)
    assert "kind" not in result, result
    text = file.read_text()
    number = client.key.private_numbers().private_value  # type: ignore[union-attr]
    assert "established" in text
    for secret in (f"{number:064x}", str(number), SAID, client.key_pem.decode().splitlines()[1]):
        assert secret not in text and secret.upper() not in text
