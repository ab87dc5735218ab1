"""What guards a connection holds, whatever is let go of, whatever a handshake looks like, whatever fails."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from errno import EAGAIN, EIO
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import REPOSITORY, run_device
from support.firmware import Firmware
from support.servers import Server, tls_server

SCRIPT = Path(__file__).with_name("scripts") / "guarded.py"
ANOTHER_KEY = "sha256//" + "A" * 43 + "="


def run(job: str, cafile: Path, **request: Any) -> Any:
    environment = {
        "REQUEST": json.dumps({"job": job, "cafile": str(cafile), "host": HOST, **request}),
        "UNIT_TESTS": str(REPOSITORY / "tests" / "unit"),
    }
    output = run_device(SCRIPT, environment=environment, timeout_s=30)
    return json.loads(output.splitlines()[-1])


@pytest.mark.needs("psk")
def test_what_is_said_of_the_generator_is_not_forgotten_with_the_modules_of_another_handshake(cafile: Path) -> None:
    assert run("generator", cafile) == ["<", "EntropyError", "no"]


@pytest.mark.every_version
def test_what_looks_like_the_end_of_a_handshake_does_not_end_the_verification(
    root: pki.Authority, cafile: Path, firmware: Firmware
) -> None:
    with tls_server(root.issue(HOST)) as server:
        established, wrote = run("end", cafile, port=server.port, pins=[ANOTHER_KEY])
    assert not established
    # With TLS 1.3 the anchor is not known at the first attempt.
    assert wrote == "PinError" or (firmware.has("tls1.3") and wrote == "UnknownIssuerError")


@pytest.mark.every_version
def test_a_handshake_that_ends_without_a_judgement_of_the_chain_is_a_failure(cafile: Path) -> None:
    def speaks_first(stream: ssl.SSLSocket) -> None:
        stream.sendall(b"hello")
        while stream.recv(1000):
            pass

    with tls_server(pki.make_ca("stranger").issue(HOST), speaks_first) as server:
        *found, files = run("unseen", cafile, port=server.port)
    assert found == ["CertificateError"] * 3
    assert files <= 4, "a socket stayed open"


@pytest.mark.every_version
def test_warnings_without_end_do_not_hold_a_write_that_must_not_block(cafile: Path) -> None:
    over = threading.Event()

    def flood(client: socket.socket) -> None:
        client.recv(4096)
        while not over.is_set():
            client.sendall(b"\x15\x03\x03\0\2\1\x5a" * 2000)

    with Server(flood) as server:
        threading.Timer(3, over.set).start()
        longest_ms, went = run("flood", cafile, port=server.port)
        over.set()
    assert longest_ms < 1000, went


def test_nothing_is_raised_into_mbedtls_by_datagrams(cafile: Path) -> None:
    refused = str(-EIO)
    *kept, later, looked_up = run("datagrams", cafile)
    assert kept == [[refused, True]] * 3
    assert later[0] == "None", "not now"
    assert looked_up == [refused, f"OSError({EAGAIN},)"], "a file's EAGAIN is not the network's"
