"""rootlet.integrity: what a store must not have although its digest is right."""

from hashlib import sha256

import make
from rootlet.integrity import fault
from rootlet.store import TrustStore
from storefile import EXACT, OTHER, RSA, File, record, store

NAME = make.name(cn="Root")
MODULUS = b"\xc5" * 256


def fault_in(data):
    with File(data) as file:
        return fault(TrustStore(file.path))


def fault_of(content):
    return fault_in(store([(NAME, content)]))


def test_a_suffix_that_is_not_ascii_is_refused():
    plain = record(suffixes=["bxxcher.example"])
    assert fault_of(plain) is None
    # UTF-8, which MicroPython would take for ASCII
    assert fault_of(plain.replace(b"bxx", b"b\xc3\xbc")) is not None
    assert fault_of(plain.replace(b"bxx", b"b\x9f\x9f")) is not None


def test_what_is_no_domain_name_in_lower_case_is_refused():
    assert fault_of(record(suffixes=["a.example", "b"])) is None
    for suffix in ("", ".a.example", "a.example.", "A.example"):
        assert "DNS suffix" in fault_of(record(suffixes=["b", suffix])), suffix
    assert "empty" in fault_of(record(suffixes=[]))


def test_keys_and_constraints_are_what_they_are_called():
    for good in (
        record(RSA, MODULUS),
        record(OTHER, make.ec()),
        record(EXACT, make.certificate()),
        record(constraints=make.constraints([make.dns("a.example")])),
    ):
        assert fault_of(good) is None
    for bad, words in (
        (record(RSA, MODULUS[:127]), "modulus"),
        (record(RSA, MODULUS * 4 + b"\xc5"), "modulus"),
        (record(RSA, b"\0" + MODULUS[1:]), "modulus"),
        (record(RSA, MODULUS[1:] + b"\xc4"), "modulus"),
        (record(OTHER, make.ec()[:-1]), "SEQUENCE"),
        (record(OTHER, make.ec() + b"\0"), "SEQUENCE"),
        (record(constraints=b"\x31\0"), "name constraints"),
        (record(not_before=2, not_after=1), "ends before it begins"),
    ):
        assert words in fault_of(bad), words


def test_an_index_that_does_not_lead_to_every_record_in_order_is_refused():
    twins = [(NAME, record()), (NAME, record(path_length=1))]  # of one name there may be several
    data = store(twins + [(make.name(cn="%d" % i), record()) for i in range(9)])
    assert fault_in(data) is None

    def resealed(at, *octets):
        body = bytearray(data[64:])
        body[at : at + len(octets)] = bytes(octets)
        return data[:32] + sha256(data[:32] + body).digest() + bytes(body)

    assert "not at the beginning" in fault_in(resealed(5, 1))
    assert "not sorted" in fault_in(resealed(8, 0, 0, 0, 0, 0))
    assert "neighbours" in fault_in(resealed(10 * 8 + 5, 0, 0, 0))
    assert "no index entry" in fault_in(store([], publisher=record(), publisher_size=0))


def test_blocked_keys_are_sorted_and_each_is_there_once():
    one, two = b"\1" * 16, b"\2" * 16
    assert fault_in(store([(NAME, record())], blocked=[one, two])) is None
    assert "not sorted" in fault_in(store([(NAME, record())], blocked=[one, one]))


def test_a_store_does_not_end_before_it_was_issued():
    assert fault_in(store([(NAME, record())], issued_at=1_700_000_000, not_used_after=1_700_000_000)) is None
    assert "before it was issued" in fault_in(store([(NAME, record())], not_used_after=1_699_999_999))
