"""rootlet.policy: which chains are refused, by which rule, and that nothing makes it raise."""

import make
from make import certificate, name
from rootlet.policy import ChainPolicy

FIRST_OF_2026 = 1767225600


class Anchor:
    def __init__(self, distrust_after=0, constraints=None, exact=False):
        self.distrust_after = distrust_after
        self.constraints = constraints
        self.exact = exact


def leaf(*names, **fields):
    extra = fields.pop("extra", [])
    base = [
        make.key_usage(0x80),
        make.extended_key_usage(make.SERVER_AUTH),
        make.basic_constraints(False),
        make.san(*(names or (make.dns("www.example.org"),))),
    ]
    fields.setdefault("extensions", base + extra)
    fields.setdefault("issuer", name(cn="Sub"))
    return certificate(**fields)


def issuer(**fields):
    extra = fields.pop("extra", [])
    fields.setdefault("extensions", [make.key_usage(0x06), make.basic_constraints()] + extra)
    fields.setdefault("subject", name(cn="Sub"))
    return certificate(**fields)


def verdict(*chain, **options):
    """Runs a chain (root first) as Mbed TLS does. Returns the rule that was broken, or None."""
    host = options.get("host", "www.example.org")
    anchors = options.get("anchors", [Anchor()])
    policy = ChainPolicy(host, anchors, options.get("blocked"), options.get("webpki", False))
    depth = len(chain)
    refused = 0
    for der in chain:
        depth -= 1
        result = policy.check(memoryview(der), depth)
        assert result == 0 or result == 1
        assert result >= refused, "a refused chain was taken back"
        refused = result
    assert (policy.violation is not None) == bool(refused)
    if not refused:
        return None
    rule, depth, text, section = policy.violation
    assert 0 <= depth < len(chain) or rule == "internal"
    assert isinstance(text, str) and isinstance(section, str) and len(text) > 20
    return rule


def test_ordinary_chains_pass():
    assert verdict(make.anchor(), issuer(), leaf()) is None
    assert verdict(make.anchor(), leaf()) is None
    assert verdict(make.anchor(), issuer(), issuer(issuer=name(cn="Sub")), leaf(spki=make.rsa())) is None
    assert (
        verdict(make.anchor(spki=make.rsa(4096)), issuer(algorithm=make.SHA256_RSA), leaf(spki=make.ec(make.P521, 66)))
        is None
    )
    # What is not said restricts nothing.
    assert verdict(make.anchor(), leaf(extensions=[make.san(make.dns("www.example.org"))])) is None


def test_the_serial_number_chooses_the_anchor():
    anchors = [Anchor(), Anchor(distrust_after=1)]
    assert verdict(make.anchor(0), leaf(), anchors=anchors) is None
    assert verdict(make.anchor(1), leaf(), anchors=anchors) == "anchor-distrusted"
    assert verdict(make.anchor(2), leaf(), anchors=anchors) == "issuer-unknown"


def test_a_chain_without_a_known_anchor_is_refused():
    assert verdict(issuer(serial=b"\0"), leaf()) == "issuer-unknown"  # has a signature: not written by anchor.py
    assert verdict(leaf()) == "issuer-unknown"
    assert verdict(make.anchor(), leaf(), anchors=[]) == "issuer-unknown"


def test_an_exact_certificate_is_trusted_as_itself_only():
    exact = [Anchor(exact=True)]
    own = leaf(issuer=name(cn="leaf"), subject=name(cn="leaf"), extra=[])
    assert verdict(own, anchors=exact) is None
    # It may be what `openssl req -x509` makes by default: a CA.
    ca = leaf(
        issuer=name(cn="x"),
        extensions=[make.basic_constraints(), make.key_usage(0x86), make.san(make.dns("www.example.org"))],
    )
    assert verdict(ca, anchors=exact) is None
    assert verdict(own, anchors=exact, host="other.example.org") == "name-mismatch"
    assert verdict(leaf(spki=make.rsa(1024)), anchors=exact) == "key-weak"
    # Nor may it sign for others, even if its serial number is that of another anchor.
    assert verdict(issuer(serial=b"\0"), leaf(), anchors=[Anchor(), Anchor(exact=True)]) == "issuer-unknown"
    assert verdict(make.anchor(0), leaf(), anchors=exact) == "issuer-unknown"


def test_depths_must_count_down():
    policy = ChainPolicy("www.example.org", [Anchor()])
    assert policy.check(make.anchor(), 2) == 0
    assert policy.check(leaf(), 0) == 1
    assert policy.violation[:2] == ("internal", 0)
    assert policy.check(leaf(), 1) == 1
    assert policy.violation[1] == 0


def test_after_a_refusal_everything_is_refused():
    policy = ChainPolicy("www.example.org", [Anchor()])
    assert policy.check(b"", 1) == 1
    assert policy.check(make.anchor(), 1) == 1
    assert policy.check(leaf(), 0) == 1
    assert policy.violation[0] == "malformed"


def test_leaf_rules():
    san = make.san(make.dns("www.example.org"))
    for extensions, rule in (
        ([make.basic_constraints(), san], "leaf-is-ca"),
        ([make.key_usage(0x84), san], "leaf-is-ca"),
        ([make.key_usage(0x80), san], None),
        ([make.extended_key_usage(make.CLIENT_AUTH), san], "usage"),
        ([make.extended_key_usage(make.ANY_EKU), san], "usage"),
        ([make.extended_key_usage(), san], "usage"),
        ([make.extended_key_usage(make.CLIENT_AUTH, make.SERVER_AUTH), san], None),
        ([], "san-missing"),
        ([make.san()], "san-missing"),
        ([san, san], "extension-duplicate"),
        ([san, make.extension("1.2.3", b"", True)], "extension-critical"),
        (None, "san-missing"),
    ):
        assert verdict(make.anchor(), leaf(extensions=extensions)) == rule, rule
    assert verdict(make.anchor(), leaf(version=1)) == "version"
    assert verdict(make.anchor(), leaf(version=2)) == "version"
    assert verdict(make.anchor(), leaf(issuer=name())) == "issuer-empty"
    assert verdict(make.anchor(), leaf(subject=name())) is None


def test_issuer_rules():
    for fields, rule in (
        ({"extensions": [make.basic_constraints(False)]}, "issuer-not-ca"),
        ({"extensions": []}, "issuer-not-ca"),
        ({"extensions": [make.basic_constraints(), make.key_usage(0x82)]}, "issuer-not-ca"),
        ({"extensions": [make.basic_constraints()]}, None),
        ({"extra": [make.extended_key_usage(make.SERVER_AUTH)]}, None),
        ({"extra": [make.extended_key_usage(make.ANY_EKU)]}, "usage"),  # as OpenSSL has it
        ({"extra": [make.extended_key_usage(make.ANY_EKU, make.SERVER_AUTH)]}, None),
        ({"extra": [make.extended_key_usage(make.CLIENT_AUTH)]}, "usage"),
        ({"extra": [make.extended_key_usage("1.3.6.1.5.5.7.3.4")]}, "usage"),
        ({"subject": name()}, "issuer-empty"),
        ({"version": 2}, "version"),
    ):
        assert verdict(make.anchor(), issuer(**fields), leaf()) == rule, fields


def test_keys():
    for spki, rule in (
        (make.rsa(2048), None),
        (make.rsa(3072), None),
        (make.rsa(2047), "key-weak"),
        (make.rsa(2049), "key-weak"),
        (make.rsa(2052), "key-weak"),
        (make.rsa(1024), "key-weak"),
        (make.ec(), None),
        (make.ec(make.P384, 48), None),
        (make.ec(make.P192, 24), "key-weak"),
    ):
        assert verdict(make.anchor(), leaf(spki=spki)) == rule
        assert verdict(make.anchor(), issuer(spki=spki), leaf()) == rule
        assert verdict(make.anchor(spki=spki), leaf()) == rule


def test_blocked_keys_of_any_certificate():
    from hashlib import sha256

    blocked = sha256(make.ec(make.P384, 48)).digest()[:16]
    asked = []

    def is_blocked(prefix):
        asked.append(len(prefix))
        return prefix == blocked

    key = make.ec(make.P384, 48)
    assert verdict(make.anchor(), issuer(), leaf(), blocked=is_blocked) is None
    assert asked == [16, 16, 16]
    assert verdict(make.anchor(spki=key), issuer(), leaf(), blocked=is_blocked) == "key-blocked"
    assert verdict(make.anchor(), issuer(spki=key), leaf(), blocked=is_blocked) == "key-blocked"
    assert verdict(make.anchor(), issuer(), leaf(spki=key), blocked=is_blocked) == "key-blocked"


def test_distrust_after_looks_at_the_leafs_not_before():
    for after, rule in ((FIRST_OF_2026, None), (FIRST_OF_2026 - 1, "anchor-distrusted"), (0xFFFFFFFF, None), (0, None)):
        assert verdict(make.anchor(), issuer(), leaf(), anchors=[Anchor(distrust_after=after)]) == rule
    broken = leaf(not_before=make.utc("269901000000Z"))
    assert verdict(make.anchor(), broken, anchors=[Anchor(distrust_after=1)]) == "malformed"


def test_addresses_match_only_iPAddress():
    v4 = make.ip((192, 0, 2, 1))
    v6 = make.ip(bytes(15) + b"\1")
    mapped = make.ip(bytes(10) + b"\xff\xff\xc0\0\2\1")
    for host, names, rule in (
        ("192.0.2.1", [v4], None),
        ("192.0.2.1", [make.dns("a"), v6, v4], None),
        ("::1", [v6], None),
        ("192.0.2.1", [make.dns("192.0.2.1")], "name-mismatch"),
        ("192.0.2.1", [make.dns("*.0.2.1")], "name-mismatch"),
        ("192.0.2.1", [make.dns(b"\xc0\0\x02\x01")], "san-form"),
        ("97.46.98.99", [make.dns("a.bc")], "name-mismatch"),  # the address has the same bytes
        ("612e:6263::6162:6364", [make.dns(b"a.bc" + bytes(8) + b"abcd")], "name-mismatch"),
        ("192.0.2.1", [mapped], "name-mismatch"),
        ("192.0.2.1", [make.tlv(0x87, bytes((192, 0, 2, 0, 255, 255, 255, 0)))], "san-form"),
        ("192.0.2.2", [v4], "name-mismatch"),
        ("::2", [v6], "name-mismatch"),
        ("localhost", [v4], "name-mismatch"),
    ):
        assert verdict(make.anchor(), leaf(*names), host=host) == rule, (host, names)


def test_names_match_only_dNSName():
    for names, rule in (
        ([make.dns("a.example"), make.dns("*.example.org")], None),
        ([make.dns("WWW.EXAMPLE.ORG")], None),
        ([make.tlv(0x81, b"www.example.org")], "name-mismatch"),
        ([make.tlv(0x86, b"www.example.org")], "name-mismatch"),
        ([make.directory(name(cn="www.example.org"))], "name-mismatch"),
        ([make.dns("*.org")], "name-mismatch"),
        ([make.dns("*.*.org")], "name-mismatch"),
    ):
        assert verdict(make.anchor(), leaf(*names, subject=name(cn="www.example.org"))) == rule, names


def test_names_of_a_wrong_form_are_refused_wherever_they_stand():
    good = make.dns("www.example.org")
    wrong_text = make.dns("w\u00fcrz.example.org")
    for wrong in (make.ip(b""), make.ip(bytes(5)), make.ip(bytes(17)), wrong_text, make.dns(b"\x80")):
        assert verdict(make.anchor(), leaf(good, wrong)) == "san-form"
        assert verdict(make.anchor(), leaf(wrong, good)) == "san-form"
    # What is odd and harmless stays out of the default: others take it, too.
    with_zero = make.dns(b"www.example.org\0.evil.example")
    for odd in (make.dns(""), make.dns("a b"), make.dns("a_b.example.org"), with_zero):
        assert verdict(make.anchor(), leaf(odd, good)) is None
        assert verdict(make.anchor(), leaf(odd)) == "name-mismatch"


def test_the_common_name_is_never_looked_at():
    der = leaf(extensions=[make.basic_constraints(False)], subject=name(cn="www.example.org"))
    assert verdict(make.anchor(), der) == "san-missing"


def test_a_message_names_the_certificate_and_its_names():
    policy = ChainPolicy("www.example.org", [Anchor()])
    policy.check(make.anchor(), 2)
    policy.check(issuer(subject=name(cn="Evil\x1b[2J"), version=1), 1)
    rule, depth, text, section = policy.violation
    assert (rule, depth) == ("version", 1)
    assert "Evil?[2J" in text and "RFC 5280" in section
    policy = ChainPolicy("www.example.org", [Anchor()])
    policy.check(make.anchor(), 1)
    policy.check(
        leaf(make.dns("a.example"), make.ip((192, 0, 2, 1)), *[make.dns("b%d.example" % i) for i in range(99)]), 0
    )
    rule, depth, text, section = policy.violation
    assert (rule, depth) == ("name-mismatch", 0)
    assert "a.example, 192.0.2.1, b0.example" in text and "b9.example" not in text


def test_nothing_makes_it_raise():
    good = leaf(extra=[make.name_constraints([make.dns("example.org")])])
    for i in range(0, len(good), 3):
        for value in (0x00, 0x30, 0x7F, 0x82, 0xFF):
            broken = bytearray(good)
            broken[i] = value
            verdict(make.anchor(), issuer(extra=[make.name_constraints([make.dns("org")])]), bytes(broken))
    for thing in (None, 5, "text", [], b"", b"\x30", object()):
        policy = ChainPolicy("www.example.org", [Anchor()])
        assert policy.check(thing, 0) == 1
        assert policy.violation[0] in ("malformed", "internal")


def test_a_failing_callback_or_no_memory_is_a_refusal():
    for error in (MemoryError, OSError, KeyboardInterrupt, ValueError, RuntimeError):

        def fails(prefix, error=error):
            raise error

        assert verdict(make.anchor(), leaf(), blocked=fails) in ("internal", "malformed")


def test_a_refusal_says_which_certificate_whatever_went_wrong():
    chain = (make.anchor(), issuer(), leaf())
    for error in (MemoryError, OSError, KeyboardInterrupt, ValueError, RuntimeError):
        for fails_at in range(3):
            left = [len(chain) - fails_at]

            def fails(prefix, error=error, left=left):
                left[0] -= 1
                if not left[0]:
                    raise error
                return False

            policy = ChainPolicy("www.example.org", [Anchor()], fails)
            for depth in range(2, -1, -1):
                if policy.check(chain[2 - depth], depth):
                    break
            rule, depth, text, _ = policy.violation
            assert depth == fails_at, (error, depth)
            assert "-1" not in text
            assert isinstance(policy.error, error) == (rule == "internal")


def test_a_broken_rule_stays_one_when_there_is_no_memory_to_describe_it():
    import rootlet.rules

    def fails(rule, certificate, error=None):
        raise error or MemoryError

    saved = rootlet.rules.evidence
    rootlet.rules.evidence = fails
    try:
        policy = ChainPolicy("other.example.org", [Anchor()])
        assert policy.check(make.anchor(), 1) == 0
        assert policy.check(leaf(), 0) == 1
    finally:
        rootlet.rules.evidence = saved
    assert policy.error is None
    assert policy.violation[:2] == ("name-mismatch", 0)


def test_anchors_loaded_after_the_policy_was_made_count():
    anchors = []
    policy = ChainPolicy("www.example.org", anchors)
    anchors.append(Anchor())
    assert policy.check(make.anchor(), 1) == 0
    assert policy.check(leaf(), 0) == 0
    assert policy.violation is None
