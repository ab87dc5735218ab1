"""Host names: bringing the caller's into one form, and comparing a certificate's with it (RFC 9525, 6)."""

from micropython import const

_LABEL = const(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_DOT = const(0x2E)
_HYPHEN = const(0x2D)
_MAX_LABEL = const(63)
_MAX_NAME = const(253)


def normalise(host):
    """The one form of `host` (str) in which it is dialled, sent as SNI and compared.

    Lower case, without a trailing dot; an IPv6 address without brackets. Raises ValueError, in words, for what is
    neither a host name (RFC 1123, 2.1; underscores are let through, they occur) nor an IP address.
    """
    good = isinstance(host, str) and host
    if good:
        host = host.lower()
        if ":" in host:
            if host[0] == "[" and host[-1] == "]":
                host = host[1:-1]
        else:
            if host[-1] == ".":
                host = host[:-1]
            good = _is_name(host.encode())
    if not good:
        from .addresses import refuse

        refuse(host)
    address(host)
    return host


def _is_name(host):
    # Of bytes, because MicroPython looks whether it knows every string already that is made.
    n = 0  # letters of the label so far
    last = _DOT
    for byte in host:
        if byte == _DOT:
            if not n or last == _HYPHEN:
                return False
            n = 0
        elif byte not in _LABEL or n == _MAX_LABEL or (byte == _HYPHEN and not n):
            return False
        else:
            n += 1
        last = byte
    return n and last != _HYPHEN and len(host) <= _MAX_NAME


def address(host):
    """The 4 or 16 bytes of the IP address `host` (as `normalise` returns it); None if it is a name.

    Raises ValueError for what looks like an address and is none.
    """
    # A last label that is all digits is never a top-level domain; what resolvers make of 127.1 or 0x7f.1 differs.
    name = host.encode()
    last = name[name.rfind(b".") + 1 :]
    if ":" in host or last.isdigit() or last[:2] == b"0x":
        from rootlet.addresses import parse

        return parse(host)
    return None


def matches(data, start, end, host):
    """Whether the dNSName at `data[start:end]` covers `host` (bytes of a normalised name).

    A wildcard must be the whole left-most label, stands for exactly one label, and the rest must have two labels or
    more: `*.com` covers nothing (RFC 9525, 6.3).
    """
    n = end - start
    if n > 2 and data[start] == 0x2A and data[start + 1] == 0x2E:  # "*."
        dot = host.find(b".")
        if dot < 1 or host.find(b".", dot + 1) < 0:
            return False
        start += 1
        host = host[dot:]
        n -= 1
    return n == len(host) and bytes(data[start:end]).lower() == host
