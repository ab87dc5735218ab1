"""rootlet.anchor: records, and the certificates that are made from them."""

import make
from make import raises
from rootlet.anchor import Anchor, RecordError
from rootlet.certificate import Certificate
from storefile import EXACT, OTHER, P256, P384, P521, RSA, record

NAME = make.name(("2.5.4.6", "DE"), cn="A root")


def made(content, name=NAME, serial=0):
    """The fields of the certificate that is made from a record, read by rootlet's own parser."""
    der = Anchor(content).certificate(name, serial)
    assert isinstance(der, bytes), "Mbed TLS takes nothing else"
    return der, Certificate(der)


def field(der, certificate, what):
    return der[getattr(certificate, what) : getattr(certificate, what + "_end")]


def test_the_name_is_the_subject_and_the_issuer_is_as_short_as_can_be():
    for size in (0, 100, 124, 125, 126, 127, 128, 250, 251, 252, 253, 254, 1000):
        name = make.tlv(0x30, bytes(size))
        der, certificate = made(record(), name)
        assert field(der, certificate, "subject") == name
        assert field(der, certificate, "issuer") == make.name(cn="-")


def test_elliptic_curve_keys():
    for kind, curve, size in ((P256, "1.2.840.10045.3.1.7", 32), (P384, make.P384, 48), (P521, make.P521, 66)):
        der, certificate = made(record(kind, b"\x11" * (2 * size)))
        assert field(der, certificate, "spki") == make.ec(curve, size)


def test_rsa_keys_of_every_size_with_and_without_a_leading_bit():
    for bits in (1024, 1030, 1031, 1032, 2048, 2049, 3072, 4096, 8192):
        expected = make.rsa(bits)
        n = (bits + 7) // 8
        modulus = bytearray(b"\x5b" * n)
        modulus[0] = 1 << ((bits - 1) % 8)
        der, certificate = made(record(RSA, bytes(modulus)))
        assert field(der, certificate, "spki") == expected


def test_other_keys_are_taken_as_they_are():
    spki = make.rsa(2048, exponent=3)
    der, certificate = made(record(OTHER, spki))
    assert field(der, certificate, "spki") == spki


def test_an_exact_certificate_is_taken_as_it_is():
    der = make.certificate()
    anchor = Anchor(record(EXACT, der))
    assert anchor.exact
    assert anchor.certificate(NAME, 3) == der
    assert not Anchor(record()).exact


def test_an_exact_certificate_that_looks_like_one_that_was_made_here_is_refused():
    raises(RecordError, Anchor, record(EXACT, make.certificate(signature=b"\0\0")))


def test_validity():
    for seconds in (
        0,
        1,
        86399,
        86400,
        951782399,  # 2000-02-28T23:59:59Z
        951782400,  # 2000-02-29
        951868800,  # 2000-03-01
        1709164800,  # 2024-02-29
        1735689599,  # 2024-12-31T23:59:59Z
        2147483647,
        2147483648,
        4107542399,  # 2100-02-28T23:59:59Z: no leap year
        4107542400,
        4294967294,
    ):
        der, certificate = made(record(not_before=seconds, not_after=seconds))
        assert certificate.time(certificate.not_before, len(der)) == seconds
        assert certificate.time(certificate.not_after, len(der)) == seconds


def test_a_time_later_than_the_format_can_say_never_comes():
    der, _ = made(record(not_after=0xFFFFFFFF))
    assert b"\x18\x0f99991231235959Z" in der


def test_it_is_a_ca_with_the_path_length_of_the_record():
    _, certificate = made(record())
    assert certificate.ca and certificate.path_length == -1
    for given, expected in ((0, 0), (1, 1), (126, 126), (127, 127), (128, 127), (254, 127)):
        _, certificate = made(record(path_length=given))
        assert certificate.ca and certificate.path_length == expected


def test_the_serial_number_is_the_anchors_index():
    for serial in (0, 3, 127):
        der, certificate = made(record(), serial=serial)
        assert field(der, certificate, "serial") == bytes((serial,))


def test_limits_are_read():
    suffixes = ["a.example", "b", "x" * 63 + ".example"]
    anchor = Anchor(record(distrust_after=77, path_length=2, suffixes=suffixes, constraints=b"\x30\x02\xa0\x00"))
    assert (anchor.distrust_after, anchor.suffixes) == (77, suffixes)
    assert anchor.constraints == b"\x30\x02\xa0\x00"
    assert bytes(anchor.key) == bytes(range(64))
    plain = Anchor(record())
    assert (plain.distrust_after, plain.suffixes, plain.constraints) == (0, None, None)


def test_every_truncated_record_is_refused():
    for content in (
        record(distrust_after=7, path_length=1, suffixes=["a.example"], constraints=b"\x30\0"),
        record(P521),
        record(P384, suffixes=["a", "b"]),
    ):
        for n in range(len(content)):
            raises(RecordError, Anchor, content[:n])


def test_a_truncated_record_of_a_key_of_any_length_is_refused_or_a_shorter_key():
    content = record(OTHER, bytes(20), suffixes=["a.example"], constraints=b"\x30\0")
    for n in range(len(content) - 20 + 1):
        raises(RecordError, Anchor, content[:n])


def test_keys_of_the_wrong_size_unknown_kinds_and_flags_are_refused():
    for kind, size in ((P256, 63), (P256, 65), (P384, 64), (P521, 131), (P521, 133), (RSA, 0), (OTHER, 0), (EXACT, 0)):
        raises(RecordError, Anchor, record(kind, bytes(size)))
    for kind in (6, 7):
        raises(RecordError, Anchor, record(kind, bytes(64)))
    content = record()
    raises(RecordError, Anchor, bytes((content[0] | 0x80,)) + content[1:])
    raises(RecordError, Anchor, b"")


def test_no_flipped_byte_of_a_record_raises_anything_but_a_record_error():
    good = record(P256, distrust_after=7, path_length=1, suffixes=["a.example", "b"], constraints=b"\x30\0")
    for at in range(40):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            data = bytearray(good)
            data[at] ^= flip
            try:  # noqa: SIM105
                Anchor(bytes(data)).certificate(NAME, 0)
            except ValueError:
                pass  # RecordError, or UnicodeError of a suffix, which is one, too
