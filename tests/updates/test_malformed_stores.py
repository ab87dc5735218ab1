"""Stores whose digest is right and whose content is not: the board refuses what the host refuses, and trips over
none."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from pathlib import Path

import pytest
from cryptography import x509
from rootlet_host.store import StoreFormatError, anchor_from_certificate, build_store, decode_store
from rootlet_host.store.format import subject_name
from support import pki
from support.board import run_device

from .conftest import Publisher

JUDGE = Path(__file__).with_name("device") / "judge.py"
HEADER = struct.Struct("<4sBBHIIIIHHI32s")
FIELDS = ("magic", "version", "flags", "count", "sequence", "issued_at", "not_used_after", "body", "blocked")
FIELDS += ("publisher", "series", "digest")
CASES = 2500

# The board leaves these to Mbed TLS, which loads an anchor only when a handshake needs it, and to the signature check;
# a series it only compares.
LEFT_TO_MBED_TLS = (
    "not a point on the curve",
    "not a usable public key",
    "is no X.509 certificate",
    "has another subject",
    "is not a CA certificate",
    "has no P-256 key",
    "no lower-case domain name",
    "an RSA modulus of",
    "the envelope",
    "the header's series",
)


@pytest.fixture(scope="module")
def store(publisher: Publisher) -> bytes:
    """With every kind of record, suffixes, constraints, blocked keys and a publisher."""
    subtree = x509.NameConstraints([x509.DNSName("example.org")], None)
    certificates = [
        pki.make_ca("p256").certificate,
        pki.make_ca("p384", key="P-384", path_length=1).certificate,
        pki.make_ca("rsa", key="RSA-2048").certificate,
        pki.make_ca("constrained", extensions=[(subtree, True)]).certificate,
    ]
    anchors = [anchor_from_certificate(certificate) for certificate in certificates]
    anchors.append(anchor_from_certificate(pki.make_ca("site").certificate, suffixes=("example.org", "example.net")))
    anchors.append(anchor_from_certificate(pki.self_signed("www.example.org").certificate, exact=True))
    blocked = [hashlib.sha256(bytes([i])).digest() for i in range(3)] + [b"a" * 32]
    return build_store(anchors, sequence=7, issued_at=1_700_000_000, blocked=blocked, publisher=publisher.der)


def parts(store: bytes) -> dict[str, int]:
    """The header's fields, and where the parts of the body begin."""
    fields = dict(zip(FIELDS, HEADER.unpack_from(store), strict=True))
    fields["records_at"] = 64 + 8 * fields["count"]
    fields["blocked_at"] = 64 + fields["body"] - fields["publisher"] - 16 * fields["blocked"]
    return fields


def seal(data: bytearray) -> bytes:
    """`data` with the digest of what its header says, as far as it is there."""
    end = 64 + struct.unpack_from("<I", data, 20)[0]
    data[32:64] = hashlib.sha256(data[:32] + data[64:end]).digest()
    return bytes(data)


def mutate(store: bytes, chance: random.Random) -> bytes:
    """The store with something wrong somewhere, and a right digest."""
    data = bytearray(store)
    where = parts(store)
    kind = chance.randrange(7)
    if kind == 0:  # a field of the header
        at, size = chance.choice([(4, 1), (5, 1), (6, 2), (8, 4), (12, 4), (16, 4), (20, 4), (24, 2), (26, 2), (28, 4)])
        old = int.from_bytes(data[at : at + size], "little")
        new = chance.choice([0, 1, old + 1, old - 1, old * 2, chance.getrandbits(8 * size), (1 << 8 * size) - 1])
        data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
    elif kind == 1:  # an offset in the index
        entry = 64 + 8 * chance.randrange(where["count"])
        old = int.from_bytes(data[entry + 5 : entry + 8], "little")
        new = chance.choice([0, old + 1, max(0, old - 1), 0xFFFFFF, chance.randrange(3000)])
        data[entry + 5 : entry + 8] = new.to_bytes(3, "little")
    elif kind == 2:  # two entries change places, or one is there twice
        first, second = (64 + 8 * chance.randrange(where["count"]) for _ in range(2))
        keep = data[first : first + 8]
        data[first : first + 8] = data[second : second + 8]
        if chance.random() < 0.5:
            data[second : second + 8] = keep
    elif kind == 3:  # bytes of the records
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(where["records_at"], where["blocked_at"])] = chance.choice(
                [0, 0xFF, chance.randrange(256)]
            )
    elif kind == 4:  # bytes of a record's beginning, where its flags and lengths are
        entry = 64 + 8 * chance.randrange(where["count"])
        start = where["records_at"] + int.from_bytes(data[entry + 5 : entry + 8], "little")
        data[start + chance.choice([0, 0, 9, 10, 11, 12, 13])] = chance.randrange(256)
    elif kind == 5:  # blocked keys and publisher
        data[chance.randrange(where["blocked_at"], len(data))] ^= 1 << chance.randrange(8)
    else:  # anything
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(64, len(data))] = chance.randrange(256)
    if chance.random() < 0.1:
        data = data[: chance.randrange(64, len(data))]
    return seal(data)


def judge(cases: list[bytes], names: list[bytes], folder: Path) -> list[tuple[str | None, str | None]]:
    """What a board with a small heap makes of them."""
    flash = folder / "flash"
    flash.mkdir()
    stream = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    folder.joinpath("cases").write_bytes(stream)
    request = {
        "cases": str(folder / "cases"),
        "results": str(folder / "results"),
        "folder": str(flash),
        "names": [name.hex() for name in names],
    }
    folder.joinpath("request.json").write_text(json.dumps(request))
    run_device(JUDGE, str(folder / "request.json"), heap="128K")
    return [tuple(json.loads(line)) for line in folder.joinpath("results").read_text().splitlines()]


def test_the_board_refuses_what_the_host_refuses(store: bytes, tmp_path: Path) -> None:
    chance = random.Random(20261)
    names = [
        subject_name(x509.load_der_x509_certificate(record.key))
        for record in decode_store(store).anchors
        if record.kind == 5
    ]
    cases = [store, *(mutate(store, chance) for _ in range(CASES))]
    verdicts = judge(cases, [*names, *_subjects()], tmp_path)
    assert len(verdicts) == len(cases)
    assert verdicts[0] == (None, None)
    refused = 0
    for case, (why, _) in zip(cases, verdicts, strict=True):
        try:
            decode_store(case)
            fault = ""
        except StoreFormatError as error:
            fault = error.message
        if why is None:
            assert not fault or any(words in fault for words in LEFT_TO_MBED_TLS), f"the board takes it, and {fault}"
        else:
            refused += 1
            # Mbed TLS parses a certificate more strictly than the host's library.
            assert fault or "publisher" in why, f"the host takes it, and the board says: {why}"
    print(f"{len(cases)} malformed stores, {refused} refused")
    assert refused > CASES // 2


def _subjects() -> list[bytes]:
    return [subject_name(pki.make_ca(name).certificate) for name in ("p256", "p384", "rsa", "constrained", "site")]
