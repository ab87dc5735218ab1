"""Writes trust store files and records by docs/store-format.md, right or wrong, on both interpreters."""

import os
from binascii import hexlify
from hashlib import sha256

RSA, P256, P384, P521, OTHER, EXACT = range(6)


def u16(n):
    return bytes((n & 0xFF, n >> 8 & 0xFF))


def u32(n):
    return u16(n) + u16(n >> 16)


def record(kind=P256, key=None, **limits):
    """A record. Limits: not_before, not_after, distrust_after, path_length, suffixes, constraints."""
    get = limits.get
    if key is None:
        key = bytes(range(64)) if kind == P256 else b"\x77" * {RSA: 256, P384: 96, P521: 132}.get(kind, 20)
    flags = kind
    parts = []
    if get("distrust_after") is not None:
        flags |= 0x08
        parts.append(u32(get("distrust_after")))
    if get("path_length") is not None:
        flags |= 0x10
        parts.append(bytes((get("path_length"),)))
    if get("suffixes") is not None:
        flags |= 0x20
        suffixes = [bytes((len(suffix),)) + suffix.encode() for suffix in get("suffixes")]
        parts.append(bytes((len(suffixes),)) + b"".join(suffixes))
    if get("constraints") is not None:
        flags |= 0x40
        parts.append(u16(len(get("constraints"))) + get("constraints"))
    times = u32(get("not_before", 1_600_000_000)) + u32(get("not_after", 2_000_000_000))
    return bytes((flags,)) + times + b"".join(parts) + key


def store(anchors, blocked=(), publisher=b"", envelope=b"", **header):
    """A store file. `anchors`: pairs (subject name, record); `blocked`: digests. `header` overrides fields by name."""
    get = header.get
    entries = sorted([(sha256(name).digest()[:5], content) for name, content in anchors])
    index = []
    at = 0
    for key, content in entries:
        index.append(key + u32(at)[:3])
        at += len(content)
    digests = b"".join(sorted([digest[:16] for digest in blocked]))
    body = b"".join(index + [content for _, content in entries]) + digests + publisher
    start = b"".join(
        (
            b"RTLT",
            bytes((get("version", 1), get("flags", 0))),
            u16(get("count", len(entries))),
            u32(get("sequence", 7)),
            u32(get("issued_at", 1_700_000_000)),
            u32(get("not_used_after", 0)),
            u32(get("body", len(body))),
            u16(get("blocked_count", len(digests) // 16)),
            u16(get("publisher_size", len(publisher))),
            get("series", bytes(4)),
        )
    )
    return start + sha256(start + body).digest() + body + envelope


def signature(leaf=b"leaf" * 60, key=b"key" * 20):
    """An envelope (of no genuine signature)."""
    content = b"SIGN" + u16(len(leaf)) + leaf + u16(len(key)) + key
    return content + sha256(content).digest()[:4]


class File:
    """A file for a test: `with File(data) as path`."""

    def __init__(self, data):
        self._data = data
        self.path = "/tmp/rootlet-unit-" + str(hexlify(os.urandom(8)), "ascii")

    def __enter__(self):
        self.write(self._data)
        return self

    def __exit__(self, *_):
        try:  # noqa: SIM105
            os.remove(self.path)  # noqa: PTH107
        except OSError:
            pass

    def write(self, data):
        with open(self.path, "wb") as file:  # noqa: PTH123
            file.write(data)
