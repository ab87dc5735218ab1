"""GET over HTTPS or plain HTTP against a clock: for data that proves itself, like a signed trust store.

Everything else should use http.get, which speaks HTTPS only.
"""

from errno import ETIMEDOUT
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from .http import Response, split_url

_POLL_READ = const(1)
_POLL_WRITE = const(4)
_REDIRECTS = const((301, 302, 303, 307, 308))  # RFC 9110, 15.4
_MAX_REDIRECTS = const(3)


class Plain:
    """A TCP connection with what http.Response asks of one. Like Connection it has `set_deadline`."""

    def __init__(self, sock):
        from select import poll

        sock.setblocking(False)
        self._sock = sock
        self._poller = poll()
        self._poller.register(sock, _POLL_READ)
        self._deadline_ms = None

    def set_deadline(self, timeout_ms):
        self._deadline_ms = ticks_add(ticks_ms(), timeout_ms)

    def readinto(self, buffer, n=None):
        while True:
            got = self._sock.readinto(buffer, len(buffer) if n is None else n)
            if got is not None:
                return got
            self._wait(_POLL_READ)

    def readline(self, limit):
        line = b""
        while line[-1:] != b"\n" and len(line) < limit:
            more = self._sock.readline(limit - len(line))
            if more:
                line += more
            elif more is not None:
                break  # the end
            self._wait(_POLL_READ if more is None else 0)
        return line

    def write(self, data):
        data = memoryview(data)
        while data:
            data = data[self._sock.write(data) or 0 :]
            if data:
                self._wait(_POLL_WRITE)

    def close(self):
        self._sock.close()

    def _wait(self, flags):
        """Until the socket is ready for `flags`, 0: do not wait. Raises when the deadline is over."""
        left_ms = ticks_diff(self._deadline_ms, ticks_ms())
        if left_ms > 0 and not flags:
            return
        self._poller.modify(self._sock, flags)
        if left_ms <= 0 or not self._poller.poll(left_ms):
            raise OSError(ETIMEDOUT)


class Fetch:
    """One GET that must be over within `timeout_ms` altogether, `wait_ms` for each step of it.

    `progress()` is called between steps, at least every `wait_ms`: feed the watchdog there. `transport`: see connect.
    """

    def __init__(self, context=None, timeout_ms=120_000, wait_ms=10_000, transport=None, progress=None):
        self._context = context
        self._deadline_ms = ticks_add(ticks_ms(), timeout_ms)
        self._wait_ms = wait_ms
        self._transport = transport
        self._progress = progress

    def step_ms(self):
        """How long the next step may take. Raises DeadlineError when the time is over."""
        if self._progress:
            self._progress()
        left_ms = ticks_diff(self._deadline_ms, ticks_ms())
        if left_ms <= 0:
            from .errors import DeadlineError

            raise DeadlineError("the server takes too long altogether")
        return min(left_ms, self._wait_ms)

    def get(self, url, headers):
        """Follows redirects; returns the Response to the last request. Raises a TLSError."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._request(url, headers)
            if response.status not in _REDIRECTS:
                return response
            location = response.headers.get("location", "")
            response.close()
            url = _follow(url, location)
        _refuse("the server redirects more than %d times" % _MAX_REDIRECTS)

    def readinto(self, response, buffer):
        """The next piece of the body, as Response.readinto."""
        try:
            response.connection.set_deadline(self.step_ms())
            return response.readinto(buffer)
        except OSError as error:
            from .diagnosis import from_transport

            raise from_transport(error, "while the body came")

    def _request(self, url, headers):
        from . import connect
        from .dial import dial

        secure = url[:8].lower() == "https://"
        host, port, target = split_url(url) if secure else split_url(url, "http", 80)
        standard = port == (443 if secure else 80)
        request = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" % (
            target,
            host if standard else "%s:%d" % (host, port),
        )
        for name in headers:
            request += "%s: %s\r\n" % (name, headers[name])
        name = host.strip("[]")  # brackets of an IPv6 address
        wait_ms = self.step_ms()
        if secure:
            if self._context is None:
                _refuse("there is no context for https", "Give Updater a Context, or an http:// URL")
            connection = connect(name, port, self._context, None, None, wait_ms, self._transport)
        else:
            connection = dial(name, port, ticks_add(ticks_ms(), wait_ms), self._transport)
        try:
            if not secure:
                connection = Plain(connection)
            connection.set_deadline(self.step_ms())
            connection.write((request + "\r\n").encode())
            connection.set_deadline(self.step_ms())
            return Response(connection)
        except OSError as error:
            connection.close()
            from .diagnosis import from_transport

            raise from_transport(error, "while waiting for the answer of %s" % host)
        except BaseException:
            connection.close()
            raise


def _follow(url, location):
    """Where a redirect from `url` leads."""
    at = url.find("/", url.find("://") + 3)
    if location[:1] == "/" and location[:2] != "//":
        return (url[:at] if at > 0 else url) + location
    scheme = location.partition("://")[0].lower()
    if scheme != "https" and (scheme != "http" or url[:8].lower() == "https://"):
        _refuse("the server redirects to %s" % (location[:80] or "nowhere"), "It must stay with https")
    return location


def _refuse(message, remedy=None):
    from .errors import HTTPError

    raise HTTPError(message, remedy)
