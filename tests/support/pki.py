"""Certificates for tests, made fresh: chains of any shape."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]  # and whether it is critical

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

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """For programs that take files: the paths of NAME.pem, which has the chain, and NAME.key."""
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        return chain, key


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
        extensions: Sequence[Extension] = (),
        usage: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
    ) -> Issued:
        """A server's certificate for `names` (host names and IP addresses)."""
        leaf_key = make_key(key) if isinstance(key, str) else key
        own: list[Extension] = []
        if names:
            own.append(_alternative_names(names))
        if usage is not None:
            own.append((x509.ExtendedKeyUsage(usage), False))
        certificate = sign(
            make_name(common_name or (names[0] if names else "nameless")),
            leaf_key,
            [*own, *extensions],
            issuer=self,
            not_before=not_before,
            not_after=not_after,
        )
        above = [] if self.root else [self.certificate, *self.intermediates]
        return Issued(certificate, leaf_key, above)


def sign(
    subject: x509.Name,
    key: PrivateKey,
    extensions: Sequence[Extension],
    *,
    issuer: Issued | None = None,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
) -> x509.Certificate:
    """A certificate for `key` with just these extensions, signed by `issuer` or by itself."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - days(1))
        .not_valid_after(not_after or now() + days(90))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer else key
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


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
    extensions: Sequence[Extension] = (),
) -> Authority:
    """A root CA, or with `issuer` an intermediate below it."""
    own_key = make_key(key) if isinstance(key, str) else key
    certificate = sign(
        make_name(common_name),
        own_key,
        [
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
            *extensions,
        ],
        issuer=issuer,
        not_before=not_before or now() - days(365),
        not_after=not_after or now() + days(3650),
    )
    above: list[x509.Certificate] = []
    if issuer is not None and not issuer.root:
        above = [issuer.certificate, *issuer.intermediates]
    return Authority(certificate, own_key, above, root=issuer is None)


def self_signed(*names: str) -> Issued:
    """A server that signed its own certificate and is no CA."""
    key = make_key()
    return Issued(sign(make_name(names[0]), key, [_alternative_names(names)]), key)


def self_signed_ca(host: str) -> Authority:
    """What `openssl req -x509` makes of a server: self-signed, and a CA."""
    key = make_key()
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True), _alternative_names([host])]
    return Authority(sign(make_name(host), key, extensions), key)


def _alternative_names(names: Sequence[str]) -> Extension:
    return x509.SubjectAlternativeName([general_name(name) for name in names]), False
