"""Further header fields of a request. Imported when there are some."""

from micropython import const

_SEPARATORS = const('"(),/:;<=>?@[\\]{}')
_OURS = const(("host", "connection", "content-length", "transfer-encoding"))


def lines(headers):
    """The fields of the dict `headers` as lines. Raises ConfigError."""
    found = ""
    for name in headers:
        found += field(name, headers[name])
    return found


def field(name, value):
    """A line of the request. `value`: a text or a number. Raises ConfigError for what would break it (RFC 9110, 5.1 and
    5.5)."""
    if isinstance(value, (int, float)):
        value = str(value)
    good = isinstance(name, str) and isinstance(value, str) and name and name.lower() not in _OURS
    if good:
        for c in name:
            good = good and " " < c < "\x7f" and c not in _SEPARATORS
        for c in value:
            good = good and (c >= " " or c == "\t") and c != "\x7f"
    if not good:
        from .http_faults import failure

        raise failure("field", repr(name))
    return "%s: %s\r\n" % (name, value)
