"""main.py on a board: what it does, says and survives."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rootlet_host.store import build_store
from rootlet_host.store.anchors import anchor_from_certificate
from support import pki
from support.application import HOST, Board
from support.firmware import Firmware
from support.servers import Server, answer, http_response, tls_server


@pytest.fixture(scope="module")
def identity(root: pki.Authority) -> pki.Issued:
    return root.issue(HOST, not_after=pki.now() + pki.days(12.5))


@pytest.fixture
def server(identity: pki.Issued) -> Iterator[Server]:
    with tls_server(identity) as server:
        yield server


def job(server: Server | int, host: str = HOST, **settings: Any) -> dict[str, Any]:
    port = server if isinstance(server, int) else server.port
    return {"url": f"https://{host}:{port}/", "address": "127.0.0.1", **settings}


@pytest.fixture
def trusting(board: Board, root: pki.Authority) -> Board:
    """A board whose store has the session's root."""
    board.trust(root)
    return board


def test_one_verified_get_is_reported_step_by_step(trusting: Board, server: Server, firmware: Firmware) -> None:
    trusting.configure(job=job(server))
    run = trusting.run()
    assert run.status == 0
    report = run.output
    size = trusting.root.joinpath("certs/roots.rtlt").stat().st_size
    assert re.search(r"  \. Loading trust store \.+ ok \(1 root, 0\.(\d) kB on flash, 0 in RAM\)\n", report)
    assert f"0.{size // 100} kB" in report
    assert re.search(r"  \. Checking the clock \.+ ok \(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\)\n", report)
    assert re.search(r"  \. Checking the entropy source \.+ ok ", report)
    handshake = re.search(
        rf"  \. Handshake with {re.escape(HOST)}:{server.port} \.+ ok "
        rf"\({firmware.highest.replace('v', ' ')}, (?:TLS-ECDHE-ECDSA|TLS1-3)-\S+, (\d+) ms\)\n",
        report,
    )
    assert handshake
    total = re.search(r"    5 bytes of body, (\d+) ms in all\n", report)
    assert total
    assert 0 < int(handshake[1]) <= int(total[1])
    assert re.search(
        r"  \. Verifying peer \.+ ok \(anchor 'session root' from roots\.rtlt, name matched, 12 days left\)\n", report
    )
    assert re.search(r"  \. GET \.+ ok \(200 OK\)\n    hello\n", report)


@pytest.mark.parametrize(("days", "words"), [(1.5, "1 day left"), (0.3, "7 hours left")])
def test_the_end_of_a_certificate_is_told_to_the_hour_on_its_last_day(
    trusting: Board, root: pki.Authority, days: float, words: str
) -> None:
    with tls_server(root.issue(HOST, not_after=pki.now() + pki.days(days))) as server:
        trusting.configure(job=job(server))
        assert f"name matched, {words})" in trusting.run().output


def test_roots_given_as_a_file_are_counted_as_being_in_ram(
    trusting: Board, server: Server, root: pki.Authority
) -> None:
    trusting.write("certs/ca.pem", root.pem)
    trusting.configure(job=job(server), stores=[], cafile="/certs/ca.pem")
    run = trusting.run()
    assert run.status == 0
    assert "ok (1 root, 0.0 kB on flash, 1 in RAM)" in run.output


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oh No"])
def test_a_server_that_refuses_makes_the_job_fail(trusting: Board, identity: pki.Issued, status: str) -> None:
    response = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    with tls_server(identity, answer(response)) as server:
        trusting.configure(job=job(server))
        run = trusting.run()
    assert run.status == 1
    assert f"({status})" in run.output


def test_a_redirect_is_told_and_not_followed(trusting: Board, identity: pki.Issued, firmware: Firmware) -> None:
    response = b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"
    with tls_server(identity, answer(response)) as server:
        trusting.configure(job=job(server))
        run = trusting.run()
    assert server.accepted == firmware.first_visit
    assert "redirects are not followed; the server says: https://elsewhere.example/" in run.output


def test_headers_of_the_job_are_sent(trusting: Board, identity: pki.Issued) -> None:
    seen: list[bytes] = []

    def respond(request: bytes) -> bytes:
        seen.append(request)
        return http_response()

    with tls_server(identity, answer(respond)) as server:
        trusting.configure(job=job(server, headers={"X-Board": "7"}))
        assert trusting.run().status == 0
    assert b"\r\nX-Board: 7\r\n" in seen[0]


def test_a_body_without_end_is_read_and_printed_up_to_the_limits(trusting: Board, identity: pki.Issued) -> None:
    def flood(stream: ssl.SSLSocket) -> None:
        stream.recv(4096)
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            stream.sendall(b"x" * 1000)

    with tls_server(identity, flood) as server:
        trusting.configure(job=job(server, max_bytes=20_000, print_bytes=64))
        run = trusting.run()
    assert run.status == 0
    assert "the body goes on after 20000 bytes" in run.output
    assert f"    {'x' * 64}\n" in run.output
    assert "x" * 65 not in run.output
    assert "64 of 20000 bytes shown" in run.output


def test_what_a_server_sends_cannot_control_the_terminal(trusting: Board, identity: pki.Issued) -> None:
    hostile = "ring \x07 clear \x1b[2J csi \x9b31m override \u202e end".encode()
    response = b"HTTP/1.1 200 \x1b]0;title\x07\r\nContent-Length: %d\r\n\r\n%s" % (len(hostile), hostile)
    with tls_server(identity, answer(response)) as server:
        trusting.configure(job=job(server))
        run = trusting.run()
    assert "ring ? clear ?[2J csi ?31m override ? end" in run.output
    assert not set(run.output) & set("\x07\x1b\x9b\u202e")


def refused(board: Board, cause: str, remedy: str) -> None:
    run = board.run()
    assert run.status == 1
    assert "Traceback" not in run.output
    failed = next(i for i, line in enumerate(run.lines) if line.startswith("  ! "))
    assert run.lines[failed - 1].endswith(" failed") or failed == 0
    assert cause in run.lines[failed]
    assert remedy in run.lines[failed + 1]


def test_a_missing_store_is_reported_with_cause_and_remedy(board: Board) -> None:
    board.configure()
    refused(board, "there is no trust store at /certs/roots.rtlt", "rootlet push")


def test_a_damaged_store_is_reported_with_cause_and_remedy(trusting: Board) -> None:
    path = trusting.root / "certs/roots.rtlt"
    path.write_bytes(path.read_bytes()[:-1])
    trusting.configure()
    refused(trusting, "cut short", "rootlet push")


def test_a_server_nobody_vouches_for_is_reported_with_cause_and_remedy(trusting: Board) -> None:
    with tls_server(pki.make_ca("stranger").issue(HOST)) as server:
        trusting.configure(job=job(server))
        refused(trusting, "'stranger'", "rootlet ca find")


def test_a_wrong_host_is_reported_with_cause_and_remedy(trusting: Board, server: Server) -> None:
    trusting.configure(job=job(server, host="other.example.org"))
    refused(
        trusting,
        "the server's certificate is for other names: board.example.org",
        "by a name that is in the certificate",
    )


def test_a_port_without_server_is_reported_with_cause_and_remedy(trusting: Board) -> None:
    with Server(lambda _: None) as gone:
        port = gone.port
    trusting.configure(job=job(port))
    refused(trusting, f"refuses connections to port {port}", "Check address and port")


def test_a_clock_behind_the_store_is_refused_when_nobody_can_set_it(board: Board, root: pki.Authority) -> None:
    future = int(time.time()) + 86400
    board.write(
        "certs/roots.rtlt", build_store([anchor_from_certificate(root.certificate)], sequence=1, issued_at=future)
    )
    board.configure()
    refused(board, "the clock is not set", "clock")


def test_a_cycle_that_fails_is_followed_by_one_that_works(trusting: Board, server: Server) -> None:
    """Every failure that the application foresees and some that it does not, in one process."""
    with Server(lambda connection: connection.sendall(b"HTTP/1.0 400 Bad\r\n\r\n")) as plain:
        trusting.configure(job=job(server))
        trusting.write("faults.json", json.dumps({"good": job(server), "plain": job(plain), "closed": job(1)}))
        run = trusting.run_script("cycles.py")
    assert run.status == 0, run.output
    result = json.loads(run.lines[-1])
    assert result["outcomes"] == {
        "good": True,
        "plain HTTP": False,
        "refused": False,
        "unresolved": False,
        "MemoryError": False,
        "OSError": False,
        "ValueError": False,
        "no store": False,
    }
    assert result["good afterwards"] == [True] * 7
    assert result["interrupted"] == "KeyboardInterrupt"
    assert result["open files"][0] == result["open files"][1]
    assert result["heap growth"] < 2048
    assert "  ! the system says EIO" in run.output
    assert "  ! not enough memory" in run.output
    assert "  ! unexpected ValueError: surprise" in run.output


def test_retries_slow_down_and_stay_apart(board: Board) -> None:
    result = json.loads(board.run_script("retries.py").lines[-1])
    for n, (least, most) in enumerate(result["period 5"], start=1):
        nominal = min(5 * 2 ** (n - 1), 600)
        assert 0.74 * nominal - 1 <= least <= most <= 1.25 * nominal
        assert most > least
    # A long period is not shortened: failures of an hourly job are retried earlier, never later than it would come.
    assert result["period 86400"][-1][1] <= 1.25 * 86400


def test_the_job_repeats_on_schedule_until_ctrl_c(trusting: Board, server: Server, firmware: Firmware) -> None:
    trusting.configure(job=job(server, period_s=1))
    began = time.monotonic()
    run = trusting.run_until("bytes of body", times=3)
    assert time.monotonic() - began >= 2
    assert run.status == 130
    assert run.lines[-1].strip() == "stopped"
    assert server.accepted == run.output.count("Handshake with") - 1 + firmware.first_visit
    assert "Traceback" not in run.output
    assert run.output.count("Loading trust store") == 1


def test_ctrl_c_in_the_middle_of_a_garbage_collection_still_ends_it_cleanly(trusting: Board, server: Server) -> None:
    """The Unix port leaves the heap locked then: this does the same at the same place."""
    trusting.configure(job=job(server, period_s=1))
    trusting.write(
        "locked.py",
        "import micropython\n\ndef collect():\n    micropython.heap_lock()\n    raise KeyboardInterrupt\n",
    )
    main = trusting.root.joinpath("main.py").read_text()
    trusting.write("main.py", main.replace("import gc\n", "import locked as gc\n", 1))
    run = trusting.run()
    assert run.status == 130, run.output
    assert run.lines[-1].strip() == "stopped"
    assert "Traceback" not in run.output


def test_the_watchdog_is_fed_during_long_waits(trusting: Board, server: Server) -> None:
    trusting.fake("machine")
    trusting.configure(job=job(server, period_s=3, timeout_ms=1000), watchdog_ms=6000)
    run = trusting.run_until("bytes of body", times=2)
    events = run.events("machine")
    assert events[:2] == ["watchdog 6000", "watchdog 6000"]  # boot.py, then main.py
    alone = [int(event.removeprefix("alone ")) for event in events[2:]]
    assert max(alone) < 2000
    assert "the watchdog runs on: the board restarts within 7 s" in run.output


def test_between_two_cycles_only_what_the_next_begins_with_stays_in_memory(trusting: Board, server: Server) -> None:
    trusting.configure(job=job(server))
    run = trusting.run_script("between_cycles.py")
    assert run.status == 0, run.output
    loaded = set(run.lines[-1].removeprefix("loaded: ").split())
    assert {"http", "connection"} <= loaded
    # What checks the configuration, judges chains, speaks of failures or asks for the time comes when it is needed.
    # With TLS 1.3 the first attempt fails.
    assert loaded <= {"civil", "clock", "connection", "dial", "entropy", "errors", "http", "observer", "report"}


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nA: ", http_response(bytes(4000))[:-4000]], ids=["head", "body"])
def test_a_server_that_drips_is_given_up_before_the_watchdog_bites(
    head: bytes, trusting: Board, identity: pki.Issued
) -> None:
    def drip(stream: ssl.SSLSocket) -> None:
        stream.recv(4096)
        stream.sendall(head)
        for _ in range(60):
            time.sleep(0.15)
            stream.sendall(b"x")

    trusting.fake("machine")
    with tls_server(identity, drip) as server:
        trusting.configure(job=job(server, timeout_ms=1000), watchdog_ms=6000)
        run = trusting.run()
    assert run.status == 1
    assert "! no answer in time while talking to" in run.output
    assert max(int(event.removeprefix("alone ")) for event in run.events("machine")[2:]) < 3000
