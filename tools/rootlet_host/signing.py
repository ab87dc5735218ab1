"""Signs stores and verifies signatures, with `cryptography` only: independent of the way a board does it.

A store is signed by a certificate: the publisher's CA issues a throw-away leaf whose only name is made of the
store's sequence and digest, and leaf and leaf key (public, worthless) are appended. A board verifies by completing
a TLS handshake with itself; the host checks the certificate.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from .errors import HostError, UsageError
from .store.format import (
    Envelope,
    Store,
    StoreFormatError,
    check_publisher,
    decode_store,
    encode_envelope,
    encode_store,
    envelope_name,
    strip_envelope,
)

# Wide, so that a board whose clock is wrong can still take a new store. 2106 is the end of the format's times.
VALID_FROM = datetime(2000, 1, 1, tzinfo=timezone.utc)
VALID_UNTIL = datetime(2106, 1, 1, tzinfo=timezone.utc)
_MAX_COMMON_NAME = 64  # ub-common-name, RFC 5280 appendix A.1
_KNOWN_EXTENSIONS = {
    x509.SubjectAlternativeName.oid,
    x509.ExtendedKeyUsage.oid,
    x509.KeyUsage.oid,
    x509.BasicConstraints.oid,
}


class SignatureError(HostError):
    """A store's signature is missing or not the publisher's."""


@dataclass(frozen=True)
class Verified:
    """A store whose signature was found to be the publisher's."""

    store: Store
    publisher: x509.Certificate


def new_publisher_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def publisher_certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The self-signed CA certificate of a publisher, valid from 2000 to 2106, for leaves only (path length 0)."""
    if not 0 < len(name) <= _MAX_COMMON_NAME or not name.isprintable():
        raise UsageError(f"a publisher's name is 1 to {_MAX_COMMON_NAME} printable characters")
    _require_p256(key.public_key(), "the publisher's key")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
    )


def set_publisher(data: bytes, publisher: x509.Certificate, *, sequence: int | None = None) -> bytes:
    """The store in `data`, carrying `publisher` for boards to accept next, unsigned, with another `sequence` if given.

    The publisher is part of what is digested, so this is a different store: sign it afterwards.
    """
    store = decode_store(data)
    check_publisher(publisher, "the next publisher's certificate")
    header = store.header if sequence is None else replace(store.header, sequence=sequence)
    der = publisher.public_bytes(serialization.Encoding.DER)
    return encode_store(header, store.anchors, blocked=store.blocked, publisher=der)


def sign_store(data: bytes, ca_key: ec.EllipticCurvePrivateKey, ca_cert: x509.Certificate) -> bytes:
    """The store in `data` with an envelope by this publisher; one that was there is replaced.

    Raises `StoreFormatError` if `data` is no store, `UsageError` if key and certificate are not a publisher's.
    """
    store = decode_store(data)
    _check_publisher(ca_cert)
    if ca_key.public_key() != ca_cert.public_key():
        raise UsageError("the key does not belong to the publisher's certificate", remedy="name its own with --cert")
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.DNSName(envelope_name(store.header.sequence, store.digest))
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca_cert.subject)
        .public_key(leaf_key.public_key())
        .serial_number(_serial_number())
        .not_valid_before(ca_cert.not_valid_before_utc)
        .not_valid_after(ca_cert.not_valid_after_utc)
        # Critical, because the subject is empty (RFC 5280 section 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    envelope = Envelope(
        leaf.public_bytes(serialization.Encoding.DER),
        leaf_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
    )
    signed = strip_envelope(data) + encode_envelope(envelope)
    verify_store(signed, ca_cert)
    return signed


def verify_store(data: bytes, ca_cert: x509.Certificate) -> Verified:
    """Check that the publisher with this CA certificate signed exactly this content with exactly this sequence.

    Raises `StoreFormatError` if `data` is no valid store, `SignatureError` if it is not signed or not by this CA.
    """
    store = decode_store(data)  # this also compares the leaf's name with sequence and digest
    _check_publisher(ca_cert)
    if store.envelope is None:
        raise SignatureError("the store is not signed", remedy="sign it with: rootlet store sign")
    leaf = x509.load_der_x509_certificate(store.envelope.leaf)
    try:
        leaf.verify_directly_issued_by(ca_cert)
        extensions = list(leaf.extensions)
    except Exception as error:  # ValueError for another name, InvalidSignature for another key, and relatives
        raise SignatureError(
            "the store was signed by another publisher, or its signature is forged",
            remedy="give its publisher's certificate, or fetch the store from its publisher again",
        ) from error
    _require_p256(leaf.public_key(), "the key in the envelope")
    now = datetime.now(timezone.utc)
    for certificate, what in ((ca_cert, "the publisher's certificate"), (leaf, "the signature")):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise SignatureError(
                f"{what} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}",
                remedy="check this computer's clock, or sign the store anew",
            )
    purposes: list[x509.ObjectIdentifier] = []
    for extension in extensions:
        if extension.critical and extension.oid not in _KNOWN_EXTENSIONS:
            raise SignatureError(
                f"the signature has an unknown critical extension {extension.oid.dotted_string}",
                remedy="sign the store again: rootlet store sign",
            )
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            purposes = list(extension.value)
    if ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        raise SignatureError(
            "the signature's certificate is not one for servers (extendedKeyUsage)",
            remedy="sign the store again: rootlet store sign",
        )
    return Verified(store, ca_cert)


def _check_publisher(certificate: x509.Certificate) -> None:
    try:
        check_publisher(certificate, "the publisher's certificate")
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    except StoreFormatError as error:
        raise UsageError(error.message, remedy="make one with: rootlet keys new") from error
    if not usage.key_cert_sign:
        raise UsageError(
            "the publisher's certificate may not sign certificates (keyUsage)",
            remedy="make a publisher with: rootlet keys new",
        )


def _require_p256(key: object, what: str) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{what} is not a P-256 key", remedy="make one with: rootlet keys new")


def _serial_number() -> int:
    """64 random bits, positive as RFC 5280 section 4.1.2.2 asks, short because the envelope is on every board."""
    return secrets.randbits(63) | 1 << 62
