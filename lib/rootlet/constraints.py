"""Name constraints (RFC 5280, 4.2.1.10): dNSName, iPAddress and directoryName, permitted and excluded.

Imported only when a certificate of the chain, or the trust anchor, has some. A name of a form that is constrained but
not understood here (otherName, rfc822Name, …) is refused.
"""

from micropython import const

from rootlet.der import DerError, Reader

_DNS_NAME = const(0x82)
_DIRECTORY_NAME = const(0xA4)
_IP_ADDRESS = const(0x87)
_PERMITTED = const(0xA0)
_EXCLUDED = const(0xA1)
_SEQUENCE = const(0x30)
_SET = const(0x31)
_OID = const(0x06)

# UTF8String, PrintableString, IA5String: ASCII and its superset, so their bytes can be compared.
_TEXT = const((0x0C, 0x13, 0x16))


# Bytes kept in all, until the leaf has been seen.
_MAX_BYTES = const(4096)
# Subtrees that are looked at in all: certificate names times subtrees. Go has a limit on the same product.
_MAX_COMPARISONS = const(4096)


class Constraints:
    """The constraints that are in force at one point of a chain; each certificate can only add some.

    `check` and `add` return the name of the broken rule, or None.
    """

    def __init__(self, webpki=False):
        self._webpki = webpki
        self._values = []
        self._size = 0
        self._left = _MAX_COMPARISONS
        self._reader = Reader()

    def add(self, value):
        """Adds the DER of a NameConstraints (bytes; it is kept)."""
        self._size += len(value)
        if self._size > _MAX_BYTES:
            return "constraints-excessive"
        reader = self._reader
        reader.data = value
        at = reader.enter(_SEQUENCE, 0, len(value))
        limit = reader.end
        empty = True
        last = _PERMITTED - 1
        while at < limit:
            side = reader.read(at, limit)
            if not last < side <= _EXCLUDED:  # each at most once, in this order
                return "constraints-malformed"
            last = side
            start = reader.start
            at = reader.end
            while start < at:
                empty = False
                base = reader.enter(_SEQUENCE, start, at)
                start = reader.end
                form = reader.read(base, start)
                # minimum must be 0, which DER leaves out, and maximum absent.
                if reader.end != start or not self._is_base(form):
                    return "constraints-malformed"
        if empty:
            return "constraints-malformed"
        self._values.append(value)
        return None

    def _is_base(self, form):
        reader = self._reader
        data = reader.data
        at = reader.start
        end = reader.end
        n = end - at
        if form == _DNS_NAME:
            # A leading dot is against the standard, which has it for URIs only, but is common; OpenSSL and Go read it
            # as "one label or more before it".
            if self._webpki and n and data[at] == 0x2E:
                return False
            for i in range(at, end):
                # Letters, digits, hyphen, dot, underscore; so no wildcard.
                c = data[i] | 0x20
                if not (0x61 <= c <= 0x7A or 0x30 <= data[i] <= 0x39 or data[i] in b"-._"):
                    return False
        elif form == _IP_ADDRESS:
            if n != 8 and n != 32:
                return False
            # The mask is a row of ones, then a row of zeros (RFC 4632).
            rest = (1 << 4 * n) - 1 - int.from_bytes(data[at + n // 2 : end], "big")
            return not rest & (rest + 1)
        elif form == _DIRECTORY_NAME:
            reader.enter(_SEQUENCE, at, end)
            return reader.end == end
        return True

    def check(self, certificate):
        """All names of `certificate` against all constraints."""
        c = certificate
        # An empty subject is no name.
        if c.subject_end - c.subject > 2:
            rule = self._check_name(c, _DIRECTORY_NAME, c.subject, c.subject_end)
            if rule:
                return rule
        at = c.san
        while at < c.san_end:
            form = c.read(at, c.san_end)
            start = c.start
            at = c.end
            rule = self._check_name(c, form, start, at)
            if rule:
                return rule
        return None

    def _check_name(self, c, form, start, end):
        reader = self._reader
        for value in self._values:
            reader.data = value
            at = reader.enter(_SEQUENCE, 0, len(value))
            limit = reader.end
            while at < limit:
                excluded = reader.read(at, limit) == _EXCLUDED
                subtree = reader.start
                at = reader.end
                constrained = inside = False
                while subtree < at:
                    self._left -= 1
                    if self._left < 0:
                        return "constraints-excessive"
                    base = reader.enter(_SEQUENCE, subtree, at)
                    subtree = reader.end
                    if reader.read(base, subtree) == form:
                        constrained = True
                        base = reader.start
                        if form == _DNS_NAME:
                            inside = dns_within(c.data, start, end, value, base, subtree, excluded)
                        elif form == _IP_ADDRESS:
                            inside = ip_within(c.data, start, end, value, base, subtree)
                        elif form == _DIRECTORY_NAME:
                            inside = directory_within(c, start, end, reader, base, subtree)
                        else:
                            return "constraints-unsupported"
                        if inside:
                            break
                if constrained and inside == excluded:
                    return "constraints"
        return None


def dns_within(data, start, end, value, base, base_end, excluded):
    """Whether the dNSName lies under the base. An excluded base is also hit by a wildcard that covers it or something
    in it: `*.example.org` is not free of `www.example.org`."""
    name = bytes(data[start:end]).lower()
    base = bytes(value[base:base_end]).lower()
    if name[:1] in (b"", b"."):
        # No name at all, so it lies nowhere (RFC 5280, 4.2.1.6).
        return excluded
    if _under(name, base):
        return True
    return excluded and name[:2] == b"*." and _under(base, name[2:])


def _under(name, base):
    if not base or name == base:
        return True
    if base[:1] != b".":
        base = b"." + base
    return name.endswith(base)


def ip_within(data, start, end, value, base, base_end):
    """Whether the iPAddress lies in the network; one of the other family never does."""
    n = end - start
    if base_end - base != 2 * n:
        return False
    for i in range(n):
        if (data[start + i] ^ value[base + i]) & value[base + n + i]:
            return False
    return True


def directory_within(c, start, end, reader, base, base_end):
    """Whether the Name (DER) begins with all the RDNs of the base's Name.

    Text is compared without regard to case, spaces at the ends and runs of spaces, as RFC 5280, 7.1 asks for, if it
    is in one of the usual string types. Raises DerError where the two cannot be compared: then nothing can be said
    about the name, and the chain must be refused.
    """
    base = reader.enter(_SEQUENCE, base, base_end)
    base_end = reader.end
    start = c.enter(_SEQUENCE, start, end)
    end = c.end
    while base < base_end:
        if start == end:
            return False
        wanted = reader.enter(_SET, base, base_end)
        base = reader.end
        found = c.enter(_SET, start, end)
        start = c.end
        if reader.data[wanted:base] == c.data[found:start]:
            continue
        if _attribute(reader, wanted, base) != _attribute(c, found, start):
            return False
    return True


def _attribute(reader, at, end):
    """(type, value) of the only attribute of an RDN, the value in a form fit for comparing."""
    at = reader.enter(_SEQUENCE, at, end)
    if reader.end != end:
        raise DerError  # several attributes
    at = reader.enter(_OID, at, end)
    kind = bytes(reader.data[at : reader.end])
    if reader.read(reader.end, end) not in _TEXT:
        raise DerError
    return kind, b" ".join(bytes(reader.data[reader.start : reader.end]).lower().split())
