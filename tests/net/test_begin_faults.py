"""What goes wrong just before a handshake begins, or just after it, leaves nothing open and has words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device_json
from support.firmware import LIBRARY
from support.servers import tls_server

PROGRAM = Path(__file__).parent / "scripts" / "begin_faults.py"

pytestmark = pytest.mark.own_firmware  # patches the sources


def run(root: pki.Authority, cafile: Path, fault: str, library: Path = LIBRARY, name: str = HOST) -> dict[str, Any]:
    with tls_server(root.issue(name)) as server:
        request = {"host": HOST, "port": server.port, "cafile": str(cafile), "fault": fault}
        found: dict[str, Any] = run_device_json(PROGRAM, request, library=library, timeout_s=30)
    return found


def test_without_a_fault_it_connects(root: pki.Authority, cafile: Path) -> None:
    found = run(root, cafile, "")
    assert found["kind"] is None and found["closed"] == 1


@pytest.mark.parametrize("fault", ["memory", "observer"])
def test_want_of_memory_before_the_handshake_closes_the_socket_and_says_so(
    fault: str, root: pki.Authority, cafile: Path
) -> None:
    found = run(root, cafile, fault)
    assert found["kind"] == "HandshakeError"
    assert found["text"].startswith(f"not enough memory for the handshake with {HOST}. Free memory first")
    assert found["closed"] == 1
    assert found["freed"] == (fault == "observer"), "Mbed TLS's memory lies outside the Python heap on many boards"


@pytest.mark.parametrize("module", ["beginning", "names", "handshake", "observer", "flight"])
def test_a_module_that_is_missing_closes_the_socket_and_is_named(
    module: str, root: pki.Authority, cafile: Path, tmp_path: Path
) -> None:
    library = tmp_path / "lib"
    shutil.copytree(LIBRARY / "rootlet", library / "rootlet")
    (library / "rootlet" / f"{module}.py").unlink()
    found = run(root, cafile, "", library)
    assert found["kind"] == "UnsupportedError"
    assert f"rootlet.{module}" in found["text"] and "again" in found["text"]
    assert found["closed"] == 1


@pytest.mark.parametrize("fault", ["settimeout", "setblocking"])
def test_a_transport_that_fails_after_the_handshake_is_closed(fault: str, root: pki.Authority, cafile: Path) -> None:
    found = run(root, cafile, fault)
    assert found["closed"] >= 1
    assert found["text"].startswith(
        {
            "settimeout": f"{HOST} lost the connection",
            "setblocking": f"the connection broke during the handshake with {HOST} (EIO)",
        }[fault]
    )


def test_a_transport_that_cannot_be_closed_changes_nothing_about_why_a_chain_is_refused(
    root: pki.Authority, cafile: Path
) -> None:
    found = run(root, cafile, "close", name="other.example.org")
    assert found["kind"] == "HostnameError"
    assert found["freed"] == 1, "Mbed TLS's memory lies outside the Python heap on many boards"
