"""How a redirect changes a request (RFC 9110, 15.4). Imported when a server sends one."""

from micropython import const

from ..errors import ConfigError, HTTPError

# For one host only: no other may see them.
_SECRETS = const(("authorization", "cookie", "proxy-authorization"))


def follow(message, status, location):
    """Lets the Message `message` go where a response leads. Raises HTTPError if it may not."""
    origin = message.origin
    try:
        message.aim(_resolve(message.url, location))
    except ConfigError as error:
        raise HTTPError("the server redirects to %s" % (location[:80] or "nowhere"), None, error)
    if origin[0] and not message.origin[0]:
        raise HTTPError("the server redirects from https to %s" % location[:80], "It must stay with https")
    if status == 303 and message.method != "HEAD" or status <= 302 and message.method == "POST":
        message.method = "GET"
        message.take_body(None, None)
        _drop(message.headers, ("content-type",))
    elif not message.repeatable:
        raise HTTPError("the server redirects a request whose body cannot be sent again", "Ask %s" % message.url)
    if origin != message.origin:
        _drop(message.headers, _SECRETS)


def _drop(headers, names):
    for name in list(headers):
        if name.lower() in names:
            del headers[name]


def _resolve(base, location):
    """The URL that `location`, seen from `base`, means (RFC 3986, 5.2)."""
    scheme, colon, _ = location.partition(":")
    if colon and not ("/" in scheme or "?" in scheme or "#" in scheme):
        return location
    for mark in "#?":
        base = base.partition(mark)[0]
    scheme = base.partition("://")[0]
    if location[:2] == "//":
        return scheme + ":" + location
    if location[:1] in "?#":
        return base + location
    start = len(scheme) + 3
    path = base.find("/", start)
    if path < 0:
        path = len(base)
    if location[:1] == "/":
        return base[:path] + location
    folder = base[path : base.rfind("/", start) + 1] or "/"
    rest, mark, query = location.partition("?")
    parts = []
    for part in (folder + rest).split("/")[1:]:
        if part == "..":
            if parts:
                parts.pop()
        elif part != ".":
            parts.append(part)
    return base[:path] + "/" + "/".join(parts) + mark + query
