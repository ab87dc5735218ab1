"""What the tests of stores and signatures share: certificates made on the spot, and the command in this process."""

from __future__ import annotations

import functools
import hashlib
import ssl
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet_host import cli
from support import pki

Handler = Callable[[ssl.SSLSocket], None]
NOW = datetime.now(timezone.utc).replace(microsecond=0)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def make_certificate(
    name: str = "Test Root",
    *,
    key=None,
    issuer: pki.Issued | None = None,
    ca: bool = True,
    hosts: tuple[str, ...] = (),
    path_length: int | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    not_before: datetime = NOW - timedelta(days=10),
    not_after: datetime = NOW + timedelta(days=365),
    basic_constraints: bool = True,
) -> pki.Issued:
    """A CA or server certificate, self-signed without `issuer`."""
    key = key or ec_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    own: list[pki.Extension] = []
    if basic_constraints:
        own.append((x509.BasicConstraints(ca, path_length), True))
    if hosts:
        own.append((x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False))
        own.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))
    period = {"not_before": not_before, "not_after": not_after}
    return pki.Issued(pki.sign(subject, key, (*own, *extensions), issuer=issuer, **period), key)


def key_usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{**dict.fromkeys(names.split(), False), **allowed})


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Runner:
    """Runs `rootlet ...` in this process."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: object) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["rootlet", *map(str, arguments)])
        self.capsys.readouterr()
        code = cli.run()
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)


def with_digest(data: bytes) -> bytes:
    """`data` with its header digest made right, so that the rule behind the digest is what is tested."""
    end = 64 + struct.unpack_from("<I", data, 20)[0]
    return data[:32] + hashlib.sha256(data[:32] + data[64:end]).digest() + data[64:]


def assemble(
    entries: list[tuple[bytes, int]],
    records: bytes,
    *,
    blocked: bytes = b"",
    publisher: bytes = b"",
    envelope: bytes = b"",
    **header: int,
) -> bytes:
    """A store file from its parts as they are, right or wrong. `header` overrides fields by name."""
    index = b"".join(key + struct.pack("<I", offset)[:3] for key, offset in entries)
    body = index + records + blocked + publisher
    fields = {
        "version": 1,
        "flags": 0,
        "count": len(entries),
        "sequence": 7,
        "issued_at": 1_700_000_000,
        "not_used_after": 0,
        "body": len(body),
        "blocked_count": len(blocked) // 16,
        "publisher_size": len(publisher),
        "series": b"",
        **header,
    }
    start = b"RTLT" + struct.pack("<BBHIIIIHH4s", *fields.values())
    return start + hashlib.sha256(start + body).digest() + body + envelope


def admit_only(ca: Path, certificate: Path, key: Path) -> tuple[ssl.SSLContext, Handler, list[dict[str, str]]]:
    """A server that demands a certificate of `ca` and greets who has one: context, handler, subjects it has seen.

    TLS 1.2, where a client that is refused learns it during the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    seen: list[dict[str, str]] = []

    def handler(stream: ssl.SSLSocket) -> None:
        shown = stream.getpeercert() or {}
        seen.append(dict(entry[0] for entry in shown["subject"]))  # type: ignore[misc, index]
        stream.sendall(b"welcome")
        stream.unwrap()

    return context, handler, seen
