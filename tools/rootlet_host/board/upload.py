"""Turns bytes into the pieces of source text that carry them to a board."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

# Escaped: what the raw REPL takes for commands (Ctrl-A to Ctrl-E), what ends a line or a literal, and NUL.
_ESCAPES = {byte: b"\\x%02x" % byte for byte in range(6)} | {10: b"\\n", 13: b"\\r", 39: b"\\'", 92: b"\\\\"}
_TABLE = [_ESCAPES.get(byte, bytes([byte])) for byte in range(256)]

# Unpacks raw deflate data; absent on firmware without the module (module deflate: MicroPython v1.21).
INFLATE = """
try:
 from deflate import DeflateIO as _D, RAW as _R
 from io import BytesIO as _B
 def _z(b):
  return _D(_B(b), _R, %d).read()
except ImportError:
 pass
"""
_MIN_CHUNK_BYTES, _MAX_CHUNK_BYTES = 256, 4096
# A chunk is on the board's heap as source text being scanned, as a bytes object and, if packed, as the unpacked bytes,
# beside what is left of the chunk before; its buffers grow by doubling.
_HEAP_PER_CHUNK_BYTE = 12
_WORTHWHILE = 0.9


def literal(data: bytes) -> bytes:
    """`data` as a bytes literal of MicroPython, which takes bytes above 0x7f as they are."""
    return b"b'" + b"".join([_TABLE[byte] for byte in data]) + b"'"


def chunk_bytes(heap_free_bytes: int) -> int:
    """How much to send at once to a board with so much free heap."""
    size = _MIN_CHUNK_BYTES
    while size < _MAX_CHUNK_BYTES and 2 * size * _HEAP_PER_CHUNK_BYTE <= heap_free_bytes:
        size *= 2
    return size


def window_bits(heap_free_bytes: int) -> int:
    """The size of the window to pack with, as a power of two: the board keeps such a window while it unpacks."""
    return 12 if heap_free_bytes > 64 * 1024 else 9


def pieces(data: bytes, size: int, packed_bits: int | None) -> Iterator[tuple[int, bytes]]:
    """`(bytes of data, expression for them)` in order. With `packed_bits`, those that become smaller are packed."""
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        plain = literal(chunk)
        if packed_bits is not None:
            packer = zlib.compressobj(9, zlib.DEFLATED, -packed_bits)
            packed = b"_z(" + literal(packer.compress(chunk) + packer.flush()) + b")"
            if len(packed) < _WORTHWHILE * len(plain):
                yield len(chunk), packed
                continue
        yield len(chunk), plain
