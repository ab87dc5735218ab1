"""Looks up in the file of a trust store, by issuer name. Nothing of it stays in RAM.

The file's layout is in docs/store-format.md. What a Context keeps of a store is in the package
itself; its methods are the functions here that take a `store` first.
"""

from micropython import const

from rootlet.anchor import Anchor, RecordError, _u32
from rootlet import TrustStore

_HEADER_SIZE = const(64)
_ENTRY_SIZE = const(8)
_KEY_SIZE = const(5)
_BLOCKED_SIZE = const(16)
_MAX_RECORD = const(8192)
_WINDOW = const(16)  # index entries on each side of where a key is expected
_ENTRIES = const(37)  # that are read in one go: both sides, then those of one name and the end of the last
_NEAR = const(128)  # entries between a key and where it is expected, at the very most if chance put it there

_METHODS = ("is_blocked", "layout", "publisher", "envelope")


def attribute(store, name):
    """What `store` (a TrustStore) has under `name`, beside what it keeps itself."""
    if name in _METHODS:
        function = globals()[name]
        return lambda *arguments: function(store, *arguments)
    if name == "count":
        return store.head[6] | store.head[7] << 8
    if name == "sequence":
        return _u32(store.head, 8)
    if name == "digest":
        return store.head[32:]
    raise AttributeError(name)


def parts(head):
    """File positions: where the records begin, the blocked keys, the publisher's certificate, and where that ends."""
    end = _HEADER_SIZE + _u32(head, 20)
    publisher = end - (head[26] | head[27] << 8)
    blocked = publisher - (head[24] | head[25] << 8) * _BLOCKED_SIZE
    return _HEADER_SIZE + (head[6] | head[7] << 8) * _ENTRY_SIZE, blocked, publisher, end


def _open(store):
    """The file, unless an update has written over it since it was checked: it may hold anybody's anchors then.

    The Context of a path goes on with the store that is in force now, once that was checked in full.
    """
    file = open(store.path, "rb")
    head = file.read(_HEADER_SIZE)
    if head[:4] == TrustStore.MAGIC and head[32:] == store.head[32:]:
        return file
    file.close()
    if store.origin is None:
        raise RecordError("it was replaced, make a new Context")
    from rootlet.clock import check
    from rootlet.opening import current

    now = current(store.origin)
    if now.sequence < store.sequence:
        raise RecordError("it was replaced by an older one, make a new Context")
    check((now,))
    for name in ("path", "head", "size", "signed", "not_used_after", "blocked"):
        setattr(store, name, getattr(now, name))
    return open(store.path, "rb")


def _unreadable(store, error):
    from rootlet.errors import TLSError, TrustStoreDamagedError

    raise error if isinstance(error, TLSError) else TrustStoreDamagedError(
        store.path, "it could not be read: %s" % error
    )


def lookup(store, name, host=None, digest=None):
    """Anchors whose subject is `name` (DER of a Name) and that may sign for `host`: a list of Anchor. `digest`:
    SHA-256 of `name`, if it is known already.

    At most 10 reads of the file; memory for one index window and one record.
    """
    if digest is None:
        from hashlib import sha256

        digest = sha256(name).digest()
    found = []
    try:
        with _open(store) as file:
            for start, end in _find(file, digest[:_KEY_SIZE], store.head):
                if end - start > _MAX_RECORD:
                    raise RecordError("record is too long")
                file.seek(start)
                anchor = Anchor(file.read(end - start))
                if host is None or anchor.may_sign_for(host):
                    found.append(anchor)
    except (OSError, ValueError) as error:
        _unreadable(store, error)
    return found


def _find(file, key, head):
    """File positions (start, end) of the records with `key`."""
    count = head[6] | head[7] << 8
    records, blocked, _, _ = parts(head)
    # Keys are hashes, evenly spread, so it can be guessed where one stands; a window there nearly always has it.
    low = max(0, ((key[0] << 8 | key[1]) * count >> 16) - _WINDOW)
    window = _entries(file, low, count)
    if low and window[:_KEY_SIZE] >= key:
        window = _entries(file, _search(file, key, 0, low, low - _NEAR), count)
    elif low + _ENTRIES < count and window[-_ENTRY_SIZE:-3] <= key:
        window = _entries(file, _search(file, key, low, count, low + _NEAR), count)
    ranges = []
    at = window.find(key)
    while at >= 0 and len(ranges) < TrustStore.MAX_ANCHORS_PER_NAME:
        if at % _ENTRY_SIZE == 0:
            start = records + _offset(window, at)
            end = at + _ENTRY_SIZE
            end = records + _offset(window, end) if end < len(window) else blocked
            if not records <= start < end <= blocked:
                raise RecordError("index points outside the records")
            ranges.append((start, end))
        at = window.find(key, at + 1)
    return ranges


def _entries(file, low, count):
    file.seek(_HEADER_SIZE + low * _ENTRY_SIZE)
    return file.read(min(count - low, _ENTRIES) * _ENTRY_SIZE)


def _search(file, key, low, high, middle):
    """Where the entries with `key` begin, or would, or at most a window before that; between `low` and `high`.
    `middle`: where to look first."""
    middle = min(max(middle, low), high - 1)
    entry = bytearray(_ENTRY_SIZE)
    while high - low > 2 * _WINDOW:
        file.seek(_HEADER_SIZE + middle * _ENTRY_SIZE)
        file.readinto(entry)
        if entry[:_KEY_SIZE] < key:
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    return low


def _offset(window, at):
    return window[at + 5] | window[at + 6] << 8 | window[at + 7] << 16


def is_blocked(store, spki_digest):
    """Whether the store blocks the key whose SubjectPublicKeyInfo has this SHA-256 (16 bytes or more)."""
    wanted = bytes(spki_digest[:_BLOCKED_SIZE])
    try:
        with _open(store) as file:
            _, start, high, _ = parts(store.head)
            low = 0
            high = (high - start) // _BLOCKED_SIZE
            while low < high:
                middle = (low + high) // 2
                file.seek(start + middle * _BLOCKED_SIZE)
                entry = file.read(_BLOCKED_SIZE)
                if entry == wanted:
                    return True
                if len(entry) < _BLOCKED_SIZE:
                    raise RecordError("it became shorter")
                if entry < wanted:
                    low = middle + 1
                else:
                    high = middle
    except (OSError, RecordError) as error:
        _unreadable(store, error)
    return False


def layout(store):
    """File positions: where the records begin, where the blocked keys begin and where they end."""
    return parts(store.head)[:3]


def publisher(store):
    """DER of the certificate of the publisher who may sign the stores after this one, or None."""
    _, _, start, end = parts(store.head)
    if start == end:
        return None
    with open(store.path, "rb") as file:
        file.seek(start)
        return file.read(end - start)


def envelope(store):
    """(leaf certificate, its key), both DER, or None if the store is not signed."""
    if not store.signed:
        return None
    found = []
    with open(store.path, "rb") as file:
        file.seek(parts(store.head)[3] + 4)
        for _ in range(2):
            head = file.read(2)
            found.append(file.read(head[0] | head[1] << 8))
    return found
