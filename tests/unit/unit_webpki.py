"""rootlet.webpki: the rules of policy="webpki"."""

import make
from make import name
from rootlet.addresses import address_text
from rootlet.webpki import check_root
from unit_policy import Anchor, issuer, leaf, verdict

AKI = make.extension("2.5.29.35", make.seq(make.tlv(0x80, b"root")))
SKI = make.extension("2.5.29.14", make.tlv(0x04, b"root"))
USAGE = make.extended_key_usage(make.SERVER_AUTH)
SAN = make.san(make.dns("www.example.org"))
KEY_USAGE = make.key_usage(0x80)


def rule(*extensions, **fields):
    fields.setdefault("subject", name())
    extensions = list(extensions) or [AKI, USAGE, KEY_USAGE, make.san(make.dns("www.example.org"), critical=True)]
    return verdict(
        make.anchor(), leaf(extensions=extensions, **fields), webpki=True, host=fields.pop("host", "www.example.org")
    )


def test_a_proper_chain_passes():
    assert rule() is None
    assert rule(AKI, USAGE, SAN, subject=name(cn="www.example.org")) is None
    middle = issuer(extra=[AKI, SKI])
    assert verdict(make.anchor(), middle, leaf(extra=[AKI], subject=name(("2.5.4.10", "Org"))), webpki=True) is None


def test_the_same_chains_pass_the_default_policy():
    for extensions in (
        [USAGE, SAN],
        [AKI, SAN],
        [SAN],
        [AKI, make.extended_key_usage(make.SERVER_AUTH, critical=True), SAN],
    ):
        assert rule(*extensions) is not None
        assert verdict(make.anchor(), leaf(extensions=extensions)) is None


def test_serial_numbers_are_positive_and_at_most_twenty_bytes():
    for serial, expected in (
        (b"\1" * 20, None),
        (b"\0\xff", None),
        (b"\1" * 21, "serial"),
        (b"\0", "serial"),
        (b"", "malformed"),
        (b"\xff\1", "malformed"),
    ):
        assert rule(serial=serial) == expected


def test_key_identifiers_must_be_there_and_alone():
    for value in (
        make.seq(),
        make.seq(make.tlv(0xA1), make.tlv(0x82, b"\1")),
        make.seq(make.tlv(0x80, b"a"), make.tlv(0xA1), make.tlv(0x82, b"\1")),
    ):
        assert rule(make.extension("2.5.29.35", value), USAGE, SAN) == "authority-key-identifier"
    assert rule(make.extension("2.5.29.35", make.seq(make.tlv(0x80, b"a")), True), USAGE, SAN) == "extension-critical"
    assert rule(USAGE, SAN) == "authority-key-identifier"
    critical = make.extension("2.5.29.14", make.tlv(4, b"a"), True)
    assert rule(AKI, critical, USAGE, SAN) == "extension-critical"
    assert verdict(make.anchor(), issuer(extra=[AKI]), leaf(extra=[AKI]), webpki=True) == "subject-key-identifier"


def test_issuers_have_critical_constraints_and_a_key_usage():
    for extensions, expected in (
        ([make.basic_constraints(critical=False), make.key_usage(6), AKI, SKI], "basic-constraints"),
        ([make.basic_constraints(), AKI, SKI], "key-usage"),
        (
            [make.basic_constraints(), make.key_usage(6), AKI, SKI, make.extension("2.5.29.36", make.seq())],
            "policy-constraints",
        ),
    ):
        assert verdict(make.anchor(), issuer(extensions=extensions), leaf(extra=[AKI]), webpki=True) == expected


def test_usage_of_the_leaf_is_named_and_not_critical():
    san = make.san(make.dns("www.example.org"), critical=True)
    assert rule(AKI, san) == "leaf-usage"
    assert rule(AKI, make.extended_key_usage(make.SERVER_AUTH, make.ANY_EKU), san) == "leaf-usage"
    assert rule(AKI, make.extended_key_usage(make.SERVER_AUTH, critical=True), san) == "leaf-usage"


def test_the_alternative_name_is_critical_exactly_without_a_subject():
    assert rule(AKI, USAGE, SAN) == "san-critical"
    assert (
        rule(AKI, USAGE, make.san(make.dns("www.example.org"), critical=True), subject=name(("2.5.4.10", "x")))
        == "san-critical"
    )


def test_form_of_the_alternative_names():
    for other, expected in (
        (make.dns("a-b.Example"), None),
        (make.dns("*.example"), None),
        (make.dns("xn--bcher-kva.example"), None),
        (make.ip(bytes(16)), None),
        (make.ip(bytes(8)), "san-form"),
        (make.dns("foo_bar.example"), "san-form"),
        (make.dns("192.0.2.1"), "san-form"),
        (make.dns(""), "san-form"),
        (make.dns("a..b"), "san-form"),
        (make.dns("a."), "san-form"),
        (make.dns(".a"), "san-form"),
        (make.dns("-a.b"), "san-form"),
        (make.dns("a*.b"), "san-form"),
        (make.dns("*"), "san-form"),
        (make.dns("a" * 64), "san-form"),
        (make.dns(b"\xf0\x9f\x98\x9c.example"), "san-form"),
        (make.dns("a b.c"), "san-form"),
        (make.dns("a@b.c"), "san-form"),
        (make.dns("a[b.c"), "san-form"),
    ):
        san = make.san(make.dns("www.example.org"), other, critical=True)
        assert rule(AKI, USAGE, san) == expected, other


def test_a_common_name_is_one_of_the_alternative_names():
    san = make.san(
        make.dns("www.example.org"), make.ip((192, 0, 2, 1)), make.ip(b"\x20\x01\x0d\xb8" + bytes(11) + b"\1")
    )
    for cn, expected in (
        ("www.example.org", None),
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("WWW.example.org", "common-name"),
        ("other.example.org", "common-name"),
        ("192.0.2.01", "common-name"),
        ("2001:DB8::1", "common-name"),
        ("2001:db8:0::1", "common-name"),
        ("Example", "common-name"),
    ):
        assert rule(AKI, USAGE, san, subject=name(cn=cn)) == expected, cn


def test_addresses_are_written_as_rfc_5952_wants():
    for octets, text in (
        (bytes((192, 0, 2, 1)), "192.0.2.1"),
        (bytes(16), "::"),
        (bytes(15) + b"\1", "::1"),
        (b"\0\1" + bytes(14), "1::"),
        (b"\x20\x01\x0d\xb8" + bytes(4) + b"\0\1" + bytes(4) + b"\0\1", "2001:db8::1:0:0:1"),
        (b"\x20\x01\x0d\xb8\0\0\0\1\0\1\0\1\0\1\0\1", "2001:db8:0:1:1:1:1:1"),
        (b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\2\0\1", "2001:db8::2:1"),
    ):
        assert address_text(octets) == text


def test_constraints_belong_to_issuers():
    constraints = make.name_constraints([make.dns("example.org")])
    assert rule(AKI, USAGE, make.san(make.dns("www.example.org"), critical=True), constraints) == "leaf-constraints"


def test_authority_information_access_is_whole():
    access = make.seq(make.oid("1.3.6.1.5.5.7.48.1"), make.tlv(0x86, b"http://example.org"))
    san = make.san(make.dns("www.example.org"), critical=True)
    for value, expected in (
        (make.seq(access, access), None),
        (make.seq(), "authority-information-access"),
        (make.seq(make.seq(make.oid("1.2"), b"\x05\0", b"\x05\0")), "authority-information-access"),
        (b"junk", "malformed"),
        (make.seq(make.seq()), "malformed"),
    ):
        assert rule(AKI, USAGE, san, make.extension("1.3.6.1.5.5.7.1.1", value)) == expected, value


def test_roots_that_break_a_rule_are_refused():
    root = name(cn="Root")
    base = [make.basic_constraints(), make.key_usage(6), SKI]
    other = make.extension("2.5.29.35", make.seq(make.tlv(0x80, b"tree")))
    for fields, expected in (
        ({}, None),
        ({"extensions": base + [AKI]}, None),
        ({"extensions": base + [other]}, "authority-key-identifier"),
        ({"extensions": base + [make.extension("2.5.29.35", make.seq())]}, "authority-key-identifier"),
        (
            {"extensions": base + [make.extension("2.5.29.35", make.seq(make.tlv(0x80, b"root")), True)]},
            "extension-critical",
        ),
        ({"issuer": name(cn="Other")}, "authority-key-identifier"),
        ({"extensions": base + [USAGE]}, "root-usage"),
        ({"extensions": base[:2]}, "subject-key-identifier"),
        ({"extensions": base[1:]}, "basic-constraints"),
        ({"extensions": [make.basic_constraints(critical=False)] + base[1:]}, "basic-constraints"),
        ({"extensions": [base[0], SKI]}, "key-usage"),
        ({"extensions": base + [SKI]}, "extension-duplicate"),
        ({"extensions": base + [make.extension("1.2.3", b"", True)]}, "extension-critical"),
        ({"subject": name(), "issuer": name()}, "issuer-empty"),
    ):
        fields.setdefault("extensions", base)
        fields.setdefault("subject", root)
        fields.setdefault("issuer", root)
        assert check_root(make.certificate(**fields)) == expected, fields


def test_default_anchors_do_not_meet_these_rules_and_need_not():
    # What the handshake sees is the certificate that anchor.py wrote.
    assert (
        verdict(make.anchor(), leaf(extra=[AKI], subject=name(("2.5.4.10", "x"))), anchors=[Anchor()], webpki=True)
        is None
    )
