"""The good case, for the chains that real servers send."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from rootlet_host.store import anchors_from_certificates, build_store, mozilla_certificates
from support import pki
from support.attempt import HOST, Connect
from support.firmware import Firmware
from support.servers import tls_server


def write_store(path: Path, *authorities: pki.Authority, mozilla: bool = False) -> str:
    certificates = [a.certificate for a in authorities] + (mozilla_certificates() if mozilla else [])
    path.write_bytes(build_store(anchors_from_certificates(certificates), sequence=1, issued_at=1_700_000_000))
    return str(path)


def test_server_directly_below_the_root_is_verified(root: pki.Authority, connect: Connect, firmware: Firmware) -> None:
    with tls_server(root.issue(HOST)) as server:
        outcome = connect(server.port)
    assert outcome.connected
    assert outcome.cipher[1] == firmware.highest
    assert server.accepted == firmware.first_visit, "one connection must do, if nothing is encrypted"


@pytest.mark.parametrize("key", ["P-256", "P-384", "P-521", "RSA-2048", "RSA-4096"])
def test_root_of_every_kind_of_key_is_found_in_the_store(key: str, connect: Connect, tmp_path: Path) -> None:
    authority = pki.make_ca(f"root with {key}", key=key)
    store = write_store(tmp_path / "roots.rtlt", authority)
    with tls_server(authority.issue(HOST)) as server:
        assert connect(server.port, store=store).connected


def test_chain_of_four_certificates_is_verified_with_the_whole_mozilla_store(
    connect: Connect, tmp_path: Path, firmware: Firmware
) -> None:
    authority = pki.make_ca("R1", key="RSA-4096")
    issuer = authority.child("R3", key="RSA-2048").child("E7", key="P-384").child("WE1")
    store = write_store(tmp_path / "roots.rtlt", authority, mozilla=True)
    with tls_server(issuer.issue(HOST)) as server:
        assert connect(server.port, store=store).connected
        assert server.accepted == firmware.first_visit


def test_site_ca_in_a_second_store_is_found(connect: Connect, tmp_path: Path) -> None:
    authority = pki.make_ca("site CA")
    stores = [write_store(tmp_path / "roots.rtlt", mozilla=True), write_store(tmp_path / "site.rtlt", authority)]
    with tls_server(authority.child("site issuer").issue(HOST)) as server:
        assert connect(server.port, stores=stores).connected


def test_root_that_the_server_sends_along_is_no_obstacle(root: pki.Authority, connect: Connect) -> None:
    identity = root.child("issuer").issue(HOST)
    identity.intermediates.append(root.certificate)
    with tls_server(identity) as server:
        assert connect(server.port).connected


def test_unrelated_certificates_in_the_message_are_no_obstacle(root: pki.Authority, connect: Connect) -> None:
    identity = root.child("issuer").issue(HOST)
    for i in range(3):
        identity.intermediates.insert(0, pki.make_ca(f"stranger {i}").child(f"strange issuer {i}").certificate)
    with tls_server(identity) as server:
        assert connect(server.port).connected


@pytest.mark.every_version
def test_cross_signed_chain_is_verified_through_either_root(connect: Connect, tmp_path: Path) -> None:
    old, new = pki.make_ca("old root", key="RSA-2048"), pki.make_ca("new root")
    cross = pki.make_ca("new root", key=new.key, issuer=old)
    identity = new.child("issuer").issue(HOST)
    identity.intermediates.append(cross.certificate)
    with tls_server(identity) as server:
        assert connect(server.port, store=write_store(tmp_path / "old.rtlt", old)).connected
        assert connect(server.port, store=write_store(tmp_path / "new.rtlt", new)).connected
        assert connect(server.port, store=write_store(tmp_path / "both.rtlt", old, new)).connected


def test_two_roots_of_one_name_are_both_tried(connect: Connect, tmp_path: Path) -> None:
    first, second = pki.make_ca("same name"), pki.make_ca("same name")
    store = write_store(tmp_path / "roots.rtlt", first, second)
    for authority in (first, second):
        with tls_server(authority.issue(HOST)) as server:
            assert connect(server.port, store=store).connected


def test_pem_bundle_of_several_cas_is_loaded_completely(connect: Connect, tmp_path: Path) -> None:
    authorities = [pki.make_ca(f"root {i}") for i in range(3)]
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# a comment\n" + b"\n".join(a.pem for a in authorities))
    der = tmp_path / "bundle.der"
    der.write_bytes(b"".join(a.der for a in authorities))
    for authority in authorities:
        with tls_server(authority.issue(HOST)) as server:
            assert connect(server.port, cafile=str(bundle)).connected
            assert connect(server.port, cafile=str(der)).connected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "BOARD.example.org", "board.example.org."])
def test_address_or_name_in_any_spelling_is_matched(host: str, root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(HOST, "localhost", "127.0.0.1")) as server:
        assert connect(server.port, host).connected


def test_server_hostname_is_what_is_verified_when_it_differs_from_the_host(
    root: pki.Authority, connect: Connect
) -> None:
    with tls_server(root.issue(HOST)) as server:
        assert connect(server.port, "dialled.example.net", server_hostname=HOST).connected


def test_peer_certificate_is_the_servers(root: pki.Authority, connect: Connect) -> None:
    identity = root.issue(HOST)
    with tls_server(identity) as server:
        assert connect(server.port).certificate_bytes == len(identity.der)


def test_suite_chosen_by_name_is_used_and_weak_ones_are_not_offered(root: pki.Authority, connect: Connect) -> None:
    suite = "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"
    with tls_server(root.issue(HOST), maximum=ssl.TLSVersion.TLSv1_2) as server:
        assert connect(server.port, ciphers=[suite]).cipher[0] == suite
        outcome = connect(server.port, ciphers=["TLS-MADE-UP"])
    assert outcome.kind == "ConfigError"
    assert suite in outcome.remedy, "the error must name what the firmware has"


def test_server_with_only_cbc_suites_is_refused_by_default(root: pki.Authority, connect: Connect) -> None:
    from support.servers import server_context

    identity = root.issue(HOST)
    context = server_context(identity)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
    with tls_server(identity, context=context, maximum=ssl.TLSVersion.TLSv1_2) as server:
        outcome = connect(server.port)
    assert outcome.kind == "AlertError"
    assert outcome.alert == 40
    assert "cipher suite" in outcome.remedy
