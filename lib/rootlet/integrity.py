"""Is everything in a trust store as docs/store-format.md says? Asked once, before a store is put in force.

The digest says that a store is as it was built. This says that it was built well: a publisher's mistake must not reach
thousands of boards whose next connection would find it.
"""

from micropython import const

from .anchor import Anchor, _u32

_HEADER_SIZE = const(64)
_ENTRY_SIZE = const(8)
_BLOCKED_SIZE = const(16)
_MAX_RECORD = const(8192)

# Kinds of key (docs/store-format.md), as bits 0-2 of a record's first byte.
_RSA = const(0)
_OTHER = const(4)


def fault(store):
    """What is wrong with the content of `store` (a TrustStore), in words, or None. Memory for one record."""
    if store.not_used_after and store.not_used_after < store.issued_at:
        return "it must not be used after a time before it was issued"
    with open(store.path, "rb") as file:
        return _index(store, file) or _blocked(store, file) or _publisher(store)


def _index(store, file):
    records, end, _ = store.layout()
    size = end - records
    if not store.count:
        return "it has records that no index entry points to" if size else None
    here = _entry(file, 0)
    if _offset(here):
        return "its first record is not at the beginning of the records"
    for number in range(1, store.count + 1):
        if number < store.count:
            following = _entry(file, number)
            stop = _offset(following)
            if following[:5] < here[:5]:
                return "its index is not sorted at entry %d" % number
        else:
            following = None
            stop = size
        start = _offset(here)
        if not start < stop <= size or stop - start > _MAX_RECORD:
            return "record %d does not fit between its neighbours" % (number - 1)
        file.seek(records + start)
        try:
            why = _record(file.read(stop - start))
        except ValueError as error:  # RecordError, or UnicodeError, which says nothing
            why = str(error) or "its text is not ASCII"
        if why:
            return "record %d: %s" % (number - 1, why)
        here = following
    return None


def _record(record):
    anchor = Anchor(record)
    if _u32(record, 5) < _u32(record, 1):
        return "it ends before it begins"
    if anchor.suffixes is not None:
        if not anchor.suffixes:
            return "its list of DNS suffixes is empty"
        for suffix in anchor.suffixes:
            # MicroPython takes UTF-8 for ASCII.
            if not suffix or max(suffix) > "~" or suffix != suffix.lower() or suffix[0] == "." or suffix[-1] == ".":
                return "it has a DNS suffix that is no domain name in lower case"
    if anchor.constraints is not None and not _is_sequence(anchor.constraints):
        return "its name constraints are not one DER SEQUENCE"
    kind = record[0] & 7
    key = anchor.key
    if kind == _RSA:
        if not 128 <= len(key) <= 1024 or not key[0] or not key[-1] & 1:
            return "its RSA modulus is not one"
    elif kind >= _OTHER and not _is_sequence(key):
        return "its key or certificate is not one DER SEQUENCE"
    return None


def _blocked(store, file):
    _, start, end = store.layout()
    file.seek(start)
    before = b""
    while start < end:
        key = file.read(_BLOCKED_SIZE)
        if key <= before:
            return "its blocked keys are not sorted"
        before = key
        start += _BLOCKED_SIZE
    return None


def _publisher(store):
    der = store.publisher()
    if der is None:
        return None
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(der)
    except (OSError, ValueError):
        return "the certificate of the publisher that it announces cannot be read"
    return None if _is_sequence(der) else "something follows the certificate of the publisher that it announces"


def _entry(file, number):
    file.seek(_HEADER_SIZE + number * _ENTRY_SIZE)
    return file.read(_ENTRY_SIZE)


def _offset(entry):
    return entry[5] | entry[6] << 8 | entry[7] << 16


def _is_sequence(der):
    """Whether `der` is one DER SEQUENCE and nothing after it."""
    if len(der) < 2 or der[0] != 0x30:
        return False
    n = der[1]
    at = 2
    if n & 0x80:
        at += n & 0x7F
        if n == 0x80 or at > 6 or len(der) < at:
            return False
        n = 0
        for i in range(2, at):
            n = n << 8 | der[i]
    return at + n == len(der)
