"""A proxy that tunnels with CONNECT (RFC 9110, 9.3.6), as a transport for `connect` and `open_connection`.

It sees the name of the host and nothing else: TLS is made with the host through the tunnel, and verified as without it.
"""

from ..http import Response, split_url
from .link import Link, after, finish
from .message import base64


class Proxy:
    """`url`: "http://[user:password@]host:port"; `transport`: how to reach the proxy, see `connect`."""

    def __init__(self, url, transport=None):
        scheme, mark, rest = url.partition("://")
        credentials, at, host = rest.rpartition("@")
        self.host, self.port, _ = split_url(scheme + mark + host, "http", 8080)
        self._transport = transport
        self._authorization = ""
        if at:
            user, _, password = credentials.partition(":")
            self._authorization = "Proxy-Authorization: Basic %s\r\n" % base64(user, password)

    def connect(self, host, port, timeout_ms):
        """A stream to `host`. Raises ConnectError, DeadlineError, HTTPError."""
        from ..dial import dial

        deadline_ms = after(timeout_ms)
        sock = dial(self.host.strip("[]"), self.port, deadline_ms, self._transport)
        return finish(self._tunnel(Link, sock, host, port, deadline_ms))

    async def connect_async(self, host, port, timeout_ms):
        from ..aio import dial
        from .aio import AsyncLink

        deadline_ms = after(timeout_ms)
        sock = await dial(self.host.strip("[]"), self.port, timeout_ms, self._transport)
        return await self._tunnel(AsyncLink, sock, host, port, deadline_ms)

    def _tunnel(self, kind, sock, host, port, deadline_ms):
        try:
            sock.setblocking(False)
            link = kind((False, self.host, self.port), sock, sock)
            link.limit(deadline_ms, None)
            target = ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)
            request = "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, self._authorization)
            yield from link.write(request.encode())
            answer = _Answer(sock)
            # As if to HEAD: no body comes, whatever length it gives (RFC 9110, 9.3.6). What follows is the tunnel's.
            yield from link.until(answer._start("HEAD"))
            if not 200 <= answer.status < 300:
                from ..errors import HTTPError

                message = "the proxy %s answers %d %s for %s" % (self.host, answer.status, answer.reason, target)
                denied = answer.status in (401, 407)
                remedy = "Check user and password of the proxy" if denied else "Ask who runs the proxy"
                raise HTTPError(message, remedy)
            return sock
        except BaseException:
            sock.close()
            raise


class _Answer(Response):
    def __init__(self, connection):
        self.connection = connection
