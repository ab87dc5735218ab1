"""IP addresses written as text. Only the usual forms: no octal, no hexadecimal, no missing part, no zone."""


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
