"""A private CA and what it issues: certificates that keep all the rules of docs/chain-policy.md."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .errors import UsageError
from .keys import PrivateKey, load_key
from .store.sources import single_certificate

CA_DAYS = 3650
SERVER_DAYS = 397  # the longest that browsers took for years; private CAs need no change for it
DEVICE_DAYS = 3650  # a board in the field is hard to reach
MAX_DAYS = 36500
_BACKDATED = timedelta(hours=1)  # clocks of boards and servers differ
_MAX_COMMON_NAME = 64  # ub-common-name, RFC 5280 appendix A.1
_MAX_HOST = 253  # RFC 1035, 2.3.4
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")  # RFC 1034, 3.5; RFC 1123, 2.1
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class KeyType(str, Enum):
    """Kinds of keys that every firmware with TLS can use."""

    P256 = "p256"
    RSA2048 = "rsa2048"


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The key as PKCS #8 in PEM."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    @property
    def key_der(self) -> bytes:
        """The key as firmware takes it: SEC 1 (ECPrivateKey) or PKCS #1 (RSAPrivateKey), DER, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )


def new_key(kind: KeyType = KeyType.P256) -> PrivateKey:
    """A fresh private key."""
    if kind is KeyType.RSA2048:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def make_ca(
    name: str,
    *,
    issuer: Identity | None = None,
    path_length: int = 0,
    key: PrivateKey | None = None,
    days: int = CA_DAYS,
) -> Identity:
    """A CA, self-signed or below `issuer`, with at most `path_length` further CAs below it: 0, none, unless said
    otherwise."""
    key = key or new_key()
    subject = _name(name)
    above = subject if issuer is None else issuer.certificate.subject
    period = _validity(days) if issuer is None else _period(issuer, days, days)
    builder = (
        _builder(subject, above, key, *period)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(_authority_key_identifier(issuer.certificate), critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def make_server(
    hosts: Sequence[str], ca: Identity, *, key: PrivateKey | None = None, days: int | None = None
) -> Identity:
    """A server's certificate for `hosts` (DNS names, also `*.example.org`, and IP addresses).

    `days` None: `SERVER_DAYS`, or until the CA expires. The common name is the first host (Baseline Requirements,
    7.1.4.3, want it among the names); if it is too long for one, the subject is empty and the names are critical
    (RFC 5280, 4.2.1.6).
    """
    names = list(dict.fromkeys(general_name(host) for host in hosts))
    if not names:
        raise UsageError("a server's certificate needs a host name")
    first = str(names[0].value)
    subject = x509.Name([]) if len(first) > _MAX_COMMON_NAME else _name(first)
    key = key or new_key()
    builder = _leaf(subject, ca, key, _period(ca, days, SERVER_DAYS), ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
    return Identity(builder.sign(ca.key, hashes.SHA256()), key)


def make_device(name: str, ca: Identity, *, key: PrivateKey | None = None, days: int | None = None) -> Identity:
    """A client certificate for a board, with `name` as its common name.

    `days` None: `DEVICE_DAYS`, or until the CA expires.
    """
    key = key or new_key()
    builder = _leaf(_name(name), ca, key, _period(ca, days, DEVICE_DAYS), ExtendedKeyUsageOID.CLIENT_AUTH)
    return Identity(builder.sign(ca.key, hashes.SHA256()), key)


def _period(ca: Identity, days: int | None, default: int) -> tuple[datetime, datetime]:
    """notBefore and notAfter of what `ca` issues: never outside its own."""
    start, end = _validity(default if days is None else days)
    latest = ca.certificate.not_valid_after_utc
    if end > latest and days is not None:
        raise UsageError(
            f"the CA expires on {latest:%Y-%m-%d}, before {days} days are over", remedy="give fewer --days"
        )
    return max(start, ca.certificate.not_valid_before_utc), min(end, latest)


def _leaf(
    subject: x509.Name,
    ca: Identity,
    key: PrivateKey,
    period: tuple[datetime, datetime],
    usage: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    return (
        _builder(subject, ca.certificate.subject, key, *period)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(ca.certificate), critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        # Positive, with 127 random bits: RFC 5280, 4.1.2.2.
        .serial_number(secrets.randbits(126) | 1 << 126)
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _validity(days: int) -> tuple[datetime, datetime]:
    if not 0 < days <= MAX_DAYS:
        raise UsageError(f"a certificate is valid for 1 to {MAX_DAYS} days, not {days}")
    now = datetime.now(timezone.utc).replace(microsecond=0)
    return now - _BACKDATED, now + timedelta(days=days)


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _authority_key_identifier(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The key identifier alone (Baseline Requirements, 7.1.2.11.1): the CA's own, or the usual hash of its key."""
    try:
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        identifier = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    return x509.AuthorityKeyIdentifier(identifier.digest, None, None)


def _name(common_name: str) -> x509.Name:
    if not 0 < len(common_name) <= _MAX_COMMON_NAME or not common_name.isprintable() or not common_name.strip():
        raise UsageError(f"a name in a certificate is 1 to {_MAX_COMMON_NAME} printable characters")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def general_name(host: str) -> x509.DNSName | x509.IPAddress:
    """The subject alternative name for a host: an IP address, a DNS name, or a wildcard `*.` before one."""
    text = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if "%" not in text:  # a zone means something on one machine only
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            pass
    name = text.lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    good = len(name) <= _MAX_HOST and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    # One label after a wildcard is a whole top-level domain: no client accepts that (RFC 6125, 7.2).
    if not good or (name.startswith("*.") and len(labels) < 2):
        remedy = "write example.org, *.example.org, 192.0.2.1 or 2001:db8::1; international names in their xn-- form"
        raise UsageError(f"{host!r} is no host for a certificate", remedy=remedy)
    return x509.DNSName(name)


# Files


def load_identity(certificate_path: Path, key_path: Path | None = None, *, option: str = "--key") -> Identity:
    """Certificate and key that belong together, see `key_beside` and `pair`."""
    key_path = key_beside(certificate_path, key_path)
    return pair(single_certificate(certificate_path, "the certificate"), certificate_path, key_path, option=option)


def key_beside(certificate_path: Path, key_path: Path | None) -> Path:
    """The path of a certificate's key: NAME.key beside NAME.pem if none is given."""
    path = key_path or certificate_path.with_suffix(".key")
    if path == certificate_path:
        raise UsageError(f"{path} is the key", remedy="name the certificate, NAME.pem")
    return path


def pair(certificate: x509.Certificate, certificate_path: Path, key_path: Path, *, option: str) -> Identity:
    """A certificate that was read, and its key; `option` is where the user names another key."""
    key = load_key(key_path)
    try:
        fits = key.public_key() == certificate.public_key()
    except Exception:  # cryptography answers with several classes to a key that it cannot read
        fits = False
    if not fits:
        raise UsageError(
            f"the key {key_path} does not belong to the certificate {certificate_path}",
            remedy=f"name the right one with {option}",
        )
    return Identity(certificate, key)


def load_ca(certificate_path: Path, key_path: Path | None = None) -> Identity:
    """A CA that may sign now; `UsageError` says why it may not."""
    certificate = single_certificate(certificate_path, "the CA's certificate")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = constraints.ca
    except x509.ExtensionNotFound:
        is_ca = False
    try:
        may_sign = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        may_sign = True
    if not is_ca or not may_sign:
        raise UsageError(f"{certificate_path} is no CA", remedy="make one with: rootlet certs ca NAME")
    now = datetime.now(timezone.utc)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise UsageError(
            f"the CA {certificate_path} is valid only from {start:%Y-%m-%d} to {end:%Y-%m-%d}",
            remedy="make another with: rootlet certs ca, or check this computer's clock",
        )
    if not list(certificate.subject):
        raise UsageError(
            f"the CA {certificate_path} has no name, so nobody could find it",
            remedy="make another with: rootlet certs ca NAME",
        )
    return load_identity(certificate_path, key_path, option="--ca-key")
