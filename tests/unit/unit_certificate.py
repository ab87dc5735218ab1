"""rootlet.certificate: the fields of one certificate."""

import make
from make import certificate, raises
from rootlet.certificate import Certificate
from rootlet.der import DerError, Reader

RSA, P256, P384, P521, OTHER = range(5)
EKU_OTHER, EKU_SERVER, EKU_ANY = 1, 2, 4


def part(parsed, field):
    return bytes(parsed.data[getattr(parsed, field) : getattr(parsed, field + "_end")])


def test_finds_the_fields_of_a_leaf():
    names = (make.dns("a.example"), make.dns("*.b.example"), make.ip((192, 0, 2, 1)))
    issuer = make.name(("2.5.4.6", make.tlv(0x13, b"DE")), ("2.5.4.10", "Org"), cn="Sub")
    der = certificate(
        issuer=issuer,
        subject=make.name(cn="a.example"),
        serial=b"\x00\xff\x01",
        algorithm=make.SHA256_RSA,
        extensions=[
            make.key_usage(0x80),
            make.extended_key_usage(make.SERVER_AUTH, make.CLIENT_AUTH),
            make.basic_constraints(False),
            make.extension("2.5.29.14", make.tlv(4, b"1234")),
            make.extension("1.3.6.1.5.5.7.1.1", make.seq()),
            make.san(*names),
        ],
    )
    found = Certificate(memoryview(der))
    assert found.version == 3
    assert part(found, "serial") == b"\x00\xff\x01"
    assert part(found, "issuer") == issuer
    assert part(found, "subject") == make.name(cn="a.example")
    assert part(found, "spki") == make.ec()
    assert part(found, "san") == b"".join(names)
    assert bytes(found.data[found.signature : found.issuer]) == make.oid(make.SHA256_RSA)
    assert found.time(found.not_before, found.subject) == 1767225600
    assert found.time(found.not_after, found.subject) == 2082758400
    assert (found.ca, found.path_length, found.key_usage) == (False, -1, 0x80)
    assert found.extended_key_usage == EKU_OTHER | EKU_SERVER
    assert not found.duplicate and not found.unknown_critical and not found.constraints


def test_finds_the_fields_of_an_issuer():
    value = make.constraints([make.dns("example")])
    der = certificate(
        extensions=[
            make.key_usage(0x06),
            make.basic_constraints(path_length=3),
            make.extension("2.5.29.30", value, True),
            make.extended_key_usage(make.ANY_EKU),
        ]
    )
    found = Certificate(der)
    assert (found.ca, found.path_length, found.key_usage) == (True, 3, 0x06)
    assert part(found, "constraints") == value
    assert found.extended_key_usage == EKU_OTHER | EKU_ANY
    assert not found.unknown_critical


def refused(der):
    try:
        Certificate(der)
    except DerError:
        return True
    return False


def test_numbers_and_truths_are_written_as_der_wants_them():
    # X.690, 8.3.2 and 11.1. OpenSSL and Go refuse the serial numbers, Go the rest.
    for serial in (b"\0", b"\x7f", b"\0\x80", b"\1" + bytes(19)):
        assert part(Certificate(certificate(serial=serial)), "serial") == serial
    for serial in (b"", b"\0\1", b"\0\0", b"\x80", b"\xff\x7f"):
        assert refused(certificate(serial=serial)), serial
    constraints = lambda *parts: certificate(extensions=[make.extension("2.5.29.19", make.seq(*parts))])  # noqa: E731
    assert Certificate(constraints(b"\x01\x01\xff", b"\x02\x02\0\x80")).path_length == 0x7F
    assert not Certificate(constraints(b"\x01\x01\0")).ca
    for parts in (
        (b"\x01\x01\x01",),
        (b"\x01\x02\xff\xff",),
        (b"\x01\0",),
        (b"\x01\x01\xff", b"\x02\0"),
        (b"\x01\x01\xff", b"\x02\x01\xff"),
        (b"\x01\x01\xff", b"\x02\x02\0\1"),
    ):
        assert refused(constraints(*parts)), parts
    critical = lambda value: certificate(extensions=[make.seq(make.oid("1.2.3"), value, make.tlv(4, b""))])  # noqa: E731
    assert Certificate(critical(b"\x01\x01\xff")).unknown_critical
    assert not Certificate(critical(b"\x01\x01\0")).unknown_critical
    assert refused(critical(b"\x01\x01\x01"))


def test_an_extension_has_a_whole_identifier():
    for identifier in (b"", b"\x2a\x83", b"\x80", b"\x80\x01", b"\x2a\x80\x01"):
        extension = make.seq(make.tlv(6, identifier), make.tlv(4, b""))
        assert refused(certificate(extensions=[extension])), identifier
        usages = make.extension("2.5.29.37", make.seq(make.oid(make.SERVER_AUTH), make.tlv(6, identifier)))
        assert refused(certificate(extensions=[usages])), identifier


def test_long_numbers_of_identifiers_are_taken():
    for identifier in (b"\x2a", b"\x2a\x81\x80\x01", b"\x60\x86\x48\x01\x86\xf8\x42\x01\x01"):
        extension = make.seq(make.tlv(6, identifier), make.tlv(4, b""))
        assert not refused(certificate(extensions=[extension])), identifier


def test_nothing_of_the_certificate_before_is_left():
    found = Certificate(
        certificate(
            version=1,
            extensions=[
                make.key_usage(6),
                make.basic_constraints(path_length=1),
                make.name_constraints([make.dns("a")]),
                make.extended_key_usage(make.SERVER_AUTH),
                make.san(make.dns("a")),
                make.san(make.dns("a")),
                make.extension("1.2.3.4", b"", True),
            ],
        )
    )
    assert found.duplicate and found.unknown_critical and found.version == 1
    found.parse(certificate(extensions=None))
    assert (found.ca, found.path_length, found.key_usage, found.extended_key_usage) == (False, -1, -1, 0)
    assert (found.san, found.constraints, found.extensions, found.version) == (0, 0, 0, 3)
    assert not found.duplicate and not found.unknown_critical


def test_key_kinds_and_sizes():
    for spki, kind, bits in (
        (make.rsa(2048), RSA, 2048),
        (make.rsa(2047), RSA, 2047),
        (make.rsa(2052), RSA, 2055),  # does not fill its bytes
        (make.rsa(1024), RSA, 1024),
        (make.rsa(4096, top=0xFF), RSA, 4096),
        (make.ec(), P256, 0),
        (make.ec(make.P384, 48), P384, 0),
        (make.ec(make.P521, 66), P521, 0),
        (make.ec(make.P192, 24), OTHER, 0),
        (make.ec("1.3.132.0.10"), OTHER, 0),  # secp256k1
        (make.ec("1.3.36.3.3.2.8.1.1.7"), OTHER, 0),  # brainpoolP256r1
        (make.seq(make.seq(make.oid("1.3.101.112")), make.tlv(3, bytes(33))), OTHER, 0),  # Ed25519
        # EC with the curve spelled out (RFC 5480, 2.1.1 forbids it)
        (make.seq(make.seq(make.oid("1.2.840.10045.2.1"), make.seq()), make.tlv(3, bytes(66))), OTHER, 0),
    ):
        found = Certificate(certificate(spki=spki))
        assert (found.key_kind, found.key_bits) == (kind, bits)
        assert part(found, "spki") == spki


def test_a_modulus_of_zero_is_short():
    key = make.seq(make.tlv(2, b"\0"), make.tlv(2, b"\x03"))
    spki = make.seq(make.seq(make.oid("1.2.840.113549.1.1.1"), b"\x05\0"), make.tlv(3, b"\0", key))
    found = Certificate(certificate(spki=spki))
    assert (found.key_kind, found.key_bits) == (RSA, 0)


def test_sees_an_extension_that_comes_twice():
    ski = make.extension("2.5.29.14", make.tlv(4, b"1"))
    one = make.extension("1.3.6.1.4.1.55738.1", b"x")
    two = make.extension("1.3.6.1.4.1.55738.2", b"x")
    like = make.extension("1.3.6.1.4.1.55739.1", b"x")
    longer = make.extension("1.3.6.1.4.1.55738.1.1", b"x")
    far = make.extension("2.5.29.54", b"\x02\x01\0")
    assert not Certificate(certificate(extensions=[ski, one, two, like, longer, far])).duplicate
    for again in (ski, one, two, like, longer, far):
        assert Certificate(certificate(extensions=[ski, one, two, like, longer, far, again])).duplicate


def test_knows_which_critical_extensions_it_understands():
    for kind, value in (
        ("2.5.29.14", make.tlv(4, b"a")),  # subjectKeyIdentifier: RFC 5280, 4.2.1.2
        ("2.5.29.35", make.seq(make.tlv(0x80, b"a"))),  # authorityKeyIdentifier: 4.2.1.1
        ("2.5.29.36", make.seq()),  # policyConstraints
        ("2.5.29.54", b"\x02\x01\0"),  # inhibitAnyPolicy
        ("1.3.6.1.5.5.7.1.1", make.seq()),  # authorityInfoAccess
        ("1.3.6.1.4.1.11129.2.4.3", b"\x05\0"),  # precertificate poison, RFC 6962
        ("1.2.3.17", make.seq()),  # ends like subjectAltName
        ("2.5.28.17", make.seq()),
        ("2.5.29.17.1", make.seq()),
    ):
        assert Certificate(certificate(extensions=[make.extension(kind, value, True)])).unknown_critical, kind
        assert not Certificate(certificate(extensions=[make.extension(kind, value)])).unknown_critical


def test_unique_identifiers_are_passed_over():
    tail = make.tlv(0x81, b"\0\1") + make.tlv(0x82, b"\0\1")
    assert Certificate(certificate(tail=tail, extensions=[make.basic_constraints()])).ca
    raises(DerError, Certificate, certificate(tail=make.tlv(0x84, b"")))


def test_every_truncation_and_every_changed_byte_gives_fields_or_DerError():
    der = certificate(
        spki=make.ec(),
        extensions=[
            make.key_usage(0x80),
            make.extended_key_usage(make.SERVER_AUTH),
            make.basic_constraints(False),
            make.san(make.dns("a.example")),
        ],
    )
    for n in range(len(der)):
        raises(DerError, Certificate, der[:n])
    broken = bytearray(der)
    found = Certificate()
    for i in range(len(der)):
        for value in (0x00, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, der[i] ^ 1):
            broken[i] = value
            try:
                found.parse(broken)
            except DerError:
                continue
            for field in ("issuer", "subject", "spki", "san", "serial", "constraints", "extensions"):
                assert 0 <= getattr(found, field) <= getattr(found, field + "_end") <= len(der), (i, value, field)
        broken[i] = der[i]


def test_refuses_trailing_bytes():
    raises(DerError, Certificate, certificate() + b"\0")


def test_refuses_a_version_that_is_not_one_byte():
    der = certificate()
    at = der.index(b"\xa0\x03\x02\x01\x02")
    raises(DerError, Certificate, der[:at] + b"\xa0\x03\x02\x00\x02" + der[at + 5 :])
    raises(DerError, Certificate, bytes.fromhex("30063004a0020200"))
    reader = Reader(der)
    reader.enter(0x30, reader.enter(0x30, 0, len(der)), len(der))
    signed, rest = der[at + 5 : reader.end], der[reader.end :]
    assert Certificate(make.seq(make.seq(make.tlv(0xA0, make.tlv(0x02, b"\2")), signed), rest)).version == 3
    raises(DerError, Certificate, make.seq(make.seq(make.tlv(0xA0, make.tlv(0x02, b"\2\0")), signed), rest))


def test_refuses_more_extensions_than_it_can_compare():
    many = [make.extension("1.2.3.%d" % i, b"") for i in range(1, 100)]
    raises(DerError, Certificate, certificate(extensions=many))
    assert not Certificate(certificate(extensions=many[:20])).duplicate


def test_an_empty_extension_list_of_usages_says_nothing_useful():
    found = Certificate(certificate(extensions=[make.extended_key_usage(), make.extension("2.5.29.15", b"\x03\x01\0")]))
    assert found.extended_key_usage == EKU_OTHER
    assert found.key_usage == 0
