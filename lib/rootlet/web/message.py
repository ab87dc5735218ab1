"""A request: what is asked, of whom, with which body."""

from micropython import const

from ..http import split_url
from ..http_fields import field

_PIECE = const(1024)
# May be sent again when nobody knows whether the first time arrived (RFC 9110, 9.2.2).
_IDEMPOTENT = const(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))


def refuse(message, remedy):
    from ..errors import ConfigError

    raise ConfigError(message, remedy)


def base64(user, password):
    """The credentials of HTTP's Basic scheme (RFC 7617)."""
    from binascii import b2a_base64

    if ":" in user:
        refuse("a user name with a colon cannot be sent", "RFC 7617 has no way to")
    return str(b2a_base64(("%s:%s" % (user, password)).encode()), "ascii").rstrip()


class Message:
    """One request. Refuses everything that would break it before anybody is dialled.

    `body`: None, str, bytes-like, an open file (anything with readinto), or an iterable of bytes-likes; `length` its
    bytes where they are not obvious: otherwise the body is sent in chunks. `json`: an object to send instead.
    """

    def __init__(self, method, url, headers=None, body=None, json=None, length=None, auth=None, bearer=None):
        good = isinstance(method, str) and method and method != "CONNECT"  # which makes a tunnel of the connection
        for c in method if good else ():
            good = good and "A" <= c <= "Z"
        if not good:
            refuse("%s is no method of HTTP here" % repr(method), "Use GET, HEAD, POST, PUT, DELETE or another word")
        self.method = method
        self.aim(url)
        self.headers = {}
        for name in headers or ():
            field(name, headers[name])
            self.headers[name] = headers[name]
        if json is not None:
            from json import dumps

            body = dumps(json)
            self._default("Content-Type", "application/json")
        if auth is not None:
            if not isinstance(auth, (tuple, list)) or list(map(type, auth)) != [str, str]:
                refuse("auth must be (user, password)", "Pass a tuple of two texts")
            self._authorize("Basic " + base64(auth[0], auth[1]))
        elif bearer is not None:
            self._authorize("Bearer " + bearer if isinstance(bearer, str) else None)
        if length is not None and (not isinstance(length, int) or length < 0):
            refuse("length is %r" % (length,), "Give the bytes of the body")
        self.take_body(body, length)

    def _authorize(self, value):
        field("Authorization", value)
        for name in list(self.headers):
            if name.lower() == "authorization":  # of the client, perhaps; two would be one too many
                del self.headers[name]
        self.headers["Authorization"] = value

    def take_body(self, body, length):
        self._start = None
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, (bytes, bytearray, memoryview)):
            length = len(body)
            self.repeatable = True
        elif body is None:
            length = None if self.method in ("GET", "HEAD", "DELETE", "OPTIONS") else 0
            self.repeatable = True
        elif hasattr(body, "readinto"):
            try:
                self._start = body.seek(0, 1)
                if length is None:
                    length = body.seek(0, 2) - self._start
                    body.seek(self._start)
            except (AttributeError, OSError):
                self._start = None
            self.repeatable = self._start is not None
        else:
            try:
                iter(body)
                nonsense = isinstance(body, dict)  # of which only the keys would be sent
            except TypeError:
                nonsense = True
            if nonsense:
                refuse("a %s is no body" % type(body).__name__, "Pass text, bytes, a file, pieces of bytes, or json=")
            self.repeatable = isinstance(body, (list, tuple))
        self.body = body
        self.length = length

    def _default(self, name, value):
        for known in self.headers:
            if known.lower() == name.lower():
                return
        self.headers[name] = value

    def aim(self, url):
        """Makes it a request for `url`."""
        secure = url[:8].lower() == "https://"
        host, port, self.target = split_url(url) if secure else split_url(url, "http", 80)
        self.url = url
        self.origin = secure, host.lower(), port

    def is_idempotent(self):
        return self.repeatable and self.method in _IDEMPOTENT

    def head(self, accept, keep):
        """The lines before the body; `accept`: content codings; `keep`: whether the connection shall last."""
        secure, host, port = self.origin
        if port != (443 if secure else 80):
            host = "%s:%d" % (host, port)
        lines = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (self.method, self.target, host)
        self._default("Accept-Encoding", accept)
        for name in self.headers:
            lines += field(name, self.headers[name])
        if not keep:
            lines += "Connection: close\r\n"
        if self.length is not None:
            lines += "Content-Length: %d\r\n" % self.length
        elif self.body is not None:
            lines += "Transfer-Encoding: chunked\r\n"
        return (lines + "\r\n").encode()

    def send(self, link, accept, keep):
        """Writes the request to `link`. A body that turns out longer or shorter than it said raises ConfigError."""
        head = self.head(accept, keep)
        body = self.body
        if isinstance(body, (bytes, bytearray)) and len(body) <= _PIECE:
            head += body  # in one record
            body = None
        yield from link.write(head)
        head = None
        if body is None:
            return
        if isinstance(body, (bytes, bytearray, memoryview)):
            yield from link.write(body)
            return
        if self._start is not None:
            body.seek(self._start)
        left = self.length
        for piece in _pieces(body, left) if hasattr(body, "readinto") else body:
            if isinstance(piece, str):
                piece = piece.encode()
            n = len(piece)
            if left is not None:
                if n > left:
                    refuse("the body is longer than its length, %d bytes" % self.length, "Give the right length")
                left -= n
                yield from link.write(piece)
            elif n:
                # In one record while that is cheap. An empty chunk would be the end.
                if n <= _PIECE:
                    yield from link.write(b"%x\r\n" % n + piece + b"\r\n")
                else:
                    yield from link.write(b"%x\r\n" % n)
                    yield from link.write(piece)
                    yield from link.write(b"\r\n")
        if left:
            refuse("the body is %d bytes shorter than its length" % left, "Give the right length")
        if left is None:
            yield from link.write(b"0\r\n\r\n")


def _pieces(file, left):
    buffer = bytearray(_PIECE)
    view = memoryview(buffer)
    while left is None or left:
        n = file.readinto(buffer if left is None or left >= _PIECE else view[:left])
        if not n:
            return
        if left is not None:
            left -= n
        yield view[:n]
