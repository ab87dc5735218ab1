"""Reads the keys named by --block."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from ..errors import UsageError
from ..files import read_file
from .format import certificate_fields
from .sources import read_source

_HEX = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


def blocked_key(text: str) -> bytes:
    """The first 16 bytes of SHA-256 over the SubjectPublicKeyInfo that `text` names: the hash in hex (whole or its
    first half), `sha256/` and base64 as in HPKP pins (RFC 7469), or a file with the certificate or public key."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)[:16]
    if text.startswith("sha256/"):
        try:
            digest = base64.b64decode(text.removeprefix("sha256/"), validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 32:
            raise UsageError(f"{text!r} is no SHA-256 in base64", remedy="give the 44 characters that end in =")
        return digest[:16]
    path = Path(text)
    data = read_file(path, "the key to block from")
    for load in (serialization.load_pem_public_key, serialization.load_der_public_key):
        try:
            key = load(data)
        except Exception:  # noqa: S112 - not this form: the next one, or a certificate
            continue
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).digest()[:16]
    certificates = read_source(text).certificates
    if len(certificates) != 1:
        raise UsageError(f"{path} holds {len(certificates)} certificates; give one key to block at a time")
    return hashlib.sha256(certificate_fields(certificates[0].certificate)[1]).digest()[:16]
