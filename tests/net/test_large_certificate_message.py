"""A server that sends more certificates than anybody needs: memory stays bounded."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST, Connect
from support.servers import Server, tls_server


def test_certificate_message_of_sixteen_kilobytes_is_refused_or_verified_without_a_crash(
    root: pki.Authority, connect: Connect
) -> None:
    identity = root.child("issuer").issue(HOST)
    while sum(len(c.tbs_certificate_bytes) + 110 for c in identity.intermediates) < 15_000:
        identity.intermediates.append(
            pki.make_ca("x" * 60 + str(len(identity.intermediates)), key="RSA-4096").certificate
        )
    with tls_server(identity) as server:
        outcome = connect(server.port, options={"heap": "256K"})
    assert outcome.connected or "HandshakeError" in (outcome.kind, *outcome.kinds)


def test_certificate_message_above_the_limit_is_refused(connect: Connect, root: pki.Authority) -> None:
    identity = root.issue(HOST)
    stranger = pki.make_ca("stranger", key="RSA-4096").certificate
    identity.intermediates += [stranger] * 15
    with tls_server(identity, maximum=ssl.TLSVersion.TLSv1_2) as server:
        outcome = connect(server.port)
    assert outcome.kind == "HandshakeError"
    assert "limit is 16384" in outcome.message


@pytest.mark.needs("tls1.3")
def test_certificate_message_above_the_limit_is_refused_where_it_is_encrypted(
    connect: Connect, root: pki.Authority
) -> None:
    identity = root.issue(HOST)
    stranger = pki.make_ca("stranger", key="RSA-4096").certificate
    identity.intermediates += [stranger] * 15
    with tls_server(identity) as server:
        assert connect(server.port, options={"heap": "256K"}).kind == "HandshakeError"
        assert server.accepted == 1


@pytest.mark.parametrize(
    ("named_before", "connects"), [((0, 1, 2), True), ((0, 1, 2, 3), False), ((0, 0, 0, 0, 1, 2), True)]
)
def test_four_different_anchors_are_loaded_and_no_more(
    connect: Connect, tmp_path: Path, named_before: tuple[int, ...], connects: bool
) -> None:
    roots = [pki.make_ca(f"root {n}") for n in range(5)]
    cafile = tmp_path / "roots.pem"
    cafile.write_bytes(b"".join(root.pem for root in roots))
    identity = roots[4].child("issuer").issue(HOST)
    identity.intermediates[:0] = [roots[n].certificate for n in named_before]  # the one that counts comes last
    with tls_server(identity, maximum=ssl.TLSVersion.TLSv1_2) as server:
        outcome = connect(server.port, cafile=str(cafile))
    assert outcome.connected is connects
    assert outcome.kind in (None, "UnknownIssuerError")


def test_more_certificates_than_the_limit_are_refused(root: pki.Authority, connect: Connect) -> None:
    identity = root.issue(HOST)
    key = pki.make_key()
    identity.intermediates += [pki.make_ca(f"{i}", key=key).certificate for i in range(29)]
    with tls_server(identity, maximum=ssl.TLSVersion.TLSv1_2) as server:
        outcome = connect(server.port, options={"heap": "256K"})
    assert outcome.kind == "HandshakeError"
    assert "more than 16 certificates" in outcome.message


def test_length_that_promises_more_than_comes_is_no_reason_to_allocate(connect: Connect) -> None:
    def promise(connection: socket.socket) -> None:
        connection.recv(1)
        # ServerHello (TLS 1.2, ECDHE-ECDSA-AES128-GCM-SHA256), then a Certificate message of 16 MB - 1.
        hello = bytes.fromhex("020000260303") + bytes(32) + bytes.fromhex("00c02b00")
        connection.sendall(b"\x16\x03\x03" + len(hello).to_bytes(2, "big") + hello)
        connection.sendall(b"\x16\x03\x03\x00\x07\x0b\xff\xff\xff\xff\xff\xfc")
        while connection.recv(4096):
            pass

    with Server(promise) as server:
        outcome = connect(server.port, options={"heap": "256K"})
    assert outcome.kind == "HandshakeError"
    assert "16777215" in outcome.message
