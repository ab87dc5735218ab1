"""The trust store file, format version 1: dataclasses, encoder and a decoder that checks every rule.

The layout is described in docs/store-format.md. This module shares no code with the device package, so that
each side is a check on the other.
"""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from ..errors import HostError

MAGIC = b"RTLT"
VERSION = 1
MAX_ANCHORS = 4096
MAX_BODY = 1 << 20
MAX_PUBLISHER = 2048  # what a board reads of it
MAX_ENVELOPE = 4096
NO_LIMIT = 0xFFFFFFFF  # a notAfter later than a u32 can say
ENVELOPE_MAGIC = b"SIGN"

_HEADER = struct.Struct("<4sBBHIIIIHH4s32s")  # 64 bytes
_DIGESTED_HEADER = 32
_INDEX_ENTRY = 8
_KEY_SIZE = 5
_BLOCKED_SIZE = 16
_TIMES = struct.Struct("<II")

_KIND_MASK = 0x07
_HAS_DISTRUST = 0x08
_HAS_PATH_LENGTH = 0x10
_HAS_SUFFIXES = 0x20
_HAS_CONSTRAINTS = 0x40
_RESERVED = 0x80

_RSA_EXPONENT = 65537
# Bounds of a bare modulus in bytes: below 1024 bits nothing is signed any more, above 8192 Mbed TLS cannot
# calculate (MBEDTLS_MPI_MAX_SIZE).
_RSA_BYTES = range(128, 1025)
_SERIES = re.compile("[a-z0-9-]{0,4}")
_SUFFIX_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class StoreFormatError(HostError):
    """The bytes are not a valid trust store; the message says which rule they break and where."""


class Kind(IntEnum):
    """What the key bytes of a record are."""

    RSA = 0
    P256 = 1
    P384 = 2
    P521 = 3
    OTHER = 4
    EXACT = 5


CURVES: dict[Kind, ec.EllipticCurve] = {
    Kind.P256: ec.SECP256R1(),
    Kind.P384: ec.SECP384R1(),
    Kind.P521: ec.SECP521R1(),
}
_POINT_BYTES = {Kind.P256: 64, Kind.P384: 96, Kind.P521: 132}


@dataclass(frozen=True)
class Header:
    """The fields of the 64-byte header that are not lengths. Times are seconds since 1970 (UTC).

    `series`: up to four characters of a-z, 0-9 and the hyphen; a board replaces a store only by one of its series.
    """

    sequence: int
    issued_at: int
    not_used_after: int = 0
    series: str = ""


@dataclass(frozen=True)
class Anchor:
    """One record. `index_key` is the first 5 bytes of SHA-256 over the DER of the subject Name.

    `certificate` and `source` are where the anchor was made from; they are not in the file and do not
    count when anchors are compared.
    """

    index_key: bytes
    kind: Kind
    key: bytes
    not_before: int
    not_after: int
    distrust_after: int | None = None
    path_length: int | None = None
    dns_suffixes: tuple[str, ...] = ()
    name_constraints: bytes | None = None
    certificate: x509.Certificate | None = field(default=None, compare=False, repr=False)
    source: str = field(default="", compare=False)

    def public_key(self) -> PublicKeyTypes:
        """The anchor's key; `ValueError` if the key bytes are not one."""
        if self.kind is Kind.RSA:
            return rsa.RSAPublicNumbers(_RSA_EXPONENT, int.from_bytes(self.key, "big")).public_key()
        if self.kind in CURVES:
            return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[self.kind], b"\x04" + self.key)
        if self.kind is Kind.OTHER:
            return serialization.load_der_public_key(self.key)
        return load_certificate(self.key).public_key()

    @cached_property
    def spki(self) -> bytes:
        """The DER of the SubjectPublicKeyInfo."""
        if self.kind is Kind.OTHER:
            return self.key
        return self.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def identity(self) -> tuple[bytes, bytes]:
        """What tells anchors apart: index key and SHA-256 of the SubjectPublicKeyInfo."""
        return self.index_key, hashlib.sha256(self.spki).digest()


@dataclass(frozen=True)
class Envelope:
    """The signature: the throw-away leaf certificate (DER) and its worthless private key (SEC 1, DER)."""

    leaf: bytes
    leaf_key: bytes


@dataclass(frozen=True)
class Store:
    """A decoded trust store. `digest` is the header's SHA-256 over header and body."""

    header: Header
    anchors: tuple[Anchor, ...]
    blocked: tuple[bytes, ...] = ()
    publisher: bytes | None = None
    envelope: Envelope | None = None
    digest: bytes = b""


def index_key(subject_der: bytes) -> bytes:
    """The 5 bytes under which an anchor with this subject Name (DER) is found."""
    return hashlib.sha256(subject_der).digest()[:_KEY_SIZE]


def envelope_name(sequence: int, digest: bytes) -> str:
    """The DNS name that the envelope's leaf carries for a store with this sequence and digest."""
    text = digest.hex()
    return f"s{sequence}.{text[:32]}.{text[32:]}.store"


def load_certificate(der: bytes) -> x509.Certificate:
    """An X.509 certificate from DER. Roots with serial 0 exist, and are fine here, so no warning about them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)


# ---------------------------------------------------------------------------------------------- encoding


def encode_store(
    header: Header,
    anchors: Iterable[Anchor],
    *,
    blocked: Iterable[bytes] = (),
    publisher: bytes | None = None,
    envelope: Envelope | None = None,
) -> bytes:
    """The file of a store. The order of `anchors` and `blocked` does not matter; duplicates are written once.

    Raises `StoreFormatError` if the result would break a rule of the format.
    """
    try:
        entries = sorted({(anchor.index_key, _encode_record(anchor)) for anchor in anchors})
        index = bytearray()
        records = bytearray()
        for key, record in entries:
            index += key + len(records).to_bytes(3, "little")
            records += record
        blocked_keys = sorted({key[:_BLOCKED_SIZE] for key in blocked})
        body = bytes(index + records) + b"".join(blocked_keys) + (publisher or b"")
        start = _HEADER.pack(
            MAGIC,
            VERSION,
            0,
            len(entries),
            header.sequence,
            header.issued_at,
            header.not_used_after,
            len(body),
            len(blocked_keys),
            len(publisher or b""),
            header.series.encode("ascii"),
            bytes(32),
        )[:_DIGESTED_HEADER]
    except (struct.error, OverflowError, UnicodeEncodeError, ValueError) as error:
        raise StoreFormatError(f"a field does not fit into the store format: {error}") from error
    data = start + hashlib.sha256(start + body).digest() + body
    if envelope is not None:
        data += encode_envelope(envelope)
    decode_store(data)
    return data


def strip_envelope(data: bytes) -> bytes:
    """A valid store without its signature."""
    decode_store(data)
    return data[: _HEADER.size + int.from_bytes(data[20:24], "little")]


def encode_envelope(envelope: Envelope) -> bytes:
    """The bytes that follow the digested part of a signed store."""
    content = ENVELOPE_MAGIC
    for part in (envelope.leaf, envelope.leaf_key):
        content += struct.pack("<H", len(part)) + part
    return content + hashlib.sha256(content).digest()[:4]


def record_size(anchor: Anchor) -> int:
    """The bytes an anchor takes in a store: its record and its index entry."""
    return len(_encode_record(anchor)) + _INDEX_ENTRY


def _encode_record(anchor: Anchor) -> bytes:
    flags = int(anchor.kind)
    fields = _TIMES.pack(anchor.not_before, anchor.not_after)
    if anchor.distrust_after is not None:
        flags |= _HAS_DISTRUST
        fields += struct.pack("<I", anchor.distrust_after)
    if anchor.path_length is not None:
        flags |= _HAS_PATH_LENGTH
        fields += struct.pack("<B", anchor.path_length)
    if anchor.dns_suffixes:
        flags |= _HAS_SUFFIXES
        fields += struct.pack("<B", len(anchor.dns_suffixes))
        for suffix in anchor.dns_suffixes:
            encoded = suffix.encode("ascii")
            fields += struct.pack("<B", len(encoded)) + encoded
    if anchor.name_constraints is not None:
        flags |= _HAS_CONSTRAINTS
        fields += struct.pack("<H", len(anchor.name_constraints)) + anchor.name_constraints
    return bytes([flags]) + fields + anchor.key


# ---------------------------------------------------------------------------------------------- decoding


class _Reader:
    """Takes fields off a record and says in words where it ended too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.at = 0
        self.what = what

    def take(self, size: int, name: str) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise StoreFormatError(f"{self.what} ends within its {name}")
        part = self.data[self.at : end]
        self.at = end
        return part

    def number(self, size: int, name: str) -> int:
        return int.from_bytes(self.take(size, name), "little")

    def rest(self) -> bytes:
        part = self.data[self.at :]
        self.at = len(self.data)
        return part


def decode_store(data: bytes) -> Store:
    """The store in `data`, after every rule of the format was checked; `StoreFormatError` names the first fault.

    Whether the signature is the publisher's is another question: see `rootlet_host.signing.verify_store`.
    """
    if len(data) < _HEADER.size:
        raise StoreFormatError(f"the store is {len(data)} bytes long, less than its {_HEADER.size}-byte header")
    (
        magic,
        version,
        flags,
        count,
        sequence,
        issued_at,
        not_used_after,
        body_size,
        blocked_count,
        publisher_size,
        series_bytes,
        digest,
    ) = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise StoreFormatError("this is not a trust store: it does not begin with RTLT")
    if version != VERSION:
        raise StoreFormatError(f"the store has format version {version}; this program knows version {VERSION}")
    if flags:
        raise StoreFormatError(f"the header has unknown flags: {flags:#04x}")
    series = series_bytes.rstrip(b"\0").decode("latin-1")
    if not is_series(series):
        raise StoreFormatError(f"the header's series is not up to four of a-z, 0-9 and hyphen: {series!r}")
    if count > MAX_ANCHORS:
        raise StoreFormatError(f"the header says {count} anchors; {MAX_ANCHORS} is the most")
    if body_size > MAX_BODY:
        raise StoreFormatError(f"the header says a body of {body_size} bytes; {MAX_BODY} is the most")
    end = _HEADER.size + body_size
    if len(data) < end:
        raise StoreFormatError(f"the store is cut short: {len(data)} bytes instead of {end}")
    if hashlib.sha256(data[:_DIGESTED_HEADER] + data[_HEADER.size : end]).digest() != digest:
        raise StoreFormatError("the digest does not match: the store is damaged")
    if publisher_size > MAX_PUBLISHER and publisher_size <= body_size:
        raise StoreFormatError(f"the header says a publisher of {publisher_size} bytes; {MAX_PUBLISHER} is the most")
    records_at = count * _INDEX_ENTRY
    records_size = body_size - records_at - blocked_count * _BLOCKED_SIZE - publisher_size
    if records_size < 0:
        raise StoreFormatError("index, blocked keys and publisher are together longer than the body")
    if not_used_after and not_used_after < issued_at:
        raise StoreFormatError("the store may not be used after a time before it was issued")

    body = data[_HEADER.size : end]
    anchors = _decode_anchors(body[:records_at], body[records_at : records_at + records_size])
    publisher_at = body_size - publisher_size
    blocked = _decode_blocked(body[records_at + records_size : publisher_at])
    publisher = body[publisher_at:] or None
    if publisher is not None:
        check_publisher(_parse_certificate(publisher, "the publisher"), "the publisher")
    envelope = None
    if len(data) > end:
        envelope = _decode_envelope(data[end:], envelope_name(sequence, digest))
    header = Header(sequence, issued_at, not_used_after, series)
    return Store(header, anchors, blocked, publisher, envelope, digest)


def _decode_anchors(index: bytes, records: bytes) -> tuple[Anchor, ...]:
    entries = [
        (index[at : at + _KEY_SIZE], int.from_bytes(index[at + _KEY_SIZE : at + _INDEX_ENTRY], "little"))
        for at in range(0, len(index), _INDEX_ENTRY)
    ]
    if not entries:
        if records:
            raise StoreFormatError(f"there are {len(records)} bytes of records, and no anchor in the index")
        return ()
    if entries[0][1] != 0:
        raise StoreFormatError(f"the first record begins at offset {entries[0][1]} instead of 0")
    anchors: list[Anchor] = []
    for number, (key, offset) in enumerate(entries):
        last = number + 1 == len(entries)
        end = len(records) if last else entries[number + 1][1]
        if not last and entries[number + 1][0] < key:
            raise StoreFormatError(f"the index is not sorted: entry {number + 1} is less than entry {number}")
        if end <= offset:
            raise StoreFormatError(f"record {number} at offset {offset} has no room: the next part begins at {end}")
        if end > len(records):
            raise StoreFormatError(f"record {number + 1} begins at offset {end}, outside the records")
        anchors.append(_decode_record(key, records[offset:end], f"record {number}"))
    return tuple(anchors)


def _decode_record(key: bytes, record: bytes, what: str) -> Anchor:
    reader = _Reader(record, what)
    flags = reader.number(1, "first byte")
    if flags & _RESERVED:
        raise StoreFormatError(f"{what} has the reserved bit 7 set")
    if flags & _KIND_MASK not in set(Kind):
        raise StoreFormatError(f"{what} has an unknown kind of key: {flags & _KIND_MASK}")
    kind = Kind(flags & _KIND_MASK)
    not_before = reader.number(4, "notBefore")
    not_after = reader.number(4, "notAfter")
    if not_after < not_before:
        raise StoreFormatError(f"{what} has a notAfter earlier than its notBefore")
    distrust_after = reader.number(4, "distrust-after") if flags & _HAS_DISTRUST else None
    path_length = reader.number(1, "path length") if flags & _HAS_PATH_LENGTH else None
    if path_length == 0xFF:
        raise StoreFormatError(f"{what} has the path length 255; 254 is the most")
    suffixes: list[str] = []
    if flags & _HAS_SUFFIXES:
        for _ in range(reader.number(1, "number of DNS suffixes")):
            suffixes.append(_decode_suffix(reader.take(reader.number(1, "DNS suffixes"), "DNS suffixes"), what))
        if not suffixes:
            raise StoreFormatError(f"{what} has an empty list of DNS suffixes")
    constraints = None
    if flags & _HAS_CONSTRAINTS:
        constraints = reader.take(reader.number(2, "name constraints"), "name constraints")
        _check_sequence(constraints, f"{what}: the name constraints")
    anchor = Anchor(
        key,
        kind,
        reader.rest(),
        not_before,
        not_after,
        distrust_after,
        path_length,
        tuple(suffixes),
        constraints,
    )
    _check_key(anchor, what)
    return anchor


def _decode_suffix(raw: bytes, what: str) -> str:
    text = raw.decode("latin-1")
    if not is_dns_suffix(text):
        raise StoreFormatError(f"{what} has a DNS suffix that is no lower-case domain name: {text!r}")
    return text


def is_dns_suffix(text: str) -> bool:
    """Whether `text` is a domain name as a record holds it: lower-case ASCII, no leading or trailing dot."""
    return (
        0 < len(text) <= 253
        and _SUFFIX_CHARACTERS.issuperset(text)
        and all(0 < len(label) <= 63 for label in text.split("."))
    )


def is_series(text: str) -> bool:
    """Whether `text` can be the name of a series of stores. The empty one means none."""
    return _SERIES.fullmatch(text) is not None


def series_words(series: str) -> str:
    """The series in the middle of a sentence."""
    return f"series {series}" if series else "no series"


def _check_sequence(der: bytes, what: str) -> None:
    """`der` is one whole DER SEQUENCE with a definite, minimal length, and nothing after it."""
    if len(der) >= 2 and der[0] == 0x30:
        if der[1] < 0x80:
            size, start = der[1], 2
        else:
            start = 2 + (der[1] & 0x7F)
            size = int.from_bytes(der[2:start], "big")
            if der[1] == 0x80 or size < 0x80 or der[2] == 0:
                size = -1
        if start + size == len(der) and size >= 0:
            return
    raise StoreFormatError(f"{what} are not one DER SEQUENCE")


def _check_key(anchor: Anchor, what: str) -> None:
    key = anchor.key
    if anchor.kind is Kind.RSA:
        if len(key) not in _RSA_BYTES:
            raise StoreFormatError(
                f"{what}: an RSA modulus of {len(key)} bytes; {_RSA_BYTES[0]} to {_RSA_BYTES[-1]} are possible"
            )
        if key[0] == 0 or not key[-1] & 1:
            raise StoreFormatError(f"{what}: the RSA modulus has a leading zero or is even")
    elif anchor.kind in CURVES and len(key) != _POINT_BYTES[anchor.kind]:
        raise StoreFormatError(
            f"{what}: a {anchor.kind.name} point of {len(key)} bytes instead of {_POINT_BYTES[anchor.kind]}"
        )
    elif anchor.kind is Kind.EXACT:
        certificate = _parse_certificate(key, what)
        if index_key(subject_name(certificate)) != anchor.index_key:
            raise StoreFormatError(f"{what}: the exact certificate has another subject than the index says")
    try:
        anchor.public_key()
    except Exception as error:  # cryptography answers with ValueError, TypeError or UnsupportedAlgorithm
        words = "not a point on the curve" if anchor.kind in CURVES else "not a usable public key"
        raise StoreFormatError(f"{what}: the {anchor.kind.name} key is {words}") from error


def _decode_blocked(data: bytes) -> tuple[bytes, ...]:
    blocked = tuple(data[at : at + _BLOCKED_SIZE] for at in range(0, len(data), _BLOCKED_SIZE))
    for number in range(1, len(blocked)):
        if blocked[number] <= blocked[number - 1]:
            raise StoreFormatError(f"the blocked keys are not sorted: key {number} is not above key {number - 1}")
    return blocked


def _decode_envelope(data: bytes, name: str) -> Envelope:
    reader = _Reader(data, "the envelope")
    if len(data) > MAX_ENVELOPE:
        raise StoreFormatError(f"the envelope has {len(data)} bytes; {MAX_ENVELOPE} is the most")
    if reader.take(min(4, len(data)), "magic") != ENVELOPE_MAGIC:
        raise StoreFormatError(f"{len(data)} bytes follow the body that are no envelope: they do not begin with SIGN")
    leaf = reader.take(reader.number(2, "leaf"), "leaf")
    leaf_key = reader.take(reader.number(2, "key"), "key")
    content = data[: reader.at]
    if reader.take(4, "check sum") != hashlib.sha256(content).digest()[:4]:
        raise StoreFormatError("the envelope's check sum does not match: the signature is damaged")
    if trailing := reader.rest():
        raise StoreFormatError(f"{len(trailing)} bytes follow the envelope")
    certificate = _parse_certificate(leaf, "the envelope's leaf")
    try:
        private_key = serialization.load_der_private_key(leaf_key, None)
        fits = private_key.public_key() == certificate.public_key()
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except Exception as error:  # cryptography answers with many classes for many kinds of damage
        raise StoreFormatError("the envelope's leaf and key cannot be read") from error
    if not fits:
        raise StoreFormatError("the envelope's key does not belong to its leaf")
    if names != [x509.DNSName(name)]:
        raise StoreFormatError("the envelope was made for another store: its leaf does not name this content")
    return Envelope(leaf, leaf_key)


def _parse_certificate(der: bytes, what: str) -> x509.Certificate:
    try:
        certificate = load_certificate(der)
        certificate.public_key()
        subject_name(certificate)
    except Exception as error:  # as above
        raise StoreFormatError(f"{what} is no X.509 certificate in DER") from error
    return certificate


def check_publisher(certificate: x509.Certificate, what: str) -> None:
    """Refuse a certificate that cannot be a publisher's: it must be a CA with a P-256 key."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except Exception as error:  # absent, twice there, or unreadable
        raise StoreFormatError(f"{what} is not a CA certificate") from error
    key = certificate.public_key()
    if not constraints.ca:
        raise StoreFormatError(f"{what} is not a CA certificate")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise StoreFormatError(f"{what} has no P-256 key")


# -------------------------------------------------------------------------------- names as they were signed


def subject_name(certificate: x509.Certificate) -> bytes:
    """The DER of the subject Name exactly as it stands in the certificate."""
    return certificate_fields(certificate)[0]


def certificate_fields(certificate: x509.Certificate) -> tuple[bytes, bytes, bytes]:
    """(subject Name, SubjectPublicKeyInfo, what follows it) of a certificate, as DER bytes, RFC 5280 section 4.1.

    Taken from the certificate itself, because parsing and encoding again may change bytes that are hashed.
    """
    tbs = certificate.tbs_certificate_bytes
    at = der_element(tbs, 0)[0]
    if tbs[at] == 0xA0:  # version
        at = der_element(tbs, at)[1]
    for _ in range(4):  # serialNumber, signature, issuer, validity
        at = der_element(tbs, at)[1]
    subject_end = der_element(tbs, at)[1]
    spki_end = der_element(tbs, subject_end)[1]
    return tbs[at:subject_end], tbs[subject_end:spki_end], tbs[spki_end:]


def der_element(data: bytes, at: int) -> tuple[int, int]:
    """(start of content, end) of the DER element at `at`; `ValueError` if it does not fit into `data`."""
    start, size = at + 2, data[at + 1] if at + 1 < len(data) else 0
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > len(data):
        raise ValueError("a DER element is longer than what holds it")
    return start, start + size
