"""Host names: bringing the caller's into one form, and comparing a certificate's with it (RFC 9525, 6)."""

_DIGITS = "0123456789"
_LABEL = "abcdefghijklmnopqrstuvwxyz0123456789-_"


def normalise(host):
    """The one form of `host` (str) in which it is dialled, sent as SNI and compared.

    Lower case, without a trailing dot; an IPv6 address without brackets. Raises ValueError, in words, for what is
    neither a host name (RFC 1123, 2.1; underscores are let through, they occur) nor an IP address.
    """
    if not isinstance(host, str) or not host:
        raise ValueError("a host name is needed")
    if host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
        if ":" not in host:
            raise ValueError("only an IPv6 address stands in brackets: " + host)
    host = host.lower()
    if ":" in host:
        address(host)
        return host
    for c in host:
        if ord(c) > 0x7F:
            raise ValueError(
                "%s is an internationalized name: use its A-label, the form that begins with xn--" % host
            )
    if host[-1] == ".":
        host = host[:-1]
    labels = host.split(".")
    if len(host) > 253:
        raise ValueError("host name is longer than 253 characters")
    for label in labels:
        if not 0 < len(label) < 64 or label[0] == "-" or label[-1] == "-":
            raise ValueError("not a host name: " + host)
        for c in label:
            if c not in _LABEL:
                raise ValueError("not a host name: " + host)
    address(host)
    return host


def address(host):
    """The 4 or 16 bytes of the IP address `host` (as `normalise` returns it); None if it is a name.

    Raises ValueError for what looks like an address and is none: a last label that is all digits is never a top-level
    domain, and what resolvers make of 127.1 or 010.0.0.1 differs.
    """
    if ":" in host:
        return _ipv6(host)
    last = host[host.rfind(".") + 1 :]
    for c in last:
        if c not in _DIGITS:
            if last[:2] == "0x":
                break
            return None
    return _ipv4(host)


def _ipv4(text):
    parts = text.split(".")
    octets = bytearray()
    for part in parts:
        # isdigit() alone would also take digits of other scripts.
        if not 0 < len(part) < 4 or not part.isdigit() or (part[0] == "0" and part != "0") or int(part) > 255:
            raise ValueError("not an IPv4 address: " + text)
        octets.append(int(part))
    if len(octets) != 4:
        raise ValueError("not an IPv4 address: " + text)
    return bytes(octets)


def _ipv6(text):
    """RFC 4291, 2.2: eight groups, `::` for one run of zeros, the last two perhaps as an IPv4 address."""
    head, gap, tail = text.partition("::")
    halves = []
    for half in (head, tail):
        octets = bytearray()
        groups = half.split(":") if half else ()
        for i, group in enumerate(groups):
            if "." in group and i == len(groups) - 1 and (half is tail or not gap):
                octets.extend(_ipv4(group))
                continue
            if not 0 < len(group) < 5:
                raise ValueError("not an IPv6 address: " + text)
            for c in group:
                if c not in "0123456789abcdef":
                    raise ValueError("not an IPv6 address: " + text)
            n = int(group, 16)
            octets.append(n >> 8)
            octets.append(n & 0xFF)
        halves.append(octets)
    zeros = 16 - len(halves[0]) - len(halves[1])
    if zeros < (2 if gap else 0) or (zeros and not gap):
        raise ValueError("not an IPv6 address: " + text)
    return bytes(halves[0] + bytes(zeros) + halves[1])


def matches(data, start, end, host):
    """Whether the dNSName at `data[start:end]` covers `host` (bytes of a normalised name).

    A wildcard must be the whole left-most label, stands for exactly one label, and the rest must have two labels or more:
    `*.com` covers nothing (RFC 9525, 6.3).
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
