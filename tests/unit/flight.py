"""What a server sends in a handshake, and a transport that delivers it in pieces: on both interpreters."""

from rootlet.observer import HandshakeObserver

ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23
CHANGE_CIPHER_SPEC = 20


def u16(n):
    return bytes((n >> 8, n & 0xFF))


def u24(n):
    return bytes((n >> 16, n >> 8 & 0xFF, n & 0xFF))


def record(body, kind=HANDSHAKE, version=b"\x03\x03"):
    """One record (RFC 5246, 6.2.1)."""
    return bytes((kind,)) + version + u16(len(body)) + body


def message(kind, body):
    """One handshake message (RFC 5246, 7.4)."""
    return bytes((kind,)) + u24(len(body)) + body


def certificate_message(*certificates):
    entries = b"".join([u24(len(der)) + der for der in certificates])
    return message(11, u24(len(entries)) + entries)


SERVER_HELLO = message(2, b"\x03\x03" + bytes(32) + b"\0\xc0\x2b\0" + b"\0\0")
SERVER_KEY_EXCHANGE = message(12, bytes(140))
SERVER_HELLO_DONE = message(14, b"")


class Transport:
    """Delivers `segments`, at most one with each call, then the end of the stream.

    A segment may be bytes; None, for "nothing yet"; or an exception, which is raised. Like a socket, it gives what is
    asked for or less, and remembers every size that was asked for.
    """

    def __init__(self, *segments, most=65536):
        self._segments = list(segments)
        self._most = most  # bytes in one call
        self._at = 0
        self.asked = []
        self.written = b""
        self.closed = 0

    def readinto(self, buffer):
        self.asked.append(len(buffer))
        if not self._segments:
            return 0
        segment = self._segments[0]
        if segment is None:
            self._segments.pop(0)
            return None
        if not isinstance(segment, (bytes, bytearray, memoryview)):
            self._segments.pop(0)
            raise segment
        n = min(len(buffer), len(segment) - self._at, self._most)
        buffer[:n] = segment[self._at : self._at + n]
        self._at += n
        if self._at == len(segment):
            self._segments.pop(0)
            self._at = 0
        return n

    def write(self, buffer):
        if self._segments and isinstance(self._segments[0], BaseException):
            raise self._segments.pop(0)
        self.written += bytes(buffer)
        return len(buffer)

    def close(self):
        self.closed += 1


class Reader:
    """Reads through an observer as Mbed TLS does: five bytes of a record, then exactly its body, into one buffer.

    It checks that what the observer asks the transport for is what it was asked for, and no more.
    """

    MARGIN = 64

    def __init__(self, transport, on_issuer=None):
        self.names = []
        self.transport = transport
        self.observer = HandshakeObserver(transport, on_issuer or self.names.append)
        self._buffer = bytearray(17000 + self.MARGIN)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self.records = 0

    def _fetch(self, end):
        """Reads up to `end`. Returns the observer's answer when it is no number of bytes."""
        while self._filled < end:
            want = end - self._filled
            calls = len(self.transport.asked)
            n = self.observer.readinto(self._view[self._filled : end])
            asked = self.transport.asked[calls:]
            assert asked == [want], (asked, want)
            if n is None:
                continue
            if n <= 0:
                return n
            assert n <= want
            self._filled += n
        return None

    def run(self):
        """Until the transport ends or the observer says no; returns its last answer: 0 or a negative errno."""
        while True:
            result = self._fetch(5)
            if result is None:
                self._buffer[5 + self._size() : 5 + self._size() + self.MARGIN] = b"\xee" * self.MARGIN
                result = self._fetch(5 + self._size())
            if result is not None:
                return result
            self._filled = 0
            self.records += 1

    def _size(self):
        # A record with a longer body would be refused by Mbed TLS.
        return min(self._buffer[3] << 8 | self._buffer[4], 16384 + 256)


def issuers(*segments, **options):
    """The issuer names that an observer hands out when these segments come; nothing may go wrong."""
    reader = Reader(Transport(*segments, **options))
    result = reader.run()
    assert result == 0 and reader.observer.error is None, (result, reader.observer.error)
    assert reader.observer.ended
    return reader.names


def each(data, size=1):
    """`data` in segments of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]
