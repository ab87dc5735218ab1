"""Attacks with chains, each really signed and shown to the board by a server; beside them good ones that look alike.

Whatever `openssl verify` refuses, the board must refuse.
"""

from __future__ import annotations

import ipaddress

import pytest
from conformance import openssl, run
from support.forge import (
    CA,
    HOST,
    ROOT_NAME,
    SERVER,
    SUB_NAME,
    Chain,
    body,
    issuer,
    leaf,
    make,
    root,
    sign,
    spki,
)

ROOT = root()
SUB = issuer()
GOOD = leaf()
V6 = make.ip(ipaddress.ip_address("2001:db8::1").packed)
OTHER = make.name(cn="Other")


def limited(
    *, permitted: list[bytes] | None = None, excluded: list[bytes] | None = None, critical: bool = False
) -> bytes:
    """The extension nameConstraints."""
    return bytes(make.name_constraints(permitted or [], excluded or [], critical))


def below(extension: bytes, *names: bytes, **fields: object) -> list[bytes]:
    """A leaf, and an intermediate above it with one extension more."""
    return [leaf(*names, **fields), issuer(extra=[extension])]


def tower(height: int, **options: bytes) -> list[bytes]:
    """A leaf below so many intermediates."""
    names = [ROOT_NAME, *(make.name(cn=f"CA {i}") for i in range(height))]
    chain = []
    for i in range(height):
        chain.append(issuer(f"ca{i - 1}" if i else "root", names[i], names[i + 1], f"ca{i}"))
    return [leaf(signer=f"ca{height - 1}", above=names[-1]), *reversed(chain)]


def stretched(der: bytes, find: bytes) -> bytes:
    """The value `find` in `der`'s TBSCertificate with its length in one byte more than it needs."""
    assert find in der and find[1] < 0x80
    return der.replace(find, find[:1] + b"\x81" + find[1:])


def resized(old: bytes, new: bytes, **fields: object) -> bytes:
    """A leaf in whose extensions `old` became `new`; all lengths around are right."""
    san = make.san(make.dns(HOST))
    extensions = [item.replace(old, new) for item in [*SERVER, san]]
    return leaf(extensions=extensions, **fields)


# Names in forms that fool careless code.
_NAMES = {
    "zero byte before another domain": make.dns(HOST.encode() + b"\0.evil.example"),
    "zero byte at the end": make.dns(HOST.encode() + b"\0"),
    "zero byte at the beginning": make.dns(b"\0" + HOST.encode()),
    "line feed at the end": make.dns(HOST.encode() + b"\n"),
    "dot at the end": make.dns(HOST + "."),
    "dot at the beginning": make.dns("." + HOST),
    "spaces around": make.dns(" " + HOST + " "),
    "wildcard alone": make.dns("*"),
    "wildcard and a dot": make.dns("*."),
    "wildcard under a top-level domain": make.dns("*.org"),
    "wildcard in the middle": make.dns("www.*.org"),
    "wildcard at the end": make.dns("www.example.*"),
    "two wildcards": make.dns("*.*.org"),
    "wildcard as a part of a label": make.dns("w*.example.org"),
    "wildcard that ends a label": make.dns("*w.example.org"),
    "wildcard for two labels": make.dns("*.org."),
    "e-mail address": make.tlv(0x81, HOST.encode()),
    "URI": make.tlv(0x86, b"https://" + HOST.encode()),
    "other name": make.tlv(0xA0, make.oid("1.2.3"), make.tlv(0xA0, make.tlv(0x0C, HOST.encode()))),
    "directory name": make.directory(make.name(cn=HOST)),
    "registered identifier": make.tlv(0x88, HOST.encode()),
    "no name": b"",
}

_DN = make.name(("2.5.4.6", make.tlv(0x13, b"DE")), ("2.5.4.10", "Example"))
_BMP = make.name(("2.5.4.3", make.tlv(0x1E, HOST.encode("utf-16-be"))))

CHAINS = [
    Chain("ordinary", [GOOD, SUB], [ROOT]),
    Chain("without intermediate", [leaf(signer="root", above=ROOT_NAME)], [ROOT]),
    *(Chain(f"name: {name}", [leaf(der), SUB], [ROOT], " ") for name, der in _NAMES.items()),
    Chain(
        "name: only the common name", [leaf(subject=make.name(cn=HOST), extensions=SERVER), SUB], [ROOT], "no subject"
    ),
    Chain("name: common name in BMPString", [leaf(subject=_BMP, extensions=SERVER), SUB], [ROOT], "no subject"),
    Chain("name: subject in BMPString, name in the list", [leaf(subject=_BMP), SUB], [ROOT]),
    Chain("name: subject empty", [leaf(subject=make.name()), SUB], [ROOT]),
    Chain(
        "name: letters outside ASCII beside the right one",
        [leaf(make.dns(HOST), make.dns("ü")), SUB],
        [ROOT],
        "wrong form",
    ),
    Chain(
        "name: address of five bytes beside the right one", [leaf(make.dns(HOST), make.ip(bytes(5))), SUB], [ROOT], " "
    ),
    # Addresses.
    Chain("address: IPv4", [leaf(make.ip((192, 0, 2, 1))), SUB], [ROOT], host="192.0.2.1"),
    Chain("address: IPv4 as a DNS name", [leaf(make.dns("192.0.2.1")), SUB], [ROOT], "other names", "192.0.2.1"),
    Chain("address: IPv4 under a wildcard", [leaf(make.dns("*.0.2.1")), SUB], [ROOT], "other names", "192.0.2.1"),
    Chain(
        "address: IPv4 as a common name",
        [leaf(make.dns("a"), subject=make.name(cn="192.0.2.1")), SUB],
        [ROOT],
        "other names",
        "192.0.2.1",
    ),
    Chain(
        "address: IPv4 mapped into IPv6",
        [leaf(make.ip(bytes(10) + b"\xff\xff\xc0\0\2\1")), SUB],
        [ROOT],
        "other names",
        "192.0.2.1",
    ),
    Chain(
        "address: IPv4 with a mask", [leaf(make.ip((192, 0, 2, 1, 255, 255, 255, 255))), SUB], [ROOT], " ", "192.0.2.1"
    ),
    Chain(
        "address: IPv4 that spells a name", [leaf(make.ip(b"a.co"), make.dns("b")), SUB], [ROOT], "other names", "a.co"
    ),
    Chain("address: IPv6", [leaf(V6), SUB], [ROOT], host="2001:db8::1"),
    Chain("address: IPv6, written out", [leaf(V6), SUB], [ROOT], host="2001:0DB8:0:0:0:0:0:1"),
    Chain("address: IPv6 as a DNS name", [leaf(make.dns("2001:db8::1")), SUB], [ROOT], "other names", "2001:db8::1"),
    Chain("address: another IPv6", [leaf(V6), SUB], [ROOT], "other names", "2001:db8::2"),
    # Many names.
    Chain("65 names", [leaf(*[make.dns(f"n{i}.example.org") for i in range(64)], make.dns(HOST)), SUB], [ROOT]),
    Chain(
        "1,000 names, the last is right", [leaf(*[make.dns(f"{i}.a") for i in range(999)], make.dns(HOST)), SUB], [ROOT]
    ),
    Chain("1,000 names, none is right", [leaf(*[make.dns(f"{i}.a") for i in range(1000)]), SUB], [ROOT], "other names"),
    Chain(
        "names against constraints without end",
        below(limited(permitted=[make.dns(f"{i}.a") for i in range(200)]), *[make.dns("199.a")] * 300),
        [ROOT],
        "too many",
    ),
    # Name constraints: of the root, critical or not; of intermediates.
    Chain(
        "constraints: root permits",
        [leaf(), SUB],
        [root(extra=[limited(permitted=[make.dns("example.org")], critical=True)])],
    ),
    Chain(
        "constraints: root permits others",
        [GOOD, SUB],
        [root(extra=[limited(permitted=[make.dns("example.com")], critical=True)])],
        "must not certify",
    ),
    Chain(
        "constraints: root excludes",
        [GOOD, SUB],
        [root(extra=[limited(excluded=[make.dns("org")], critical=True)])],
        "must not certify",
    ),
    Chain("constraints: intermediate permits", below(limited(permitted=[make.dns("example.org")])), [ROOT]),
    Chain(
        "constraints: intermediate permits others",
        below(limited(permitted=[make.dns("ample.org")])),
        [ROOT],
        "must not",
    ),
    Chain("constraints: intermediate excludes", below(limited(excluded=[make.dns(HOST)])), [ROOT], "must not certify"),
    Chain(
        "constraints: excluded in capitals",
        below(limited(excluded=[make.dns(HOST.upper())])),
        [ROOT],
        "must not certify",
    ),
    Chain(
        "constraints: excluded name under a wildcard",
        below(limited(excluded=[make.dns("secret.example.org")]), make.dns("*.example.org")),
        [ROOT],
        "must not certify",
    ),
    Chain(
        "constraints: a name beside the right one is outside",
        below(limited(permitted=[make.dns("example.org")]), make.dns(HOST), make.dns("evil.example")),
        [ROOT],
        "must not",
    ),
    Chain(
        "constraints: an address beside the right name is outside",
        below(limited(permitted=[make.ip((10, 0, 0, 0, 255, 0, 0, 0))]), make.dns(HOST), make.ip((192, 0, 2, 1))),
        [ROOT],
        "must not",
    ),
    Chain(
        "constraints: address within",
        below(limited(permitted=[make.ip((192, 0, 2, 0, 255, 255, 255, 0))]), make.ip((192, 0, 2, 1))),
        [ROOT],
        host="192.0.2.1",
    ),
    Chain(
        "constraints: IPv4 permitted, IPv6 presented",
        below(limited(permitted=[make.ip((192, 0, 2, 0, 255, 255, 255, 0))]), V6),
        [ROOT],
        "must not",
        "2001:db8::1",
    ),
    Chain(
        "constraints: mask with holes",
        below(limited(permitted=[make.ip((0, 0, 0, 0, 255, 0, 255, 0))])),
        [ROOT],
        "make no sense",
    ),
    Chain("constraints: empty", below(limited()), [ROOT], "make no sense"),
    Chain(
        "constraints: with a minimum",
        below(make.extension("2.5.29.30", make.seq(make.tlv(0xA0, make.seq(make.dns("org"), make.tlv(0x80, b"\1")))))),
        [ROOT],
        "make no sense",
    ),
    Chain(
        "constraints: directory name within",
        below(
            limited(permitted=[make.directory(_DN)]),
            subject=make.name(("2.5.4.6", make.tlv(0x13, b"DE")), ("2.5.4.10", "EXAMPLE"), cn="x"),
        ),
        [ROOT],
    ),
    Chain(
        "constraints: directory name outside",
        below(limited(permitted=[make.directory(_DN)])),
        [ROOT],
        "must not certify",
    ),
    Chain(
        "constraints: directory name that cannot be compared",
        below(limited(excluded=[make.directory(make.name(cn=HOST))]), subject=_BMP),
        [ROOT],
        ".",
    ),
    Chain(
        "constraints: URIs limited, a URI presented",
        below(
            limited(permitted=[make.tlv(0x86, b"example.com")]), make.dns(HOST), make.tlv(0x86, b"https://example.org")
        ),
        [ROOT],
        "cannot be checked",
    ),
    Chain(
        "constraints: of an upper CA hold two steps below",
        [
            leaf(signer="ca1", above=OTHER),
            issuer("sub", SUB_NAME, OTHER, "ca1"),
            issuer(extra=[limited(permitted=[make.dns("example.com")])]),
        ],
        [ROOT],
        "must not",
    ),
    Chain(
        "constraints: a lower CA cannot widen them",
        [
            leaf(signer="ca1", above=OTHER),
            issuer("sub", SUB_NAME, OTHER, "ca1", extra=[limited(permitted=[make.dns("example.org")])]),
            issuer(extra=[limited(permitted=[make.dns("example.com")])]),
        ],
        [ROOT],
        "must not",
    ),
    Chain(
        "constraints: hold for the name of a CA below",
        [
            leaf(signer="ca1", above=OTHER),
            issuer("sub", SUB_NAME, OTHER, "ca1"),
            issuer(extra=[limited(permitted=[make.directory(_DN)])]),
        ],
        [ROOT],
        "must not",
    ),
    # DER.
    Chain("DER: needless length byte", [resized(make.dns(HOST), b"\x82\x81" + make.dns(HOST)[1:]), SUB], [ROOT], " "),
    Chain(
        "DER: indefinite length",
        [resized(make.seq(make.dns(HOST)), b"\x30\x80" + make.dns(HOST) + b"\0\0"), SUB],
        [ROOT],
        " ",
    ),
    Chain("DER: negative serial number", [leaf(serial=b"\x80"), SUB], [ROOT], "not well-formed"),
    Chain(
        "DER: negative serial number of an intermediate", [GOOD, issuer(serial=b"\xff\x01")], [ROOT], "not well-formed"
    ),
    Chain("DER: serial number with needless zeros", [leaf(serial=b"\0\0\1"), SUB], [ROOT], "not well-formed"),
    Chain("DER: no serial number", [leaf(serial=b""), SUB], [ROOT], " "),
    Chain(
        "DER: truth that is neither",
        [
            leaf(
                extensions=[
                    *SERVER[:2],
                    make.extension("2.5.29.19", make.seq(b"\x01\x01\x01")),
                    make.san(make.dns(HOST)),
                ]
            ),
            SUB,
        ],
        [ROOT],
        " ",
    ),
    Chain(
        "DER: bytes after the extensions",
        [leaf(extensions=[*SERVER, make.san(make.dns(HOST)), b"\0\0"]), SUB],
        [ROOT],
        " ",
    ),
    Chain(
        "DER: algorithms inside and outside differ",
        [
            sign(
                body(issuer=SUB_NAME, spki=spki("leaf"), extensions=[*SERVER, make.san(make.dns(HOST))]),
                "sub",
                "1.2.840.10045.4.3.3",
            ),
            SUB,
        ],
        [ROOT],
        " ",
    ),
    # Versions and extensions.
    Chain("version 1 leaf", [leaf(version=1), SUB], [ROOT], " "),
    Chain("version 2 leaf", [leaf(version=2), SUB], [ROOT], " "),
    Chain("version 4 leaf", [leaf(version=4), SUB], [ROOT], " "),
    Chain("version 1 intermediate", [GOOD, issuer(version=1, extensions=None)], [ROOT], " "),
    Chain("names twice", [leaf(make.dns("evil.example"), extra=[make.san(make.dns(HOST))]), SUB], [ROOT], " "),
    Chain("basic constraints twice", [GOOD, issuer(extensions=[make.basic_constraints(False), *CA])], [ROOT], " "),
    Chain("private extension twice", [leaf(extra=[make.extension("1.2.3", b"\5\0")] * 2), SUB], [ROOT], "twice"),
    Chain("unknown critical extension", [leaf(extra=[make.extension("1.2.3", b"\5\0", True)]), SUB], [ROOT], " "),
    Chain(
        "unknown critical extension of an intermediate",
        [GOOD, issuer(extra=[make.extension("1.2.3", b"\5\0", True)])],
        [ROOT],
        " ",
    ),
    # Who may issue, and what for.
    Chain("leaf is a CA", [leaf(extensions=[*CA, make.san(make.dns(HOST))]), SUB], [ROOT], "belongs to a CA"),
    Chain(
        "leaf may sign certificates",
        [leaf(extensions=[make.key_usage(0x84), make.san(make.dns(HOST))]), SUB],
        [ROOT],
        "belongs to a CA",
    ),
    Chain("intermediate is no CA", [GOOD, issuer(extensions=SERVER)], [ROOT], " "),
    Chain("intermediate says nothing of being a CA", [GOOD, issuer(extensions=[make.key_usage(6)])], [ROOT], " "),
    Chain(
        "intermediate must not sign certificates",
        [GOOD, issuer(extensions=[make.basic_constraints(), make.key_usage(2)])],
        [ROOT],
        " ",
    ),
    Chain(
        "somebody's leaf signs another",
        [leaf(signer="leaf", above=make.name(cn="leaf"), subject=make.name(cn="x"), spki=spki("evil")), GOOD, SUB],
        [ROOT],
        " ",
        key="evil",
    ),
    Chain(
        "intermediate for clients only", below(make.extended_key_usage(make.CLIENT_AUTH)), [ROOT], "must not be used"
    ),
    Chain(
        "intermediate for code only", below(make.extended_key_usage("1.3.6.1.5.5.7.3.3")), [ROOT], "must not be used"
    ),
    Chain("intermediate for everything", below(make.extended_key_usage(make.ANY_EKU)), [ROOT], "must not be used"),
    Chain(
        "intermediate for everything and for servers",
        below(make.extended_key_usage(make.ANY_EKU, make.SERVER_AUTH)),
        [ROOT],
    ),
    Chain("intermediate for servers", below(make.extended_key_usage(make.CLIENT_AUTH, make.SERVER_AUTH)), [ROOT]),
    Chain(
        "upper intermediate for mail only",
        [
            leaf(signer="ca1", above=OTHER),
            issuer("sub", SUB_NAME, OTHER, "ca1"),
            issuer(extra=[make.extended_key_usage("1.3.6.1.5.5.7.3.4")]),
        ],
        [ROOT],
        "must not be used",
    ),
    Chain(
        "root for mail only",
        [GOOD, SUB],
        [root(extra=[make.extended_key_usage("1.3.6.1.5.5.7.3.4")])],
        "other purposes",
    ),
    Chain(
        "leaf for clients only",
        [leaf(extensions=[make.extended_key_usage(make.CLIENT_AUTH), make.san(make.dns(HOST))]), SUB],
        [ROOT],
        "must not be used",
    ),
    Chain(
        "leaf for anything",
        [leaf(extensions=[make.extended_key_usage(make.ANY_EKU), make.san(make.dns(HOST))]), SUB],
        [ROOT],
        "must not be used",
    ),
    Chain(
        "leaf that must not sign", [leaf(extensions=[make.key_usage(0x20), make.san(make.dns(HOST))]), SUB], [ROOT], " "
    ),
    # Length.
    Chain("eight intermediates", tower(8), [ROOT]),
    Chain("nine intermediates", tower(9), [ROOT], "more than eight intermediate"),
    Chain("fifteen intermediates", tower(15), [ROOT], "more than eight intermediate"),
    Chain("forty intermediates", tower(40), [ROOT], "certificates"),
    Chain(
        "path length used up",
        [
            leaf(signer="ca1", above=OTHER),
            issuer("sub", SUB_NAME, OTHER, "ca1"),
            issuer(extensions=[make.basic_constraints(path_length=0), CA[1]]),
        ],
        [ROOT],
        " ",
    ),
    Chain(
        "path length of the root used up",
        [GOOD, SUB],
        [root(extensions=[make.basic_constraints(path_length=0), CA[1]])],
        " ",
    ),
    # Keys.
    Chain("leaf with P-192", [leaf(spki=make.ec(make.P192, 24)), SUB], [ROOT], "public key"),
    Chain("leaf with 1,024 bits", [leaf(spki=make.rsa(1024)), SUB], [ROOT], " "),
    Chain(
        "leaf with Ed25519",
        [leaf(spki=make.seq(make.seq(make.oid("1.3.101.112")), make.tlv(3, bytes(33)))), SUB],
        [ROOT],
        " ",
    ),
    Chain(
        "intermediate with a key that is no point", [GOOD, issuer(spki=make.ec())], [ROOT], "public key that is none"
    ),
    # Whose root it is.
    Chain("own root of the same name", [GOOD, SUB, root()], [root(own="real root")], " "),
    Chain(
        "own root of the same name, sent instead of an intermediate",
        [leaf(signer="root", above=ROOT_NAME), ROOT],
        [root(own="real root")],
        " ",
    ),
    Chain("leaf that calls itself the root", [leaf(signer="leaf", above=ROOT_NAME, subject=ROOT_NAME)], [ROOT], " "),
    Chain("two anchors of one name, the first signed", [GOOD, SUB], [ROOT, root(own="twin")]),
    Chain("two anchors of one name, the second signed", [GOOD, SUB], [root(own="twin"), ROOT]),
    Chain("two anchors of one name, neither signed", [GOOD, SUB], [root(own="twin"), root(own="third")], " "),
    Chain(
        "the stricter of two anchors of one name signed",
        [GOOD, SUB],
        [root(own="twin"), root(extra=[limited(excluded=[make.dns("org")])])],
        "must not certify",
    ),
    # The root is also signed by an older one.
    Chain("cross-signed, the new root is trusted", [GOOD, SUB, issuer("old", OTHER, ROOT_NAME, "root")], [ROOT]),
    Chain(
        "cross-signed, both are trusted",
        [GOOD, SUB, issuer("old", OTHER, ROOT_NAME, "root")],
        [root(OTHER, "old"), ROOT],
    ),
    Chain(
        "cross-signed, both are trusted, the old one has expired",
        [GOOD, SUB, issuer("old", OTHER, ROOT_NAME, "root")],
        [root(OTHER, "old", not_after=make.utc("260201000000Z")), ROOT],
    ),
    Chain(
        "cross-signed, only the expired old one is trusted",
        [GOOD, SUB, issuer("old", OTHER, ROOT_NAME, "root")],
        [root(OTHER, "old", not_after=make.utc("260201000000Z"))],
        "expired",
    ),
    Chain("expired intermediate", [GOOD, issuer(not_after=make.utc("260201000000Z"))], [ROOT], "expired"),
    Chain("expired root", [GOOD, SUB], [root(not_after=make.utc("260201000000Z"))], "expired"),
    Chain("leaf of the future", [leaf(not_before=make.utc("270101000000Z")), SUB], [ROOT], "not yet valid"),
    Chain("time without seconds", [leaf(not_after=make.utc("3601010000Z")), SUB], [ROOT], " "),
    Chain("time with a zone", [leaf(not_after=make.utc("360101000000+0100")), SUB], [ROOT], " "),
    # Mbed TLS, like OpenSSL, takes the first certificate of a name, whatever its key is.
    Chain(
        "foreign intermediate of the same name before the right one",
        [GOOD, issuer("ca0", OTHER, own="evil"), SUB],
        [ROOT],
        " ",
    ),
]
BY_ID = {chain.id: chain for chain in CHAINS}
# It tries only the first anchor of a name, unless key identifiers tell it which.
OPENSSL_IS_STRICTER = {"two anchors of one name, the second signed"}


@pytest.fixture(scope="module")
def results() -> dict[str, run.Result]:
    assert len(BY_ID) == len(CHAINS)
    return {result.id: result for result in run.run([chain.case() for chain in CHAINS], ("default",))}


@pytest.mark.parametrize("id_", BY_ID)
def test_chain(id_: str, results: dict[str, run.Result]) -> None:
    chain, result = BY_ID[id_], results[id_]
    if chain.refused:
        assert result.actual == "FAILURE", "accepted"
        assert chain.refused in result.reason
    else:
        assert result.actual == "SUCCESS", result.reason


@pytest.mark.servers
def test_what_openssl_refuses_is_refused(results: dict[str, run.Result]) -> None:
    accepted = [chain for chain in CHAINS if results[chain.id].actual == "SUCCESS"]
    assert len(accepted) > 15
    assert {chain.id for chain in accepted if not openssl.accepts(chain.case())} <= OPENSSL_IS_STRICTER
