"""The functions of micropython-lib's `requests`, over verified connections.

    from rootlet import requests
    requests.context = rootlet.Context(store="/certs/roots.rtlt")
    print(requests.get("https://example.org/").text)

http:// URLs work as they always did, without any protection; a redirect from https to http is refused.
"""

from micropython import const

from .web.client import Client

# What https connections trust. None: what rootlet.json says, or else the store at /certs/roots.rtlt.
context = None

_IDLE_MS = const(30_000)
# Programs set these because micropython-lib's `requests` leaves them out at times. The client knows better.
_FRAMING = const(("connection", "content-length", "transfer-encoding"))


class Headers(dict):
    """Header fields, found by their name in any case."""

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().get(name.lower()) is not None

    def get(self, name, default=None):
        return super().get(name.lower(), default)


class Response:
    """`status_code`, `reason`, `headers`, `url`, `raw` (a stream of the body), and what the properties say."""

    encoding = "utf-8"

    def __init__(self, raw):
        self.raw = raw
        self.status_code = raw.status
        self.reason = raw.reason.encode()
        self.headers = Headers(raw.headers)
        self.url = raw.url
        self._content = None

    def close(self):
        if self.raw:
            self.raw.close()
            self.raw = None
        self._content = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def content(self):
        if self._content is None:
            if self.raw is None:
                from .errors import TLSError

                raise TLSError("the response of %s is closed" % self.url, "Read it before, or ask again")
            try:
                self._content = self.raw.read()
            finally:
                self.raw.close()
                self.raw = None
        return self._content

    @property
    def text(self):
        return str(self.content, self.encoding)

    def json(self):
        from json import loads

        return loads(self.content)


def request(
    method, url, data=None, json=None, headers=None, stream=None, auth=None, timeout=None, parse_headers=True
):
    """Raises a TLSError, which is an OSError. `timeout`: seconds for dialling and handshake, then for each wait."""
    sent = {}
    length = None
    for name in headers or ():
        value = headers[name]
        value = value if isinstance(value, str) else str(value, "utf-8") if isinstance(value, bytes) else str(value)
        lower = name.lower()
        if lower == "content-length" and value.isdigit():
            length = int(value)
        elif lower == "host":
            _check_host(url, value)
        if lower not in _FRAMING and lower != "host":
            sent[name] = value
    idle_ms = _IDLE_MS if timeout is None else int(timeout * 1000)
    client = Client(_context(), None, idle_ms, None, keep=0, headers=sent, allow_http=True)
    return Response(client.request(method, url, body=data, json=json, length=length, auth=auth))


def _context():
    global context
    if context is None:
        context = default_context()
    return context


def default_context():
    """A Context that trusts what the board is configured to trust."""
    from . import Context

    try:
        open("rootlet.json").close()
    except OSError:
        return Context(store="/certs/roots.rtlt")
    from . import config

    return config.context(config.load())


def _check_host(url, value):
    if value.lower() != url.partition("://")[2].partition("/")[0].partition("?")[0].lower():
        from .web.message import refuse

        refuse("the header Host names another host than the URL", "Put the host into the URL")


def head(url, **options):
    return request("HEAD", url, **options)


def get(url, **options):
    return request("GET", url, **options)


def post(url, **options):
    return request("POST", url, **options)


def put(url, **options):
    return request("PUT", url, **options)


def patch(url, **options):
    return request("PATCH", url, **options)


def delete(url, **options):
    return request("DELETE", url, **options)
