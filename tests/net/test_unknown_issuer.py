"""A chain that no trust anchor signed."""

from __future__ import annotations

from pathlib import Path

from support import pki
from support.attempt import HOST, Connect
from support.servers import tls_server


def test_chain_of_an_unknown_ca_is_refused_and_the_ca_named(connect: Connect) -> None:
    with tls_server(pki.make_ca("nobody knows me").child("issuer").issue(HOST)) as server:
        outcome = connect(server.port)
    assert outcome.kind == "UnknownIssuerError"
    assert "nobody knows me" in outcome.message
    assert "cafile" in outcome.remedy


def test_forger_who_uses_the_name_of_a_known_root_is_refused(root: pki.Authority, connect: Connect) -> None:
    with tls_server(pki.make_ca("session root").issue(HOST)) as server:
        outcome = connect(server.port)
    assert outcome.kind == "UnknownIssuerError"
    assert "forged" in outcome.remedy


def test_self_signed_stranger_is_refused(connect: Connect) -> None:
    stranger = pki.make_ca(HOST).issue(HOST, common_name="stranger")
    with tls_server(stranger) as server:
        assert connect(server.port).kind == "UnknownIssuerError"


def test_server_that_signed_itself_is_refused(connect: Connect) -> None:
    with tls_server(pki.self_signed(HOST)) as server:
        assert connect(server.port).kind == "UnknownIssuerError"


def test_self_signed_server_is_accepted_when_it_was_given_as_itself(connect: Connect, tmp_path: Path) -> None:
    identity = pki.self_signed(HOST)
    path = tmp_path / "server.der"
    path.write_bytes(identity.der)
    with tls_server(identity) as server:
        assert connect(server.port, cafile=str(path)).connected
    with tls_server(pki.self_signed(HOST)) as impostor:
        assert connect(impostor.port, cafile=str(path)).kind == "UnknownIssuerError"
