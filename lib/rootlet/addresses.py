"""IP addresses written as text: only the usual forms, no octal, no hexadecimal, no missing part, no zone. And what is
neither address nor name, in words.
"""


def parse(text):
    """4 or 16 bytes. Raises ValueError."""
    return ipv6(text) if ":" in text else ipv4(text)


def ipv4(text):
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


def ipv6(text):
    """RFC 4291, 2.2: eight groups, `::` for one run of zeros, the last two perhaps as an IPv4 address."""
    head, gap, tail = text.partition("::")
    halves = []
    for half in (head, tail):
        octets = bytearray()
        groups = half.split(":") if half else ()
        for i, group in enumerate(groups):
            if "." in group and i == len(groups) - 1 and (half is tail or not gap):
                octets.extend(ipv4(group))
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


def address_text(octets):
    """An IP address (4 or 16 bytes) as RFC 3986, 3.2.2, and RFC 5952, 4, want it written."""
    if len(octets) == 4:
        return "%d.%d.%d.%d" % tuple(octets)
    groups = [octets[i] << 8 | octets[i + 1] for i in range(0, 16, 2)]
    best = length = 0
    for i in range(8):
        n = 0
        while i + n < 8 and not groups[i + n]:
            n += 1
        if n > length:
            best, length = i, n
    texts = ["%x" % group for group in groups]
    if length < 2:
        return ":".join(texts)
    return ":".join(texts[:best]) + "::" + ":".join(texts[best + length :])


def refuse(host):
    """Raises ValueError, in words, for `host`, which is no host name."""
    if not isinstance(host, str) or not host:
        raise ValueError("a host name is needed")
    if max(host) > "\x7f":
        raise ValueError(host + " is an internationalized name: use its A-label, which begins with xn--")
    raise ValueError("not a host name: " + host)
