"""Certificates that no library would issue, really signed: DER from tests/unit/make.py, keys of `cryptography`."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_UNIT = str(Path(__file__).resolve().parents[1] / "unit")
if _UNIT not in sys.path:
    sys.path.append(_UNIT)

import make  # noqa: E402

HOST = "www.example.org"
TIME = "2026-06-01T00:00:00+00:00"  # within the validity that make.certificate writes
ROOT_NAME = make.name(cn="Root")
SUB_NAME = make.name(("2.5.4.10", "Example"), cn="Sub")
SERVER = [make.key_usage(0x80), make.extended_key_usage(make.SERVER_AUTH), make.basic_constraints(False)]
CA = [make.basic_constraints(), make.key_usage(0x06)]


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key, the same one for the same name."""
    return ec.generate_private_key(ec.SECP256R1())


def spki(name: str) -> bytes:
    return key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(body: bytes, signer: str, algorithm: str = make.ECDSA_SHA256) -> bytes:
    """A certificate of this TBSCertificate."""
    signature = key(signer).sign(body, ec.ECDSA(hashes.SHA256()))
    return bytes(make.seq(body, make.seq(make.oid(algorithm)), make.tlv(0x03, b"\0", signature)))


def body(**fields: Any) -> bytes:
    """The TBSCertificate that `make.certificate` writes of these fields."""
    der = make.certificate(**fields)
    start, _ = contents(der, 0)
    return bytes(der[start : contents(der, start)[1]])


def contents(der: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the value at `at` begin and end."""
    size = der[at + 1]
    at += 2
    if size & 0x80:
        n = size & 0x7F
        size = int.from_bytes(der[at : at + n], "big")
        at += n
    return at, at + size


def root(name: bytes = ROOT_NAME, own: str = "root", extra: Any = (), **fields: Any) -> bytes:
    fields.setdefault("extensions", [*CA, *extra])
    return sign(body(issuer=name, subject=name, spki=spki(own), **fields), own)


def issuer(
    signer: str = "root",
    above: bytes = ROOT_NAME,
    subject: bytes = SUB_NAME,
    own: str = "sub",
    extra: Any = (),
    **fields: Any,
) -> bytes:
    """An intermediate."""
    fields.setdefault("extensions", [*CA, *extra])
    return sign(body(**{"issuer": above, "subject": subject, "spki": spki(own), **fields}), signer)


def leaf(*names: bytes, signer: str = "sub", above: bytes = SUB_NAME, extra: Any = (), **fields: Any) -> bytes:
    """A server's certificate; `names`: GeneralNames, by default the host."""
    fields.setdefault("extensions", [*SERVER, make.san(*(names or (make.dns(HOST),))), *extra])
    return sign(body(**{"issuer": above, "spki": spki("leaf"), **fields}), signer)


@dataclass
class Chain:
    """A server's chain in the order of sending, the anchors that the board has, and what should come of it."""

    id: str
    sent: list[bytes]
    anchors: list[bytes]
    refused: str = ""  # words of the reason; empty: it is accepted
    host: str = HOST
    time: str = TIME
    key: str = "leaf"  # of the server; without one its first flight is sent by hand

    def case(self) -> dict[str, Any]:
        """In the format of x509-limbo, for conformance.run."""
        pems = [ssl.DER_cert_to_PEM_cert(der) for der in self.sent]
        private = b""
        if self.key:
            private = key(self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "id": self.id,
            "validation_kind": "SERVER",
            "features": [],
            "crls": [],
            "expected_peer_name": {
                "kind": "IP" if ":" in self.host or self.host[-1].isdigit() else "DNS",
                "value": self.host,
            },
            "trusted_certs": [ssl.DER_cert_to_PEM_cert(der) for der in self.anchors],
            "untrusted_intermediates": pems[1:],
            "intermediates_in_order": True,
            "peer_certificate": pems[0],
            "peer_certificate_key": private.decode(),
            "validation_time": self.time,
            "expected_result": "FAILURE" if self.refused else "SUCCESS",
        }
