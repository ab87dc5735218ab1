"""rootlet.constraints: name constraints of the trust anchor and of intermediates."""

import make
from make import dns, ip, name
from rootlet.constraints import Constraints
from unit_policy import Anchor, issuer, leaf, verdict

NET = bytes((192, 0, 2, 0, 255, 255, 255, 0))
NET6 = b"\x20\x01\x0d\xb8" + bytes(12) + b"\xff" * 4 + bytes(12)


def rooted(permitted=(), excluded=(), names=(), host="www.example.org", middle=(), **fields):
    """The verdict on a chain whose anchor has these constraints."""
    anchor = Anchor(constraints=make.constraints(permitted, excluded))
    return verdict(make.anchor(), *middle, leaf(*names, **fields), anchors=[anchor], host=host)


def test_dns_names_under_a_permitted_name_pass():
    for base in ("example.org", "EXAMPLE.ORG", "www.example.org", "org", "", ".example.org"):
        assert rooted([dns(base)]) is None, base
    for base in ("example.com", "w.example.org", "ample.org", "a.www.example.org", ".www.example.org"):
        assert rooted([dns(base)]) == "constraints", base
    assert rooted([dns("example.com"), dns("example.org")]) is None


def test_dns_names_under_an_excluded_name_are_refused():
    for base in ("example.org", "WWW.example.ORG", "org", "", ".example.org"):
        assert rooted(excluded=[dns(base)]) == "constraints", base
    for base in ("example.com", "a.www.example.org", "w.example.org", ".www.example.org"):
        assert rooted(excluded=[dns(base)]) is None, base
    assert rooted([dns("example.org")], [dns("www.example.org")]) == "constraints"
    assert rooted([dns("example.org")], [dns("ftp.example.org")]) is None


def test_every_name_counts_not_only_the_one_asked_for():
    names = [dns("www.example.org"), dns("www.example.com")]
    assert rooted([dns("example.org")], names=names) == "constraints"
    assert rooted(excluded=[dns("example.com")], names=names) == "constraints"


def test_a_wildcard_that_covers_an_excluded_name_is_refused():
    # CVE-2025-61727: www.example.org could be connected to with the certificate for *.example.org.
    wildcard = [dns("*.example.org")]
    assert rooted(excluded=[dns("www.example.org")], names=wildcard) == "constraints"
    assert (
        rooted(excluded=[dns("a.b.example.org")], names=wildcard) == "constraints"
    )  # narrower than needed, never wider
    assert rooted(excluded=[dns("www.example.com")], names=wildcard) is None
    assert rooted([dns("www.example.org")], names=wildcard) == "constraints"
    assert rooted([dns("example.org")], names=wildcard) is None


def test_a_name_that_is_none_lies_under_nothing():
    for bad in (b"", b".", b".example.org"):
        names = [dns(bad), dns("www.example.org")]
        assert rooted([dns("example.org")], names=names) == "constraints", bad
        assert rooted(excluded=[dns("example.com")], names=names) == "constraints", bad


def test_addresses():
    for net, address, host in (
        (NET, (192, 0, 2, 7), "192.0.2.7"),
        (NET6, b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", "2001:db8::1"),
    ):
        assert rooted([ip(net)], names=[ip(address)], host=host) is None
        assert rooted(excluded=[ip(net)], names=[ip(address)], host=host) == "constraints"
    assert rooted([ip(NET)], names=[ip((192, 0, 3, 7))], host="192.0.3.7") == "constraints"
    assert rooted(excluded=[ip(NET)], names=[ip((192, 0, 3, 7))], host="192.0.3.7") is None
    everything = ip(bytes(8))
    assert rooted([everything], names=[ip((1, 2, 3, 4))], host="1.2.3.4") is None
    assert rooted(excluded=[everything], names=[ip((1, 2, 3, 4))], host="1.2.3.4") == "constraints"
    # The form is constrained, so an address of the other family is outside.
    assert rooted([ip(NET)], names=[ip(bytes(15) + b"\1")], host="::1") == "constraints"
    assert rooted([ip(NET), ip(NET6)], names=[ip((192, 0, 2, 7))], host="192.0.2.7") is None
    # One address is not a network.
    assert rooted([ip(NET)], names=[ip(NET), ip((192, 0, 2, 7))], host="192.0.2.7") == "constraints"


def test_other_forms_are_not_constrained():
    assert rooted([ip(NET)]) is None
    assert rooted(excluded=[ip(NET)]) is None
    assert rooted([dns("example.com")], names=[ip((1, 2, 3, 4))], host="1.2.3.4") is None


def test_directory_names_constrain_the_subject_and_the_alternative_names():
    country = ("2.5.4.6", make.tlv(0x13, b"DE"))
    organisation = ("2.5.4.10", "Good Org")
    base = make.directory(name(country, organisation))
    inside = name(country, organisation, cn="www.example.org")
    outside = name(country, ("2.5.4.10", "Evil Org"), cn="x")
    assert rooted([base], subject=inside) is None
    assert rooted([base], subject=outside) == "constraints"
    assert rooted([base], subject=name(country)) == "constraints"
    assert rooted([base], subject=name()) is None  # an empty subject is no name
    assert rooted(excluded=[base], subject=inside) == "constraints"
    assert rooted(excluded=[base], subject=outside) is None
    assert rooted([base], subject=inside, names=[make.directory(outside), dns("www.example.org")]) == "constraints"
    assert rooted([base], subject=inside, names=[make.directory(inside), dns("www.example.org")]) is None
    assert rooted([base, make.directory(name(cn="x"))], subject=inside) is None


def test_directory_names_are_compared_as_text():
    def organisation(tag, text):
        return name(("2.5.4.10", make.tlv(tag, text)))

    base = make.directory(organisation(0x13, b"Good Org"))
    for tag, text in ((0x13, b"good ORG"), (0x0C, b"Good Org"), (0x0C, b"  GOOD   org "), (0x16, b"Good Org")):
        assert rooted(excluded=[base], subject=organisation(tag, text)) == "constraints", text
        assert rooted([base], subject=organisation(tag, text)) is None, text
    # What cannot be compared is refused: otherwise it would pass an exclusion.
    bmp = organisation(0x1E, b"\0G\0o\0o\0d\0 \0O\0r\0g")
    assert rooted(excluded=[base], subject=bmp) is not None
    assert rooted([base], subject=bmp) is not None
    both = make.seq(
        make.tlv(
            0x31,
            make.seq(make.oid("2.5.4.10"), make.tlv(0x13, b"Good Org")),
            make.seq(make.oid("2.5.4.3"), make.tlv(0x13, b"a")),
        )
    )
    assert rooted(excluded=[base], subject=both) is not None
    assert rooted(excluded=[make.directory(both)], subject=both) == "constraints"


def test_a_form_that_is_not_understood_is_refused_where_it_occurs():
    other = make.tlv(0xA0, make.oid("1.2.3"), make.tlv(0xA0, b"\x0c\x01x"))
    mail = make.tlv(0x81, b"example.org")
    for form in (other, mail):
        for permitted, excluded in (([form], []), ([], [form])):
            assert rooted(permitted, excluded) is None
            assert rooted(permitted, excluded, names=[dns("www.example.org"), form]) == "constraints-unsupported"


def test_constraints_of_intermediates_add_up():
    def middle(*permitted):
        return issuer(extra=[make.name_constraints([dns(base) for base in permitted])])

    plain = [Anchor()]
    assert verdict(make.anchor(), middle("example.org"), leaf(), anchors=plain) is None
    assert verdict(make.anchor(), middle("example.com"), leaf(), anchors=plain) == "constraints"
    assert verdict(make.anchor(), middle("example.com"), middle("example.org"), leaf()) == "constraints"
    assert verdict(make.anchor(), middle("example.org"), middle("example.com"), leaf()) == "constraints"
    assert verdict(make.anchor(), middle("example.org"), middle("www.example.org", "x"), leaf()) is None
    assert rooted([dns("example.org")], middle=[middle("example.com")]) == "constraints"


def test_names_of_intermediates_are_checked_and_self_issued_ones_are_not():
    bad = [make.san(dns("www.example.com"))]
    assert rooted([dns("example.org")], middle=[issuer(extra=bad)]) == "constraints"
    self_issued = issuer(extra=bad, issuer=name(cn="Root"), subject=name(cn="Root"))
    assert rooted([dns("example.org")], middle=[self_issued]) is None
    # The leaf is checked even when it is self-issued.
    assert rooted([dns("example.com")], issuer=name(cn="x"), subject=name(cn="x")) == "constraints"


def test_constraints_that_make_no_sense_are_refused():
    base = make.seq(dns("org"))
    for value in (
        make.seq(),
        make.seq(make.tlv(0xA0), make.tlv(0xA1)),
        make.seq(make.tlv(0xA0)),
        make.seq(make.tlv(0xA2, base)),
        make.seq(make.tlv(0xA0, base), make.tlv(0xA0, base)),
        make.seq(make.tlv(0xA1, make.seq(dns("com"))), make.tlv(0xA0, base)),
        make.seq(b"\x05\0"),
        make.constraints([dns("*.example.org")]),
        make.constraints([dns("exa mple.org")]),
        make.constraints([dns(b"ex\xe4mple.org")]),
        make.constraints([ip((192, 0, 2, 0))]),
        make.constraints([ip(bytes(16))]),
        make.constraints([ip((192, 0, 2, 0, 255, 0, 255, 0))]),
        make.constraints([ip((192, 0, 2, 0, 255, 255, 255, 1))]),
        make.constraints([make.tlv(0xA4, b"\x05\0")]),
        make.seq(make.tlv(0xA0, make.seq(dns("org"), make.tlv(0x80, b"\1")))),  # minimum 1
        make.seq(make.tlv(0xA0, make.seq(dns("org"), make.tlv(0x81, b"\1")))),  # maximum 1
        make.seq(make.tlv(0xA0, dns("org"))),
        b"",
        b"\x30",
    ):
        for chain, anchors in (
            ([make.anchor(), issuer(extra=[make.extension("2.5.29.30", value)]), leaf()], [Anchor()]),
            ([make.anchor(), leaf()], [Anchor(constraints=value)]),
        ):
            if value or anchors[0].constraints is None:
                assert verdict(*chain, anchors=anchors) in ("constraints-malformed", "malformed"), value


def test_a_leading_dot_means_a_label_before_it_and_is_refused_under_webpki():
    value = make.constraints([dns(".example.org")])
    assert Constraints().add(value) is None
    assert Constraints(True).add(value) == "constraints-malformed"


def test_work_and_memory_are_bounded():
    from time import ticks_diff, ticks_ms

    many = [dns("n%d.example.org" % i) for i in range(200)]
    before = ticks_ms()
    assert rooted([dns("p%d.example" % i) for i in range(150)] + [dns("org")], names=many) == "constraints-excessive"
    assert ticks_diff(ticks_ms(), before) < 3000
    assert (
        rooted([dns("p%d.example" % i) for i in range(15)] + [dns("org")], names=many + [dns("www.example.org")])
        is None
    )
    huge = make.constraints([dns("p%d.example" % i) for i in range(400)])
    assert verdict(make.anchor(), leaf(), anchors=[Anchor(constraints=huge)]) == "constraints-excessive"
    part = make.constraints([dns("org")] + [dns("p%d.example" % i) for i in range(100)])
    middle = issuer(extra=[make.extension("2.5.29.30", part)])
    assert verdict(make.anchor(), middle, leaf()) is None
    assert verdict(make.anchor(), middle, middle, middle, leaf()) == "constraints-excessive"


def test_broken_bytes_never_get_through():
    value = make.constraints([dns("example.com"), ip(NET)], [dns("example.net"), make.directory(name(cn="x"))])
    for i in range(len(value)):
        for byte in (0x00, 0x7F, 0x80, 0xFF, value[i] ^ 1):
            broken = bytearray(value)
            broken[i] = byte
            verdict(make.anchor(), leaf(), anchors=[Anchor(constraints=bytes(broken))])
        assert verdict(make.anchor(), leaf(), anchors=[Anchor(constraints=value[: i + 1])]) is not None
