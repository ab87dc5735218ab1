"""Chains put together by chance of what CAs may write, really signed: what OpenSSL refuses, the board refuses."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from conformance import openssl, run
from support.forge import HOST, Chain, issuer, leaf, make, root

pytestmark = pytest.mark.servers

COUNT = 200
_NAMES = [
    *(
        make.dns(name)
        for name in ("*.example.org", "example.org", "a.example.com", "WWW.EXAMPLE.ORG", "*.org", ".org", "*")
    ),
    make.ip((192, 0, 2, 1)),
    make.ip(bytes(16)),
    make.directory(make.name(cn="x")),
    make.tlv(0x86, b"https://www.example.org/"),
    make.tlv(0x81, b"a@example.org"),
    make.tlv(0x88, b"\x2a\x03"),
]
_BASES = [
    *(make.dns(name) for name in ("example.org", "org", HOST, "example.com", "EXAMPLE.org", "")),
    make.ip((192, 0, 2, 0, 255, 255, 255, 0)),
    make.ip(bytes(32)),
    make.directory(make.name()),
    make.directory(make.name(("2.5.4.10", "Example"))),
    make.tlv(0x81, b"example.org"),
    make.tlv(0x86, b"example.org"),
]
_USAGES = [make.SERVER_AUTH, make.CLIENT_AUTH, make.ANY_EKU, "1.3.6.1.5.5.7.3.3"]
_SUBJECTS = [make.name(cn="x"), make.name(("2.5.4.10", "Example"), cn="x"), make.name(), make.name(cn=HOST)]


def _some(chance: random.Random, of: list[Any], most: int) -> list[Any]:
    return [chance.choice(of) for _ in range(chance.randint(0, most))]


def _extensions(chance: random.Random, ca: bool) -> list[bytes]:
    found = []
    if chance.random() < 0.95:
        length = chance.choice([None, None, None, 0, 1]) if ca else None
        found.append(make.basic_constraints(ca != (chance.random() < 0.07), length, chance.random() < 0.7))
    if chance.random() < 0.85:
        bits = [0x06, 0x04, 0x86] if ca != (chance.random() < 0.1) else [0x80, 0xA0, 0x82]
        found.append(make.key_usage(chance.choice(bits)))
    if chance.random() < 0.6:
        usages = _some(chance, _USAGES, 2) if chance.random() < 0.4 else []
        found.append(make.extended_key_usage(*(usages or [make.SERVER_AUTH])))
    if ca and chance.random() < 0.5:
        permitted, excluded = _some(chance, _BASES, 3), _some(chance, _BASES, 1)
        if permitted or excluded:
            found.append(make.name_constraints(permitted, excluded))
    if not ca:
        names = [make.dns(HOST)] * (chance.random() < 0.8) + _some(chance, _NAMES, 2)
        chance.shuffle(names)
        found.append(make.san(*names))
    return found


def _chain(number: int) -> Chain:
    chance = random.Random(number)  # the same chain for the same number
    top = root(extensions=_extensions(chance, True)) if chance.random() < 0.3 else root()
    middle = issuer(extensions=_extensions(chance, True), version=chance.choice([3] * 30 + [1]))
    server = leaf(extensions=_extensions(chance, False), subject=chance.choice(_SUBJECTS))
    return Chain(f"chain {number}", [server, middle], [top])


def test_nothing_is_accepted_that_openssl_refuses() -> None:
    cases = [_chain(number).case() for number in range(COUNT)]
    results = {result.id: result for result in run.run(cases, ("default",))}
    by_openssl = {case["id"]: openssl.accepts(case) for case in cases}
    accepted = {id_ for id_, result in results.items() if result.actual == "SUCCESS"}
    assert {id_ for id_ in accepted if not by_openssl[id_]} == set()
    # And not because everything is refused: where rootlet is stricter it says so.
    assert len(accepted) > COUNT // 10
    stricter = {id_: results[id_].reason for id_, good in by_openssl.items() if good and id_ not in accepted}
    known = "belongs to a CA|must not certify|cannot be checked|another certificate|no subject alternative|error -0x2"
    assert {id_: why for id_, why in stricter.items() if not re.search(known, why)} == {}
