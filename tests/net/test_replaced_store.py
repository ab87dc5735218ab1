"""A Context outlives its store: two updates later, another download is written into the slot that it looks into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rootlet_host.store import anchors_from_certificates, build_store
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import tls_server

SCRIPT = Path(__file__).with_name("scripts") / "replaced_store.py"

Replaced = Callable[..., dict[str, Any]]


@pytest.fixture
def replaced(root: pki.Authority, tmp_path: Path) -> Replaced:
    """Connects with a Context that was made before the store of `written` came into its slot."""
    base = tmp_path / "roots.rtlt"

    def file(sequence: int, authority: pki.Authority) -> str:
        path = tmp_path / f"{sequence}.rtlt"
        store = build_store(
            anchors_from_certificates([authority.certificate]), sequence=sequence, issued_at=1_700_000_000
        )
        path.write_bytes(store)
        return str(path)

    def run(port: int, written: pki.Authority, *, accepted: bool, **further: bool) -> dict[str, Any]:
        base.write_bytes(Path(file(1, root)).read_bytes())
        request = {
            "host": HOST,
            "port": port,
            "store": str(base),
            "first": file(2, root),
            "next": file(3, root),
            "written": file(4, written),
            "accepted": accepted,
            **further,
        }
        output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}, timeout_s=30)
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    return run


def test_a_download_that_nobody_accepted_is_not_trusted_by_an_older_context(replaced: Replaced) -> None:
    attacker = pki.make_ca("attacker")
    with tls_server(attacker.issue(HOST)) as server:
        result = replaced(server.port, attacker, accepted=False)
    assert result["kind"] == "UnknownIssuerError", result
    assert result["sequence"] == 3, "the Context goes on with the store that is in force"


@pytest.mark.parametrize(("accepted", "sequence"), [(False, 3), (True, 4)])
def test_an_older_context_of_a_path_goes_on_with_the_store_that_is_in_force(
    replaced: Replaced, root: pki.Authority, accepted: bool, sequence: int
) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = replaced(server.port, root, accepted=accepted)
    assert result["kind"] is None, result
    assert result["body"].endswith("hello") and result["sequence"] == sequence


def test_a_context_of_a_path_checks_the_store_in_force_to_its_last_byte(
    replaced: Replaced, root: pki.Authority
) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = replaced(server.port, root, accepted=False, damage=True)
    assert result["kind"] == "TrustStoreDamagedError", result
    assert "make a new Context" in result["message"]


def test_a_context_of_an_opened_store_refuses_rather_than_read_another_as_its_own(
    replaced: Replaced, root: pki.Authority
) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = replaced(server.port, root, accepted=True, opened=True)
    assert result["kind"] == "TrustStoreDamagedError", result
    assert "make a new Context" in result["message"]
