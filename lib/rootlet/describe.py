"""Certificates in words and in values that fit into JSON. Imported only when somebody wants to see them."""

from binascii import hexlify
from hashlib import sha256

from .certificate import Certificate
from .civil import calendar
from .pins import text
from .rules import general_names, printable_name

_KEYS = ("RSA", "P-256", "P-384", "P-521", "other")


def certificate(der):
    """What `der` (bytes or memoryview of one certificate) says: a dict.

    `subject`, `issuer` and `names` (at most six) are printable ASCII; `serial` is hexadecimal; `not_before` and
    `not_after` are UTC (ISO 8601); `key` is its kind, with the bits of an RSA key; `fingerprint` is the certificate's
    SHA-256, `pin` that of its key (see pins.py). Raises DerError.
    """
    c = Certificate(der)
    key = _KEYS[c.key_kind]
    return {
        "subject": printable_name(bytes(der[c.subject : c.subject_end])),
        "issuer": printable_name(bytes(der[c.issuer : c.issuer_end])),
        "serial": str(hexlify(bytes(der[c.serial : c.serial_end])), "ascii"),
        "not_before": time(c.time(c.not_before, c.subject)),
        "not_after": time(c.time(c.not_after, c.subject)),
        "names": general_names(bytes(der[c.san : c.san_end])) if c.san else [],
        "key": "%s %d" % (key, c.key_bits) if c.key_bits else key,
        "fingerprint": fingerprint(der),
        "pin": text(sha256(der[c.spki : c.spki_end]).digest()),
    }


def fingerprint(der):
    """SHA-256 of a certificate as browsers and OpenSSL show it: AB:CD:…"""
    return colons(sha256(der).digest())


def colons(digest):
    """`digest` as fingerprints are written."""
    return str(hexlify(digest, ":"), "ascii").upper()


def time(seconds):
    """`seconds` since 1970 as in 2026-11-21T03:40:12Z."""
    return "%d-%02d-%02dT%02d:%02d:%02dZ" % calendar(seconds)
