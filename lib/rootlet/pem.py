"""PEM to DER (RFC 7468), on the board: most firmware takes DER only."""

from binascii import a2b_base64, b2a_base64

from micropython import const

from .der import DerError, Reader

_BEGIN = const(b"-----BEGIN ")
_DASHES = const(b"-----")


def decode(data, label=b"CERTIFICATE"):
    """DER of every block `label` in `data` (bytes): a list. Blocks with other labels are passed over.

    Raises ValueError naming the index of the block that is bad, or when there is none.
    """
    found = []
    at = data.find(_BEGIN)
    while at >= 0:
        at += len(_BEGIN)
        begin = data.find(_DASHES, at)
        name = data[at:begin]
        end = data.find(b"-----END " + name + _DASHES, begin)
        at = data.find(_BEGIN, begin)
        if begin < 0 or end < 0 or (name == label and 0 <= at < end):
            raise ValueError("PEM block %d has no end" % len(found))
        if name == label:
            text = b"".join(data[begin + 5 : end].split())
            try:
                der = a2b_base64(text)
            except ValueError:
                der = b""
            # a2b_base64 passes over what is not base64, on some ports without a word.
            if not der or b2a_base64(der)[:-1] != text:
                raise ValueError("PEM block %d is not base64" % len(found))
            found.append(der)
        at = data.find(_BEGIN, end)
    if not found:
        raise ValueError("no %s in PEM" % str(label, "ascii"))
    return found


def certificates(data):
    """DER of all certificates in `data`: PEM, or DER one after another. A list, never empty.

    Raises ValueError with the index of the first bad one; trailing bytes are bad, too.
    """
    if _BEGIN in data:
        found = decode(data)
        for index, der in enumerate(found):
            if _end(der, 0) != len(der):
                raise ValueError("certificate %d is not one DER value" % index)
        return found
    found = []
    at = 0
    while at < len(data):
        end = _end(data, at)
        if not end:
            raise ValueError("certificate %d is not DER, or is cut short" % len(found))
        found.append(bytes(data[at:end]))
        at = end
    if not found:
        raise ValueError("no certificate: the data is empty")
    return found


def _end(data, at):
    """Where the DER SEQUENCE at `at` ends; 0 if there is none, or nothing in it."""
    reader = Reader(data)
    try:
        if reader.enter(0x30, at, len(data)) < reader.end:
            return reader.end
    except DerError:
        pass
    return 0
