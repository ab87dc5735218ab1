"""Publisher keys and signatures: what is signed verifies here and in Mbed TLS, and nothing else does."""

from __future__ import annotations

import json
import os
import stat
import struct
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rootlet_host.errors import HostError, UsageError
from rootlet_host.keys import load_publisher_key
from rootlet_host.signing import (
    SignatureError,
    new_publisher_key,
    publisher_certificate,
    set_publisher,
    sign_store,
    verify_store,
)
from rootlet_host.store import StoreFormatError, anchors_from_certificates, build_store, decode_store
from rootlet_host.store.format import Envelope, encode_envelope, envelope_name, strip_envelope
from store_help import DER, NOW, ec_key, key_usage, make_certificate, rsa_key, with_digest
from support.board import run_device


@pytest.fixture(scope="module")
def publisher():
    key = new_publisher_key()
    return key, publisher_certificate("Test Publisher", key)


@pytest.fixture(scope="module")
def unsigned():
    anchors = anchors_from_certificates([make_certificate(f"root {n}").certificate for n in range(3)])
    return build_store(anchors, sequence=41, issued_at=1_700_000_000)


@pytest.fixture(scope="module")
def signed(unsigned, publisher):
    return sign_store(unsigned, *publisher)


# -------------------------------------------------------------------------------------------- the publisher


def test_the_publishers_certificate_is_a_p256_ca_for_leaves_only_valid_until_2106(publisher):
    key, certificate = publisher
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical and constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical and usage.value == key_usage(key_cert_sign=True)
    assert isinstance(key.curve, ec.SECP256R1)
    assert certificate.not_valid_before_utc == datetime(2000, 1, 1, tzinfo=timezone.utc)
    assert certificate.not_valid_after_utc == datetime(2106, 1, 1, tzinfo=timezone.utc)
    certificate.verify_directly_issued_by(certificate)


# --------------------------------------------------------------------------------------------- the signature


def test_a_signature_is_at_most_700_bytes_and_leaves_the_content_alone(unsigned, signed):
    assert signed.startswith(unsigned)
    assert len(signed) - len(unsigned) <= 700


def test_a_signed_store_verifies(signed, publisher):
    verified = verify_store(signed, publisher[1])
    assert verified.store.header.sequence == 41
    assert verified.store.envelope is not None


def test_the_leaf_is_as_documented(signed, publisher):
    store = decode_store(signed)
    leaf = x509.load_der_x509_certificate(store.envelope.leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    digest = signed[32:64].hex()
    assert list(names) == [x509.DNSName(f"s41.{digest[:32]}.{digest[32:]}.store")]
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (
        publisher[1].not_valid_before_utc,
        publisher[1].not_valid_after_utc,
    )
    key = serialization.load_der_private_key(store.envelope.leaf_key, None)
    sec1 = key.private_bytes(DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    assert store.envelope.leaf_key == sec1


def test_signing_again_replaces_the_signature(signed, publisher):
    again = sign_store(signed, *publisher)
    assert strip_envelope(again) == strip_envelope(signed)
    assert decode_store(again).envelope != decode_store(signed).envelope
    verify_store(again, publisher[1])


def test_an_unsigned_store_does_not_verify(unsigned, publisher):
    with pytest.raises(SignatureError, match="not signed"):
        verify_store(unsigned, publisher[1])


def test_another_publisher_of_the_same_name_is_refused(signed):
    other = publisher_certificate("Test Publisher", new_publisher_key())
    with pytest.raises(SignatureError, match="another publisher"):
        verify_store(signed, other)


def test_a_signature_over_another_content_or_sequence_is_refused(signed, unsigned, publisher):
    envelope = signed[len(unsigned) :]
    later = bytearray(unsigned)
    struct.pack_into("<I", later, 8, 42)
    other = build_store(decode_store(unsigned).anchors[:2], sequence=41, issued_at=1_700_000_000)
    for data in (with_digest(bytes(later)), other):
        decode_store(data)
        with pytest.raises(StoreFormatError, match="made for another store"):
            verify_store(data + envelope, publisher[1])


def forge(unsigned, issuer_key, issuer_certificate, *, usage=True, key=None, extra=None, years=()):
    """A store with an envelope that is right but for what the arguments change."""
    store = decode_store(unsigned)
    leaf_key = key or ec_key()
    start, end = years or (2000, 2106)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer_certificate.subject)
        .public_key(leaf_key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(start, 1, 1))
        .not_valid_after(datetime(end, 1, 1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(envelope_name(store.header.sequence, store.digest))]), True
        )
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)
    if extra:
        builder = builder.add_extension(extra, True)
    leaf = builder.sign(issuer_key, hashes.SHA256())
    private = leaf_key.private_bytes(DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return unsigned + encode_envelope(Envelope(leaf.public_bytes(DER), private))


def test_the_forgeries_below_differ_from_a_valid_signature_in_one_thing_only(unsigned, publisher):
    verify_store(forge(unsigned, *publisher), publisher[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usage": False}, "not one for servers"),
        ({"extra": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")}, "unknown critical"),
        ({"years": (2000, 2010)}, "valid only from 2000-01-01 to 2010-01-01"),
        ({"key": ec_key(ec.SECP384R1())}, "not a P-256 key"),
    ],
    ids=["usage", "critical extension", "expired", "key"],
)
def test_an_envelope_that_differs_from_the_format_is_refused(unsigned, publisher, change, words):
    with pytest.raises(HostError, match=words):
        verify_store(forge(unsigned, *publisher, **change), publisher[1])


def test_a_leaf_in_the_publishers_name_but_signed_by_another_key_is_refused(unsigned, publisher):
    with pytest.raises(SignatureError, match="forged"):
        verify_store(forge(unsigned, ec_key(), publisher[1]), publisher[1])


@pytest.mark.parametrize(
    ("authority", "words"),
    [
        (lambda: make_certificate("p", ca=False), "not a CA"),
        (lambda: make_certificate("p", key=rsa_key()), "no P-256"),
        (lambda: make_certificate("p", key=ec_key(ec.SECP384R1())), "no P-256"),
        (lambda: make_certificate("p", extensions=((key_usage(crl_sign=True), True),)), "may not sign"),
    ],
    ids=["leaf", "RSA", "P-384", "key usage"],
)
def test_only_a_p256_ca_can_be_a_publisher(unsigned, authority, words):
    publisher = authority()
    with pytest.raises(UsageError, match=words):
        sign_store(unsigned, publisher.key, publisher.certificate)


def test_the_key_must_belong_to_the_certificate(unsigned, publisher):
    with pytest.raises(UsageError, match="does not belong"):
        sign_store(unsigned, new_publisher_key(), publisher[1])


def test_an_expired_publisher_does_not_verify(unsigned):
    authority = make_certificate("p", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    with pytest.raises(SignatureError, match="the publisher's certificate is valid only"):
        sign_store(unsigned, authority.key, authority.certificate)


def test_the_next_publisher_is_part_of_what_is_signed(unsigned, signed, publisher):
    following = publisher_certificate("Next", new_publisher_key())
    changed = set_publisher(signed, following)
    store = decode_store(changed)
    assert store.publisher == following.public_bytes(DER)
    assert store.envelope is None
    assert store.digest != decode_store(unsigned).digest
    assert store.anchors == decode_store(unsigned).anchors
    verify_store(sign_store(changed, *publisher), publisher[1])


# ------------------------------------------------------------------------- the same signature seen by Mbed TLS

SELF_HANDSHAKE = """
import io, sys, tls

class Pipe(io.IOBase):
    def __init__(self): self.inbox = b""; self.peer = None
    def write(self, data): self.peer.inbox += bytes(data); return len(data)
    def readinto(self, buffer):
        if not self.inbox: return None
        n = min(len(buffer), len(self.inbox)); buffer[:n] = self.inbox[:n]; self.inbox = self.inbox[n:]
        return n
    def ioctl(self, request, argument): return 0

leaf, key, ca, name = [open(sys.argv[1] + "/" + part, "rb").read() for part in ("leaf", "key", "ca", "name")]
here, there = Pipe(), Pipe()
here.peer, there.peer = there, here
server = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
server.load_cert_chain(leaf, key)
client = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(ca)
try:
    a = server.wrap_socket(here, server_side=True, do_handshake_on_connect=False)
    b = client.wrap_socket(there, server_hostname=name.decode(), do_handshake_on_connect=False)
    got = None
    for _ in range(20):
        try: b.write(b"x")
        except OSError as error:
            if error.errno != 11: raise
        got = a.read(1)
        if got: break
    a.close()
    b.close()
    print("accepted" if got == b"x" else "stalled")
except (ValueError, OSError) as error:
    print("refused")
"""


def board_accepts(tmp_path, signed: bytes, ca: x509.Certificate, name: str | None = None) -> bool:
    """Whether a MicroPython that trusts only `ca` completes a handshake with the leaf of `signed`."""
    store = decode_store(signed)
    name = name or envelope_name(store.header.sequence, store.digest)
    parts = {"leaf": store.envelope.leaf, "key": store.envelope.leaf_key, "ca": ca.public_bytes(DER)}
    for part, content in {**parts, "name": name.encode()}.items():
        (tmp_path / part).write_bytes(content)
    script = tmp_path / "self_handshake.py"
    script.write_text(SELF_HANDSHAKE)
    answer = run_device(script, str(tmp_path)).strip()
    assert answer in ("accepted", "refused")
    return answer == "accepted"


def test_mbed_tls_completes_a_handshake_with_the_leaf_exactly_when_the_signature_is_right(tmp_path, signed, publisher):
    assert board_accepts(tmp_path, signed, publisher[1])
    other = publisher_certificate("Test Publisher", new_publisher_key())
    assert not board_accepts(tmp_path, signed, other)
    digest = decode_store(signed).digest
    assert not board_accepts(tmp_path, signed, publisher[1], envelope_name(42, digest))
    assert not board_accepts(tmp_path, signed, publisher[1], envelope_name(41, bytes([digest[0] ^ 1]) + digest[1:]))


# ------------------------------------------------------------------------------------------------- commands


def test_keys_new_writes_an_encrypted_key_only_the_owner_can_read(rootlet, tmp_path, monkeypatch):
    monkeypatch.setenv("ROOTLET_PASSPHRASE", "open sesame")
    result = rootlet("keys", "new", "acme", "--directory", tmp_path)
    assert result.code == 0, result.err
    key, certificate = tmp_path / "acme.key", tmp_path / "acme.pem"
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert load_publisher_key(key).public_key() == loaded.public_key()
    assert loaded.fingerprint(hashes.SHA256()).hex() in result.out
    monkeypatch.setenv("ROOTLET_PASSPHRASE", "wrong")
    with pytest.raises(HostError, match="wrong passphrase"):
        load_publisher_key(key)


def test_keys_new_never_overwrites(rootlet, tmp_path):
    for name in ("acme.key", "acme.pem"):
        (tmp_path / name).write_text("precious")
        result = rootlet("keys", "new", "acme", "-d", tmp_path, "--no-passphrase")
        assert result.code == 2
        assert f"{name} exists" in result.err
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_keys_new_takes_an_existing_key(rootlet, tmp_path, publisher):
    (tmp_path / "old.pem").write_bytes(
        publisher[0].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    result = rootlet("keys", "new", "acme", "-d", tmp_path, "--from", tmp_path / "old.pem", "--no-passphrase")
    assert result.code == 0, result.err
    certificate = x509.load_pem_x509_certificate((tmp_path / "acme.pem").read_bytes())
    assert certificate.public_key() == publisher[0].public_key()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nonsense", "is no private key"),
        (make_certificate(key=rsa_key()).key_pem, "not a P-256 key"),
        (make_certificate(key=ec_key(ec.SECP384R1())).key_pem, "not a P-256 key"),
    ],
    ids=["nonsense", "RSA", "P-384"],
)
def test_keys_new_refuses_what_is_no_p256_key(rootlet, tmp_path, content, words):
    (tmp_path / "old.pem").write_bytes(content)
    result = rootlet("keys", "new", "acme", "-d", tmp_path, "--from", tmp_path / "old.pem", "--no-passphrase")
    assert result.code == 2
    assert words in result.err
    assert not (tmp_path / "acme.key").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 65])
def test_keys_new_refuses_a_name_that_cannot_be_used(rootlet, tmp_path, name):
    assert rootlet("keys", "new", name, "-d", tmp_path, "--no-passphrase").code == 2
    assert not list(tmp_path.iterdir())


def test_without_a_terminal_a_missing_passphrase_is_an_error_with_a_remedy(rootlet, tmp_path):
    result = rootlet("keys", "new", "acme", "-d", tmp_path)
    assert result.code == 2
    assert "ROOTLET_PASSPHRASE" in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_empty_passphrase_is_refused_and_no_key_is_made(rootlet, tmp_path, monkeypatch):
    monkeypatch.setenv("ROOTLET_PASSPHRASE", "")
    result = rootlet("keys", "new", "acme", "-d", tmp_path)
    assert result.code == 2
    assert "the passphrase is empty" in result.err and "--no-passphrase" in result.err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def workshop(rootlet, tmp_path, unsigned):
    """A folder with a store, and two publishers with unencrypted keys."""
    (tmp_path / "roots.rtlt").write_bytes(unsigned)
    for name in ("acme", "next"):
        assert rootlet("keys", "new", name, "-d", tmp_path, "--no-passphrase").code == 0
    return tmp_path


def test_sign_and_verify_from_the_command_line(rootlet, workshop, unsigned):
    store = workshop / "roots.rtlt"
    result = rootlet("store", "sign", store, "--key", workshop / "acme.key")
    assert result.code == 0, result.err
    result = rootlet("store", "verify", store, "--publisher", workshop / "acme.pem")
    assert result.code == 0, result.err
    assert "sequence 41" in result.out and decode_store(unsigned).digest.hex() in result.out and "acme" in result.out
    answer = json.loads(rootlet("store", "verify", store, "--publisher", workshop / "acme.pem", "--json").out)
    assert (answer["sequence"], answer["publisher"]["name"]) == (41, "acme")
    result = rootlet("store", "verify", store, "--publisher", workshop / "next.pem")
    assert (result.code, result.out) == (1, "")
    assert "another publisher" in result.err
    assert rootlet("store", "check", store, "--publisher", workshop / "acme.pem").code == 0
    assert rootlet("store", "check", store, "--publisher", workshop / "next.pem").code == 1


def test_signing_a_signed_store_leaves_the_file_as_it_is(rootlet, workshop):
    store = workshop / "roots.rtlt"
    rootlet("store", "sign", store, "--key", workshop / "acme.key")
    before = store.read_bytes()
    assert "already signed" in rootlet("store", "sign", store, "--key", workshop / "acme.key").out
    assert store.read_bytes() == before


def test_a_signed_store_that_gets_a_next_publisher_is_a_new_release(rootlet, workshop):
    store, other = workshop / "roots.rtlt", workshop / "other.rtlt"
    arguments = ("store", "sign", store, "--key", workshop / "acme.key", "--next-publisher", workshop / "next.pem")
    assert rootlet(*arguments, "--output", other).code == 0
    assert decode_store(other.read_bytes()).header.sequence == 41  # it was never published without
    rootlet("store", "sign", store, "--key", workshop / "acme.key")
    assert rootlet(*arguments).code == 0
    assert decode_store(store.read_bytes()).header.sequence == 42
    assert rootlet(*arguments).code == 0
    assert decode_store(store.read_bytes()).header.sequence == 42  # nothing new in that
    assert rootlet("store", "verify", store, "--publisher", workshop / "acme.pem").code == 0


def test_a_failed_signing_leaves_the_store_alone(rootlet, workshop, unsigned):
    store = workshop / "roots.rtlt"
    result = rootlet("store", "sign", store, "--key", workshop / "acme.key", "--cert", workshop / "next.pem")
    assert result.code == 2
    assert store.read_bytes() == unsigned
    assert rootlet("store", "sign", store, "--key", workshop / "nothing.key").code == 2
    assert store.read_bytes() == unsigned
