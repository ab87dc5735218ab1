"""The HTTP client: requests, redirects, and connections that are kept (RFC 9110, RFC 9112)."""

from .link import Link, after, finish
from .message import Message, refuse
from .response import ClientResponse, digest_of


class Client:
    """Makes requests over connections that `context` verifies, and keeps up to `keep` idle ones for the next.

    timeout_ms     for a request and its response together, redirects and dialling included; None: no such limit
    idle_ms        for each wait; None: no such limit
    max_bytes      of a response's body, decoded; None: no such limit
    max_redirects  that are followed; never from https to http
    headers        of every request, to whatever host: no secrets
    compressed     ask for gzip and deflate; decoding takes a window of up to 32 KB
    proxy          "http://[user:password@]host:port" of a proxy that tunnels with CONNECT
    address        where to dial instead of the URL's host; transport: see connect
    allow_http     let http:// URLs pass: nothing is verified there, nothing is secret

    Errors are TLSErrors; then the connection is closed. Not for several tasks or threads at once.
    """

    max_redirects = 5

    def __init__(
        self,
        context,
        timeout_ms=30_000,
        idle_ms=10_000,
        max_bytes=16 << 20,
        max_redirects=5,
        keep=1,
        headers=None,
        compressed=False,
        proxy=None,
        address=None,
        transport=None,
        allow_http=False,
    ):
        self._context = context
        self._timeout_ms = timeout_ms
        self._idle_ms = idle_ms
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._keep = keep
        self._headers = headers or {}
        self._accept = "gzip, deflate" if compressed else "identity"
        self._address = address
        self._transport = transport
        self._allow_http = allow_http
        self._proxy = proxy
        if proxy is not None:
            from .proxy import Proxy

            self._transport = Proxy(proxy, transport)
        self._idle = []  # Links, the last one used at the end

    def request(self, method, url, **options):
        """Makes a request and returns a ClientResponse when its head has come.

        Options: headers (dict), body (str, bytes, an open file, or an iterable of bytes), length (its bytes, where they
        cannot be known otherwise), json (an object to send), auth ((user, password)), bearer (a token), sha256 (that
        the body must have: bytes or hexadecimal), timeout_ms and max_bytes instead of the client's.

        A request that breaks off on a kept connection before a line of its response came is made once more on a
        new one if doing it twice is the same as doing it once: GET, HEAD, PUT, DELETE, OPTIONS. Others raise.
        """
        return self.do(self._request(method, url, **options))

    def get(self, url, **options):
        return self.request("GET", url, **options)

    def head(self, url, **options):
        return self.request("HEAD", url, **options)

    def post(self, url, body=None, **options):
        return self.request("POST", url, body=body, **options)

    def put(self, url, body=None, **options):
        return self.request("PUT", url, body=body, **options)

    def delete(self, url, **options):
        return self.request("DELETE", url, **options)

    def download(self, url, path, sha256=None, **options):
        """GETs `url` into the file `path`, which holds all of it or what it held before. Returns its bytes.

        What came before a failure stays in `path`.part; the next call goes on from there if the server says that
        nothing has changed. Raises DigestError if the file's SHA-256 is not `sha256`, HTTPError for a status other
        than 200.
        """
        from .download import download

        return self.do(download(self, url, path, digest_of(sha256), options))

    def close(self):
        """Closes the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    # What AsyncClient does otherwise.

    do = staticmethod(finish)

    def _open(self, origin, timeout_ms):
        """A new Link to `origin`."""
        secure, host, port = origin
        host = host.strip("[]")  # brackets of an IPv6 address
        if secure:
            from .. import connect

            connection = connect(host, port, self._context, None, self._address, timeout_ms, self._transport)
            sock = connection._observer._sock
        else:
            from ..dial import dial

            connection = sock = dial(self._address or host, port, after(timeout_ms), self._transport)
        try:
            connection.setblocking(False)
            return Link(origin, connection, sock)
        except BaseException:
            connection.close()
            raise
        yield  # a generator, as that of asyncio is

    # Generators.

    def _request(self, method, url, headers=None, timeout_ms=None, max_bytes=None, sha256=None, **options):
        if self._headers:
            merged = dict(self._headers)
            merged.update(headers or {})
            headers = merged
        message = Message(method, url, headers, **options)
        self._check(message)
        digest = digest_of(sha256)
        limit = self._max_bytes if max_bytes is None else max_bytes
        deadline_ms = after(self._timeout_ms if timeout_ms is None else timeout_ms)
        for _ in range(self._max_redirects + 1):
            response = yield from self._exchange(message, deadline_ms, limit, digest)
            if not response.leads():
                return response
            yield from response.drain()
            from .redirect import follow

            follow(message, response.status, response.headers["location"])
            self._check(message)
        from ..errors import HTTPError

        raise HTTPError("%s leads to more than %d redirects" % (url, self._max_redirects), "Raise max_redirects")

    def _check(self, message):
        if not message.origin[0]:
            if not self._allow_http:
                refuse("%s is not https" % message.url[:80], "Use https, or Client(allow_http=True) for no protection")
            if self._proxy is not None:
                refuse("the proxy is for https only", "Use https")

    def _exchange(self, message, deadline_ms, max_bytes, digest):
        """Sends `message` and returns the response to it, whatever its status."""
        link = self._kept(message.origin)
        while True:
            response = None
            try:
                if link is None:
                    link = yield from self._fresh(message.origin, deadline_ms)
                link.limit(deadline_ms, self._idle_ms)
                response = ClientResponse(self, link, message, max_bytes, digest)
                yield from message.send(link, self._accept, self._keep)
                yield from response.begin()
                return response
            except BaseException as error:
                if link is None:
                    raise
                link.close()
                if not (link.reused and message.is_idempotent() and _is_stale(error, response)):
                    if isinstance(error, OSError):
                        from ..diagnosis import from_transport

                        error = from_transport(error, "while talking to %s" % message.origin[1])
                    raise error
            link = None

    def _fresh(self, origin, deadline_ms):
        while self._idle and len(self._idle) >= self._keep:
            self._idle.pop(0).close()  # first: two at once may be more than the memory holds
        link = Link(origin, None, None)
        link.limit(deadline_ms, self._idle_ms)
        timeout_ms = link.left_ms()
        return (yield from self._open(origin, 60_000 if timeout_ms < 0 else timeout_ms))

    def _kept(self, origin):
        for link in self._idle:
            if link.origin == origin:
                self._idle.remove(link)
                if link.is_quiet():
                    link.reused = True
                    return link
                link.close()
                return None
        return None

    def give_back(self, link, keep):
        """Takes `link` from a response that came to its end."""
        if keep and self._keep:
            self._idle.append(link)
            while len(self._idle) > self._keep:
                self._idle.pop(0).close()
        else:
            link.close()


def _is_stale(error, response):
    """Whether the server may have closed a kept connection just when the request was sent (RFC 9112, 9.3.1)."""
    if not isinstance(error, OSError) or response.was_heard():
        return False
    from ..errors import ConfigError, DeadlineError, HTTPError

    return not isinstance(error, (ConfigError, DeadlineError, HTTPError))
