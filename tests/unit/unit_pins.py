"""rootlet.pins: what is a pin, and which chains have one of them."""

from hashlib import sha256

import make
from rootlet import errors
from rootlet.pins import PinnedPolicy, Pins, text

A = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing
B = "sha256//n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="  # of "test"


def refused(*arguments):
    try:
        Pins(*arguments)
    except errors.ConfigError as error:
        assert error.message and error.remedy
        return error.message
    raise AssertionError(arguments)


def test_pins_are_read_as_curl_writes_them():
    expected = [sha256(b"").digest(), sha256(b"test").digest()]
    for given in ([A, B], (A, B), A + ";" + B, [A, B, A]):
        assert Pins(given).digests == expected
    assert [text(digest) for digest in expected] == [A, B]


def test_a_single_pin_must_be_asked_for():
    assert "backup" in refused([A])
    assert "backup" in refused([A, A])
    assert Pins([A], True).digests == [sha256(b"").digest()]


def test_what_is_no_pin_is_refused():
    for pin in (
        "", "sha256//", A[8:], "sha1//" + A[8:], "sha256/" + A[8:], A[:-1], A + "=", A + " ", " " + A, A[:-2] + "==",
        A[:20] + "\n" + A[20:], A[:20] + "_" + A[21:], A[:-2] + "V=", None, 5, A.encode(), "SHA256" + A[6:],
    ):  # fmt: skip
        assert "not a pin" in refused([pin, B], True), pin
    # 44 characters with bits set that belong to no byte
    assert "not a pin" in refused([A[:-2] + "V=", B])
    for pins in ([], (), "", None, 5, {A: B}):
        refused(pins, True)


HOST = "a.example.org"
ROOT, SUB = make.name(cn="Root"), make.name(cn="Sub")
KEYS = {"root": make.rsa(3072), "sub": make.ec(make.P384, 48), "leaf": make.ec()}
CHAIN = (
    make.anchor(0, ROOT, spki=KEYS["root"]),
    make.certificate(
        issuer=ROOT, subject=SUB, spki=KEYS["sub"], extensions=[make.basic_constraints(), make.key_usage(0x06)]
    ),
    make.certificate(issuer=SUB, spki=KEYS["leaf"], extensions=[make.san(make.dns(HOST))]),
)


class Anchor:
    exact = False
    distrust_after = 0
    constraints = None


class Exact(Anchor):
    exact = True


def judge(chain, *digests, **options):
    """The policy when it has seen `chain`, whose first certificate is the root."""
    policy = PinnedPolicy(digests, options.get("host", HOST), [options.get("anchor", Anchor())])
    depth = len(chain) - 1
    for der in chain:
        refused = policy.check(memoryview(der), depth)
        assert refused == (policy.violation is not None)
        if refused:
            break
        depth -= 1
    return policy


def digest(key):
    return sha256(KEYS[key]).digest()


def test_every_certificate_of_the_chain_may_have_the_key():
    for key in KEYS:
        assert judge(CHAIN, digest(key), bytes(32)).violation is None, key
        assert judge(CHAIN, bytes(32), digest(key)).violation is None, key


def test_a_chain_without_a_pinned_key_is_refused_at_the_server():
    policy = judge(CHAIN, bytes(32), sha256(CHAIN[2]).digest())
    rule, depth, words, section = policy.violation
    assert (rule, depth, section) == ("pin-mismatch", 0, "RFC 7469, 2.6")
    assert "leaf" in words
    assert policy.seen == tuple([text(digest(key)) for key in ("leaf", "sub", "root")])


def test_a_pinned_key_mends_nothing_else():
    every = [digest(key) for key in KEYS]
    assert judge(CHAIN, *every, host="b.example.org").violation[0] == "name-mismatch"
    weak = (CHAIN[0], make.certificate(issuer=ROOT, spki=make.rsa(1024), extensions=[make.san(make.dns(HOST))]))
    assert judge(weak, *every).violation[0] == "key-weak"
    stranger = (make.certificate(issuer=ROOT, subject=ROOT, spki=KEYS["root"]),) + CHAIN[1:]
    assert judge(stranger, *every).violation[0] == "issuer-unknown"


def test_a_server_that_is_trusted_as_itself_can_be_pinned_too():
    alone = CHAIN[2:]
    assert judge(alone, digest("leaf"), anchor=Exact()).violation is None
    assert judge(alone, digest("root"), anchor=Exact()).violation[0] == "pin-mismatch"
