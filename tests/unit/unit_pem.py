"""rootlet.pem: PEM and DER as they are found in files."""

from binascii import b2a_base64

import make
from make import raises
from rootlet.cadata import CertificateStore
from rootlet.errors import ConfigError
from rootlet.pem import certificates, decode

FIRST = make.certificate(
    issuer=make.name(cn="A"), subject=make.name(cn="A"), extensions=[make.basic_constraints()], signature=bytes(72)
)
SECOND = make.certificate(
    issuer=make.name(cn="B"), subject=make.name(cn="B"), extensions=[make.basic_constraints()], signature=bytes(71)
)


def pem(der, label=b"CERTIFICATE", end=b"\n", width=64):
    text = b2a_base64(der).strip()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return end.join([b"-----BEGIN " + label + b"-----"] + lines + [b"-----END " + label + b"-----", b""])


def index_of(data):
    """The error for `data`, whose message must name the index of the bad one."""
    error = raises(ValueError, certificates, data)
    raises(ConfigError, CertificateStore, data)
    return str(error)


def test_one_and_several_certificates_with_every_end_of_line():
    for end in (b"\n", b"\r\n", b"\r", b" \n", b"\n\n"):
        assert certificates(pem(FIRST, end=end)) == [FIRST]
        assert certificates(pem(FIRST, end=end) + pem(SECOND, end=end)) == [FIRST, SECOND]


def test_lines_of_any_length():
    for width in (4, 5, 63, 76, 100000):
        assert certificates(pem(FIRST, width=width)) == [FIRST]


def test_padding_of_every_length():
    for n in range(72, 78):
        der = make.certificate(signature=bytes(n))
        assert certificates(pem(der)) == [der]


def test_text_around_the_blocks_is_passed_over():
    data = b"\xef\xbb\xbf# Root \xc3\xa4\n" + pem(FIRST) + b"Issuer: ----- x\n\0\0" + pem(SECOND) + b"trailing garbage"
    assert certificates(data) == [FIRST, SECOND]
    assert certificates(pem(FIRST).rstrip() + b"no end of line") == [FIRST]


def test_blocks_with_other_labels_are_passed_over():
    key = pem(b"\x30\x03abc", b"PRIVATE KEY")
    crl = pem(b"\x30\x03abc", b"X509 CRL")
    assert certificates(key + pem(FIRST) + crl + pem(SECOND) + key) == [FIRST, SECOND]
    assert decode(key + pem(FIRST), b"PRIVATE KEY") == [b"\x30\x03abc"]
    raises(ValueError, certificates, key)


def test_the_index_of_a_block_without_end_is_named():
    cut = pem(SECOND)[:-30]
    assert "block 0 has no end" in index_of(cut)
    assert "block 1 has no end" in index_of(pem(FIRST) + cut)
    assert "block 1 has no end" in index_of(pem(FIRST) + cut + b"\n" + pem(FIRST))
    assert "block 1 has no end" in index_of(pem(FIRST) + b"-----BEGIN CERTIFICATE")
    assert "block 1 has no end" in index_of(pem(FIRST) + b"-----BEGIN CERTIFICATE-----")
    assert "block 0 has no end" in index_of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n")


def test_the_index_of_a_block_that_is_not_base64_is_named():
    begin, end_of_line, text = pem(SECOND).partition(b"\n")
    assert text.startswith(b"MI")
    for bad in (
        text.replace(b"A", b"!", 1),
        text.replace(b"A", b"\xc1", 1),
        text.replace(b"A", b"-", 1),  # base64url
        text.replace(b"A", b"", 1),
        text.replace(b"A", b"=", 1),
        text.replace(b"A", b"\0", 1),
        text.replace(b"A", b"A!", 1),  # decoders pass over it
        b"Proc-Type: 4,ENCRYPTED\n" + text,
        b"-----END CERTIFICATE-----\n",
        b"====\n-----END CERTIFICATE-----\n",
    ):
        bad = begin + end_of_line + bad
        assert "block 0 is not base64" in index_of(bad), bad
        assert "block 2 is not base64" in index_of(pem(FIRST) + pem(FIRST) + bad), bad


def test_the_index_of_a_block_that_is_not_one_der_value_is_named():
    for bad in (b"\x30\x03ab", FIRST + b"\0", FIRST[:-1], FIRST + SECOND, b"\x04" + FIRST[1:], b"\x30", b"abc"):
        assert "1" in index_of(pem(FIRST) + pem(bad))


def test_der_alone_and_one_after_another():
    assert certificates(FIRST) == [FIRST]
    assert certificates(FIRST + SECOND + FIRST) == [FIRST, SECOND, FIRST]
    assert certificates(bytearray(FIRST)) == [FIRST]


def test_the_index_of_bad_der_is_named():
    for n in range(1, len(SECOND)):
        assert "1" in index_of(FIRST + SECOND[:n])
    for tail in (b"\0", b"\n", b"0", b"\x30\x00", b"\x30\x80\0\0", b"\x30\x83\x00\x00\x05abcde", b"garbage"):
        assert "2" in index_of(FIRST + SECOND + tail)


def test_nothing_at_all_is_refused():
    for data in (b"", b"\n", b"no certificate", b"-----BEGIN ", b"-----BEGIN -----", b"-----END CERTIFICATE-----"):
        raises(ValueError, certificates, data)
        raises(ConfigError, CertificateStore, data)


def test_every_truncation_of_a_bundle_is_refused_or_leaves_whole_certificates():
    data = pem(FIRST) + pem(SECOND)
    for n in range(len(data)):
        try:
            found = certificates(data[:n])
        except ValueError:
            continue
        assert found in ([FIRST], [FIRST, SECOND]), n


def test_a_store_of_given_certificates_finds_them_by_subject():
    store = CertificateStore(pem(FIRST) + pem(SECOND))
    assert store.count == 2
    assert len(store.lookup(make.name(cn="A"))) == len(store.lookup(make.name(cn="B"), "any.host")) == 1
    assert store.lookup(make.name(cn="C")) == []


def test_no_flipped_byte_of_a_given_certificate_raises_anything_but_a_config_error():
    data = bytearray(FIRST)
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            data[at] ^= flip
            try:
                CertificateStore(bytes(data))
            except ConfigError as error:
                assert "certificate " in error.message, error.message
            data[at] ^= flip
