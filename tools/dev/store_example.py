"""Makes a tiny trust store, always the same, and explains its bytes for docs/store-format.md.

python tools/dev/store_example.py FILE       writes the store
python tools/dev/store_example.py --docs     writes the table of docs/store-format.md
python tools/dev/store_example.py --check    exit code 1 if that table is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from measuring.report import write_block
from rootlet_host.store.format import Anchor, Header, Kind, encode_store, index_key

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "store-format.md"
NEW_YEAR_2026, NEW_YEAR_2030, NEW_YEAR_2046 = 1767225600, 1893456000, 2398377600
BLOCKED = bytes(range(16))


def subject(common_name: str) -> bytes:
    """The DER of a Name that has this common name only."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]).public_bytes()


def point(private: int) -> bytes:
    """x and y of a P-256 key. These private keys are known to everybody: the store is worthless."""
    key = ec.derive_private_key(private, ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]


def example() -> bytes:
    """The store: a CA that may sign for example.org only, and one that lost trust in 2030."""
    private = Anchor(
        index_key(subject("Example Private CA")),
        Kind.P256,
        point(1),
        NEW_YEAR_2026,
        NEW_YEAR_2046,
        path_length=0,
        dns_suffixes=("example.org",),
    )
    leaving = Anchor(
        index_key(subject("Example Leaving CA")),
        Kind.P256,
        point(2),
        NEW_YEAR_2026,
        NEW_YEAR_2046,
        distrust_after=NEW_YEAR_2030,
    )
    header = Header(sequence=7, issued_at=NEW_YEAR_2026, not_used_after=NEW_YEAR_2030)
    return encode_store(header, [private, leaving], blocked=[BLOCKED])


class Reader:
    """Takes fields off the file in the order of the page and says where each stands."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int, text: str) -> tuple[str, str, str]:
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise SystemExit(f"the store ends within: {text}")
        row = (f"{self.at:04x}", _hex(part), text)
        self.at += size
        return row

    def number(self, size: int) -> int:
        """The field that comes next, not taken yet."""
        return int.from_bytes(self.data[self.at : self.at + size], "little")


def _hex(data: bytes) -> str:
    text = data.hex(" ")
    return text if len(data) <= 16 else f"{data[:6].hex(' ')} … {data[-2:].hex(' ')}"


def rows(data: bytes) -> Iterator[tuple[str, str, str]]:
    """(offset, bytes, meaning) of every field; nothing is left out."""
    reader = Reader(data)
    yield reader.take(4, "magic: `RTLT`")
    yield reader.take(1, "format version 1")
    yield reader.take(1, "flags: none")
    count = reader.number(2)
    yield reader.take(2, f"{count} anchors")
    yield reader.take(4, f"sequence {reader.number(4)}")
    yield reader.take(4, "issued at 2026-01-01 00:00 UTC")
    yield reader.take(4, "not used after 2030-01-01 00:00 UTC")
    body = reader.number(4)
    yield reader.take(4, f"body: {body} bytes, so the file ends at {64 + body:04x}")
    blocked = reader.number(2)
    yield reader.take(2, f"{blocked} blocked key")
    yield reader.take(2, "no publisher")
    yield reader.take(4, "zero")
    yield reader.take(32, "SHA-256 of the 32 bytes above and of all that follows")
    records = 64 + 8 * count
    names = {index_key(subject(name)): name for name in ("Example Private CA", "Example Leaving CA")}
    order = []
    for number in range(count):
        order.append(names[data[reader.at : reader.at + 5]])
        yield reader.take(5, f"index {number}: first 5 bytes of SHA-256 of the Name `CN={order[-1]}`")
        yield reader.take(3, f"its record begins at {records:04x} + {reader.number(3)}")
    for name in order:
        flags = data[reader.at]
        meant = ["kind 1: P-256"]
        meant += [
            text for bit, text in ((8, "distrust-after"), (16, "path length"), (32, "DNS suffixes")) if flags & bit
        ]
        yield reader.take(1, f"record of `CN={name}`: {', '.join(meant)}")
        yield reader.take(4, "notBefore 2026-01-01")
        yield reader.take(4, "notAfter 2046-01-01")
        if flags & 8:
            yield reader.take(4, "distrust-after 2030-01-01: a leaf from later is refused")
        if flags & 16:
            yield reader.take(1, f"path length {reader.number(1)}: no CA below this one")
        if flags & 32:
            suffixes = reader.number(1)
            yield reader.take(1, f"{suffixes} DNS suffix")
            for _ in range(suffixes):
                size = reader.number(1)
                yield reader.take(1, f"of {size} bytes")
                yield reader.take(size, f"`{data[reader.at : reader.at + size].decode()}`")
        yield reader.take(64, "the key: x and y of the point")
    for _ in range(blocked):
        yield reader.take(16, "blocked key: first 16 bytes of SHA-256 of its SubjectPublicKeyInfo")
    if reader.at != len(data):
        raise SystemExit("not every byte was explained")


def table() -> str:
    """The Markdown between the markers of the page."""
    data = example()
    lines = ["| offset | bytes | field |", "|---|---|---|"]
    lines += [f"| {offset} | `{shown}` | {text} |" for offset, shown, text in rows(data)]
    dump = [f"{at:04x}  {data[at : at + 16].hex(' ')}" for at in range(0, len(data), 16)]
    return "\n".join(
        [
            f"{len(data)} bytes:",
            "",
            "<!-- not run: tests/docs/test_store_example.py lets the board read these bytes of the example -->",
            "```text",
            *dump,
            "```",
            "",
            *lines,
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where to write the store")
    parser.add_argument("--docs", action="store_true", help="write the table of docs/store-format.md")
    parser.add_argument("--check", action="store_true", help="compare the table with the code")
    arguments = parser.parse_args()
    if arguments.file:
        arguments.file.write_bytes(example())
    elif arguments.docs:
        write_block(PAGE, "example", table())
    elif arguments.check:
        if table() not in PAGE.read_text(encoding="utf-8"):
            print("docs/store-format.md is not what the code makes: store_example.py --docs", file=sys.stderr)
            return 1
    else:
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
