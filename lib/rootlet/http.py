"""A verified HTTPS GET whose body streams through the caller's buffer (RFC 9110, RFC 9112). `Client` does the rest."""

from micropython import const

_MAX_LINE = const(4096)
_MAX_HEAD = const(16384)
_MAX_INTERIM = const(8)  # 1xx responses before the real one
_UNTIL_CLOSE = const(-1)
_CHUNK = const(512)
_PIECE = const(128)
_HEX = b"0123456789abcdefABCDEF"
_SEPARATORS = '"(),/:;<=>?@[\\]{}'
_OURS = ("host", "connection", "content-length", "transfer-encoding")


def split_url(url, wanted="https", port=443):
    """(host, port, target) of a URL with the scheme `wanted`, whose default port is `port`. Raises ConfigError."""
    scheme, _, rest = url.partition("://")
    at = len(rest)
    for mark in "/?#":
        found = rest.find(mark)
        if 0 <= found < at:
            at = found
    host, target = rest[:at], rest[at:].partition("#")[0]
    colon = host.rfind(":")
    digits = str(port)
    if colon > host.rfind("]"):
        host, digits = host[:colon], host[colon + 1 :]
    if scheme.lower() != wanted or not host or "@" in host or not digits.isdigit() or not 0 < int(digits) < 65536:
        from .errors import ConfigError

        raise ConfigError("cannot fetch %s" % url, "Give %s://host[:port]/path, without user or password" % wanted)
    port = int(digits)
    if target[:1] != "/":
        target = "/" + target
    for c in rest:
        if not 0x20 < ord(c) < 0x7F:
            from .errors import ConfigError

            raise ConfigError("the URL has a character that must be percent-encoded", "Encode it: %20 for a space")
    return host, port, target


class Response:
    """What a server answered. `status` (int), `reason`, `headers` (names in lower case; repeated ones joined by ", "),
    `connection`. The body is read as it comes and never held.

    The generators yield whenever a non-blocking connection has nothing for now.
    """

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
            self._refuse("the server sends interim responses without end")
        self._chunked = False
        self._first_chunk = True
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if method == "HEAD" or self.status == 204 or self.status == 304:
            self._left = 0
        elif coding is not None:
            # Both, or an unknown coding: somebody may mean another end of the message than we do (RFC 9112, 6.3).
            if coding.lower() != "chunked" or length is not None:
                self._refuse("the length of the response is ambiguous")
            self._chunked = True
            self._left = 0
        elif length is not None:
            if not length.isdigit() or len(length) > 15:
                self._refuse("the server gives the length of the response as %s" % length[:40])
            self._left = int(length)
        else:
            self._left = _UNTIL_CLOSE

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def _refuse(self, message, remedy=None):
        from .errors import HTTPError

        self.close()
        raise HTTPError(message, remedy)

    def _cut(self, message):
        from .errors import TruncationError

        self.close()
        raise TruncationError(message)

    def _line(self):
        line = b""
        while len(line) < _MAX_LINE:
            # In pieces, because `readline` allocates beforehand as much as it may return.
            piece = self.connection.readline(_PIECE)
            if piece is None:
                yield
                continue
            line += piece
            if piece[-1:] == b"\n" or not piece:
                break
        self._room -= len(line)
        if line[-1:] != b"\n" and len(line) < _MAX_LINE:
            self._cut("the response ends too early, in the middle of a line")
        if line[-1:] != b"\n" or self._room < 0:
            self._refuse("a line of the response, or all of them together, are too long", "This may be no HTTP server")
        return line.rstrip(b"\r\n")

    def _read_head(self):
        line = yield from self._line()
        status = line[9:12]
        digits = len(status) == 3 and status.isdigit() and not line[12:13].strip()
        if line[:7] != b"HTTP/1." or line[8:9] != b" " or not digits:
            self._refuse("the server does not speak HTTP/1: %s" % line[:40])
        self._version = line[7]
        self.status = int(status)
        self.reason = _text(line[13:])
        self.headers = {}
        while True:
            line = yield from self._line()
            if not line:
                return
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                self._refuse("the server sent a malformed header line")
            name = _text(name).lower()
            value = _text(value.strip(b" \t"))  # and nothing else: others would not take it for a space
            known = self.headers.get(name)
            if known is None:
                self.headers[name] = value
            elif name == "content-length" and known != value or name == "transfer-encoding":
                self._refuse("the length of the response is ambiguous")
            elif name != "content-length":
                self.headers[name] = known + ", " + value

    def readinto(self, buffer):
        """Fills `buffer` with the next bytes of the body; returns how many, 0 at its end.

        Raises TruncationError when the connection ends before the body does.
        """
        if self._chunked and not self._left:
            for _ in self._next_chunk():
                pass
        return self._take(buffer)

    def _take(self, buffer):
        """Reads what is left of a chunk, or of a body that has none. None: nothing has come yet."""
        left = self._left
        if left and len(buffer):
            n = self.connection.readinto(buffer, len(buffer) if left < 0 else min(len(buffer), left))
            if n:
                self._left -= n if left > 0 else 0
            elif n == 0:
                if left > 0:
                    self._cut("the response ends %d bytes too early" % left)
                self._left = 0
            return n
        return 0

    def _next_chunk(self):
        """Reads the line before a chunk, and behind the last one the end of the body (RFC 9112, 7.1)."""
        if self._first_chunk:
            self._first_chunk = False
        elif (yield from self._line()):
            self._refuse("a chunk of the response has not the length that it said")
        self._room = _MAX_HEAD
        size = (yield from self._line()).partition(b";")[0].strip(b" \t")
        for c in size:
            if c not in _HEX:
                size = b""
        if not 0 < len(size) <= 8:
            self._refuse("a chunk of the response has no length")
        self._left = int(size, 16)
        if not self._left:
            while (yield from self._line()):  # trailer fields
                pass
            self._chunked = False

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
        return "".join(chr(c) for c in data)


def _field(name, value):
    """A line of the request. Raises ConfigError for what would break it (RFC 9110, 5.1 and 5.5)."""
    good = name and name.lower() not in _OURS
    for c in name:
        good = good and " " < c < "\x7f" and c not in _SEPARATORS
    for c in value:
        good = good and (c >= " " or c == "\t") and c != "\x7f"
    if not good:
        from .errors import ConfigError

        raise ConfigError("the header field %s would break the request" % repr(name), "Correct its name or its value")
    return "%s: %s\r\n" % (name, value)


def get(url, context, headers=None, timeout_ms=10_000, address=None, transport=None):
    """GET `url` (https only) and return a Response, whose `close` also closes the connection.

    `headers`: a dict of further header fields. Raises ConfigError, HTTPError, and what `connect` raises.
    """
    from .connection import connect

    host, port, target = split_url(url)
    there = host if port == 443 else "%s:%d" % (host, port)
    request = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" % (target, there)
    for name in headers or ():
        request += _field(name, str(headers[name]))
    # An IPv6 address stands in brackets in a URL, and without them everywhere else.
    connection = connect(host.strip("[]"), port, context, None, address, timeout_ms, transport)
    try:
        connection.write((request + "\r\n").encode())
        return Response(connection)
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
