"""A verified HTTPS GET whose body streams through the caller's buffer (RFC 9110, RFC 9112). `Client` does the rest."""

from time import ticks_diff, ticks_ms

from micropython import const

_MAX_LINE = const(4096)
_MAX_HEAD = const(16384)
_FIELD = const(128)  # what reading a header field takes in memory besides its text
_MAX_INTERIM = const(8)  # 1xx responses before the real one
_UNTIL_CLOSE = const(-1)
_FIRST_CHUNK = const(1)
_LATER_CHUNK = const(2)
_CHUNK = const(512)
_PIECE = const(128)
_HEX = const(b"0123456789abcdefABCDEF")
_CODING = const("transfer-encoding")
_LENGTH = const("content-length")


def split_url(url, wanted="https", port=443):
    """(host, port, target) of a URL with the scheme `wanted`, whose default port is `port`. Raises ConfigError."""
    scheme, _, rest = url.partition("://")
    host = rest
    for mark in "/?#":
        host = host.partition(mark)[0]
    target = rest[len(host) :].partition("#")[0]
    digits = str(port)
    colon = host.rfind(":")
    if colon > host.rfind("]"):
        host, digits = host[:colon], host[colon + 1 :]
    fault = None
    if scheme.lower() != wanted or not host or "@" in host or not digits.isdigit() or not 0 < int(digits) < 65536:
        fault = "url"
    elif not "!" <= min(rest) <= max(rest) <= "~":
        fault = "character"
    if fault:
        from .http_faults import failure

        raise failure(fault, (url, wanted))
    return host, int(digits), target if target[:1] == "/" else "/" + target


class Response:
    """What a server answered. `status` (int), `reason`, `headers` (names in lower case; repeated ones joined by ", "),
    `connection`. The body is read as it comes and never held.

    The generators yield whenever a non-blocking connection has nothing for now.
    """

    _step_ms = None  # for one `readinto`, or an eighth less; None: as long as the connection lets it

    def __init__(self, connection, method="GET"):
        """Reads the head of the response. Raises HTTPError; a TLSError of the connection passes through."""
        self.connection = connection
        for _ in self._start(method):
            pass

    def _start(self, method):
        self._room = _MAX_HEAD
        for _ in range(_MAX_INTERIM):
            yield from self._read_head()
            if self.status >= 200:
                break
        else:
            self._refuse("interim")
        coding = self.headers.get(_CODING)
        length = self.headers.get(_LENGTH)
        left = chunked = 0
        if method != "HEAD" and self.status != 204 and self.status != 304:
            if coding is not None:
                # Both, or an unknown coding: somebody may mean another end of the message than we do (RFC 9112, 6.3).
                if coding.lower() != "chunked" or length is not None:
                    self._refuse("ambiguous")
                chunked = _FIRST_CHUNK
            elif length is None:
                left = _UNTIL_CLOSE
            elif length.isdigit() and len(length) < 16:
                left = int(length)
            else:
                self._refuse("length", length[:40])
        self._chunked = chunked
        self._left = left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def _refuse(self, fault, detail=None):
        """Closes and raises what http_faults.failure makes of these."""
        from .http_faults import failure

        self.close()
        raise failure(fault, detail)

    def _line(self):
        line = b""
        while line[-1:] != b"\n":
            if len(line) >= _MAX_LINE or self._room < 0:
                self._refuse("long")
            # In pieces, because `readline` allocates beforehand as much as it may return.
            piece = self.connection.readline(_PIECE)
            if piece is None:
                yield
            elif piece:
                line += piece
                self._room -= len(piece)
            else:
                self._refuse("cut-line")
        line = line[: -2 if line[-2:] == b"\r\n" else -1]
        if b"\r" in line or b"\0" in line:
            self._refuse("control")  # somebody may see another line there (RFC 9112, 2.2, and RFC 9110, 5.5)
        return line

    def _read_head(self):
        line = yield from self._line()
        status = line[9:12]
        good = line[:7] == b"HTTP/1." and line[8:9] == b" " and len(status) == 3 and status.isdigit()
        if not good or line[12:13].strip():
            self._refuse("no-http", line[:40])
        self._version = line[7]
        self.status = int(status)
        self.reason = _text(line[13:])
        self.headers = headers = {}
        while True:
            line = yield from self._line()
            if not line:
                return
            name, colon, value = line.partition(b":")
            self._room -= _FIELD
            if not colon or not name or name != name.strip():
                self._refuse("header")
            name = _text(name).lower()
            value = _text(value.strip(b" \t"))  # and nothing else: others would not take it for a space
            known = headers.get(name)
            if known is not None and (name != _LENGTH or known != value):
                if name == _LENGTH or name == _CODING:
                    self._refuse("ambiguous")
                value = known + ", " + value
            headers[name] = value

    def readinto(self, buffer):
        """Fills `buffer` with the next bytes of the body; returns how many, 0 at its end.

        Raises TruncationError when the connection ends before the body does.
        """
        step_ms = self._step_ms
        if step_ms is not None and (self._left or self._chunked):
            # Now and then only: it costs a system call, and most reads find what they want.
            now_ms = ticks_ms()
            if ticks_diff(now_ms, self._since_ms) > step_ms >> 3:  # type: ignore[has-type]
                self._since_ms = now_ms
                self.connection.set_deadline(step_ms)
        if self._chunked and not self._left:
            for _ in self._next_chunk():
                pass
        return self._take(buffer)

    def _take(self, buffer):
        """Reads what is left of a chunk, or of a body that has none. None: nothing has come yet."""
        left = self._left
        n = len(buffer)
        if left and n:
            n = self.connection.readinto(buffer, n if left < 0 else min(n, left))
            if n and left > 0:
                self._left -= n
            elif n == 0:
                if left > 0:
                    self._refuse("cut-body", left)
                self._left = 0
            return n
        return 0

    def _next_chunk(self):
        """Reads the line before a chunk, and behind the last one the end of the body (RFC 9112, 7.1)."""
        if self._chunked == _LATER_CHUNK and (yield from self._line()):
            self._refuse("chunk-end")
        self._chunked = _LATER_CHUNK
        self._room = _MAX_HEAD
        size = (yield from self._line()).partition(b";")[0].strip(b" \t")
        if size.strip(_HEX) or not 0 < len(size) <= 8:
            self._refuse("chunk")
        self._left = int(size, 16)
        if not self._left:
            while (yield from self._line()):  # trailer fields
                pass
            self._chunked = 0

    def read(self, n=-1):
        """`n` bytes of the body, fewer only at its end; without `n` all of it, which must fit into memory."""
        buffer = bytearray(_CHUNK if n < 0 else n)
        view = memoryview(buffer)
        got = 0
        body = b""
        while n < 0 or got < n:
            more = self.readinto(view[got:])
            if not more:
                break
            got += more
            if n < 0:
                body += view[:got]
                got = 0
        return body if n < 0 else bytes(view[:got])


def _text(data):
    try:
        return str(data, "utf-8")
    except UnicodeError:
        return "".join(map(chr, data))


def get(url, context, headers=None, timeout_ms=10_000, address=None, transport=None, progress=None):
    """GET `url` (https only) and return a Response, whose `close` also closes the connection.

    `headers`: a dict of further header fields. `timeout_ms`: for everything up to the end of the handshake together,
    then for the response's head, then for each `readinto`, however slowly bytes drip in. `progress()` is called when
    the server is verified: a watchdog need not wait for two of these in a row.
    Raises ConfigError, HTTPError, and what `connect` raises.
    """
    from . import connect

    host, port, target = split_url(url)
    there = host if port == 443 else "%s:%d" % (host, port)
    request = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" % (target, there)
    if headers:
        from .http_fields import lines

        request += lines(headers)
    # An IPv6 address stands in brackets in a URL, and without them everywhere else.
    connection = connect(host.strip("[]"), port, context, None, address, timeout_ms, transport)
    try:
        if progress:
            progress()
        began_ms = ticks_ms()
        connection.set_deadline(timeout_ms)
        connection.write((request + "\r\n").encode())
        response = Response(connection)
        response._step_ms = timeout_ms
        response._since_ms = began_ms
        return response
    except BaseException:
        connection.close()
        raise


def __getattr__(name):
    # What only the full client needs costs nothing until it is asked for.
    if name == "Client":
        from .web.client import Client as value
    elif name == "AsyncClient":
        from .web.aio import AsyncClient as value
    else:
        raise AttributeError(name)
    return value
