"""Pinned keys, with real chains: on top of verification, never instead of it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rootlet_host.store import anchors_from_certificates, build_store
from support import pki
from support.attempt import HOST, Connect
from support.servers import tls_server

BACKUP = "sha256//" + base64.b64encode(hashlib.sha256(b"a key in the safe").digest()).decode()


def pin(identity: pki.Issued) -> str:
    spki = identity.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


@pytest.mark.parametrize("key", ["P-256", "P-384", "P-521", "RSA-2048"])
def test_pin_of_every_certificate_up_to_the_root_is_found(key: str, connect: Connect, tmp_path: Path) -> None:
    """The root is not sent: the board writes its certificate, with the root's own key."""
    root = pki.make_ca("pinned root", key=key)
    middle = root.child("middle", key=key)
    leaf = middle.issue(HOST, key=key)
    store = tmp_path / "roots.rtlt"
    store.write_bytes(build_store(anchors_from_certificates([root.certificate]), sequence=1, issued_at=1_700_000_000))
    with tls_server(leaf) as server:
        for identity in (leaf, middle, root):
            assert connect(server.port, store=str(store), pins=[BACKUP, pin(identity)]).connected


def test_chain_without_a_pinned_key_is_refused_and_its_pins_are_told(root: pki.Authority, connect: Connect) -> None:
    middle = root.child("middle")
    leaf = middle.issue(HOST)
    with tls_server(leaf) as server:
        outcome = connect(server.port, pins=[BACKUP, pin(pki.make_ca())])
    assert (outcome.kind, outcome.rule, outcome.depth) == ("PinError", "pin-mismatch", 0)
    assert outcome.seen == [pin(leaf), pin(middle), pin(root)]
    assert all(seen in outcome.message for seen in outcome.seen)


def test_pinned_key_does_not_replace_verification(root: pki.Authority, connect: Connect) -> None:
    stranger = pki.make_ca("stranger").issue(HOST)
    with tls_server(stranger) as server:
        assert connect(server.port, pins=[pin(stranger), BACKUP]).kind == "UnknownIssuerError"
    other = root.issue("other.example.org")
    with tls_server(other) as server:
        assert connect(server.port, pins=[pin(other), BACKUP]).kind == "HostnameError"
    expired = root.issue(HOST, not_before=pki.now() - pki.days(9), not_after=pki.now() - pki.days(1))
    with tls_server(expired) as server:
        assert connect(server.port, pins=[pin(expired), BACKUP]).kind == "ExpiredError"


def test_certificate_that_is_sent_but_not_part_of_the_verified_chain_does_not_count(
    root: pki.Authority, connect: Connect
) -> None:
    pinned = pki.make_ca("pinned but idle")
    leaf = root.issue(HOST)
    leaf.intermediates.append(pinned.certificate)
    with tls_server(leaf) as server:
        assert connect(server.port, pins=[pin(pinned), BACKUP]).kind == "PinError"


def test_single_pin_must_be_asked_for(root: pki.Authority, connect: Connect) -> None:
    leaf = root.issue(HOST)
    with tls_server(leaf) as server:
        assert connect(server.port, pins=[pin(leaf)]).kind == "ConfigError"
        assert connect(server.port, pins=[pin(leaf)], allow_single=True).connected
        assert connect(server.port, pins=["sha256//nonsense", pin(leaf)]).kind == "ConfigError"


@pytest.mark.needs("tls1.3")
def test_pins_hold_where_the_certificates_are_encrypted(root: pki.Authority, connect: Connect) -> None:
    leaf = root.child("middle").issue(HOST)
    with tls_server(leaf) as server:
        assert connect(server.port, pins=[pin(leaf), BACKUP]).connected
        assert connect(server.port, pins=[pin(root), BACKUP]).connected
        outcome = connect(server.port, pins=[pin(pki.make_ca()), BACKUP])
    assert outcome.kind == "PinError" and outcome.seen[0] == pin(leaf)
