"""The SHA-256 of public keys as `Context(pins=…)` and curl's --pinnedpubkey want them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from .ca import examine, load_anchors, plain_name
from .errors import HostError, UsageError
from .files import read_file
from .store.format import Anchor, certificate_fields
from .store.hosts import parse_host

_DER = serialization.Encoding.DER
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True)
class Pin:
    """One key. `role`: server, intermediate or root; for what is in a file, what it is there."""

    role: str
    subject: str
    pin: str


def pin_of(spki: bytes) -> str:
    """`spki`: DER of a SubjectPublicKeyInfo (RFC 7469, 2.4)."""
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def pins_of_server(what: str, sources: list[str]) -> tuple[list[Pin], list[str]]:
    """(the pins of every chain that the server shows, each from the server's certificate to the root, each once; notes
    on the sources)."""
    host = parse_host(what, "HOST")
    anchors, notes = load_anchors(sources)
    pins: dict[Pin, None] = {}
    for chain in examine(host, anchors):
        if chain.fault:
            raise HostError(f"{host}: {chain.fault}", remedy=chain.remedy)
        route = chain.paths[0]
        for depth, certificate in enumerate(route.certificates):
            role = "intermediate" if depth else "server"
            pins[Pin(role, plain_name(certificate.subject), pin_of(_spki(certificate)))] = None
        if not _is_last(route.anchor, route.certificates):
            pins[Pin("root", _name_of(route.anchor), pin_of(route.anchor.spki))] = None
    return list(pins), notes


def _is_last(anchor: Anchor, certificates: tuple[x509.Certificate, ...]) -> bool:
    """Whether the anchor is a certificate that the server sent."""
    return anchor.spki == _spki(certificates[-1])


def _name_of(anchor: Anchor) -> str:
    return plain_name(anchor.certificate.subject) if anchor.certificate is not None else "?"


def pins_of_file(path: Path) -> Iterator[Pin]:
    """The pins of the certificates in a file, or of its certificate request, public key or private key."""
    data = read_file(path, "the file")
    if b"-----BEGIN CERTIFICATE-----" in data:
        for certificate in _certificates(path, data):
            yield Pin("certificate", plain_name(certificate.subject), pin_of(_spki(certificate)))
        return
    try:
        certificate = x509.load_der_x509_certificate(data)
        yield Pin("certificate", plain_name(certificate.subject), pin_of(_spki(certificate)))
        return
    except ValueError:
        pass
    for load_request in (x509.load_pem_x509_csr, x509.load_der_x509_csr):
        try:
            request = load_request(data)
            spki = request.public_key().public_bytes(_DER, _SPKI)
            yield Pin("request", plain_name(request.subject), pin_of(spki))
            return
        except ValueError:
            pass
    for load_public in (serialization.load_pem_public_key, serialization.load_der_public_key):
        try:
            yield Pin("public key", path.name, pin_of(load_public(data).public_bytes(_DER, _SPKI)))
            return
        except ValueError:
            pass
    for load_private in (serialization.load_pem_private_key, serialization.load_der_private_key):
        try:
            key = load_private(data, None)
            yield Pin("private key", path.name, pin_of(key.public_key().public_bytes(_DER, _SPKI)))
            return
        except ValueError:
            pass
        except TypeError as error:
            raise UsageError(
                f"the key in {path} is encrypted", remedy="give its public key: openssl pkey -pubout"
            ) from error
    raise UsageError(f"{path} holds no certificate, request or key", remedy="give PEM or DER")


def _certificates(path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise UsageError(
            f"{path} holds a certificate that cannot be read: {error}", remedy="the file is damaged: copy it again"
        ) from error


def _spki(certificate: x509.Certificate) -> bytes:
    """As it stands in the certificate: another encoding of the same key would have another pin."""
    return certificate_fields(certificate)[1]
