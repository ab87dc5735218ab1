"""Makes programs that know nothing of rootlet verify: `requests`, `mip`, asyncio's `ssl=True`, and `ssl.wrap_socket`.

    import rootlet.compat
    rootlet.compat.install()

On stock firmware all of these take any certificate. After `install`, which lasts until the board restarts, they connect
as rootlet does or raise. It also reaches modules that were imported before, but not a program that makes an
ssl.SSLContext of its own, or that has copied asyncio's `open_connection` before.
"""

import sys

from micropython import const

_FUNCTIONS = const(("request", "get", "head", "post", "put", "patch", "delete", "Response"))
# Of ssl.wrap_socket, all there ever were: what says whom to trust is the context's affair.
_OURS = const(("cert_reqs", "cadata", "ca_certs", "server_side", "do_handshake"))

_installed = None


def install(context=None):
    """Lets everything trust `context`; None: what rootlet.json says, or the store at /certs/roots.rtlt.

    Returns the context. Raises what making one raises; nothing is changed then.
    """
    global _installed
    from . import requests as ours

    context = context or ours.default_context()
    ours.context = context
    _replace_requests(ours)
    _replace_asyncio(context)
    _replace_ssl(context)
    _installed = context
    return context


def installed():
    """The context that `install` was given, None before."""
    return _installed


def _replace_requests(ours):
    for name in ("requests", "urequests"):
        try:
            theirs = __import__(name)
        except ImportError:
            sys.modules[name] = ours  # the firmware has none
            continue
        # In place: mip and others hold the module itself.
        for function in _FUNCTIONS:
            setattr(theirs, function, getattr(ours, function))
        theirs.socket = _NoSocket()


def _replace_asyncio(context):
    try:
        import asyncio.stream
    except ImportError:
        return
    stream = sys.modules["asyncio.stream"]
    original = stream.open_connection
    if hasattr(stream, "_rootlet_original"):
        original = stream._rootlet_original
    stream._rootlet_original = original

    async def open_connection(host, port, ssl=None, server_hostname=None, *more):
        return await original(host, port, context if ssl is True else ssl, server_hostname, *more)

    stream.open_connection = asyncio.open_connection = open_connection


def _replace_ssl(context):
    def wrap_socket(sock, server_side=False, key=None, cert=None, server_hostname=None, **options):
        for name in options:
            if name not in _OURS:
                _refuse(sock, "ssl.wrap_socket has no option %s" % name, "Leave it out")
        if key is not None or cert is not None:
            _refuse(sock, "a key for ssl.wrap_socket would not be used", "Give it to the Context")
        waits = options.get("do_handshake", True)
        return context.wrap_socket(sock, server_side, waits, server_hostname)

    try:
        import ssl

        ssl.wrap_socket = wrap_socket
    except ImportError:
        pass
    # Older clients know the module by this name, which firmware since 1.23 has no more.
    sys.modules["ussl"] = _Module(wrap_socket)


class _NoSocket:
    """For a `request` of the old module that somebody copied: it may not connect any more."""

    def __getattr__(self, name):
        from .errors import ConfigError

        raise ConfigError("this `request` was copied before rootlet.compat.install", "Call install first, then import")


class _Module:
    CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = 0, 1, 2

    def __init__(self, wrap_socket):
        self.wrap_socket = wrap_socket


def _refuse(sock, message, remedy):
    from .errors import ConfigError

    sock.close()
    raise ConfigError(message, remedy)
