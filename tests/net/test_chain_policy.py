"""Chains that Mbed TLS accepts and rootlet does not, each served by a real server."""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet_host.store import anchors_from_certificates, build_store
from rootlet_host.store.format import Anchor
from support import pki
from support.attempt import HOST, Connect, Outcome
from support.servers import tls_server

Check = Callable[[pki.Issued], Outcome]


@pytest.fixture
def verdict(connect: Connect) -> Check:
    """What rootlet says of a server with this identity; the board trusts the session's root."""

    def check(identity: pki.Issued) -> Outcome:
        with tls_server(identity) as server:
            return connect(server.port)

    return check


@pytest.fixture
def with_store(connect: Connect, tmp_path: Path) -> Callable[..., Outcome]:
    """The same with a trust store of these anchors."""

    def check(
        identity: pki.Issued, anchors: Sequence[Anchor], blocked: Sequence[bytes] = (), host: str = HOST
    ) -> Outcome:
        path = tmp_path / "roots.rtlt"
        path.write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000, blocked=blocked))
        with tls_server(identity) as server:
            return connect(server.port, host, store=str(path))

    return check


def spki_digest(identity: pki.Issued) -> bytes:

    spki = identity.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def test_name_in_the_common_name_only_is_refused(root: pki.Authority, verdict: Check) -> None:
    outcome = verdict(root.issue(common_name=HOST))
    assert (outcome.kind, outcome.rule, outcome.depth) == ("PolicyError", "san-missing", 0)


def test_address_written_as_a_dns_name_is_refused(root: pki.Authority, connect: Connect) -> None:
    for pattern in ("127.0.0.1", "*.0.0.1"):
        names = x509.SubjectAlternativeName([x509.DNSName(pattern)])
        with tls_server(root.issue(common_name="x", extensions=[(names, False)])) as server:
            outcome = connect(server.port, "127.0.0.1")
        assert (outcome.kind, outcome.rule) == ("HostnameError", "name-mismatch")
        assert pattern in outcome.message


def test_address_as_an_address_is_accepted(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue("127.0.0.1")) as server:
        assert connect(server.port, "127.0.0.1").connected


def test_wildcard_directly_under_a_top_level_domain_is_refused(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue("*.org")) as server:
        assert connect(server.port, "example.org").rule == "name-mismatch"


def test_trailing_dot_and_capitals_in_the_host_name_do_not_matter(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(HOST)) as server:
        assert connect(server.port, HOST.upper() + ".").connected


def test_intermediate_for_other_purposes_is_refused(root: pki.Authority, verdict: Check) -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    mail = pki.make_ca("mail CA", issuer=root, extensions=[(usage, False)])
    outcome = verdict(mail.issue(HOST))
    assert (outcome.kind, outcome.rule, outcome.depth) == ("PolicyError", "usage", 1)
    assert "mail CA" in outcome.message and "RFC 5280" in outcome.message


def test_certificate_of_a_client_is_refused(root: pki.Authority, verdict: Check) -> None:
    outcome = verdict(root.issue(HOST, usage=[ExtendedKeyUsageOID.CLIENT_AUTH]))
    assert outcome.rule == "usage"


def test_ca_as_a_server_is_refused(root: pki.Authority, verdict: Check) -> None:
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    assert verdict(root.issue(HOST, extensions=[(constraints, True)])).rule == "leaf-is-ca"


def test_modulus_that_does_not_fill_its_bytes_is_refused(root: pki.Authority, verdict: Check) -> None:
    key = rsa.generate_private_key(65537, 2052)
    assert verdict(root.issue(HOST, key=key)).rule == "key-weak"


def test_constraints_of_an_intermediate_hold_even_if_they_are_not_critical(root: pki.Authority, verdict: Check) -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    narrow = pki.make_ca("narrow CA", issuer=root, extensions=[(constraints, False)])
    outcome = verdict(narrow.issue(HOST))
    assert (outcome.rule, outcome.depth) == ("constraints", 0)


def test_critical_constraints_of_the_root_hold(connect: Connect, tmp_path: Path) -> None:
    """Mbed TLS would not even load such a root; rootlet makes its own certificate of it."""
    constraints = x509.NameConstraints([x509.DNSName("example.org")], None)
    root = pki.make_ca("limited root", extensions=[(constraints, True)])
    cafile = tmp_path / "limited.pem"
    cafile.write_bytes(root.pem)
    with tls_server(root.issue(HOST)) as server:
        assert connect(server.port, cafile=str(cafile)).connected
    with tls_server(root.issue("example.com")) as server:
        assert connect(server.port, "example.com", cafile=str(cafile)).rule == "constraints"


def test_sha1_signature_is_refused(root: pki.Authority, tmp_path: Path, connect: Connect) -> None:
    """Mbed TLS's default profile sees to this, so policy.py does not look."""
    signer = pki.make_ca("RSA root", key="RSA-2048")
    cafile = tmp_path / "rsa.pem"
    cafile.write_bytes(signer.pem)
    good = signer.issue(HOST)
    # cryptography refuses to issue with SHA-1, so a good certificate is rewritten and signed once more.
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    tbs = good.certificate.tbs_certificate_bytes
    weak_tbs = tbs.replace(sha256, sha1)
    assert isinstance(signer.key, rsa.RSAPrivateKey)
    signature = signer.key.sign(weak_tbs, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    der = good.der.replace(tbs, weak_tbs).replace(sha256, sha1).replace(good.certificate.signature, signature)
    weak = pki.Issued(x509.load_der_x509_certificate(der), good.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    path = tmp_path / "weak.pem"
    path.write_bytes(weak.key_pem + weak.pem)
    context.load_cert_chain(path)
    with tls_server(weak, context=context) as server:
        outcome = connect(server.port, cafile=str(cafile))
    assert outcome.kind == "CertificateError"
    assert "weak hash" in outcome.message


def test_blocked_keys_are_refused_wherever_they_are(root: pki.Authority, with_store: Callable[..., Outcome]) -> None:
    middle = root.child("middle")
    leaf = middle.issue(HOST)
    anchors = anchors_from_certificates([root.certificate])
    assert with_store(leaf, anchors, [b"\x11" * 32]).connected
    for depth, identity in enumerate((leaf, middle, root)):
        outcome = with_store(leaf, anchors, [b"\x11" * 32, spki_digest(identity)])
        assert (outcome.rule, outcome.depth) == ("key-blocked", depth)


def test_leaf_newer_than_its_roots_distrust_after_is_refused(
    root: pki.Authority, with_store: Callable[..., Outcome]
) -> None:
    leaf = root.issue(HOST)
    began = int(leaf.certificate.not_valid_before_utc.timestamp())
    [anchor] = anchors_from_certificates([root.certificate])
    assert with_store(leaf, [dataclasses.replace(anchor, distrust_after=began)]).connected
    outcome = with_store(leaf, [dataclasses.replace(anchor, distrust_after=began - 1)])
    assert outcome.rule == "anchor-distrusted"


def test_private_ca_does_not_sign_outside_its_domains(root: pki.Authority, with_store: Callable[..., Outcome]) -> None:
    anchors = anchors_from_certificates([root.certificate], suffixes=["example.org"])
    assert with_store(root.issue(HOST), anchors).connected
    outcome = with_store(root.issue("board.example.com"), anchors, host="board.example.com")
    assert outcome.kind == "UnknownIssuerError"


def test_exact_certificate_is_trusted_as_itself_and_signs_for_nobody(with_store: Callable[..., Outcome]) -> None:
    own = pki.self_signed_ca(HOST)
    anchors = anchors_from_certificates([own.certificate], exact=True)
    assert with_store(own, anchors).connected
    assert with_store(own.issue(HOST), anchors).kind == "UnknownIssuerError"
    # Beside a CA of the same name, too: it does not borrow that one's rights.
    twin = pki.make_ca(HOST)
    both = [*anchors, *anchors_from_certificates([twin.certificate])]
    assert with_store(twin.issue(HOST), both).connected
    assert with_store(own.issue(HOST), both).kind == "UnknownIssuerError"
    assert with_store(own, both).connected


def test_policy_webpki_adds_rules_for_the_chain_and_for_roots_given_as_cafile(
    root: pki.Authority, connect: Connect, tmp_path: Path
) -> None:
    key = pki.make_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    good = pki.make_ca("root with key identifier", key=key, extensions=[(identifier, False)])
    cafile = tmp_path / "good.pem"
    cafile.write_bytes(good.pem)
    with tls_server(good.issue(HOST)) as server:
        assert connect(server.port, cafile=str(cafile)).connected
        outcome = connect(server.port, cafile=str(cafile), policy="webpki")
        assert (outcome.kind, outcome.rule) == ("PolicyError", "authority-key-identifier")
        outcome = connect(server.port, policy="webpki")
    assert outcome.kind == "ConfigError"
    assert "certificate 0" in outcome.message and "key identifier" in outcome.message


def test_hundred_and_fifty_names_are_searched(root: pki.Authority, connect: Connect) -> None:
    names = [f"n{i}.example.org" for i in range(150)]
    with tls_server(root.issue(*names)) as server:
        assert connect(server.port, "n149.example.org").connected
        outcome = connect(server.port, "n150.example.org")
    assert outcome.rule == "name-mismatch"
    assert "n5.example.org" in outcome.message and "n6.example.org" not in outcome.message
