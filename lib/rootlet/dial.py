"""From a name to a connected transport, before a deadline."""

from time import ticks_diff, ticks_ms

from micropython import const

try:
    import socket  # here, because an import looks through the file system first, even for a module of the firmware
except ImportError:
    socket = None  # a board that has only a modem

_MAX_ADDRESSES = const(4)


def resolve(address, port):
    """The first addresses of `address`, as socket.getaddrinfo gives them. Blocks. Raises ResolveError."""
    try:
        found = socket and socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        found = error
    if isinstance(found, OSError) or not found:
        from rootlet.errors import ResolveError

        raise ResolveError("the name %s cannot be resolved" % address, None, found or None)
    return found[:_MAX_ADDRESSES]


def send_at_once(sock):
    """Switches Nagle's algorithm off: the client's last flight is three small records, of which the second would wait
    for the server's delayed acknowledgement, about 40 ms."""
    # Its number differs from port to port. The Unix port does not name it; there it is Linux's and the BSDs'.
    option = getattr(
        socket, "TCP_NODELAY", 1 if hasattr(socket, "AF_UNIX") or not hasattr(socket, "IPPROTO_TCP") else None
    )
    try:
        sock.setsockopt(getattr(socket, "IPPROTO_TCP", 6), option, 1)
    except (OSError, TypeError):
        pass  # slower, but right


def dial(address, port, deadline_ms, transport):
    """A connected stream to `address`, before the deadline."""
    try:
        if transport is not None:
            return transport.connect(address, port, _left_ms(deadline_ms))
        for family, kind, protocol, _, where in resolve(address, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_left_ms(deadline_ms) / 1000)
                sock.connect(where)
                send_at_once(sock)
                return sock
            except BaseException as error:
                sock.close()
                failure = error
                if not isinstance(error, OSError):
                    raise
        raise failure
    except OSError as error:
        from rootlet.diagnosis import from_dial

        raise from_dial(error, address, port)


def _left_ms(deadline_ms):
    left = ticks_diff(deadline_ms, ticks_ms())
    if left <= 0:
        from errno import ETIMEDOUT

        raise OSError(ETIMEDOUT)
    return left
