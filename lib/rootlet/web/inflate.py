"""Decodes gzip and deflate while they come (RFC 9110, 8.4.1), through module `deflate`.

`deflate` pulls its input from a stream and cannot stop in the middle of a symbol, so its stream is a buffer in memory
that always holds more than it can want for the next few bytes of output.
"""

from io import BytesIO

from micropython import const

from ..errors import HTTPError, TruncationError

_SIZE = const(2048)
# Of output at a time. DEFLATE takes at most 15 bits for a literal and 48 for three bytes or more, so 256 bytes need
# less than 520, and at most 570 for the code lengths of a block that begins there (RFC 1951, 3.2).
_STEP = const(256)
_AHEAD = const(1280)


class Inflater:
    def __init__(self, response, coding):
        if coding not in ("gzip", "x-gzip", "deflate"):
            response._refuse("the response comes in the coding %s" % coding[:40], "Ask for another: Accept-Encoding")
        try:
            import deflate
        except ImportError:
            response._refuse("the response is compressed, and this firmware has no module deflate", "Ask for another")
        self._deflate = deflate
        self._response = response
        self._raw_allowed = coding == "deflate"
        self._source = None
        self._fresh = bytearray(_SIZE - _AHEAD)
        self._wire_over = False

    def readinto(self, buffer):
        yield from self._fill()
        try:
            if self._source is None:
                n = 0  # nothing came at all
            else:
                n = self._stream.readinto(buffer if len(buffer) <= _STEP else memoryview(buffer)[:_STEP])
        except EOFError as error:
            if self._wire_over:
                raise TruncationError("the compressed body ends too early", None, error)
            raise HTTPError("the compressed body has blocks that are too long for a board", None, error)
        except OSError as error:
            raise HTTPError("the compressed body is damaged", None, error)
        if not n:
            yield from self._end()
        return n

    def _left(self):
        return 0 if self._source is None else _SIZE - self._source.tell()

    def _fill(self):
        """Brings so much input into the buffer that the next step cannot run dry."""
        fresh = memoryview(self._fresh)
        while not self._wire_over and self._left() < _AHEAD:
            got = 0
            while got < len(fresh):
                n = yield from self._response.wire(fresh[got:])
                if not n:
                    self._wire_over = True
                    break
                got += n
            if not got:
                return
            source = self._source
            if source is None:
                source = BytesIO(bytes(_SIZE))
                old = b""
            else:
                old = source.read()
            # To the right, because the end of the buffer is the end of the stream.
            start = _SIZE - len(old) - got
            source.seek(start)
            source.write(old)
            source.write(fresh[:got])
            source.seek(start)
            if self._source is None:
                self._source = source
                self._stream = self._open(source)

    def _open(self, source):
        deflate = self._deflate
        first = self._fresh
        kind = deflate.GZIP
        if self._raw_allowed:
            # It should be a zlib stream, and some servers send it without zlib's header (RFC 9110, 8.4.1.2).
            header = first[0] & 15 == 8 and (first[0] << 8 | first[1]) % 31 == 0
            kind = deflate.ZLIB if header else deflate.RAW
        return deflate.DeflateIO(source, kind, 0 if kind == deflate.ZLIB else 15)

    def _end(self):
        """The compressed stream is over; the body must be, too."""
        if not self._left() and not self._wire_over:
            self._wire_over = not (yield from self._response.wire(memoryview(self._fresh)[:1]))
        if self._left() or not self._wire_over:
            raise HTTPError("there is something behind the compressed body")
