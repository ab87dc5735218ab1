"""Certificates for tests, made fresh: chains of any shape."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def days(n: float) -> datetime.timedelta:
    return datetime.timedelta(days=n)


def make_key(kind: str = "P-256") -> PrivateKey:
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind[4:]))
    return ec.generate_private_key(_CURVES[kind]())


def make_name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "rootlet tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@dataclass
class Issued:
    """A certificate, its key, and the certificates above it up to (without) the root."""

    certificate: x509.Certificate
    key: PrivateKey
    intermediates: list[x509.Certificate] = field(default_factory=list)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def chain_pem(self) -> bytes:
        """What a server sends: this certificate, then those above it."""
        above = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in self.intermediates)
        return self.pem + above


@dataclass
class Authority(Issued):
    """A CA."""

    root: bool = True

    def child(self, common_name: str, *, key: str = "P-256", path_length: int | None = None) -> Authority:
        """An intermediate CA below this one."""
        return make_ca(common_name, key=key, issuer=self, path_length=path_length)

    def issue(
        self,
        *names: str,
        key: str | PrivateKey = "P-256",
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        common_name: str | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        usage: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
    ) -> Issued:
        """A server's certificate for `names` (host names and IP addresses)."""
        leaf_key = make_key(key) if isinstance(key, str) else key
        builder = (
            x509.CertificateBuilder()
            .subject_name(make_name(common_name or (names[0] if names else "nameless")))
            .issuer_name(self.certificate.subject)
            .public_key(leaf_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now() - days(1))
            .not_valid_after(not_after or now() + days(90))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([general_name(n) for n in names]), False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        above = [] if self.root else [self.certificate, *self.intermediates]
        return Issued(builder.sign(self.key, hashes.SHA256()), leaf_key, above)


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_ca(
    common_name: str = "test root",
    *,
    key: str | PrivateKey = "P-256",
    issuer: Authority | None = None,
    path_length: int | None = None,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Authority:
    """A root CA, or with `issuer` an intermediate below it."""
    own_key = make_key(key) if isinstance(key, str) else key
    name = make_name(common_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - days(365))
        .not_valid_after(not_after or now() + days(3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False),
            critical=True,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else own_key, hashes.SHA256())
    above: list[x509.Certificate] = []
    if issuer is not None and not issuer.root:
        above = [issuer.certificate, *issuer.intermediates]
    return Authority(certificate, own_key, above, root=issuer is None)


def self_signed(*names: str) -> Issued:
    """A server that signed its own certificate and is no CA."""
    key = make_key()
    pseudo = Authority(make_ca(names[0]).certificate, key)
    subject = pseudo.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - days(1))
        .not_valid_after(now() + days(90))
        .add_extension(x509.SubjectAlternativeName([general_name(n) for n in names]), False)
    )
    return Issued(builder.sign(key, hashes.SHA256()), key)
