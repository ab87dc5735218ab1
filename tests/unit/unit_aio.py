"""rootlet.aio.Stream: what its reads make of a stream that ends, or has no end of line."""

import asyncio
import sys

from make import raises
from run import Skip


class Connection:
    """Has everything at once, then the end."""

    def __init__(self, data):
        self._data = data

    def readinto(self, buffer):
        n = min(len(buffer), len(self._data))
        buffer[:n] = self._data[:n]
        self._data = self._data[n:]
        return n

    def readline(self, limit):
        end = self._data.find(b"\n") + 1 or len(self._data)
        if limit >= 0:
            end = min(end, limit)
        line, self._data = self._data[:end], self._data[end:]
        return line


def stream(data):
    if sys.implementation.name != "micropython":
        raise Skip("it stands on MicroPython's asyncio")
    from rootlet.aio import Stream

    return Stream(Connection(data), None)


def test_readexactly_returns_what_was_asked_for_or_says_that_the_stream_is_over():
    reader = stream(b"abcdef")
    assert asyncio.run(reader.readexactly(4)) == b"abcd"
    raises(EOFError, asyncio.run, reader.readexactly(4))
    assert asyncio.run(stream(b"abcd").readexactly(0)) == b""


def test_readline_ends_at_a_line_the_limit_or_the_end():
    reader = stream(b"one\ntwothree\nfour")
    assert asyncio.run(reader.readline()) == b"one\n"
    assert asyncio.run(reader.readline(3)) == b"two"
    assert asyncio.run(reader.readline(99)) == b"three\n"
    assert asyncio.run(reader.readline()) == b"four"
    assert asyncio.run(reader.readline()) == b""


def test_read_returns_what_there_is_or_all_of_it():
    reader = stream(b"abc" * 500)
    assert asyncio.run(reader.read(0)) == b""
    assert asyncio.run(reader.read(4)) == b"abca"
    assert asyncio.run(reader.read()) == (b"abc" * 500)[4:]
    assert asyncio.run(reader.read(4)) == b""
