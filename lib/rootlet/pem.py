"""PEM to DER (RFC 7468), on the board: most firmware takes DER only."""

from binascii import a2b_base64

from micropython import const

_BEGIN = const(b"-----BEGIN ")
_END = const(b"-----END ")


def decode(data, label=b"CERTIFICATE"):
    """DER of every block `label` in `data` (bytes): a list. Blocks with other labels are passed over.

    Raises ValueError naming the index of the block that is bad, or when there is none.
    """
    found = []
    at = data.find(_BEGIN)
    if at < 0:
        raise ValueError("no PEM block")
    while at >= 0:
        line_end = data.find(b"-----", at + len(_BEGIN))
        name = data[at + len(_BEGIN) : line_end]
        end = data.find(_END + name + b"-----", line_end) if line_end >= 0 else -1
        if end < 0:
            raise ValueError("PEM block %d has no end" % len(found))
        if name == label:
            body = data[line_end + 5 : end]
            if _BEGIN in body:
                raise ValueError("PEM block %d has no end" % len(found))
            try:
                found.append(_base64(body))
            except ValueError:
                raise ValueError("PEM block %d is not base64" % len(found))
        at = data.find(_BEGIN, end)
    if not found:
        raise ValueError("no %s in PEM" % str(label, "ascii"))
    return found


def _base64(text):
    """Strict: a2b_base64 passes over what is not base64, on some ports without a word."""
    text = text.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"").replace(b"\t", b"")
    data = len(text.rstrip(b"="))
    if not text or len(text) % 4 or len(text) - data > 2:
        raise ValueError
    for i in range(data):
        c = text[i]
        if not (0x61 <= c <= 0x7A or 0x41 <= c <= 0x5A or 0x30 <= c <= 0x39 or c == 0x2B or c == 0x2F):
            raise ValueError
    return a2b_base64(text)


def certificates(data):
    """DER of all certificates in `data`: PEM, or DER one after another. A list, never empty.

    Raises ValueError with the index of the first bad one; trailing bytes are bad, too.
    """
    if _BEGIN in data:
        found = decode(data)
        for index, der in enumerate(found):
            if _length(der, 0) != len(der):
                raise ValueError("certificate %d is not one DER value" % index)
        return found
    found = []
    at = 0
    while at < len(data):
        n = _length(data, at)
        if not n or at + n > len(data):
            raise ValueError("certificate %d is not DER, or is cut short" % len(found))
        found.append(bytes(data[at : at + n]))
        at += n
    if not found:
        raise ValueError("no certificate: the data is empty")
    return found


def _length(data, at):
    """Length in bytes of the DER SEQUENCE at `at`, 0 if there is none."""
    if at + 4 > len(data) or data[at] != 0x30:
        return 0
    n = data[at + 1]
    if n < 0x80:
        return n + 2
    if n == 0x81:
        return data[at + 2] + 3
    if n == 0x82:
        return (data[at + 2] << 8 | data[at + 3]) + 4
    return 0
