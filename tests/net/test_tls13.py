"""TLS 1.3, which hides the Certificate message: with the MicroPython versions that negotiate it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from rootlet_host.store import anchors_from_certificates, build_store, mozilla_certificates
from support import pki
from support.attempt import HOST, Connect
from support.board import run_device
from support.servers import answer, http_response, server_context, tls_server

SCRIPT = Path(__file__).parents[1] / "device" / "scripts" / "connect_again.py"

pytestmark = pytest.mark.needs("tls1.3")


@pytest.fixture
def connect_again(root: pki.Authority, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Several connections with one Context: a report for each."""
    cafile = tmp_path / "trusted.pem"
    cafile.write_bytes(root.pem)

    def run(*ports: int, **request: Any) -> list[dict[str, Any]]:
        request = {"cafile": str(cafile), "host": HOST, "ports": ports, **request}
        output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)})
        return json.loads(output.splitlines()[-1])  # type: ignore[no-any-return]

    return run


def test_chain_is_verified_by_the_second_connection(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.child("issuer").issue(HOST)) as server:
        outcome = connect(server.port)
        assert outcome.connected, outcome
        assert outcome.cipher[1] == "TLSv1.3"
        assert outcome.certificate_bytes > 0
        assert server.accepted == 2


def test_server_of_tls_1_2_needs_one_connection_on_the_same_firmware(root: pki.Authority, connect: Connect) -> None:
    identity = root.child("issuer").issue(HOST)
    context = server_context(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(identity, context=context) as server:
        outcome = connect(server.port)
        assert outcome.connected, outcome
        assert outcome.cipher[1] == "TLSv1.2"
        assert server.accepted == 1


@pytest.mark.parametrize("key", ["RSA-2048", "P-384"])
def test_site_ca_is_found_beside_all_roots_of_mozilla(key: str, connect: Connect, tmp_path: Path) -> None:
    authority = pki.make_ca("site CA", key=key)
    store = tmp_path / "roots.rtlt"
    certificates = [authority.certificate, *mozilla_certificates()]
    store.write_bytes(build_store(anchors_from_certificates(certificates), sequence=1, issued_at=1_700_000_000))
    with tls_server(authority.child("R3").child("E7").issue(HOST)) as server:
        outcome = connect(server.port, store=str(store))
        assert outcome.connected, outcome
        assert server.accepted == 2


def test_issuer_in_the_middle_of_the_chain_may_be_the_anchor(connect: Connect, tmp_path: Path) -> None:
    trusted = pki.make_ca("root that nobody trusts").child("trusted issuer")
    store = tmp_path / "roots.rtlt"
    anchors = anchors_from_certificates([trusted.certificate])
    store.write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000))
    with tls_server(trusted.child("lower").issue(HOST)) as server:
        assert connect(server.port, store=str(store)).connected
        assert server.accepted == 2
    with tls_server(trusted.child("lower").issue("other.example.org")) as server:
        assert connect(server.port, store=str(store)).kind == "HostnameError"


def test_what_the_first_connection_learned_is_remembered(
    root: pki.Authority, connect_again: Callable[..., list[dict[str, Any]]]
) -> None:
    with tls_server(root.child("issuer").issue(HOST)) as server:
        reports = connect_again(server.port, server.port, server.port)
        assert [report["kind"] for report in reports] == [None, None, None]
        assert server.accepted == 2 + 1 + 1


def test_server_that_moves_to_another_ca_is_verified_again(
    root: pki.Authority, connect_again: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    other = pki.make_ca("another root")
    both = tmp_path / "both.pem"
    both.write_bytes(root.pem + other.pem)
    with tls_server(root.child("issuer").issue(HOST)) as old, tls_server(other.child("new").issue(HOST)) as new:
        reports = connect_again(old.port, new.port, new.port, old.port, cafile=str(both))
        assert [report["kind"] for report in reports] == [None] * 4
        assert old.accepted == 2 + 2
        assert new.accepted == 2 + 1


def test_what_an_impostor_sent_does_not_keep_the_real_server_out(
    root: pki.Authority, connect_again: Callable[..., list[dict[str, Any]]]
) -> None:
    with tls_server(root.issue(HOST)) as server, tls_server(pki.make_ca("impostor").issue(HOST)) as impostor:
        reports = connect_again(impostor.port, server.port)
    assert [report["kind"] for report in reports] == ["UnknownIssuerError", None]


def test_what_an_impostor_sent_leaves_room_for_the_anchor_of_a_real_server_of_tls_1_2(
    root: pki.Authority, connect_again: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    names = [f"root {i}" for i in range(4)]
    trusted = tmp_path / "all.pem"
    trusted.write_bytes(root.pem + b"".join(pki.make_ca(name).pem for name in names))
    impostor = pki.make_ca(names[0])
    for name in names[1:]:
        impostor = impostor.child(name)
    identity = root.issue(HOST)
    context = server_context(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(impostor.issue(HOST)) as first, tls_server(identity, context=context) as server:
        reports = connect_again(first.port, server.port, server.port, cafile=str(trusted))
    assert [report["kind"] for report in reports] == ["UnknownIssuerError", None, None]


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("wrong host", "HostnameError"),
        ("unknown issuer", "UnknownIssuerError"),
        ("forged", "UnknownIssuerError"),
        ("self-signed", "UnknownIssuerError"),
        ("expired", "ExpiredError"),
        ("not yet valid", "NotYetValidError"),
    ],
)
def test_bad_chain_is_refused(case: str, kind: str, root: pki.Authority, connect: Connect) -> None:
    identity = {
        "wrong host": lambda: root.child("issuer").issue("other.example.org"),
        "unknown issuer": lambda: pki.make_ca("stranger").child("issuer").issue(HOST),
        "forged": lambda: pki.make_ca("session root").issue(HOST),
        "self-signed": lambda: pki.self_signed(HOST),
        "expired": lambda: root.issue(HOST, not_after=pki.now() - pki.days(0.5)),
        "not yet valid": lambda: root.issue(HOST, not_before=pki.now() + pki.days(2)),
    }[case]()
    with tls_server(identity) as server:
        outcome = connect(server.port)
        assert outcome.kind == kind, outcome
        assert server.accepted <= 2


def test_server_whose_chain_changes_with_every_connection_is_given_up(
    root: pki.Authority, connect: Connect, tmp_path: Path
) -> None:
    authorities = [pki.make_ca(f"root {i}") for i in range(4)]
    trusted = tmp_path / "all.pem"
    trusted.write_bytes(b"".join(authority.pem for authority in authorities))
    contexts = [server_context(authority.issue(HOST)) for authority in authorities]

    def another(stream: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        stream.context = contexts.pop()

    first = server_context(root.issue(HOST))
    first.sni_callback = another
    with tls_server(root.issue(HOST), context=first) as server:
        assert connect(server.port, cafile=str(trusted)).kind == "UnknownIssuerError"
        assert server.accepted == 2


def test_issuers_that_no_store_has_are_neither_kept_nor_tried_again(
    connect_again: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def long_name(common_name: str) -> x509.Name:
        units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 64) for _ in range(12)]
        return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    monkeypatch.setattr(pki, "make_name", long_name)
    above = pki.make_ca("hostile root")
    for i in range(4):
        above = above.child(f"hostile {i}")
    with tls_server(above.issue(HOST)) as server:
        (report,) = connect_again(server.port)
        assert report["kind"] == "UnknownIssuerError"
        assert "hostile root" in report["message"]
        assert report["late_issuers"] == 0
        assert server.accepted == 1


def test_truncation_is_reported_and_a_proper_end_is_not(root: pki.Authority, connect: Connect) -> None:
    def cut(stream: ssl.SSLSocket) -> None:
        stream.recv(4096)
        stream.sendall(http_response())
        stream.shutdown(2)

    identity = root.issue(HOST)
    with tls_server(identity, cut) as server:
        assert connect(server.port).kind == "TruncationError"
    with tls_server(identity, answer(http_response())) as server:
        assert connect(server.port).connected


def test_large_answer_comes_whole(root: pki.Authority, connect_again: Callable[..., list[dict[str, Any]]]) -> None:
    body = bytes(range(256)) * 1000
    with tls_server(root.issue(HOST), answer(http_response(body))) as server:
        (report,) = connect_again(server.port)
    assert report["kind"] is None
    assert report["bytes"] == len(http_response(body))


def test_issuer_names_too_long_for_a_board_are_neither_kept_nor_tried_again(connect: Connect) -> None:
    issuer = pki.make_ca("an issuer")
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{i:064}") for i in range(30)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(pki.make_name("leaf"))
        .issuer_name(x509.Name(units))
        .public_key(issuer.key.public_key())
        .serial_number(1)
        .not_valid_before(pki.now() - pki.days(1))
        .not_valid_after(pki.now() + pki.days(1))
        .sign(issuer.key, hashes.SHA256())
    )
    with tls_server(pki.Issued(certificate, issuer.key)) as server:
        outcome = connect(server.port)
        assert outcome.kind == "UnknownIssuerError"
        assert server.accepted == 1
