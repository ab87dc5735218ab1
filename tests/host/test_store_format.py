"""The file format: what is written can be read, and whatever breaks a rule is refused with the rule's name."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rootlet_host import signing
from rootlet_host.store import (
    Anchor,
    Header,
    Kind,
    StoreFormatError,
    anchor_from_certificate,
    anchors_from_certificates,
    build_store,
    decode_store,
    encode_store,
    mozilla_certificates,
)
from rootlet_host.store.format import NO_LIMIT
from store_help import DER, assemble, ec_key, make_certificate, rsa_key, with_digest

P256_POINT = ec_key().public_key().public_numbers()
POINT = P256_POINT.x.to_bytes(32, "big") + P256_POINT.y.to_bytes(32, "big")
TIMES = struct.pack("<II", 1_600_000_000, 1_900_000_000)
RECORD = b"\x01" + TIMES + POINT


@pytest.fixture(scope="module")
def roots():
    return mozilla_certificates()


@pytest.fixture(scope="module")
def small_signed():
    """A signed store with two anchors, a blocked key and a publisher."""
    key = signing.new_publisher_key()
    certificate = signing.publisher_certificate("test", key)
    anchors = anchors_from_certificates([make_certificate("a").certificate], suffixes=("example.org",))
    anchors += anchors_from_certificates([make_certificate("b", path_length=1).certificate])
    data = build_store(
        anchors,
        sequence=3,
        issued_at=1_700_000_000,
        not_used_after=4_000_000_000,
        blocked=[bytes(range(32))],
        publisher=certificate.public_bytes(DER),
        series="abc",
    )
    return signing.sign_store(data, key, certificate)


# ------------------------------------------------------------------------------------------- round trips


def test_every_mozilla_root_comes_back_with_its_key_and_dates(roots):
    store = decode_store(build_store(anchors_from_certificates(roots), sequence=1, issued_at=1))
    assert len(store.anchors) == len(roots) >= 100
    by_key = {(anchor.index_key, anchor.spki): anchor for anchor in store.anchors}
    for root in roots:
        subject = hashlib.sha256(root.subject.public_bytes()).digest()[:5]
        spki = root.public_key().public_bytes(DER, signing.serialization.PublicFormat.SubjectPublicKeyInfo)
        anchor = by_key[subject, spki]
        assert anchor.public_key() == root.public_key()
        assert anchor.not_before == root.not_valid_before_utc.timestamp()
        assert anchor.not_after == root.not_valid_after_utc.timestamp()


def test_a_mozilla_root_takes_at_most_350_bytes_of_the_whole_file(roots):
    data = build_store(anchors_from_certificates(roots), sequence=1, issued_at=1)
    assert len(data) / len(roots) <= 350


def test_the_same_anchors_give_the_same_bytes_in_any_order(roots):
    anchors = anchors_from_certificates(roots)
    expected = build_store(anchors, sequence=1, issued_at=1, blocked=[b"b" * 32, b"a" * 32])
    random.Random(1).shuffle(anchors)
    again = build_store(anchors + anchors[:3], sequence=1, issued_at=1, blocked=[b"a" * 32, b"b" * 16])
    assert again == expected


@pytest.mark.parametrize(
    ("key", "kind", "size"),
    [
        (rsa_key(), Kind.RSA, 256),
        (ec_key(), Kind.P256, 64),
        (ec_key(ec.SECP384R1()), Kind.P384, 96),
        (ec_key(ec.SECP521R1()), Kind.P521, 132),
        (rsa_key(2048, 3), Kind.OTHER, None),
        (ec_key(ec.BrainpoolP256R1()), Kind.OTHER, None),
    ],
    ids=["rsa", "p256", "p384", "p521", "rsa-exponent-3", "brainpool"],
)
def test_each_kind_of_key_is_written_in_its_shortest_form(key, kind, size):
    anchor = anchor_from_certificate(make_certificate(key=key).certificate)
    (read,) = decode_store(build_store([anchor], sequence=1, issued_at=1)).anchors
    assert read == anchor
    assert read.kind is kind
    assert read.public_key() == key.public_key()
    assert size is None or len(read.key) == size


def test_an_exact_record_holds_the_whole_certificate():
    server = make_certificate("server", ca=False, hosts=("server.test",))
    anchor = anchor_from_certificate(server.certificate, exact=True)
    (read,) = decode_store(build_store([anchor], sequence=1, issued_at=1)).anchors
    assert (read.kind, read.key) == (Kind.EXACT, server.der)


def test_all_optional_fields_come_back():
    constraints = bytes.fromhex("300aa00830068204") + b"a.de"
    anchor = Anchor(b"12345", Kind.P256, POINT, 5, NO_LIMIT, 77, 254, ("a.example", "b.example"), constraints)
    assert decode_store(build_store([anchor], sequence=NO_LIMIT, issued_at=NO_LIMIT)).anchors == (anchor,)


def test_several_anchors_may_share_a_subject():
    anchors = anchors_from_certificates([make_certificate("same").certificate for _ in range(5)])
    store = decode_store(build_store(anchors, sequence=1, issued_at=1))
    assert set(store.anchors) == set(anchors)
    assert len({anchor.index_key for anchor in store.anchors}) == 1


def test_an_empty_store_is_valid():
    assert decode_store(assemble([], b"")).anchors == ()


def test_the_file_has_the_documented_layout(small_signed):
    """Read by hand, straight from docs/store-format.md."""
    data = small_signed
    assert data[:6] == b"RTLT\x01\x00"
    count, sequence, issued, until, body = struct.unpack_from("<HIIII", data, 6)
    assert (count, sequence, issued, until) == (2, 3, 1_700_000_000, 4_000_000_000)
    blocked, publisher, series = struct.unpack_from("<HH4s", data, 24)
    assert (blocked, series) == (1, b"abc\0")
    assert data[32:64] == hashlib.sha256(data[:32] + data[64 : 64 + body]).digest()
    keys = [hashlib.sha256(make_certificate(name).certificate.subject.public_bytes()).digest()[:5] for name in "ab"]
    offsets = [int.from_bytes(data[64 + 8 * n + 5 : 64 + 8 * n + 8], "little") for n in range(2)]
    assert [data[64 + 8 * n : 64 + 8 * n + 5] for n in range(2)] == sorted(keys)
    sizes = {keys[0]: 1 + 8 + 1 + 1 + len("example.org") + 64, keys[1]: 1 + 8 + 1 + 64}
    assert offsets == [0, sizes[sorted(keys)[0]]]
    blocked_at = 64 + 16 + sum(sizes.values())
    assert data[blocked_at : blocked_at + 16] == bytes(range(16))
    end = blocked_at + 16 + publisher
    assert end == 64 + body
    envelope = data[end:]
    leaf = struct.unpack_from("<H", envelope, 4)[0]
    key = struct.unpack_from("<H", envelope, 6 + leaf)[0]
    assert envelope[:4] == b"SIGN"
    assert len(envelope) == 4 + 2 + leaf + 2 + key + 4
    assert envelope[-4:] == hashlib.sha256(envelope[:-4]).digest()[:4]


# ------------------------------------------------------------------------------------------------ damage


def test_every_flipped_bit_of_a_signed_store_is_seen(small_signed):
    data = bytearray(small_signed)
    for bit in range(len(data) * 8):
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(StoreFormatError):
            decode_store(bytes(data))
        data[bit >> 3] ^= 1 << (bit & 7)
    decode_store(bytes(data))


def test_a_store_cut_at_any_byte_is_refused_except_just_before_its_envelope(small_signed):
    unsigned_size = 64 + struct.unpack_from("<I", small_signed, 20)[0]
    readable = []
    for size in range(len(small_signed)):
        try:
            store = decode_store(small_signed[:size])
        except StoreFormatError:
            continue
        readable.append(size)
        assert store.envelope is None
    assert readable == [unsigned_size]


@pytest.mark.parametrize("tail", [b"\0", b"S", b"SIGN", b"SIGN\0\0\0\0", b"x" * 100])
def test_bytes_after_the_store_are_refused(small_signed, tail):
    unsigned = small_signed[: 64 + struct.unpack_from("<I", small_signed, 20)[0]]
    for data in (unsigned, small_signed):
        with pytest.raises(StoreFormatError):
            decode_store(data + tail)


def test_an_envelope_made_for_another_content_is_refused(small_signed):
    end = 64 + struct.unpack_from("<I", small_signed, 20)[0]
    other = bytearray(small_signed)
    other[8] += 1  # the sequence
    with pytest.raises(StoreFormatError, match="made for another store"):
        decode_store(with_digest(bytes(other)))
    with pytest.raises(StoreFormatError, match="made for another store"):
        decode_store(assemble([(b"aaaaa", 0)], RECORD, envelope=small_signed[end:]))


ONE = [(b"aaaaa", 0)]
TWO = [(b"aaaaa", 0), (b"bbbbb", len(RECORD))]
BAD = {
    "empty file": (b"", "less than its 64-byte header"),
    "short header": (b"RTLT" + bytes(59), "less than its 64-byte header"),
    "magic": (b"rtlt" + assemble(ONE, RECORD)[4:], "does not begin with RTLT"),
    "version": (assemble(ONE, RECORD, version=2), "format version 2"),
    "flags": (assemble(ONE, RECORD, flags=0x80), "unknown flags"),
    "series with other characters": (assemble(ONE, RECORD, series=b"Site"), "the header's series"),
    "series with a gap": (assemble(ONE, RECORD, series=b"a\0b\0"), "the header's series"),
    "too many anchors": (assemble(ONE, RECORD, count=4097), "4097 anchors"),
    "body too long": (assemble(ONE, RECORD, body=(1 << 20) + 1), "body of 1048577"),
    "body cut": (assemble(ONE, RECORD)[:-1], "cut short"),
    "used before issued": (assemble(ONE, RECORD, not_used_after=5), "before it was issued"),
    "index longer than body": (assemble(ONE, b"", count=100), "longer than the body"),
    "blocked keys longer than body": (assemble(ONE, RECORD, blocked_count=0xFFFF), "longer than the body"),
    "publisher longer than body": (assemble(ONE, RECORD, publisher_size=0xFFFF), "longer than the body"),
    "records without index": (assemble([], RECORD), "no anchor in the index"),
    "index without records": (assemble(ONE, b""), "has no room"),
    "first offset": (assemble([(b"aaaaa", 1)], b"\0" + RECORD), "offset 1 instead of 0"),
    "unsorted": (assemble([(b"bbbbb", 0), (b"aaaaa", len(RECORD))], RECORD * 2), "not sorted"),
    "same offset": (assemble([(b"aaaaa", 0), (b"bbbbb", 0)], RECORD * 2), "has no room"),
    "overlap": (assemble([*TWO, (b"ccccc", 5)], RECORD * 3), "has no room"),
    "offset outside": (assemble([(b"aaaaa", 0), (b"bbbbb", 0xFFFFFF)], RECORD * 2), "outside the records"),
    "offset at the end": (assemble([(b"aaaaa", 0), (b"bbbbb", len(RECORD))], RECORD), "has no room"),
    "gap": (assemble([(b"aaaaa", 0), (b"bbbbb", len(RECORD) + 1)], RECORD + b"\0" + RECORD), "65 bytes instead of 64"),
    "reserved bit": (assemble(ONE, b"\x81" + RECORD[1:]), "reserved bit"),
    "kind": (assemble(ONE, b"\x07" + RECORD[1:]), "unknown kind"),
    "record cut": (assemble(ONE, RECORD[:6]), "ends within its notAfter"),
    "dates": (assemble(ONE, b"\x01" + struct.pack("<II", 2, 1) + POINT), "earlier than its notBefore"),
    "path length": (assemble(ONE, b"\x11" + TIMES + b"\xff" + POINT), "254 is the most"),
    "no suffix": (assemble(ONE, b"\x21" + TIMES + b"\0" + POINT), "empty list of DNS suffixes"),
    "suffix cut": (assemble(ONE, b"\x21" + TIMES + b"\xff" + POINT), "DNS suffix"),
    "suffix empty": (assemble(ONE, b"\x21" + TIMES + b"\1\0" + POINT), "lower-case domain name"),
    "suffix upper case": (assemble(ONE, b"\x21" + TIMES + b"\1\2De" + POINT), "lower-case domain name"),
    "suffix leading dot": (assemble(ONE, b"\x21" + TIMES + b"\1\3.de" + POINT), "lower-case domain name"),
    "suffix not ASCII": (assemble(ONE, b"\x21" + TIMES + b"\1\2\xfc\xfc" + POINT), "lower-case domain name"),
    "constraints cut": (assemble(ONE, b"\x41" + TIMES + b"\xff\xff" + POINT), "ends within its name constraints"),
    "constraints no sequence": (assemble(ONE, b"\x41" + TIMES + b"\2\0\4\0" + POINT), "one DER SEQUENCE"),
    "constraints trailing": (assemble(ONE, b"\x41" + TIMES + b"\3\0\x30\0\0" + POINT), "one DER SEQUENCE"),
    "constraints long form": (assemble(ONE, b"\x41" + TIMES + b"\3\0\x30\x81\0" + POINT), "one DER SEQUENCE"),
    "constraints indefinite": (assemble(ONE, b"\x41" + TIMES + b"\4\0\x30\x80\0\0" + POINT), "one DER SEQUENCE"),
    "no key": (assemble(ONE, b"\x01" + TIMES), "0 bytes instead of 64"),
    "point off the curve": (assemble(ONE, b"\x01" + TIMES + POINT[:-1] + bytes([POINT[-1] ^ 1])), "not a point"),
    "short point": (assemble(ONE, b"\x02" + TIMES + POINT), "64 bytes instead of 96"),
    "short modulus": (assemble(ONE, b"\x00" + TIMES + b"\xff" * 127), "modulus of 127 bytes"),
    "long modulus": (assemble(ONE, b"\x00" + TIMES + b"\xff" * 1025), "modulus of 1025 bytes"),
    "leading zero": (assemble(ONE, b"\x00" + TIMES + b"\0" + b"\xff" * 256), "leading zero"),
    "even modulus": (assemble(ONE, b"\x00" + TIMES + b"\xff" * 255 + b"\xfe"), "even"),
    "no key info": (assemble(ONE, b"\x04" + TIMES + b"\x30\0"), "not a usable public key"),
    "no certificate": (assemble(ONE, b"\x05" + TIMES + b"\x30\0"), "no X.509 certificate"),
    "exact, other subject": (assemble(ONE, b"\x05" + TIMES + make_certificate().der), "another subject"),
    "blocked unsorted": (assemble(ONE, RECORD, blocked=b"b" * 16 + b"a" * 16), "not sorted"),
    "blocked twice": (assemble(ONE, RECORD, blocked=b"a" * 32), "not sorted"),
    "publisher": (assemble(ONE, RECORD, publisher=b"\x30\0"), "publisher is no X.509"),
    "publisher no CA": (assemble(ONE, RECORD, publisher=make_certificate(ca=False).der), "not a CA"),
    "publisher RSA": (assemble(ONE, RECORD, publisher=make_certificate(key=rsa_key()).der), "no P-256"),
    "envelope magic": (assemble(ONE, RECORD, envelope=b"SEAL"), "do not begin with SIGN"),
    "envelope cut": (assemble(ONE, RECORD, envelope=b"SIGN\x05\0abc"), "ends within its leaf"),
    "envelope sum": (assemble(ONE, RECORD, envelope=b"SIGN\0\0\0\0abcd"), "check sum"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_broken_rule_is_refused_with_its_name(name):
    data, words = BAD[name]
    with pytest.raises(StoreFormatError, match=words):
        decode_store(data)


def test_the_assembled_store_that_the_bad_ones_vary_is_itself_valid():
    assert len(decode_store(assemble(TWO, RECORD * 2, blocked=b"a" * 16 + b"b" * 16)).anchors) == 2


@pytest.mark.parametrize(
    "change",
    [{"sequence": -1}, {"sequence": 1 << 32}, {"issued_at": 1 << 32}, {"issued_at": 5, "not_used_after": 4}],
    ids=str,
)
def test_nothing_that_breaks_a_rule_can_be_encoded(change):
    with pytest.raises(StoreFormatError):
        encode_store(Header(**{"sequence": 1, "issued_at": 1, **change}), [])


def test_a_body_over_one_mebibyte_cannot_be_encoded():
    anchors = [Anchor(bytes([n >> 8, n & 255, 0, 0, 0]), Kind.P256, POINT, 1, 2, dns_suffixes=("a" * 60,) * 60)
               for n in range(400)]  # fmt: skip
    with pytest.raises(StoreFormatError, match="body of"):
        build_store(anchors, sequence=1, issued_at=1)


# --------------------------------------------------------------------------------------------------- fuzz

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decodes_or_refuses(data: bytes) -> None:
    """Only the format error may come out, and what is accepted must encode to the same bytes again."""
    try:
        store = decode_store(data)
    except StoreFormatError:
        return
    again = encode_store(
        store.header, store.anchors, blocked=store.blocked, publisher=store.publisher, envelope=store.envelope
    )
    if len({anchor.index_key for anchor in store.anchors}) == len(store.anchors):
        assert again == data
    else:  # records under one key may stand in any order, and an encoder writes equal ones once
        assert set(decode_store(again).anchors) == set(store.anchors)


@FUZZ
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
    decodes_or_refuses(data)
    decodes_or_refuses(b"RTLT\x01\x00" + data)


@FUZZ
@given(st.data())
def test_changed_bytes_behind_a_right_digest_are_refused_or_mean_what_they_say(small_signed, data):
    store = bytearray(small_signed)
    for _ in range(data.draw(st.integers(1, 4))):
        store[data.draw(st.integers(0, len(store) - 1))] = data.draw(st.integers(0, 255))
    body = struct.unpack_from("<I", store, 20)[0]
    if 64 + body <= len(store):
        decodes_or_refuses(with_digest(bytes(store)))
        decodes_or_refuses(with_digest(bytes(store))[: 64 + body])


offsets = st.one_of(st.integers(0, 3 * len(RECORD)), st.sampled_from([0, len(RECORD), 2 * len(RECORD), 0xFFFFFF]))


@FUZZ
@given(
    st.lists(st.tuples(st.sampled_from([b"aaaaa", b"aaaab", b"bbbbb"]), offsets), max_size=4),
    st.integers(0, 4),
    st.fixed_dictionaries(
        {},
        optional={
            "count": st.integers(0, 0xFFFF),
            "body": st.one_of(st.integers(0, 600), st.integers(0, 0xFFFFFFFF)),
            "blocked_count": st.one_of(st.integers(0, 8), st.integers(0, 0xFFFF)),
            "publisher_size": st.one_of(st.integers(0, 200), st.integers(0, 0xFFFF)),
            "flags": st.integers(0, 255),
            "series": st.binary(max_size=4),
        },
    ),
)
def test_lengths_offsets_counts_and_order_of_header_and_index_never_confuse_the_decoder(entries, records, header):
    data = assemble(entries, RECORD * records, **header)
    body = struct.unpack_from("<I", data, 20)[0]
    decodes_or_refuses(with_digest(data) if 64 + body <= len(data) else data)


@FUZZ
@given(st.integers(0, 255), st.binary(max_size=120))
def test_random_records_never_confuse_the_decoder(flags, rest):
    decodes_or_refuses(assemble(ONE, bytes([flags]) + TIMES + rest))
    decodes_or_refuses(assemble(ONE, bytes([flags]) + rest))
    decodes_or_refuses(assemble(ONE, RECORD, publisher=rest, envelope=b"SIGN" + rest))
