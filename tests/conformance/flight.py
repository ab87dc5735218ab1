"""A TLS 1.2 server's first flight by hand: shows a client any chain, even one whose key nobody has.

What OpenSSL refuses to load, or to use, and what comes without its private key, is shown this way. The flight ends
with a ServerKeyExchange whose signature is wrong, so a client that is content with the chain fails right there, and
a client that is not has failed before: the certificates come first, and Mbed TLS verifies them at once.
"""

from __future__ import annotations

import socket
import struct

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_HANDSHAKE = 22
_CLIENT_KEY_EXCHANGE = 16
_VERSION = b"\x03\x03"
# RFC 5289, 3.2: suites that every client of today offers.
_ECDHE_ECDSA_AES128_GCM = 0xC02B
_ECDHE_RSA_AES128_GCM = 0xC02F
_SECP256R1 = 23
_RSA_PKCS1_SHA256 = 0x0401
_ECDSA_SECP256R1_SHA256 = 0x0403
# The generator of P-256 (SEC 2, 2.4.2) is as good a public value as any: nobody will use it.
_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def _message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def _records(data: bytes) -> bytes:
    out = b""
    for at in range(0, len(data), 16384):
        part = data[at : at + 16384]
        out += bytes((_HANDSHAKE,)) + _VERSION + struct.pack(">H", len(part)) + part
    return out


def first_flight(chain: list[bytes]) -> bytes:
    """ServerHello, Certificate, ServerKeyExchange and ServerHelloDone; `chain` is DER, the leaf first."""
    try:
        key = x509.load_der_x509_certificate(chain[0]).public_key()
    except Exception:
        # What cryptography cannot read is most likely shown to an EC client of ours all the same.
        key = None
    if isinstance(key, rsa.RSAPublicKey):
        suite, algorithm, signature = _ECDHE_RSA_AES128_GCM, _RSA_PKCS1_SHA256, b"\x01" * (key.key_size // 8)
    else:
        suite, algorithm, signature = (
            _ECDHE_ECDSA_AES128_GCM,
            _ECDSA_SECP256R1_SHA256,
            bytes.fromhex("3006020101020101"),
        )
    assert key is None or isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)) or suite
    # Empty renegotiation_info (RFC 5746) and uncompressed points (RFC 8422, 5.2).
    extensions = bytes.fromhex("ff01000100") + bytes.fromhex("000b00020100")
    hello = (
        _VERSION
        + b"\x5a" * 32
        + b"\0"
        + struct.pack(">H", suite)
        + b"\0"
        + struct.pack(">H", len(extensions))
        + extensions
    )
    certificates = b"".join(len(der).to_bytes(3, "big") + der for der in chain)
    exchange = b"\x03" + struct.pack(">HB", _SECP256R1, len(_POINT)) + _POINT
    exchange += struct.pack(">HH", algorithm, len(signature)) + signature
    return _records(
        _message(2, hello)
        + _message(11, len(certificates).to_bytes(3, "big") + certificates)
        + _message(12, exchange)
        + _message(14, b"")
    )


def serve(connection: socket.socket, chain: list[bytes]) -> None:
    """Answers one ClientHello with the flight and waits until the client gives up."""
    head = connection.recv(5, socket.MSG_WAITALL)
    if len(head) == 5:
        connection.recv(struct.unpack(">H", head[3:])[0], socket.MSG_WAITALL)
        connection.sendall(first_flight(chain))
        while connection.recv(4096):
            pass
