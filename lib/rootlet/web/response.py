"""A response of the HTTP client: limited, decoded and digested while it streams. At its end the connection is free."""

from micropython import const

from ..http import Response

_PIECE = const(1024)
_DRAIN = const(4096)
_MAX_HEAD = const(16384)  # as in ..http
_REDIRECTS = const((301, 302, 303, 307, 308))  # RFC 9110, 15.4
_ZERO = const(48)  # of HTTP/1.0


class ClientResponse(Response):
    """What a server answered. `status`, `reason`, `headers` (names in lower case) and `url`, where redirects ended.

    The methods of an AsyncClient's response are awaited. The body is never held, but by `read` and `json`.
    Every failure closes the connection: TruncationError for a body that is cut, DeadlineError, HTTPError for one that
    breaks HTTP or is longer than `max_bytes`, DigestError for one that is not what it should be.
    """

    def __init__(self, client, link, message, max_bytes, sha256):
        self.connection = link.connection
        self.url = message.url
        self._client = client
        self._do = client.do
        self._link = link
        self._message = message
        self._max_bytes = max_bytes
        self._digest = sha256
        self._hash = None
        self._decoder = None
        self._over = False
        self.received = 0  # bytes of the body so far, decoded

    def begin(self):
        """Reads the head."""
        method = self._message.method
        yield from self._link.until(self._start(method))
        self._until_close = self._left < 0
        # A redirect's body is not what was asked for, and that of HEAD does not come.
        if self._digest is not None and not 300 <= self.status < 400 and method != "HEAD":
            from hashlib import sha256

            self._hash = sha256()
        if self._left == 0 and not self._chunked:
            return self._complete()
        if self.leads():
            self._max_bytes = None  # `drain`, which is all that reads it, has limits of its own
            return
        if self._max_bytes is not None and self._left > self._max_bytes:
            self._refuse("the response has %d bytes, more than %d" % (self._left, self._max_bytes), "Raise max_bytes")
        coding = self.headers.get("content-encoding", "identity").lower()
        if coding != "identity":
            from .inflate import Inflater

            self._decoder = Inflater(self, coding)

    def leads(self):
        """Whether it is a redirect to somewhere."""
        return self.status in _REDIRECTS and "location" in self.headers

    def was_heard(self):
        """Whether any of the response came."""
        return hasattr(self, "_room") and (self._room < _MAX_HEAD or hasattr(self, "status"))

    # What the application calls. `do` runs a generator to its end, or returns it to be awaited.

    def readinto(self, buffer):
        """Fills the beginning of `buffer` with what there is, at least one byte; returns how many, 0 at the end."""
        return self._do(self._readinto(buffer))

    def read(self, n=-1):
        """`n` bytes, fewer only at the end; without `n` everything, which must fit into memory."""
        return self._do(self._read(n))

    def json(self):
        """The object that the body is in JSON. Raises HTTPError if it is none."""
        return self._do(self._json())

    def save(self, file):
        """Writes the body to `file`: an object with `write`, or a path, which then holds all of it or what it held
        before. Returns its bytes."""
        return self._do(self._save(file))

    def close(self):
        """Gives the connection back if the body was read to its end, and closes it otherwise."""
        if not self._over:
            self._link.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    # Generators.

    def _readinto(self, buffer):
        if self._over or not len(buffer):
            return 0
        try:
            decoder = self._decoder
            n = yield from self.wire(buffer) if decoder is None else decoder.readinto(buffer)
            if n:
                self._count(buffer, n)
            if not n or (decoder is None and not self._left and not self._chunked):
                self._complete()
            return n
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                from ..diagnosis import from_transport

                error = from_transport(error, "while the body came")
            raise error

    def wire(self, buffer):
        """The next bytes as they were sent, into `buffer`."""
        link = self._link
        if self._chunked and not self._left:
            yield from link.until(self._next_chunk())
        while True:
            n = self._take(buffer)
            if n is not None:
                link.left_ms()  # a server that never lets us wait
                return n
            yield from link.wait()

    def _count(self, buffer, n):
        self.received += n
        if self._max_bytes is not None and self.received > self._max_bytes:
            self._refuse("the response has more than %d bytes" % self._max_bytes, "Raise max_bytes")
        if self._hash is not None:
            self._hash.update(buffer if n == len(buffer) else memoryview(buffer)[:n])

    def _complete(self):
        """The body came to its end."""
        if self._hash is not None:
            found = self._hash.digest()
            if found != self._digest:
                from ..errors import DigestError

                self.close()
                raise DigestError("the SHA-256 of %s is %s" % (self.url, hexadecimal(found)))
        self._over = True
        # How HTTP/1.0 frames its messages is not trusted any further than this one (RFC 9112, 6.1).
        keep = self._version != _ZERO and not self._until_close
        self._client.give_back(self._link, keep and "close" not in self.headers.get("connection", "").lower())

    def drain(self):
        """Reads what is left of a short body, so that the connection can serve the next request; or closes it."""
        if self._left < 0 or self._left > _DRAIN:
            return self.close()
        buffer = bytearray(256)
        while not self._over and self.received < _DRAIN:
            yield from self._readinto(buffer)
        self.close()

    def _read(self, n):
        left = n
        if n < 0:
            left = self._left if self._left > 0 and not self._chunked and self._decoder is None else _PIECE
        buffer = bytearray(left)
        got = 0
        while True:
            more = yield from self._readinto(memoryview(buffer)[got:])
            got += more
            if not more or got == n:
                break
            if got == len(buffer):
                if self._over:
                    break
                buffer.extend(bytes(min(got, 4 * _PIECE)))
        return bytes(memoryview(buffer)[:got])

    def _json(self):
        body = yield from self._read(-1)
        try:
            from json import loads

            return loads(body)
        except ValueError as error:
            from ..errors import HTTPError

            raise HTTPError("the body of %s is no JSON" % self.url, None, error)

    def _save(self, file):
        if isinstance(file, str):
            from .download import no_room, remove, replace

            part = file + ".part"
            try:
                with open(part, "wb") as target:
                    n = yield from self._save(target)
            except BaseException as error:
                self.close()
                remove(part)
                raise no_room(error, file)
            replace(part, file)
            return n
        buffer = bytearray(_PIECE)
        view = memoryview(buffer)
        before = self.received
        while True:
            n = yield from self._readinto(buffer)
            if not n:
                return self.received - before
            try:
                file.write(buffer if n == _PIECE else view[:n])
            except BaseException:
                self.close()
                raise


def digest_of(sha256):
    """32 bytes of a SHA-256 that is given as bytes or in hexadecimal. Raises ConfigError."""
    if sha256 is None:
        return None
    try:
        from binascii import unhexlify

        digest = unhexlify(sha256) if isinstance(sha256, str) else bytes(memoryview(sha256))
    except (ValueError, TypeError):  # bytes of a number would be so many zeros
        digest = b""
    if len(digest) != 32:
        from .message import refuse

        refuse("sha256 is no SHA-256 digest", "Give 32 bytes, or 64 hexadecimal digits")
    return digest


def hexadecimal(data):
    from binascii import hexlify

    return str(hexlify(data), "ascii")
