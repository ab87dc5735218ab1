"""The trace of real connections: what it tells, what it never tells, and that it changes nothing."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device, run_device_json
from support.firmware import Firmware
from support.servers import Server, answer, http_response, read_request, tls_server

PROBE = Path(__file__).with_name("trace_probe.py")
CONFIDENTIAL = "what only the server may read as it goes over the connection"

TLS_1_2 = ssl.TLSVersion.TLSv1_2  # shows the certificates

Tracing = Callable[..., dict[str, Any]]


@pytest.fixture
def tracing(cafile: Path) -> Tracing:
    def run(port: int, host: str = HOST, **request: Any) -> dict[str, Any]:
        request = {"host": host, "port": port, "cafile": str(cafile), "level": 2, **request}
        result: dict[str, Any] = run_device_json(PROBE, request)
        return result

    return run


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_phases_come_in_order_with_times_bytes_suite_and_memory(root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.issue(HOST), maximum=TLS_1_2) as server:
        events = tracing(server.port, level=1)["events"]
    expected = ["dial", "connected", "handshake", "server_hello", "established", "alert", "closed"]
    assert names(events) == expected
    times = [event["ms"] for event in events]
    assert times == sorted(times)
    assert all(event["free_bytes"] > 10_000 for event in events)
    [established] = named(events, "established")
    assert established["version"] == "TLSv1.2"
    assert "ECDHE" in established["suite"]
    assert 400 < established["bytes_in"] < 3000 and 150 < established["bytes_out"] < 1000
    [closed] = named(events, "closed")
    assert closed["bytes_in"] > established["bytes_in"] and closed["bytes_out"] > established["bytes_out"]
    assert closed["transport_ended"] is False
    assert events[0]["port"] == server.port


def test_decisions_tell_certificates_anchors_and_verdicts(root: pki.Authority, tracing: Tracing) -> None:
    leaf = root.child("middle", key="RSA-2048").issue(HOST, "127.0.0.1")
    with tls_server(leaf, maximum=TLS_1_2) as server:
        events = tracing(server.port)["events"]
    anchor, middle, server_certificate = named(events, "certificate")
    assert anchor["anchor"] is True and anchor["subject"] == "session root" and not {"serial", "issuer"} & anchor.keys()
    assert middle["key"] == "RSA 2048" and middle["depth"] == 1
    assert server_certificate["names"] == [HOST, "127.0.0.1"]
    assert int(server_certificate["serial"], 16) == leaf.certificate.serial_number
    assert server_certificate["issuer"] == "middle"
    assert server_certificate["not_after"] == leaf.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [(event["name"], event["anchors"]) for event in named(events, "lookup")] == [
        ("middle", 0),
        ("session root", 1),
    ]
    assert [event["verdict"] for event in named(events, "verdict")] == ["accepted"] * 3
    assert named(events, "handshake")[0]["largest_block_bytes"] > 0


def test_records_are_told_at_the_third_level(root: pki.Authority, tracing: Tracing, firmware: Firmware) -> None:
    with tls_server(root.issue(HOST), maximum=TLS_1_2) as server:
        events = tracing(server.port, level=3)["events"]
    messages = [(event["direction"], event["message"]) for event in named(events, "message")]
    if firmware.has("tickets"):
        messages.remove(("in", "new_session_ticket"))
    assert messages == [
        ("out", "client_hello"),
        ("in", "server_hello"),
        ("in", "certificate"),
        ("in", "server_key_exchange"),
        ("in", "server_hello_done"),
        ("out", "client_key_exchange"),
    ]
    closed = named(events, "closed")[0]
    sizes = {
        way: sum(5 + event["bytes"] for event in named(events, "record") if event["direction"] == way)
        for way in ("in", "out")
    }
    assert sizes["in"] == closed["bytes_in"]
    assert closed["bytes_out"] - sizes["out"] in (0, 31)  # close_notify, perhaps after `closed`


@pytest.mark.parametrize("way", ["wrap", "asyncio"])
def test_other_ways_to_connect_are_traced_too(way: str, root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.issue(HOST), maximum=TLS_1_2) as server:
        result = tracing(server.port, way=way)
        assert result["body"].endswith("hello")
        found = names(result["events"])
        assert found[-1] == "closed" and "established" in found and found.count("certificate") == 2
        refused = tracing(server.port, "other.example.org", way=way)
    assert refused["kind"] == "HostnameError"
    assert names(refused["trace"])[-1] == "failed"


def test_refusal_keeps_its_last_events(root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.issue(HOST), maximum=TLS_1_2) as server:
        result = tracing(server.port, "other.example.org")
        assert result["trace"] == result["events"]
        verdict = named(result["trace"], "verdict")[-1]
        assert (verdict["verdict"], verdict["rule"]) == ("refused", "name-mismatch")
        [alert] = named(result["trace"], "alert")
        assert (alert["direction"], alert["severity"]) == ("out", "fatal")
        failed = result["trace"][-1]
        assert (failed["event"], failed["error"], failed["rule"]) == ("failed", "HostnameError", "name-mismatch")
        short = tracing(server.port, "other.example.org", keep=3, level=3)
    assert len(short["trace"]) == 3 and short["trace"][-1]["event"] == "failed"
    assert len(short["events"]) > 10


def test_certificates_are_told_also_when_their_issuer_is_unknown(tracing: Tracing) -> None:
    """Which is when somebody needs them. Mbed TLS hands over the last one only."""
    stranger = pki.make_ca("stranger").child("their CA")
    leaf = stranger.issue(HOST)
    with tls_server(leaf, maximum=TLS_1_2) as server:
        result = tracing(server.port)
    assert result["kind"] == "UnknownIssuerError"
    ca, server_certificate = named(result["trace"], "certificate")
    assert ca["subject"] == "their CA" and ca["depth"] == 1
    assert (
        server_certificate["subject"] == HOST and server_certificate["sent"] == 0 and "depth" not in server_certificate
    )
    assert int(server_certificate["serial"], 16) == leaf.certificate.serial_number
    assert names(result["trace"])[-1] == "failed"


def test_alert_of_the_server_is_named(tracing: Tracing) -> None:
    def refuse(connection: Any) -> None:
        connection.recv(100)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")

    with Server(refuse) as server:
        result = tracing(server.port)
    assert result["kind"] == "AlertError"
    [alert] = named(result["trace"], "alert")
    assert (alert["direction"], alert["alert"]) == ("in", "handshake_failure")


def test_failure_to_connect_is_traced(tracing: Tracing) -> None:
    with Server(lambda connection: None) as server:
        port = server.port
    result = tracing(port)
    assert result["kind"] == "ConnectError"
    assert names(result["trace"]) == ["dial", "failed"]


def test_stream_that_is_cut_off_keeps_the_events_too(root: pki.Authority, tracing: Tracing) -> None:
    def cut(stream: ssl.SSLSocket) -> None:
        read_request(stream)
        stream.sendall(http_response())

    with tls_server(root.issue(HOST), cut) as server:
        result = tracing(server.port)
    assert result["kind"] == "TruncationError"
    assert names(result["trace"])[-1] == "failed" and "established" in names(result["trace"])


def test_trace_has_no_byte_of_what_is_sent(root: pki.Authority, cafile: Path, tracing: Tracing, tmp_path: Path) -> None:
    page = answer(http_response(f"answer: {CONFIDENTIAL}".encode()))
    file = tmp_path / "trace.jsonl"
    with tls_server(root.issue(HOST), page) as server:
        result = tracing(server.port, level=3, file=str(file), write=f"GET /?{CONFIDENTIAL} HTTP/1.0\r\n\r\n")
    assert CONFIDENTIAL in result["body"]
    text = file.read_text()
    assert "established" in text
    assert CONFIDENTIAL not in text and CONFIDENTIAL.encode().hex() not in text and "only the server" not in text


def test_file_gets_a_line_of_json_for_each_event_and_stays_small(
    root: pki.Authority, tracing: Tracing, tmp_path: Path
) -> None:
    file, old = tmp_path / "trace.jsonl", tmp_path / "trace.jsonl.old"
    with tls_server(root.issue(HOST)) as server:
        tracing(server.port, file=str(file))
        once = file.read_text().splitlines()
        assert names([json.loads(line) for line in once])[0] == "dial"
        tracing(server.port, file=str(file))
        assert len(file.read_text().splitlines()) == 2 * len(once)
        tracing(server.port, file=str(file), times=8, limit_bytes=6000)
    assert file.stat().st_size <= 6000 and old.stat().st_size <= 15_000
    for path in (file, old):
        assert all(json.loads(line)["ms"] >= 0 for line in path.read_text().splitlines())


def test_sink_that_fails_harms_nothing(root: pki.Authority, tracing: Tracing, tmp_path: Path) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = tracing(server.port, sink="broken")
        assert result["body"].endswith("hello")
        assert result["lost"] > 8
        result = tracing(server.port, file=str(tmp_path))  # a folder
        assert result["body"].endswith("hello") and result["lost"]
        result = tracing(server.port, "other.example.org", sink="broken")
    assert result["kind"] == "HostnameError" and names(result["trace"])[-1] == "failed"


def test_console_gets_a_line_for_each_event(root: pki.Authority, cafile: Path) -> None:
    with tls_server(root.issue(HOST), maximum=TLS_1_2) as server:
        request = {"host": HOST, "port": server.port, "cafile": str(cafile), "sink": "console", "level": 1}
        lines = run_device(PROBE, json.dumps(request)).splitlines()
    assert any(line.split()[:2] == ["1", "0"] or " ms  dial " in line for line in lines)
    assert any(" ms  established " in line and "version=TLSv1.2" in line for line in lines)


def test_without_a_trace_nothing_of_it_is_loaded(root: pki.Authority, cafile: Path, tmp_path: Path) -> None:
    program = tmp_path / "untraced.py"
    program.write_text(
        "import sys, rootlet\n"
        "context = rootlet.Context(cafile=sys.argv[1])\n"
        f"with rootlet.connect({HOST!r}, int(sys.argv[2]), context=context, address='127.0.0.1') as c:\n"
        "    c.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
        "    assert c.read()[-5:] == b'hello'\n"
        "print([name for name in sys.modules if 'trace' in name or 'wire' in name or 'describe' in name])\n"
    )
    with tls_server(root.issue(HOST)) as server:
        assert run_device(program, str(cafile), str(server.port)).strip() == "[]"


def test_level_0_is_off(root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = tracing(server.port, level=0)
        assert result["body"].endswith("hello") and result["events"] == []
        assert tracing(server.port, "other.example.org", level=0)["trace"] is None


def test_traced_connections_leave_nothing_behind(root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.issue(HOST)) as server:
        for host in (HOST, "other.example.org"):
            heap = tracing(server.port, host, times=12, level=3, sink="broken")["heap"]
            assert abs(heap[-1] - heap[5]) < 600, heap


@pytest.mark.needs("tls1.3")
def test_both_attempts_of_tls_1_3_are_told(root: pki.Authority, tracing: Tracing) -> None:
    with tls_server(root.child("middle").issue(HOST)) as server:
        result = tracing(server.port)
    assert result["body"].endswith("hello")
    found = names(result["events"])
    assert found.count("connected") == 2 and found.count("failed") == 1 and found.count("established") == 1
    assert found.index("failed") < found.index("established")
