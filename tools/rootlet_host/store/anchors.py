"""From certificates to anchors: what may become one, and what of a certificate its record keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..errors import UsageError
from .format import (
    CURVES,
    NO_LIMIT,
    Anchor,
    Kind,
    certificate_fields,
    der_element,
    index_key,
    is_dns_suffix,
    record_size,
)

_NAME_CONSTRAINTS = bytes.fromhex("0603551d1e")  # OID 2.5.29.30
# As in lib/rootlet/certificate.py: critical extensions that are acted upon or may be ignored.
_UNDERSTOOD = {f"2.5.29.{number}" for number in (15, 17, 19, 30, 32, 37)}
# What Mbed TLS accepts from a CA: mbedtls_x509_crt_profile_default wants RSA keys of 2048 bits, and
# MBEDTLS_MPI_MAX_SIZE ends at 8192.
_RSA_BITS = range(2048, 8193)
_MAX_PATH_LENGTH = 254
_MAX_RECORD = 8192  # what a board reads of one record: lib/rootlet/store.py


class UnfitCertificateError(ValueError):
    """A certificate cannot become an anchor; the message completes "certificate 3 of ca.pem …"."""


def anchors_from_certificates(
    certificates: Iterable[x509.Certificate],
    *,
    exact: bool = False,
    suffixes: Sequence[str] = (),
    source: str = "",
) -> list[Anchor]:
    """One anchor per certificate; `exact` keeps whole self-signed server certificates instead of CA keys.

    `suffixes` limits the CAs to names in these domains. Raises `UsageError` with the number (from 1) of the
    first certificate that is unfit.
    """
    anchors = []
    for number, certificate in enumerate(certificates, 1):
        try:
            anchors.append(anchor_from_certificate(certificate, exact=exact, suffixes=suffixes, source=source))
        except UnfitCertificateError as error:
            where = f" of {source}" if source else ""
            raise UsageError(f"certificate {number}{where} {error}") from error
    return anchors


def anchor_from_certificate(
    certificate: x509.Certificate,
    *,
    exact: bool = False,
    suffixes: Sequence[str] = (),
    source: str = "",
    distrust_after: int | None = None,
) -> Anchor:
    """The anchor of one certificate; `UnfitCertificateError` says why it cannot be one."""
    try:
        subject, spki, _ = certificate_fields(certificate)
        kind, key = _key_bytes(certificate, spki)
        path_length, constraints = (None, None) if exact else _ca_limits(certificate)
    except UnfitCertificateError:
        raise
    except Exception as error:  # cryptography answers with many classes for unreadable keys and extensions
        raise UnfitCertificateError(f"cannot be read: {error}") from error
    if exact:
        _check_self_signed(certificate)
        kind, key = Kind.EXACT, certificate.public_bytes(serialization.Encoding.DER)
    not_before, not_after = validity(certificate)
    anchor = Anchor(
        index_key(subject),
        kind,
        key,
        not_before,
        not_after,
        distrust_after,
        path_length,
        normalise_suffixes(suffixes),
        constraints,
        certificate,
        source,
    )
    if record_size(anchor) > _MAX_RECORD:
        raise UnfitCertificateError(f"needs {record_size(anchor)} bytes; boards read at most {_MAX_RECORD}")
    return anchor


def validity(certificate: x509.Certificate) -> tuple[int, int]:
    """(notBefore, notAfter) in seconds since 1970, clamped to what a u32 holds."""
    start = int(certificate.not_valid_before_utc.timestamp())
    end = int(certificate.not_valid_after_utc.timestamp())
    return max(0, min(start, NO_LIMIT)), max(0, min(end, NO_LIMIT))


def normalise_suffixes(suffixes: Iterable[str]) -> tuple[str, ...]:
    """DNS suffixes as a record holds them: lower-case, without a dot at either end, sorted, each once."""
    result = set()
    for suffix in suffixes:
        text = suffix.lower().strip(".")
        if not is_dns_suffix(text):
            raise UsageError(f"{suffix!r} is no domain name", remedy="write it as example.org, or in its xn-- form")
        result.add(text)
    return tuple(sorted(result))


def _key_bytes(certificate: x509.Certificate, spki: bytes) -> tuple[Kind, bytes]:
    """The short form of the key if the SubjectPublicKeyInfo can be rebuilt from it to the byte, else all of it."""
    key = certificate.public_key()
    plain = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) == spki
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            raise UnfitCertificateError(
                f"has an RSA key of {key.key_size} bits; Mbed TLS takes {_RSA_BITS[0]} to {_RSA_BITS[-1]}"
            )
        numbers = key.public_numbers()
        if plain and numbers.e == 65537:
            return Kind.RSA, numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        for kind, curve in CURVES.items():
            if plain and key.curve.name == curve.name:
                point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
                return kind, point[1:]
    else:
        name = type(key).__name__.removesuffix("PublicKey")
        raise UnfitCertificateError(f"has an {name} key, which Mbed TLS cannot use")
    return Kind.OTHER, spki


def _ca_limits(certificate: x509.Certificate) -> tuple[int | None, bytes | None]:
    """(path length, DER of NameConstraints) of a CA certificate; refuses a certificate that is no CA."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise UnfitCertificateError("is no CA: it has no basicConstraints") from None
    if not constraints.ca:
        raise UnfitCertificateError("is no CA: its basicConstraints say so")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if not usage.key_cert_sign:
            raise UnfitCertificateError("is no CA: its keyUsage does not allow it to sign certificates")
    for extension in certificate.extensions:
        if extension.critical and extension.oid.dotted_string not in _UNDERSTOOD:
            raise UnfitCertificateError(
                f"has the critical extension {extension.oid.dotted_string}, which boards refuse"
            )
        if (
            isinstance(extension.value, x509.ExtendedKeyUsage)
            and ExtendedKeyUsageOID.SERVER_AUTH not in extension.value
        ):
            raise UnfitCertificateError("is a CA for other purposes than TLS servers: its extendedKeyUsage says so")
    length = constraints.path_length
    return None if length is None else min(length, _MAX_PATH_LENGTH), _name_constraints(certificate)


def _name_constraints(certificate: x509.Certificate) -> bytes | None:
    """The value of the NameConstraints extension as it stands in the certificate, or None."""
    rest = certificate_fields(certificate)[2]
    at = 0
    while at < len(rest) and rest[at] != 0xA3:  # issuerUniqueID and subjectUniqueID come before extensions
        at = der_element(rest, at)[1]
    if at == len(rest):
        return None
    at = der_element(rest, at)[0]  # [3]
    at, end = der_element(rest, at)  # SEQUENCE OF Extension
    while at < end:
        start, at_next = der_element(rest, at)
        if rest[start : start + 5] == _NAME_CONSTRAINTS:
            value = der_element(rest, start)[1]
            if rest[value] == 0x01:  # critical
                value = der_element(rest, value)[1]
            return rest[slice(*der_element(rest, value))]
        at = at_next
    return None


def _check_self_signed(certificate: x509.Certificate) -> None:
    # Mbed TLS trusts a server certificate as itself only if it is self-issued (x509_crt.c,
    # x509_crt_check_ee_locally_trusted).
    try:
        certificate.verify_directly_issued_by(certificate)
    except Exception as error:  # ValueError, TypeError, InvalidSignature
        raise UnfitCertificateError("is not self-signed, so it cannot be an exact record") from error


def describe_subject(certificate: x509.Certificate) -> str:
    """A short name for people, see `describe_name`."""
    return describe_name(certificate.subject)


def describe_name(name: x509.Name) -> str:
    """A name for people: the common name, else the organisational unit or organisation, else all of it."""
    for oid in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATIONAL_UNIT_NAME, x509.NameOID.ORGANIZATION_NAME):
        if attributes := name.get_attributes_for_oid(oid):
            value = attributes[0].value
            return value if isinstance(value, str) else value.hex()
    return name.rfc4514_string() or "(no name)"


def describe_key(anchor: Anchor) -> str:
    """The key in words: `RSA 4096`, `P-384`, `RSA 2048 (exponent 43147)`, `brainpoolP256r1`."""
    key = anchor.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        return f"RSA {key.key_size}" + ("" if exponent == 65537 else f" (exponent {exponent})")
    if isinstance(key, ec.EllipticCurvePublicKey):
        names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return names.get(key.curve.name, key.curve.name)
    return type(key).__name__.removesuffix("PublicKey")


def time_text(seconds: int) -> str:
    """A time of the store as ISO 8601 in UTC, or `unlimited`."""
    if seconds == NO_LIMIT:
        return "unlimited"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
